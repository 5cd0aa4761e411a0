"""pairs: per problem, the T highest-scored correct × the T lowest-scored incorrect solutions (method.md, Selection).

    pairs(problems, solutions, step_scores, Context(config=PairsConfig(top=4, score="mean"), tools={}))

It goes over every step of a dataset, so it works on whole columns as NumPy arrays: a solution is a row number, and ids are looked
at where a row or a reject is written. docs/benchmarks.md has what that costs, against other ways.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from fullstep_data.config import PairsConfig
from fullstep_data.consensus import disputed
from fullstep_data.stage import Context, Outcome, rejects
from fullstep_data.steps import takers
from schemas.ids import content_ids

Array = np.ndarray[Any, np.dtype[Any]]

STEPWISE: dict[str, np.ufunc] = {"mean": np.add, "min": np.minimum, "product": np.multiply}
"""How a score takes in the reward of a solution's next step; a mean is then divided by the steps. There are also `last`, the last
reward, and `random`, a hash. `report.queries` has all but that in SQL.
"""

FIT = ""
LOW = "score below min_score"
UNFIT = (FIT, "not scored", LOW, "labellers disagree", "duplicate text", "outcome undecided")
"""Why a solution cannot compete. Where several reasons hold, the later one is told."""


def pairs(problems: pl.DataFrame, solutions: pl.DataFrame, step_scores: pl.DataFrame, context: Context) -> Outcome:
    """At most top² pairs per problem. Problems without a pair, and solutions that could not compete, are rejects."""
    scores = scored(step_scores, context.config, solutions["solution_id"])
    return _selected(problems, solutions, scores, [], context.config)


def pairs_by_steps(
    problems: pl.DataFrame, solutions: pl.DataFrame, step_scores: pl.DataFrame, steps: pl.DataFrame, context: Context
) -> Outcome:
    """`pairs` scored by `rarity` or `usualness`. step_scores: say which solutions a scorer could take, and its name."""
    taken = scored(step_scores, context.config.model_copy(update={"score": "last"})).drop("score")
    told = (rarity if context.config.score == "diverse" else usualness)(solutions, steps)
    scores = taken.join(told, on="solution_id", maintain_order="left")
    return _selected(problems, solutions, scores, [], context.config)


def agreed_pairs(
    problems: pl.DataFrame, solutions: pl.DataFrame, step_scores: pl.DataFrame, step_labels: pl.DataFrame, context: Context
) -> Outcome:
    """`pairs` of solutions that the consensus of the labellers keeps. step_labels: the labels of the consensus."""
    scores = scored(step_scores, context.config, solutions["solution_id"])
    return _selected(problems, solutions, scores, disputed(step_labels), context.config)


@dataclass(frozen=True)
class Candidates:
    """The solutions of some problems, those of a problem in one run. Arrays have an element per solution.

    frame: solution_id, problem_id, correct, score, scorer. problem: number of the run. unfit: index into UNFIT.
    """

    frame: pl.DataFrame
    problem: Array
    right: Array
    unfit: Array

    @property
    def wrong(self) -> Array:
        return (self.unfit == 0) & ~self.right


def _selected(
    problems: pl.DataFrame, solutions: pl.DataFrame, scores: pl.DataFrame, left_out: list[str], config: PairsConfig
) -> Outcome:
    policy = f"{config.score}-top{config.top}" + (f"-seed{config.seed}" if config.score == "random" else "")
    policy += ("-copies" if config.copies else "") + ("-agreed" if config.agreed else "")
    policy += f"-least{config.min_score:g}" if config.min_score is not None else ""
    policy += f"-margin{config.min_margin:g}" if config.min_margin else ""
    judged = candidates(solutions, scores, left_out, config)
    rows = paired(judged, *ranked(judged, config.top), policy)
    kept = None
    if config.min_margin:
        rows = rows.filter(pl.col("margin") >= config.min_margin)
        kept = set(rows["problem_id"].unique().to_list())
    out = np.flatnonzero(judged.unfit)
    unfit = zip(judged.frame["solution_id"][out].to_list(), (UNFIT[reason] for reason in judged.unfit[out]), strict=True)
    dropped = [
        rejects("pairs", table, [(key, reason, None) for key, reason in told])
        for table, told in (("problems", _without_pairs(problems, judged, kept)), ("solutions", sorted(unfit)))
    ]
    return Outcome(rows, pl.concat(dropped))


def scored(step_scores: pl.DataFrame, config: PairsConfig, expected: pl.Series | None = None) -> pl.DataFrame:
    """solution_id, score, scorer of every solution that has rewards. Sums go in the order of steps: the same to the bit.

    Parts have the rows of a solution together and in the order of its steps; they are sorted only where they have not. expected:
    ids, each once; where these are the ids that come, no look is needed whether one comes twice.
    """
    first, backwards = _runs(step_scores)
    ids = step_scores["solution_id"][first]
    once = ids.equals(expected) if expected is not None else False
    if backwards or not (once or ids.n_unique() == first.size):
        step_scores = step_scores.sort("solution_id", "step_index", maintain_order=True)
        first, _ = _runs(step_scores)
        ids = step_scores["solution_id"][first]
    if config.score == "random":
        score = np.array([_fraction(key, config.seed) for key in ids.to_list()])
    else:
        lengths = np.diff(first, append=step_scores.height)
        score = _aggregated(step_scores["reward"].to_numpy().astype(np.float64), first, lengths, config.score)
    return pl.DataFrame([ids, pl.Series("score", score, pl.Float64), step_scores["scorer"][first]])


def rarity(solutions: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    """solution_id, score: the mean over its steps of the share of its problem's distinct solutions that do not take this step."""
    distinct = solutions.unique(("problem_id", "text"), keep="first", maintain_order=True).select("solution_id", "problem_id")
    counts, sizes = takers(distinct, steps)
    known = steps.join(solutions.select("solution_id", "problem_id"), on="solution_id")
    shares = known.join(counts, on=("problem_id", "text")).join(sizes, on="problem_id")
    return (
        shares.sort("solution_id", "step_index")
        .group_by("solution_id", maintain_order=True)
        .agg(score=(1 - pl.col("takers") / pl.col("size")).mean())
    )


