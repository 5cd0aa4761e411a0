"""Our group forward against TRL's DPOTrainer: same loss, same gradient, how much less CPU and memory?

    python -m tests.benchmarks.dpo_vs_trl [--quick]

16 pairs of 8 solutions of one problem, sampled from SmolLM2-135M-Instruct here and now; the first four stand for the
correct ones. Two few-shot prompts, of ~120 and ~800 tokens. float32, one thread, full fine-tuning. Each measurement is a
fresh process, in random order; what is measured is the user CPU of loss and gradient of the 16 pairs, after a warm-up pass
on one pair, with the reference log-probs made before. So that the loss is not ln 2 whatever is computed, the last norm is
scaled by 1.05 after that. TRL: micro-batches of 4 pairs, no gradient checkpointing, reference precomputed.

cpu_ratio_*: TRL's user CPU over ours, medians. bound_*: positions that TRL forwards (padding too) over distinct ones (prompt
once, each solution once); bound_share_* = cpu_ratio_* / bound_*. trie_gain_*: distinct positions over those that we forward,
above 1 where solutions begin alike. loss_abs_err, grad_rel_err: ours against TRL's, the worse of both prompts; since both
round, exact_err_fullstep and exact_err_trl: each one's gradient against the same in float64, one sequence to a row. memory_ratio:
TRL's peak resident memory above what is held before the pass (model and gradients), over ours, long prompt.
--quick: one repeat, 4 pairs of 4 solutions, the first 2 of the model's 30 layers (so its output head weighs more
than it does in the whole model, and both ratio and bound are smaller than with 16 pairs), the long prompt of 240 tokens, nothing
in float64.
The last line is one JSON object. Exit code 2: TRL is not installed.
"""

import argparse
import importlib.util
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from fullstep_train import models
from fullstep_train.config import Step
from fullstep_train.forward import Runs, answer_logprobs
from fullstep_train.layout import tree_packs
from fullstep_train.losses import stepwise_dpo
from fullstep_train.tokens import Tokenised, tokenise
from fullstep_train.trainer import CHECKPOINTING
from tests.fullstep_train.frames import solution_text

