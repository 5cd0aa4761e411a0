"""An optimiser step of DPO on a GPU: our group passes against TRL's DPOTrainer, in bfloat16. How much less time and memory?

    python -m tests.benchmarks.gpu_training [--quick]

Problems with 8 solutions and 16 pairs each, tokens drawn at random (so solutions share nothing but the prompt: real ones share
their first steps, too), a model of Qwen2.5-1.5B's shape with random weights. Weights in float32, computation in bfloat16 by
autocast, full fine-tuning, reference log-probs made before. Two prompts: 120 tokens, and 800 of which the first 680, a few-shot
prompt, are the same in all problems. One process, one model, which stays as it is; the median of several steps after two.

flex, dense: ours, by FlexAttention's block masks and by a dense mask. rows: ours, a padded row for each solution (what models
fall back to). trl: its compute_loss under its own accelerator, the fastest of several micro-batches that fit.
time_ratio_*: TRL's time over flex's; bound_*: positions that TRL forwards over distinct ones; bound_share_* is one over the
other. dense_over_ours_*, rows_over_ours_*: of times. memory_ratio_*: TRL's peak memory above weights and gradients over ours.
loss_abs_err: flex against TRL. exact_err_ours, exact_err_trl: relative error of each one's gradient against the same in float32,
a row for each solution (both round to bfloat16). tokens_per_second_*: distinct positions that flex trains on.
--quick: a tiny model, few tokens; on a machine without a GPU it only shows that the benchmark runs (no flex, no memory).
The last line is one JSON object. Exit code 2: TRL is not installed.
"""

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, Qwen2Config

from fullstep_train import models
from fullstep_train.batches import micro_batches, pass_overhead
from fullstep_train.config import Step
from fullstep_train.forward import Runs, answer_logprobs, probe
from fullstep_train.groups import Group, Solution
from fullstep_train.losses import stepwise_dpo
from fullstep_train.tokens import Tokenised
from tests.benchmarks.dpo_vs_trl import BETA, SCALE, SEED, trl_trainer

Found = dict[tuple[str, str], dict[str, float]]
"""By side and prompt."""
PACK_TOKENS = 8192
PROMPTS = {"short": (120, 0), "long": (800, 680)}
"""Tokens of the prompt, and how many of them all problems have in common."""
OURS = ("flex", "dense", "rows")
MICRO_BATCHES = (16, 8, 4)


@dataclass(frozen=True)
class Size:
    """What is run: solutions of so many tokens on average, of so many problems; so many measured steps."""

    hidden: int = 1536
    layers: int = 28
    heads: int = 12
    inner: int = 8960
    vocabulary: int = 151_936
    problems: int = 4
    tokens: int = 200
    repeats: int = 3


FULL, QUICK = Size(), Size(hidden=64, layers=2, heads=4, inner=128, vocabulary=2000, problems=2, tokens=30, repeats=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tiny model: shows that it runs")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    if importlib.util.find_spec("trl") is None:
        sys.stderr.write("this benchmark compares with TRL, which is not installed here: pip install 'trl==1.16.0'\n")
        raise SystemExit(2)
    print(json.dumps(compare(measure(size))))


def compare(found: Found) -> dict[str, Any]:
    """The figures that the module explains, from what each side found."""
    ours = "flex" if ("flex", "short") in found else "dense"
    result: dict[str, Any] = {
        "ours": ours,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "loss_abs_err": max(abs(found[ours, prompt]["loss"] - found["trl", prompt]["loss"]) for prompt in PROMPTS),
        "exact_err_ours": found[ours, "short"]["exact_err"],
        "exact_err_trl": found["trl", "short"]["exact_err"],
    }
    for prompt in PROMPTS:
        mine, theirs = found[ours, prompt], found["trl", prompt]
        ratio, bound = theirs["seconds"] / mine["seconds"], theirs["positions"] / mine["distinct"]
        result |= {f"time_ratio_{prompt}": ratio, f"bound_{prompt}": bound, f"bound_share_{prompt}": ratio / bound}
        for other in ("dense", "rows"):
            result[f"{other}_over_ours_{prompt}"] = found[other, prompt]["seconds"] / mine["seconds"]
        if mine["peak"]:
            result[f"memory_ratio_{prompt}"] = theirs["peak"] / mine["peak"]
        result[f"tokens_per_second_{prompt}"] = mine["distinct"] / mine["seconds"]
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in result.items()}