def usualness(solutions: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    """solution_id, score: of the shares of its problem's right samples, copies among them, that take one of its steps the least.

    A solution that comes right by two errors, or past one, takes a step that other right samples do not take.
    """
    right = solutions.filter("correct").select("solution_id", "problem_id")
    counts, sizes = takers(right, steps)
    known = steps.select("solution_id", "text").join(solutions.select("solution_id", "problem_id"), on="solution_id")
    shares = known.join(counts, on=("problem_id", "text"), how="left").join(sizes, on="problem_id", how="left")
    share = (pl.col("takers") / pl.col("size")).fill_null(0.0)
    return shares.group_by("solution_id", maintain_order=True).agg(score=share.min())


def candidates(solutions: pl.DataFrame, scores: pl.DataFrame, left_out: Sequence[str], config: PairsConfig) -> Candidates:
    """All solutions, with score and scorer where they have one, and why they cannot compete. left_out: ids of solutions whose
    labellers disagree.
    """
    if not solutions["problem_id"].is_sorted():  # samples that were drawn in several blocks
        solutions = solutions.sort("problem_id", maintain_order=True)
    frame = solutions[["solution_id", "problem_id", "correct"]]
    if frame["solution_id"].equals(scores["solution_id"]):  # the rule: both tables are sorted alike
        frame = frame.hstack(scores[["score", "scorer"]])
    else:
        frame = frame.join(scores, on="solution_id", how="left", maintain_order="left")
    problem = frame["problem_id"].rle_id().to_numpy()
    verdict = frame["correct"].cast(pl.Int8).fill_null(-1).to_numpy()
    unfit = np.zeros(frame.height, np.int8)
    if frame["score"].null_count():
        unfit[frame["score"].is_null().to_numpy()] = 1
    if config.min_score is not None:
        unfit[(verdict == 1) & (frame["score"] < config.min_score).fill_null(False).to_numpy()] = UNFIT.index(LOW)
    if left_out:
        unfit[frame["solution_id"].is_in(list(left_out)).to_numpy()] = UNFIT.index("labellers disagree")
    if not config.copies:
        unfit[_copies(solutions, problem)] = UNFIT.index("duplicate text")
    unfit[verdict < 0] = UNFIT.index("outcome undecided")
    return Candidates(frame, problem, (unfit == 0) & (verdict == 1), unfit)


def ranked(judged: Candidates, top: int) -> tuple[Array, Array]:
    """The `top` best of each problem's correct solutions and the `top` worst of its incorrect ones: rows in the order of problem,
    side (correct first) and rank, and their ranks from 0.

    Ties go by a hash of the solution's id: stable, and independent of sampling order.
    """
    fit = np.flatnonzero(judged.unfit == 0)
    score = judged.frame["score"].to_numpy()[fit]
    right = judged.right[fit]
    place, side = np.where(right, -score, score), 2 * judged.problem[fit].astype(np.int64) + ~right
    order = np.argsort(place)
    # Sixteen bits, which few parts exceed, are sorted by counting: half the time of np.lexsort.
    narrow = side.astype(np.uint16) if side.size and side[-1] < 1 << 16 else side
    order = order[np.argsort(narrow[order], kind="stable")]
    place, side = place[order], side[order]
    begin = np.flatnonzero(np.diff(side, prepend=-1))
    rank = np.arange(order.size) - np.repeat(begin, np.diff(begin, append=order.size))
    alike = (side[1:] == side[:-1]) & (place[1:] == place[:-1])
    for start, stop in _runs_of_ties(alike, rank, top):
        tied = order[start:stop].tolist()
        order[start:stop] = sorted(tied, key=lambda row: _md5(judged.frame["solution_id"][int(fit[row])]))
    best = rank < top
    return fit[order[best]], rank[best]


def paired(judged: Candidates, best: Array, rank: Array, policy: str) -> pl.DataFrame:
    """Every ranked correct solution × every ranked incorrect one of the same problem, as rows of the table."""
    right = judged.right[best]
    problem = judged.problem[best]
    chosen, rejected = np.flatnonzero(right), np.flatnonzero(~right)
    opponents = np.searchsorted(problem[rejected], problem[chosen], side="right")
    first = np.searchsorted(problem[rejected], problem[chosen])
    many = opponents - first
    place = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
    left, other = np.repeat(chosen, many), rejected[np.repeat(first, many) + place]
    high = judged.frame[["solution_id", "problem_id", "score", "scorer"]][best[left]]
    low = judged.frame[["solution_id", "score"]][best[other]]
    rows = {
        "pair_id": content_ids("pair", high["solution_id"], low["solution_id"], policy),
        "problem_id": high["problem_id"],
        "chosen_id": high["solution_id"],
        "rejected_id": low["solution_id"],
        "chosen_score": high["score"],
        "rejected_score": low["score"],
        "margin": high["score"] - low["score"],
        "chosen_rank": pl.Series(rank[left], dtype=pl.Int32),
        "rejected_rank": pl.Series(rank[other], dtype=pl.Int32),
        "policy": pl.Series([policy]).new_from_index(0, high.height),
        "scorer": high["scorer"],
    }
    return pl.DataFrame(rows)


def _runs(step_scores: pl.DataFrame) -> tuple[Array, bool]:
    """The first row of each run of one solution; do steps go backwards in any run?"""
    run, index = step_scores["solution_id"].rle_id().to_numpy(), step_scores["step_index"].to_numpy()
    starts = run[1:] != run[:-1]
    backwards = (index[1:] < index[:-1]) & ~starts
    return np.flatnonzero(np.concatenate((np.ones(min(run.size, 1), bool), starts))), bool(backwards.any())


def _aggregated(rewards: Array, first: Array, lengths: Array, score: str) -> Array:
    """The score of each run of rewards: its first steps are taken in all at once, then its second ones, and so on."""
    if score == "last":
        return rewards[first + lengths - 1]
    # The longest first: those that have another step are then at the front. Sixteen bits are sorted by counting.
    negated = -lengths.astype(np.int16 if lengths.max(initial=0) < 1 << 15 else np.int64)
    order = np.argsort(negated, kind="stable")
    first, negated = first[order], negated[order]
    found = rewards[first]
    for step in range(1, -negated[0] if negated.size else 0):
        more = np.searchsorted(negated, -step)
        STEPWISE[score](found[:more], rewards[first[:more] + step], out=found[:more])
    scores = np.empty_like(found)
    scores[order] = found
    return scores / lengths if score == "mean" else scores


def _copies(solutions: pl.DataFrame, problem: Array) -> Array:
    """Rows whose text an earlier sample of the problem has. Only texts of one length, then of one hash, are compared."""
    sized = problem.astype(np.uint64) << np.uint64(32) | solutions["text"].str.len_bytes().to_numpy()
    near = np.flatnonzero(pl.Series(sized).is_duplicated())
    near = near[solutions["text"][near].hash().is_duplicated().to_numpy()]
    alike = (solutions[name][near].to_list() for name in ("sample_index", "solution_id", "text"))
    seen: set[tuple[int, str]] = set()
    copies: list[int] = []
    for _, _, text, of, row in sorted(zip(*alike, problem[near].tolist(), near.tolist(), strict=True)):
        if (of, text) in seen:
            copies.append(row)
        seen.add((of, text))
    return np.array(copies, np.int64)


def _runs_of_ties(alike: Array, rank: Array, top: int) -> Iterator[tuple[int, int]]:
    """Start and stop of each run of equal places that begins within the first `top`. alike: is the next one equal?"""
    edges = np.diff(np.concatenate(([False], alike, [False])).astype(np.int8))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) + 1
    wanted = rank[starts] < top
    yield from zip(starts[wanted].tolist(), stops[wanted].tolist(), strict=True)


