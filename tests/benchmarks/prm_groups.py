"""PRM training and scoring of all solutions of a problem: as one tree, in padded batches, one by one.

    python -m tests.benchmarks.prm_groups [--quick]

32 solutions of one problem, sampled from SmolLM2-135M-Instruct here and now, behind two few-shot prompts of ~120 and ~800 tokens;
a two-class head on the model, a label for the last token of each line. float32, one thread. `padded` and `single` call the
*ForTokenClassification of transformers itself, in batches of 8 sorted by length and of 1. Each measurement is a fresh process, in
random order: user CPU of loss and gradient (train) and of a pass without gradients (score), after a warm-up on two solutions.

train_ratio_*, score_ratio_*: CPU of the padded batches over ours, medians; *_single_*: of one by one over ours. loss_rel_err,
grad_rel_err, reward_abs_err: ours against the padded batches, the worse of both prompts.
--quick: one repeat, 4 solutions, the first 2 layers, without `single`, all in one process. --layers: the first so many (default
8; all 30 take an hour on one core).
The last line is one JSON object.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fullstep_train import models
from fullstep_train.config import PRMTraining
from fullstep_train.forward import Runs
from fullstep_train.losses import soft_cross_entropy
from fullstep_train.prm import classifier
from fullstep_train.tokens import Tokenised, tokenise
from tests.benchmarks.dpo_vs_trl import PROMPT_TOKENS, SEED, prepare

BATCH = 8
Measured = Callable[[str, Path, str], dict[str, float]]
"""(way, work, prompt) -> CPU of training and of scoring in seconds, and the loss."""
Logits = Callable[[Any, Sequence[Tokenised]], list[Tensor]]
"""Logits at the last token of each step: S tensors [K, 2]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="4 solutions, 2 layers, one repeat")
    parser.add_argument("--repeats", type=int, help="processes per way and prompt (default 3, with --quick 1)")
    parser.add_argument("--layers", type=int, help="first so many layers of the model (default 8, with --quick 2)")
    parser.add_argument("--way", choices=tuple(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--prompt", choices=tuple(PROMPT_TOKENS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments.work, arguments.prompt)))
        return
    quick = arguments.quick
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), arguments.layers or (2 if quick else 8), 4 if quick else 32, 48 if quick else 96, PROMPT_TOKENS)
        ways = ("tree", "padded") if quick else tuple(WAYS)
        compare(Path(folder), ways, arguments.repeats or (1 if quick else 3), measure if quick else in_fresh_process)


def compare(work: Path, ways: Sequence[str], repeats: int, measured: Measured) -> None:
    """Measures every way and prompt `repeats` times in random order, and prints what came of it."""
    runs = [(way, prompt) for way in ways for prompt in PROMPT_TOKENS for _ in range(repeats)]
    random.Random(SEED).shuffle(runs)
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for way, prompt in runs:
        found.setdefault((way, prompt), []).append(measured(way, work, prompt))
        print(f"{way:7} {prompt:6} {found[way, prompt][-1]}", flush=True)
    result: dict[str, float] = {}
    for prompt in PROMPT_TOKENS:
        for job in ("train", "score"):
            cpu = {way: statistics.median(run[job] for run in found[way, prompt]) for way in ways}
            result[f"{job}_ratio_{prompt}"] = cpu["padded"] / cpu["tree"]
            if "single" in cpu:
                result[f"{job}_ratio_single_{prompt}"] = cpu["single"] / cpu["tree"]
    kept = {(way, prompt): torch.load(work / f"{way}-{prompt}.pt") for way in ("tree", "padded") for prompt in PROMPT_TOKENS}
    both = [(kept["tree", prompt], kept["padded", prompt]) for prompt in PROMPT_TOKENS]
    result["loss_rel_err"] = max(abs(a["loss"] / b["loss"] - 1) for a, b in both)
    result["grad_rel_err"] = max(float((a["grad"] - b["grad"]).norm() / b["grad"].norm()) for a, b in both)
    result["reward_abs_err"] = max(float((a["rewards"] - b["rewards"]).abs().max()) for a, b in both)
    texts = json.loads((work / "texts.json").read_text())
    sizes = {"layers": texts["layers"], "solutions": len(texts["solutions"]), "repeats": repeats}
    print(json.dumps({name: float(f"{value:.4g}") for name, value in result.items()} | sizes))