def problems(size: Size, prompt: str) -> list[Group]:
    """Groups of 8 solutions of chance, the first half chosen, all paired."""
    chance = np.random.default_rng(SEED)
    length, common = PROMPTS[prompt]
    shots = chance.integers(0, size.vocabulary, common).tolist()
    made: list[Group] = []
    for number in range(size.problems):
        asked = [*shots, *chance.integers(0, size.vocabulary, length - common).tolist()]
        solutions: list[Solution] = []
        for place in range(8):
            count = int(chance.integers(size.tokens // 2, size.tokens * 3 // 2))
            ids = (*asked, *chance.integers(0, size.vocabulary, count).tolist())
            tokens = Tokenised(ids, length, np.zeros(count, dtype=np.int64))
            solutions.append(Solution(f"{number}-{place}", tokens, np.zeros(1)))
        pairs = np.array([[chosen, rejected] for chosen in range(4) for rejected in range(4, 8)])
        made.append(Group(f"{number}", tuple(solutions), pairs))
    return made


def causal(size: Size, device: torch.device) -> Any:
    """The same random model in every process."""
    config = Qwen2Config(
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=2,
        intermediate_size=size.inner,
        vocab_size=size.vocabulary,
        tie_word_embeddings=True,
    )
    torch.manual_seed(SEED)
    with device:
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).train()


def measure(size: Size) -> Found:
    """Of each side and prompt: seconds, peak memory in MiB, loss, positions; of the short one the error of the gradient, too."""
    device, found = models.device(), Found()
    model = causal(size, device)
    rows = Runs(max_tokens=2048, dtype=torch.float32, trees=False)
    for prompt in PROMPTS:
        groups = problems(size, prompt)
        answer_logprobs(model)
        with torch.no_grad():
            reference = {solution.solution_id: rows.logprobs(model, [solution.tokens])[0] for solution in solutions(groups)}
            model.model.norm.weight.mul_(SCALE)  # else the loss is ln 2, whatever is computed
        exact = None
        if prompt == "short":
            by_groups(model, groups, reference, rows)()
            exact = gradient(model)
        for side, make in RUNS.items():
            tried = [timed(run, model, size.repeats) for run in make(model, groups, reference)]
            fits = [one for one in tried if one]
            if not fits:
                print(f"{side:6} {prompt:6} cannot be had here", flush=True)
                continue
            best = min(fits, key=lambda one: one["seconds"])
            if exact is not None:
                best["exact_err"] = float((gradient(model) - exact).norm() / exact.norm())
            found[side, prompt] = best | {"distinct": distinct(groups)}
            print(f"{side:6} {prompt:6} {found[side, prompt]}", flush=True)
    return found


def solutions(groups: Sequence[Group]) -> list[Solution]:
    return [solution for group in groups for solution in group.solutions]


def distinct(groups: Sequence[Group]) -> int:
    """Positions, each problem's prompt once."""
    return sum(len(solution.tokens.step_of_token) for solution in solutions(groups)) + sum(
        group.solutions[0].tokens.prompt_tokens for group in groups
    )


def gradient(model: Any) -> Tensor:
    """All of it as one vector; it is then cleared."""
    whole = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
    model.zero_grad()
    return whole


def timed(run: Callable[[], tuple[float, int]], model: Any, repeats: int) -> dict[str, float]:
    """Seconds of a step, the median; MiB at its peak above weights and gradients. Empty where memory runs out. The last
    gradient stays.
    """
    device = next(model.parameters()).device
    seconds: list[float] = []
    loss, positions, peak = 0.0, 0, 0.0
    try:
        for turn in range(2 + repeats):
            model.zero_grad(set_to_none=turn == 0)
            _wait(device)
            held, started = _held(device), time.perf_counter()
            loss, positions = run()
            _wait(device)
            if turn >= 2:
                seconds.append(time.perf_counter() - started)
                peak = max(peak, _peak(device) - held)
    except torch.OutOfMemoryError:
        model.zero_grad()
        return {}
    return {"seconds": statistics.median(seconds), "peak": peak, "loss": loss, "positions": positions}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _held(device: torch.device) -> float:
    if device.type != "cuda":
        return 0.0
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated() / 2**20


def _peak(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else 0.0


Run = Callable[[], tuple[float, int]]
"""An optimiser step, forward and backward: gives its loss and the positions that it forwarded."""
Reference = dict[str, Tensor]


def by_groups(model: Any, groups: Sequence[Group], reference: Reference, runs: Runs) -> Run:
    """The step as `policy` makes it."""
    batches = micro_batches(groups, runs, PACK_TOKENS, pass_overhead(models.device()))
    pairs_in_all = sum(len(group.pairs) for group in groups)

    def run() -> tuple[float, int]:
        total, positions = 0.0, 0
        for batch in batches:
            inputs = [solution.tokens for solution in solutions(batch)]
            positions += sum(pack.tokens for pack in runs.packs([tokens.ids for tokens in inputs]))
            found, losses = iter(runs.logprobs(model, inputs)), []
            for group in batch:
                logps = list(islice(found, len(group.solutions)))
                known = [reference[solution.solution_id] for solution in group.solutions]
                steps = [torch.zeros(len(logp), dtype=torch.int64, device=logp.device) for logp in logps]
                rewards = [torch.zeros(1, device=logp.device) for logp in logps]
                pairs = torch.from_numpy(group.pairs).to(logps[0].device)
                loss, sums = stepwise_dpo(logps, known, steps, rewards, pairs, BETA, Step(gamma=0))
                losses.append(loss)
                total += sums["loss"]
            (torch.stack(losses).sum() / pairs_in_all).backward()
        return total / pairs_in_all, positions

    return run


def with_ours(kind: str) -> Callable[[Any, Sequence[Group], Reference], Iterator[Run]]:
    def runs(model: Any, groups: Sequence[Group], reference: Reference) -> Iterator[Run]:
        model.set_attn_implementation("sdpa")
        how = probe(model, PACK_TOKENS, torch.bfloat16, "auto" if kind == "flex" else "dense")
        assert how.trees
        if how.flex == (kind == "flex"):  # else a warning has said why
            yield by_groups(model, groups, reference, Runs(PACK_TOKENS, torch.bfloat16, trees=False) if kind == "rows" else how)

    return runs


def with_trl(model: Any, groups: Sequence[Group], reference: Reference) -> Iterator[Run]:
    del model.forward  # its own again, in place of ours
    model.set_attn_implementation("sdpa")
    tokenizer = models.load_tokenizer(models.resolve("tiny-random"))
    one = [{"prompt": "1 + 1 =", "chosen": " 2", "rejected": " 3"}]
    trainer = trl_trainer(model, tokenizer, one, bf16=True, use_cpu=models.device().type == "cpu")
    wrapped = trainer.accelerator.prepare_model(model)
    rows = [_row(group, int(chosen), int(rejected), reference) for group in groups for chosen, rejected in group.pairs]

    def step(size: int) -> tuple[float, int]:
        total, positions = 0.0, 0
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            batch = {name: tensor.to(models.device()) for name, tensor in trainer.data_collator(some).items()}
            loss = trainer.compute_loss(wrapped, batch) * (len(some) / len(rows))
            loss.backward()
            total += float(loss.detach())
            positions += batch["input_ids"].numel()
        return total, positions

    for size in MICRO_BATCHES:
        yield partial(step, size)


def _row(group: Group, chosen: int, rejected: int, reference: Reference) -> dict[str, Any]:
    """A pair as TRL's collator takes it."""
    row: dict[str, Any] = {}
    for side, solution in (("chosen", group.solutions[chosen]), ("rejected", group.solutions[rejected])):
        start = solution.tokens.prompt_tokens
        row["prompt_ids"] = list(solution.tokens.ids[:start])
        row[f"{side}_ids"] = list(solution.tokens.ids[start:])
        row[f"ref_{side}_logps"] = float(reference[solution.solution_id].sum())
    return row


RUNS: dict[str, Callable[[Any, Sequence[Group], Reference], Iterator[Run]]] = {
    **{kind: with_ours(kind) for kind in OURS},
    "trl": with_trl,
}


if __name__ == "__main__":
    main()
