"""pairs: per problem, the T highest-scored correct × the T lowest-scored incorrect solutions (method.md, Selection).

    pairs(problems, solutions, step_scores, Context(config=PairsConfig(top=4, score="mean"), tools={}))

In Polars, since it goes over every step: the same selection in DuckDB took four times the CPU (docs/benchmarks.md).
"""

import hashlib
from collections.abc import Mapping, Sequence

import polars as pl

from fullstep_data.config import PairsConfig
from fullstep_data.consensus import disputed
from fullstep_data.stage import Context, Outcome, rejects
from schemas import TABLES
from schemas.ids import content_ids

_REWARD = pl.col("reward").cast(pl.Float64)
SCORES = {
    "mean": _REWARD.mean(),
    "min": _REWARD.min(),
    "product": _REWARD.product(),
    "last": _REWARD.last(),
    "random": pl.lit(None, pl.Float64),  # set by `scored`
    "diverse": pl.lit(None, pl.Float64),  # set by `rarity`
}
"""The score of a solution out of its rewards in the order of its steps. `report.queries` has the same in SQL."""


def pairs(problems: pl.DataFrame, solutions: pl.DataFrame, step_scores: pl.DataFrame, context: Context) -> Outcome:
    """At most top² pairs per problem. Problems without a pair, and solutions that could not compete, are rejects."""
    return _selected(problems, solutions, scored(step_scores, context.config), [], context.config)


def diverse_pairs(
    problems: pl.DataFrame, solutions: pl.DataFrame, step_scores: pl.DataFrame, steps: pl.DataFrame, context: Context
) -> Outcome:
    """`pairs` scored by `rarity`. step_scores: say which solutions a scorer could take, and its name."""
    scores = scored(step_scores, context.config).drop("score").join(rarity(solutions, steps), on="solution_id")
    return _selected(problems, solutions, scores, [], context.config)


def agreed_pairs(
    problems: pl.DataFrame, solutions: pl.DataFrame, step_scores: pl.DataFrame, step_labels: pl.DataFrame, context: Context
) -> Outcome:
    """`pairs` of solutions that the consensus of the labellers keeps. step_labels: the labels of the consensus."""
    return _selected(problems, solutions, scored(step_scores, context.config), disputed(step_labels), context.config)


def _selected(
    problems: pl.DataFrame, solutions: pl.DataFrame, scores: pl.DataFrame, left_out: list[str], config: PairsConfig
) -> Outcome:
    policy = f"{config.score}-top{config.top}" + (f"-seed{config.seed}" if config.score == "random" else "")
    policy += ("-agreed" if config.agreed else "") + (f"-margin{config.min_margin:g}" if config.min_margin else "")
    judged = candidates(solutions, scores, left_out)
    best = ranked(judged.filter(pl.col("dropped").is_null()), config.top)
    rows = paired(best, policy)
    if config.min_margin:
        rows = rows.filter(pl.col("margin") >= config.min_margin)
    unfit = judged.filter(pl.col("dropped").is_not_null()).sort("solution_id")
    without = _without_pairs(problems, judged, rows)
    dropped = pl.concat(
        [
            rejects("pairs", "problems", [(key, reason, None) for key, reason in without.iter_rows()]),
            rejects(
                "pairs", "solutions", [(key, reason, None) for key, reason in unfit.select("solution_id", "dropped").iter_rows()]
            ),
        ]
    )
    return Outcome(rows, dropped)


def scored(step_scores: pl.DataFrame, config: PairsConfig) -> pl.DataFrame:
    """solution_id, score, scorer of every solution that has rewards. Sums go in the order of steps: the same to the bit."""
    found = _by_solution(step_scores, {"score": SCORES[config.score], "scorer": pl.col("scorer").first()})
    if config.score != "random":
        return found
    return found.with_columns(score=pl.Series([_fraction(key, config.seed) for key in found["solution_id"]], dtype=pl.Float64))