def in_fresh_process(way: str, work: Path, prompt: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.prm_groups", "--way", way, "--work", str(work), "--prompt", prompt]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return json.loads(done.stdout.splitlines()[-1])


def measure(way: str, work: Path, prompt: str) -> dict[str, float]:
    """One measurement; its loss, gradient and rewards are left in `work`."""
    texts = json.loads((work / "texts.json").read_text())
    model = classifier(work / "model", PRMTraining(), torch.float32)
    tokenizer = models.load_tokenizer(work / "model")
    solutions = [lines(tokenizer, texts["prompts"][prompt], text) for text in texts["solutions"]]
    train(way, model, solutions[:2])
    model.zero_grad()
    before = user_cpu()
    loss = train(way, model, solutions)
    trained = user_cpu()
    with torch.no_grad():
        rewards = torch.cat([logits.softmax(-1)[:, 1] for logits in WAYS[way](model, solutions)])
    scored = user_cpu()
    grad = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
    torch.save({"loss": loss, "grad": grad, "rewards": rewards}, work / f"{way}-{prompt}.pt")
    return {"train": round(trained - before, 2), "score": round(scored - trained, 2), "loss": loss}


def user_cpu() -> float:
    """Seconds of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def lines(tokenizer: Any, prompt: str, text: str) -> Tokenised:
    """Each line of the text that has a character is a step; blank ones go with the step before."""
    stops: list[int] = []
    for line in text.splitlines(keepends=True):
        end = (stops[-1] if stops else 0) + len(line)
        stops = [*(stops if line.strip() else stops[:-1]), end]
    made = tokenise(tokenizer, prompt, text, stops, finished=True, max_length=9999)
    assert isinstance(made, Tokenised), made
    return made


def train(way: str, model: Any, solutions: Sequence[Tokenised]) -> float:
    """Mean loss over the steps of all solutions, and its gradient. Every third step is labelled incorrect.

    Batches of transformers go backward one by one, as they would in gradient accumulation.
    """
    steps = sum(len(solution.last_token_of_step()) for solution in solutions)
    total, known, size = 0.0, 0, {"tree": len(solutions), "padded": BATCH, "single": 1}[way]
    ordered = sorted(solutions, key=lambda solution: -len(solution.ids))
    for start in range(0, len(ordered), size):
        logits = torch.cat(WAYS[way](model, ordered[start : start + size]))
        labels = (torch.arange(known, known + len(logits)) % 3 != 2).double()  # of a step the same in every way
        known += len(logits)
        loss = soft_cross_entropy(logits, labels) / steps
        loss.backward()
        total += float(loss.detach())
    return total


def as_tree(model: Any, solutions: Sequence[Tokenised]) -> list[Tensor]:
    return Runs(max_tokens=8192, dtype=torch.float32).step_logits(model, solutions)


def in_batches(size: int) -> Logits:
    """By transformers alone: rows padded on the right."""

    def logits(model: Any, solutions: Sequence[Tokenised]) -> list[Tensor]:
        order = sorted(range(len(solutions)), key=lambda place: -len(solutions[place].ids))
        found: dict[int, Tensor] = {}
        for start in range(0, len(order), size):
            places = order[start : start + size]
            rows = [torch.tensor(solutions[place].ids) for place in places]
            ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
            made = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            for row, place in enumerate(places):
                last = solutions[place].last_token_of_step() + solutions[place].prompt_tokens
                found[place] = made[row, torch.from_numpy(last)]
        return [found[place] for place in range(len(solutions))]

    return logits


WAYS: dict[str, Logits] = {"tree": as_tree, "padded": in_batches(BATCH), "single": in_batches(1)}


if __name__ == "__main__":
    main()