def _without_pairs(problems: pl.DataFrame, judged: Candidates, kept: set[str] | None) -> Iterator[tuple[str, str]]:
    """Id and reason of every problem without a pair. kept: the problems whose pairs have the margin; None where none is asked."""
    last = np.flatnonzero(np.diff(judged.problem, append=-1))
    right = np.bincount(judged.problem, judged.right, minlength=last.size)
    wrong = np.bincount(judged.problem, judged.wrong, minlength=last.size)
    low = np.bincount(judged.problem, judged.unfit == UNFIT.index(LOW), minlength=last.size)
    ids = judged.frame["problem_id"][last].to_list()
    found = dict(zip(ids, zip(right.tolist(), wrong.tolist(), strict=True), strict=True))
    scored_low = dict(zip(ids, (low > 0).tolist(), strict=True))
    for key in problems["problem_id"].sort().to_list():
        match found.get(key):
            case None:
                yield key, "no solutions"
            case (0, 0):
                yield key, "no usable solution"
            case (0, _):
                yield key, "no correct solution of such a score" if scored_low[key] else "no correct solution"
            case (_, 0):
                yield key, "no incorrect solution"
            case _ if kept is not None and key not in kept:
                yield key, "no pair with such a margin"


def _fraction(solution_id: str, seed: int) -> float:
    """A number in [0, 1), fixed by solution and seed."""
    return int(_md5(f"{solution_id}/{seed}")[:13], 16) / 16**13


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8")).hexdigest()