def rarity(solutions: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    """solution_id, score: the mean over its steps of the share of its problem's distinct solutions that do not take this step."""
    distinct = solutions.unique(("problem_id", "text"), keep="first", maintain_order=True).select("solution_id", "problem_id")
    taken = distinct.join(steps.select("solution_id", "text").unique(), on="solution_id")
    counts = taken.group_by("problem_id", "text").agg(takers=pl.len())
    sizes = distinct.group_by("problem_id").agg(size=pl.len())
    known = steps.join(solutions.select("solution_id", "problem_id"), on="solution_id")
    shares = known.join(counts, on=("problem_id", "text")).join(sizes, on="problem_id")
    return (
        shares.sort("solution_id", "step_index")
        .group_by("solution_id", maintain_order=True)
        .agg(score=(1 - pl.col("takers") / pl.col("size")).mean())
    )


def candidates(solutions: pl.DataFrame, scores: pl.DataFrame, left_out: Sequence[str] = ()) -> pl.DataFrame:
    """problem_id, solution_id, correct, score, scorer, dropped: why the solution cannot compete, or null.

    left_out: solutions whose labellers disagree.
    """
    alike = solutions.filter(pl.col("text").hash().is_duplicated())  # few: only they are compared as texts
    copy = pl.int_range(pl.len()).over("problem_id", "text")
    copies = alike.sort("sample_index", "solution_id").filter(copy > 0)["solution_id"]
    dropped = (
        pl.when(pl.col("correct").is_null())
        .then(pl.lit("outcome undecided"))
        .when(pl.col("solution_id").is_in(copies.implode()))
        .then(pl.lit("duplicate text"))
        .when(pl.col("solution_id").is_in(list(left_out)))
        .then(pl.lit("labellers disagree"))
        .when(pl.col("score").is_null())
        .then(pl.lit("not scored"))
    )
    judged = solutions.select("problem_id", "solution_id", "correct").join(scores, on="solution_id", how="left")
    return judged.with_columns(dropped=dropped)


def ranked(fit: pl.DataFrame, top: int) -> pl.DataFrame:
    """The `top` best of each problem's correct solutions and the `top` worst of its incorrect ones, with their rank from 0.

    Ties go by a hash of the solution's id: stable, and independent of sampling order.
    """
    side = ("problem_id", "correct")
    placed = fit.with_columns(place=pl.when("correct").then(-pl.col("score")).otherwise("score"))
    near = placed.filter(pl.col("place").rank("min").over(side) <= top)
    tied = near.select(pl.struct(*side, "place").is_duplicated()).to_series()
    ties = [_md5(key) if tie else "" for key, tie in zip(near["solution_id"], tied, strict=True)]
    ordered = near.with_columns(tie=pl.Series(ties, dtype=pl.String)).sort(*side, "place", "tie")
    return ordered.with_columns(rank=pl.int_range(pl.len(), dtype=pl.Int32).over(side)).filter(pl.col("rank") < top)


def paired(best: pl.DataFrame, policy: str) -> pl.DataFrame:
    """Every ranked correct solution × every ranked incorrect one of the same problem, as rows of the table."""
    chosen = best.filter(pl.col("correct")).select(
        "problem_id", "scorer", chosen_id="solution_id", chosen_score="score", chosen_rank="rank"
    )
    rejected = best.filter(~pl.col("correct")).select(
        "problem_id", rejected_id="solution_id", rejected_score="score", rejected_rank="rank"
    )
    rows = chosen.join(rejected, on="problem_id", maintain_order="left_right")  # as `best` is: by problem and ranks
    ids = content_ids("pair", rows["chosen_id"].to_list(), rows["rejected_id"].to_list(), policy)
    return rows.with_columns(
        pair_id=pl.Series(ids, dtype=pl.String), margin=pl.col("chosen_score") - pl.col("rejected_score"), policy=pl.lit(policy)
    ).select(TABLES["pairs"].polars_schema.names())


def _by_solution(step_scores: pl.DataFrame, said: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """`said` of each solution's rows in the order of its steps. Parts have them so, and are sorted only where they have not."""
    run = step_scores.select("step_index", run=pl.col("solution_id").rle_id())
    backwards = (pl.col("step_index").diff() < 0) & (pl.col("run").diff() == 0)
    if not run.select(backwards.any()).item():
        grouped = step_scores.group_by(run["run"].set_sorted(), maintain_order=True)
        found = grouped.agg(pl.col("solution_id").first(), **said).drop("run")
        if found["solution_id"].n_unique() == found.height:
            return found
    ordered = step_scores.sort("solution_id", "step_index", maintain_order=True)
    return ordered.group_by("solution_id", maintain_order=True).agg(**said)


def _without_pairs(problems: pl.DataFrame, judged: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """problem_id, reason of every problem without a pair."""
    usable = pl.col("dropped").is_null()
    counts = judged.group_by("problem_id").agg(usable=usable.sum(), right=(usable & pl.col("correct")).sum())
    reason = (
        pl.when(pl.col("usable").is_null())
        .then(pl.lit("no solutions"))
        .when(pl.col("usable") == 0)
        .then(pl.lit("no usable solution"))
        .when(pl.col("right") == 0)
        .then(pl.lit("no correct solution"))
        .when(pl.col("right") == pl.col("usable"))
        .then(pl.lit("no incorrect solution"))
        .otherwise(pl.lit("no pair with such a margin"))
    )
    left = problems.select("problem_id").join(rows, on="problem_id", how="anti").join(counts, on="problem_id", how="left")
    return left.select("problem_id", reason=reason).sort("problem_id")


def _fraction(solution_id: str, seed: int) -> float:
    """A number in [0, 1), fixed by solution and seed."""
    return int(_md5(f"{solution_id}/{seed}")[:13], 16) / 16**13


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8")).hexdigest()
