"""A dataset as large as one likes, made of chance: what the benchmarks of scale run on.

    version = make(Path("data"), steps=1_000_000)          # problems, solutions, steps, step_labels, step_scores, pairs
    version = make(Path("data"), steps=1_000_000, numeric=True)    # no prompts, steps, labels; texts of a few characters
    version = judged(Path("data"), Path("judged"))         # the same with the labels of two more labellers

A problem has 32 solutions, a solution 3 to 9 steps of about 90 characters; accuracies are evenly spread over problems, rewards
follow the verdict loosely, one solution in 50 repeats another's text, one in 200 has no verdict. Parts hold 2,048 problems:
files of 10 MB and less.
Pairs are made by the real stage. The same call gives the same bytes.
"""

import itertools
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from fullstep_data.config import DataRecipe, FileSource, ProblemsConfig, SamplesConfig, ScriptedEngine
from fullstep_data.pipeline import PIPELINE
from fullstep_data.runner import QuietReporter, run
from fullstep_data.stage import Stage
from fullstep_data.store import Contract, Counts, Part, Slice, StageRecord, Store, TableRecord, Version, open_version
from fullstep_data.store.history import run_record
from fullstep_data.store.version import part_path
from schemas import TABLES

SAMPLES = 32
STEPS_PER_SOLUTION = 6
PROBLEMS_PER_PART = 2048
HELD_OUT = 0.1
PAIRS: Stage = next(stage for stage in PIPELINE if stage.name == "pairs")
FULL = ("problems", "solutions", "steps", "step_labels", "step_scores")
NUMERIC = ("problems", "solutions", "step_scores")
FEW_SHOT = "Solve the problem step by step, and put the answer in a box.\n\n" * 8
SAID = (
    "the a of and each total number cost price apples boxes pencils students miles hours minutes dollars remaining shared "
    "multiply divide add subtract first then so we get have left therefore because half twice per group week sold bought"
)
WORDS = SAID.split()


def recipe() -> DataRecipe:
    """What the manifest says of the dataset; its pairs are those of the paper, 4 × 4 by the mean reward."""
    source = FileSource(path="builtin:sums.jsonl")
    problems = ProblemsConfig(source=source, held_out=HELD_OUT, problems_per_part=PROBLEMS_PER_PART)
    samples = SamplesConfig(engine=ScriptedEngine(), samples=SAMPLES, samples_per_part=SAMPLES)
    return DataRecipe(name="made", model="made", problems=problems, samples=samples)


def make(folder: Path, steps: int, numeric: bool = False, per_part: int = PROBLEMS_PER_PART, seed: int = 2502) -> Version:
    """The dataset in `folder`, with so many steps or a few more."""
    store = Store.create(folder)
    problems = math.ceil(steps / (SAMPLES * STEPS_PER_SOLUTION * (1 - HELD_OUT)) * 1.01)
    parts: dict[str, list[Part]] = {}
    for chunk, first in enumerate(range(0, problems, per_part)):
        size = min(per_part, problems - first)
        for name, frame in _chunk(np.random.default_rng([seed, chunk]), size, numeric).items():
            written = store.write_part(TABLES[name], f"{chunk:032x}", frame, TABLES["rejects"].empty(), frame.height)
            parts.setdefault(name, []).append(written.model_copy(update={"slice": Slice(chunk=chunk)}))
    tables = {name: _record(name, parts[name]) for name in parts}
    return run((PAIRS,), recipe(), store, {}, QuietReporter(), imported=tables)


def judged(source: Path, folder: Path, seed: int = 2503) -> Version:
    """The dataset in `source` with two more labellers beside the outcome: rollouts, which find a first wrong step in wrong
    solutions and in a few right ones, and a judge, who contradicts them in one label of ten and leaves one of a hundred open.
    """
    store, known = Store.create(folder), open_version(str(source))
    stages: dict[str, list[Part]] = {name: [] for name in ("rollouts", "judge")}
    for chunk, path in enumerate(known.files("step_labels")):
        chance = np.random.default_rng([seed, chunk])
        first = _by_rollouts(chance, pl.read_parquet(path))
        for name, frame in (("rollouts", first), ("judge", _by_judge(chance, first))):
            key = f"{name[0].encode().hex()}{chunk:030x}"
            written = store.write_part(TABLES["step_labels"], key, frame, TABLES["rejects"].empty(), frame.height)
            stages[name].append(written.model_copy(update={"slice": Slice(chunk=chunk)}))
    for name in known.tables:
        (folder / "parts" / name).mkdir(parents=True, exist_ok=True)
        for path in known.files(name):
            os.link(path, folder / "parts" / name / path.name)
    labels = known.manifest.tables["step_labels"]
    both = tuple(_stage(name, parts) for name, parts in stages.items())
    tables = known.manifest.tables | {"step_labels": labels.model_copy(update={"stages": (*labels.stages, *both)})}
    return store.commit(known.manifest.model_copy(update={"tables": tables}), run_record({}))


