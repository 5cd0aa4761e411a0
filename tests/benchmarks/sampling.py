"""Throughput of the engine `vllm` beside a bare `LLM.generate` on the same requests.

    .venv-vllm/bin/python -m tests.benchmarks.sampling [--quick]        # after `make test-vllm`, which sets that environment up

Sums behind a few-shot prompt, 8 samples of each, from a random Llama made here (2 layers of width 256, so that what is not the
model weighs most; --model names another), float32 on a CPU. `bare` gives vLLM the texts and one SamplingParams each, and reads
the ids; `ours` is `VLLMGenerator.generate`. Both use one LLM in one process, so they differ by our code alone; the prefix cache
is emptied before each run, and the order alternates.

vs_bare: seconds of bare over ours, the median over pairs of runs (both sample the same tokens, see same); vs_bare_cpu: the same
of CPU seconds, which other processes disturb less. hit_rate: share of our prompt tokens found in the prefix cache. same: share
of samples in which our ids are those of bare, but for a stop string's.
The last line is one JSON object.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from fullstep_data.config import VLLMEngine
from fullstep_data.engines.protocol import Completion, Request, small_seed
from fullstep_data.engines.vllm import VLLMGenerator, VLLMTool
from fullstep_data.prompts import load_template, render_prompt
from schemas.ids import sample_seed

SAMPLES = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="8 problems, 2 pairs of runs")
    parser.add_argument("--problems", type=int, help="how many (default 24, with --quick 8)")
    parser.add_argument("--repeats", type=int, help="pairs of runs (default 5, with --quick 2)")
    parser.add_argument("--model", type=Path, help="folder of a model")
    arguments = parser.parse_args()
    # One process, which keeps what is measured free of its start.
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or random_model(Path(folder))
        engine = VLLMTool(VLLMEngine(eager=True), str(model)).open({})
        asked = requests(engine, arguments.problems or (8 if arguments.quick else 24))
        result = compare(engine, asked, arguments.repeats or (2 if arguments.quick else 5))
        print(json.dumps(result | {"model": str(arguments.model or "random, 2 layers of 256")}))


def random_model(folder: Path) -> Path:
    from tests.models import tiny_model

    return tiny_model(folder, hidden=256, context=1024)


def requests(engine: VLLMGenerator, problems: int) -> list[Request]:
    """As the stage `samples` asks."""
    template = load_template("steps-few-shot")
    prompts = [render_prompt(template, f"What is {k} + {3 * k + 1} - {2 * k}?", engine) for k in range(1, problems + 1)]
    return [
        Request(prompt, sample_seed(prompt, index, 0), max_tokens=96, temperature=0.8, stop=template.stop)
        for prompt in prompts
        for index in range(SAMPLES)
    ]


def compare(engine: VLLMGenerator, asked: list[Request], repeats: int) -> dict[str, Any]:
    """Pairs of runs in alternating order, after a warm-up of both."""
    bare(engine, asked[: 2 * SAMPLES])
    engine.generate(asked[: 2 * SAMPLES])
    wall: list[float] = []
    cpu: list[float] = []
    same = 0.0
    for repeat in range(repeats):
        found: dict[str, tuple[float, float, list[tuple[int, ...]]]] = {}
        for way in ("ours", "bare") if repeat % 2 else ("bare", "ours"):
            engine._llm.reset_prefix_cache()
            engine.usage.prompt_tokens = engine.usage.cached_tokens = engine.usage.sampled_tokens = 0
            started, cpu_started = time.perf_counter(), time.process_time()
            ids = ours(engine, asked) if way == "ours" else bare(engine, asked)
            found[way] = (time.perf_counter() - started, time.process_time() - cpu_started, ids)
            if way == "ours":
                hit_rate = engine.usage.cached_tokens / engine.usage.prompt_tokens
                sampled = engine.usage.sampled_tokens
        wall.append(found["bare"][0] / found["ours"][0])
        cpu.append(found["bare"][1] / found["ours"][1])
        same = sum(b[: len(a)] == a for a, b in zip(found["ours"][2], found["bare"][2], strict=True)) / len(asked)
        print({way: (round(seconds, 2), round(cpu_seconds, 2)) for way, (seconds, cpu_seconds, _) in found.items()}, flush=True)
    return {
        "vs_bare": round(statistics.median(wall), 3),
        "vs_bare_lowest": round(min(wall), 3),
        "vs_bare_cpu": round(statistics.median(cpu), 3),
        "vs_bare_cpu_lowest": round(min(cpu), 3),
        "hit_rate": round(hit_rate, 3),
        "same": round(same, 4),
        "requests": len(asked),
        "sampled_tokens": sampled,
        "repeats": repeats,
    }


def ours(engine: VLLMGenerator, asked: list[Request]) -> list[tuple[int, ...]]:
    return [result.token_ids or () for result in engine.generate(asked) if isinstance(result, Completion)]


def bare(engine: VLLMGenerator, asked: list[Request]) -> list[tuple[int, ...]]:
    """What one writes with vLLM's documentation at hand."""
    from vllm import SamplingParams

    params = [
        SamplingParams(
            max_tokens=one.max_tokens,
            temperature=one.temperature,
            top_p=one.top_p,
            seed=small_seed(one.seed),
            stop=list(one.stop),
        )
        for one in asked
    ]
    outputs = engine._llm.generate([one.prompt for one in asked], params, use_tqdm=False)
    return [tuple(output.outputs[0].token_ids) for output in outputs]


if __name__ == "__main__":
    main()