PROMPT_TOKENS = {"short": 120, "long": 800}
QUICK_PROMPT_TOKENS = {"short": 120, "long": 240}
BETA, MICRO_BATCH, SCALE, SEED = 0.1, 4, 1.05, 2502


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 layers, 4 pairs, one repeat")
    parser.add_argument("--repeats", type=int, help="processes per side and prompt (default 3, with --quick 1)")
    parser.add_argument("--layers", type=int, help="first so many layers of the model (default all 30, with --quick 2)")
    parser.add_argument("--solutions", type=int, help="half of them chosen, all paired (default 8, with --quick 4)")
    parser.add_argument("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--prompt", choices=tuple(PROMPT_TOKENS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.side:
        print(json.dumps(measure(arguments.side, arguments.work, arguments.prompt)))
        return
    if importlib.util.find_spec("trl") is None:
        sys.stderr.write("this benchmark compares with TRL, which is not installed here: pip install 'trl==1.16.0'\n")
        raise SystemExit(2)
    with tempfile.TemporaryDirectory() as folder:
        work, quick = Path(folder), arguments.quick
        layers, solutions = (2, 4) if quick else (30, 8)
        prompts = QUICK_PROMPT_TOKENS if quick else PROMPT_TOKENS
        prepare(work, arguments.layers or layers, arguments.solutions or solutions, 48 if quick else 96, prompts)
        compare(work, arguments.repeats or (1 if quick else 3), exact=not quick)


def pairs_of(solutions: list[str]) -> list[tuple[int, int]]:
    """Places of chosen and rejected: the first half against the second."""
    half = len(solutions) // 2
    return [(chosen, rejected) for chosen in range(half) for rejected in range(half, len(solutions))]


def prepare(work: Path, layers: int, solutions: int, tokens: int, prompt_tokens: Mapping[str, int]) -> None:
    """Sample solutions of at most so many tokens with the whole model; leave them and a model of so many layers in `work`."""
    source = models.resolve("smollm2-135m-instruct")
    tokenizer = models.load_tokenizer(source)
    model = models.load_causal(source, torch.float32)
    prompts = {name: few_shot(tokenizer, tokens) for name, tokens in prompt_tokens.items()}
    ids = tokenizer(prompts["short"], return_tensors="pt", add_special_tokens=False)
    torch.manual_seed(SEED)
    sampling = {"do_sample": True, "temperature": 1.0, "max_new_tokens": tokens, "num_return_sequences": 2 * solutions}
    made = model.generate(**ids, **sampling, pad_token_id=tokenizer.eos_token_id)
    texts = tokenizer.batch_decode(made[:, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    distinct = list(dict.fromkeys(text.split("\n\n")[0] for text in texts if text.strip()))[:solutions]
    assert len(distinct) == solutions, "too few distinct solutions were sampled"
    model.model.layers = model.model.layers[:layers]
    model.config.num_hidden_layers = layers
    model.config.layer_types = None
    model.save_pretrained(work / "model")
    tokenizer.save_pretrained(work / "model")
    (work / "texts.json").write_text(json.dumps({"prompts": prompts, "solutions": distinct, "layers": layers}))


def few_shot(tokenizer: Any, tokens: int) -> str:
    """Worked sums, as many as come nearest to so many tokens, then the problem."""
    problem, text = "Problem: 48 + 37 - 29 =\nSolution:\n", ""
    for number in range(99):
        a, b, c = 3 + number % 7, 5 + number % 4, 1 + number % 3
        longer = text + f"Problem: {a} + {b} - {c} =\nSolution:\n{''.join(solution_text(a, b, c, 0))}\n\n"
        if len(tokenizer(longer + problem)["input_ids"]) > tokens + 20:
            break
        text = longer
    return text + problem


def compare(work: Path, repeats: int, exact: bool) -> None:
    """Measures every side and prompt `repeats` times in random order, and prints what came of it. exact: float64 too, once."""
    runs = [(side, prompt, repeat) for side in COMPARED for prompt in PROMPT_TOKENS for repeat in range(repeats)]
    runs += [("exact", prompt, 0) for prompt in PROMPT_TOKENS if exact]
    random.Random(SEED).shuffle(runs)
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for side, prompt, _ in runs:
        found.setdefault((side, prompt), []).append(in_fresh_process(side, work, prompt))
        print(f"{side:9} {prompt:6} {found[side, prompt][-1]}", flush=True)
    result: dict[str, float] = {}
    for prompt in PROMPT_TOKENS:
        ours, theirs = found["fullstep", prompt], found["trl", prompt]
        ratio = statistics.median(r["cpu"] for r in theirs) / statistics.median(r["cpu"] for r in ours)
        bound = theirs[0]["positions"] / ours[0]["distinct"]
        result |= {f"cpu_ratio_{prompt}": ratio, f"bound_{prompt}": bound, f"bound_share_{prompt}": ratio / bound}
        result |= {f"trie_gain_{prompt}": ours[0]["distinct"] / ours[0]["positions"]}
    gradients = {(side, prompt): torch.load(work / f"{side}-{prompt}.pt").double() for side, prompt, _ in runs}

    def error(one: str, other: str) -> float:
        """Relative difference of two sides' gradients, the worse of both prompts."""
        pairs = [(gradients[one, prompt], gradients[other, prompt]) for prompt in PROMPT_TOKENS]
        return max(float((a - b).norm() / b.norm()) for a, b in pairs)

    result["loss_abs_err"] = max(abs(found["fullstep", p][0]["loss"] - found["trl", p][0]["loss"]) for p in PROMPT_TOKENS)
    result["grad_rel_err"] = error("fullstep", "trl")
    result |= {f"exact_err_{side}": error(side, "exact") for side in COMPARED if exact}
    peaks = {side: statistics.median(r["peak"] for r in found[side, "long"]) for side in COMPARED}
    result["memory_ratio"] = peaks["trl"] / peaks["fullstep"]
    kept = json.loads((work / "texts.json").read_text())
    print(
        json.dumps(
            {name: float(f"{value:.4g}") for name, value in result.items()}
            | {"layers": kept["layers"], "solutions": len(kept["solutions"]), "repeats": repeats}
        )
    )


def in_fresh_process(side: str, work: Path, prompt: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.dpo_vs_trl", "--side", side, "--work", str(work), "--prompt", prompt]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return json.loads(done.stdout.splitlines()[-1])


def measure(side: str, work: Path, prompt: str) -> dict[str, float]:
    """CPU seconds, peak MiB, loss, positions that it forwards and distinct ones. Its gradient is left in `work`."""
    texts = json.loads((work / "texts.json").read_text())
    model = models.load_causal(work / "model", torch.float64 if side == "exact" else torch.float32)
    trained = list(model.parameters())
    run, positions, distinct = SIDES[side](
        model, models.load_tokenizer(work / "model"), texts["prompts"][prompt], texts["solutions"]
    )
    with torch.no_grad():
        model.model.norm.weight.mul_(SCALE)
    run(1)
    for parameter in trained:
        assert parameter.grad is not None
        parameter.grad.zero_()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    held, before = memory("VmRSS"), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    loss = run(len(pairs_of(texts["solutions"])))
    cpu = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    peak = memory("VmHWM") - held
    torch.save(
        torch.cat([parameter.grad.flatten() for parameter in trained if parameter.grad is not None]), work / f"{side}-{prompt}.pt"
    )
    return {"cpu": round(cpu, 2), "peak": peak, "loss": loss, "positions": positions, "distinct": distinct}


def memory(name: str) -> int:
    """MiB of this process, by a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(f"{name}:"))


Side = tuple[Callable[[int], float], int, int]
"""Loss and gradient of the first so many pairs; positions that it forwards for all pairs; distinct positions among them."""


def with_fullstep(model: Any, tokenizer: Any, prompt: str, texts: list[str]) -> Side:
    return by_groups(model, tokenizer, prompt, texts, Runs(max_tokens=8192, dtype=torch.float32))


def exactly(model: Any, tokenizer: Any, prompt: str, texts: list[str]) -> Side:
    """In float64 (the model is), each sequence in a row of its own."""
    return by_groups(model, tokenizer, prompt, texts, Runs(max_tokens=1, dtype=torch.float64, trees=False))


def by_groups(model: Any, tokenizer: Any, prompt: str, texts: list[str], runs: Runs) -> Side:
    answer_logprobs(model)
    solutions: list[Tokenised] = []
    for text in texts:
        made = tokenise(tokenizer, prompt, text, (len(text),), finished=True, max_length=9999)
        assert isinstance(made, Tokenised)
        solutions.append(made)
    with torch.no_grad():
        reference = runs.logprobs(model, solutions)

    def run(count: int) -> float:
        pairs = pairs_of(texts)[:count]
        used = sorted({place for pair in pairs for place in pair})
        logps = runs.logprobs(model, [solutions[place] for place in used])
        places = torch.tensor([[used.index(chosen), used.index(rejected)] for chosen, rejected in pairs])
        steps = [torch.zeros(len(logp), dtype=torch.int64) for logp in logps]
        before = [reference[place] for place in used]
        surrogate, sums = stepwise_dpo(logps, before, steps, [torch.zeros(1)] * len(used), places, BETA, Step(gamma=0))
        (surrogate / count).backward()
        return sums["loss"] / count

    ids = [solution.ids for solution in solutions]
    start = solutions[0].prompt_tokens
    return run, sum(pack.tokens for pack in tree_packs(ids, 8192)), start + sum(len(one) - start for one in ids)


def trl_trainer(model: Any, tokenizer: Any, rows: list[dict[str, str]], **more: Any) -> Any:
    """TRL's DPOTrainer with its best settings for a comparison: the reference made before, nothing recomputed, nothing cut."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    settings = DPOConfig(
        output_dir=tempfile.mkdtemp(),
        precompute_ref_log_probs=True,
        beta=BETA,
        max_length=None,
        report_to="none",
        disable_tqdm=True,
        **{CHECKPOINTING: False},
        **more,
    )
    return DPOTrainer(model=model, args=settings, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)


def with_trl(model: Any, tokenizer: Any, prompt: str, texts: list[str]) -> Side:
    rows = [{"prompt": prompt, "chosen": texts[chosen], "rejected": texts[rejected]} for chosen, rejected in pairs_of(texts)]
    trainer = trl_trainer(model, tokenizer, rows, per_device_train_batch_size=MICRO_BATCH, bf16=False, use_cpu=True)
    collate, examples = trainer.data_collator, list(trainer.train_dataset)
    batches = [collate(examples[start : start + MICRO_BATCH]) for start in range(0, len(rows), MICRO_BATCH)]
    model.train()

    def run(count: int) -> float:
        total = 0.0
        for batch in batches if count == len(rows) else [collate(examples[:count])]:
            loss = trainer.compute_loss(model, batch) * (min(MICRO_BATCH, count) / count)
            loss.backward()
            total += float(loss.detach())
        return total

    return run, sum(batch["input_ids"].numel() for batch in batches), 0


SIDES: dict[str, Callable[[Any, Any, str, list[str]], Side]] = {"fullstep": with_fullstep, "trl": with_trl, "exact": exactly}
COMPARED = ("fullstep", "trl")


if __name__ == "__main__":
    main()