def repeat(source: Path, folder: Path, times: int) -> Version:
    """The numeric dataset in `source` so often, in no more space: the same parts under other keys, and no pairs. Its ids
    are not unique, so it is good only for work that looks at one part after the other.
    """
    store, known = Store.create(folder), open_version(str(source))
    tables: dict[str, TableRecord] = {}
    for name in NUMERIC:
        parts: list[Part] = []
        (folder / "parts" / name).mkdir(parents=True)
        for turn, (part, path) in itertools.product(range(times), zip(known.tables[name].parts, known.files(name), strict=True)):
            chunk = turn * len(known.files(name)) + (part.slice.chunk or 0)
            copy = part.model_copy(update={"key": f"{chunk:032x}", "slice": Slice(chunk=chunk)})
            os.link(path, part_path(folder, name, copy.key))
            parts.append(copy)
        tables[name] = _record(name, parts)
    return store.commit(known.manifest.model_copy(update={"tables": tables}), run_record({}))


def _record(name: str, parts: list[Part]) -> TableRecord:
    contract = Contract(version=TABLES[name].version, fingerprint=TABLES[name].fingerprint)
    return TableRecord(contract=contract, stages=(_stage(name, parts),))


def _stage(name: str, parts: list[Part]) -> StageRecord:
    rows = sum(part.rows for part in parts)
    counts = Counts(rows_in=rows, kept=rows, rejected={})
    return StageRecord(name=name, revision=1, config={}, tools={}, counts=counts, parts=tuple(parts))


def _chunk(chance: np.random.Generator, problems: int, numeric: bool) -> dict[str, pl.DataFrame]:
    """The rows of some problems: all tables, each in the order of its parts."""
    asked = _problems(chance, problems, numeric)
    solved = _solutions(chance, asked.filter(split="train"))
    lengths = chance.integers(3, 2 * STEPS_PER_SOLUTION - 2, solved.height)
    # A solution that repeats another one takes its steps.
    source = np.arange(solved.height)
    again = (source % SAMPLES > 0) & (chance.random(solved.height) < 0.02)
    source[again] -= 1
    lengths[again] = lengths[source[again]]
    first = np.cumsum(lengths) - lengths
    owner = np.repeat(np.arange(solved.height), lengths)
    index = np.arange(len(owner)) - first[owner]
    stepped = solved.select("solution_id", "problem_id", "correct")[owner].with_columns(
        step_index=pl.Series(index, dtype=pl.Int32)
    )
    made = {"problems": asked, "solutions": solved, "step_scores": _scores(chance, stepped)}
    if not numeric:
        steps = _steps(chance, stepped, first[source[owner]] + index)
        texts = steps.group_by("solution_id", maintain_order=True).agg(pl.col("text").str.join(""))
        made["solutions"] = solved.with_columns(text=texts["text"], tokens=(texts["text"].str.len_chars() // 4).cast(pl.Int32))
        made |= {"steps": steps, "step_labels": _labels(stepped)}
    return {name: made[name].select(TABLES[name].polars_schema.names()) for name in (NUMERIC if numeric else FULL)}


def _problems(chance: np.random.Generator, count: int, numeric: bool) -> pl.DataFrame:
    ids = _ids(chance, count).sort()
    asked = [f"{number} {' '.join(chance.choice(WORDS, 1 if numeric else 40))}?" for number in chance.integers(1, 10**6, count)]
    held_out = pl.Series(chance.random(count) < HELD_OUT)
    return pl.DataFrame({"problem_id": ids, "question": asked}).with_columns(
        answer=pl.Series(chance.integers(1, 1000, count)).cast(pl.String),
        reference_solution=pl.lit(None, pl.String),
        source=pl.lit("made"),
        source_row=pl.int_range(count).cast(pl.String),
        split=pl.when(held_out).then(pl.lit("test")).otherwise(pl.lit("train")),
        domain=pl.lit("math"),
    )


def _solutions(chance: np.random.Generator, train: pl.DataFrame) -> pl.DataFrame:
    """32 to a problem, sorted by problem and id; their texts are numbers."""
    count = train.height * SAMPLES
    accuracy = np.repeat(chance.random(train.height), SAMPLES)
    correct = pl.Series(chance.random(count) < accuracy)
    undecided = pl.Series(chance.random(count) < 0.005)
    right = train["answer"].gather(np.repeat(np.arange(train.height), SAMPLES))
    frame = train.select("problem_id", pl.concat_str(pl.lit(FEW_SHOT), "question").alias("prompt"))
    return (
        frame.select(pl.all().repeat_by(SAMPLES).explode(empty_as_null=False, keep_nulls=False))
        .with_columns(
            solution_id=_ids(chance, count),
            sample_index=pl.Series(np.tile(np.arange(SAMPLES), train.height), dtype=pl.Int32),
            seed=pl.Series(chance.integers(0, 2**62, count)),
            text=pl.int_range(count).cast(pl.String),
            finish_reason=pl.lit("eos"),
            prompt_tokens=pl.lit(300, pl.Int32),
            tokens=pl.lit(150, pl.Int32),
            answer=pl.when(correct).then(right).otherwise(pl.Series(chance.integers(1, 20, count)).cast(pl.String)),
            answer_source=pl.lit("boxed"),
            correct=pl.when(~undecided).then(correct),
            grade_path=pl.when(undecided).then(pl.lit("timeout")).otherwise(pl.lit("exact")),
            grader=pl.lit("made"),
            sampler=pl.lit("made"),
        )
        .sort("problem_id", "solution_id")
    )


def _scores(chance: np.random.Generator, stepped: pl.DataFrame) -> pl.DataFrame:
    """Rewards that lean to the verdict, most of them near 0 or 1."""
    lean = stepped["correct"].fill_null(value=False).to_numpy() * 1.5 - 0.5
    rewards = 1 / (1 + np.exp(-2 * (lean + chance.standard_normal(stepped.height))))
    return stepped.with_columns(scorer=pl.lit("0123456789abcdef0123"), reward=pl.Series(rewards, dtype=pl.Float32))


def _steps(chance: np.random.Generator, stepped: pl.DataFrame, source: np.ndarray[Any, Any]) -> pl.DataFrame:
    """Sentences of 15 words and a number. source: the row whose words each row takes."""
    phrases = pl.Series([" ".join(chance.choice(WORDS, 5)) for _ in range(4096)])
    parts = [phrases.gather(chance.integers(0, len(phrases), stepped.height)[source]).alias(f"p{k}") for k in range(3)]
    number = pl.Series(chance.integers(1, 10**4, stepped.height)[source]).cast(pl.String)
    label = pl.concat_str(pl.lit("Step "), (pl.col("step_index") + 1).cast(pl.String), pl.lit(": "))
    words = pl.concat_str(label, *(part + " " for part in parts), pl.lit("= "), number, pl.lit(".\n"))
    return (
        stepped.with_columns(text=words)
        .with_columns(
            stop=pl.col("text").str.len_chars().cum_sum().over("solution_id").cast(pl.Int32),
            prefix_key=_ids(chance, stepped.height),
        )
        .with_columns(start=(pl.col("stop") - pl.col("text").str.len_chars()).cast(pl.Int32))
    )


def _labels(stepped: pl.DataFrame) -> pl.DataFrame:
    """What the outcome says; steps of a solution without a verdict stay open."""
    known = pl.col("correct").is_not_null()
    return stepped.with_columns(
        labeller=pl.lit("outcome"),
        n_rollouts=known.cast(pl.Int32),
        n_correct=pl.col("correct").fill_null(value=False).cast(pl.Int32),
        label=pl.col("correct"),
        value=pl.col("correct").cast(pl.Float32),
        source=pl.lit("outcome"),
        reason=pl.when(~known).then(pl.lit("outcome undecided")),
    )


def _by_rollouts(chance: np.random.Generator, outcome: pl.DataFrame) -> pl.DataFrame:
    """Eight rollouts a step: of a wrong solution none succeeds from some step on, nor of one right solution in twenty."""
    solutions = outcome["solution_id"].rle_id().to_numpy()
    right = outcome["label"].fill_null(value=False).to_numpy()
    lucky = chance.random(solutions[-1] + 1)[solutions] < 0.95
    begins = np.floor(chance.random(solutions[-1] + 1) * 5)[solutions]
    label = (right & lucky) | (outcome["step_index"].to_numpy() < begins)
    successes = np.where(label, 1 + np.floor(chance.random(len(label)) * 8).clip(0, 7), 0)
    return outcome.with_columns(
        labeller=pl.lit("rollouts"),
        source=pl.lit("monte-carlo"),
        n_rollouts=pl.lit(8, pl.Int32),
        n_correct=pl.Series(successes, dtype=pl.Int32),
        label=pl.Series(label),
        value=pl.Series(successes / 8, dtype=pl.Float32),
        reason=pl.lit(None, pl.String),
    )


def _by_judge(chance: np.random.Generator, rollouts: pl.DataFrame) -> pl.DataFrame:
    label = rollouts["label"].to_numpy() ^ (chance.random(rollouts.height) < 0.1)
    open_ = pl.Series(chance.random(rollouts.height) < 0.01)
    return rollouts.with_columns(
        labeller=pl.lit("judge"),
        source=pl.lit("judge"),
        n_rollouts=pl.lit(0, pl.Int32),
        n_correct=pl.lit(0, pl.Int32),
        label=pl.when(~open_).then(pl.Series(label)),
        value=pl.when(~open_).then(pl.Series(label * 0.8 + 0.1, dtype=pl.Float32)),
        reason=pl.when(open_).then(pl.lit("no answer")),
    )


def _ids(chance: np.random.Generator, count: int) -> pl.Series:
    """Random ids of the contract's form."""
    raw = chance.bytes(10 * count).hex()
    return pl.Series([raw[place : place + 20] for place in range(0, len(raw), 20)])
