"""step_labels: is a step on the way to the right answer? Outcome labels, Monte-Carlo labels out of rollouts, votes, or the truth.

    step_labels(steps, solutions, context)                      # kind = "outcome": the paper's N = 1
    monte_carlo_labels(steps, solutions, rollouts, context)     # kind = "monte-carlo"
    vote_labels(steps, solutions, context)                      # kind = "vote": what the right samples of a problem do
    truth_labels(steps, problems, context)                      # kind = "truth": problems of the bench only

The table keeps counts, so another threshold is a query: `n_correct >= 2`. What a policy or a budget left open is null, with the
reason. Soft values need all N rollouts of a step (policy full); a policy that stops at the first success leaves them null.
"""

from itertools import accumulate

import polars as pl

from fullstep_data.arithmetic import NAMES, SOURCE, FamilyName, verdicts
from fullstep_data.config import MonteCarloLabels, RolloutsConfig, TruthLabels, labeller_of
from fullstep_data.probing import UNDRAWN, Label, Prober, Result
from fullstep_data.rollouts import plan_of, solution_paths
from fullstep_data.stage import Context, Outcome, rejects
from fullstep_data.steps import takers
from schemas import TABLES, InputError


def step_labels(steps: pl.DataFrame, solutions: pl.DataFrame, context: Context) -> Outcome:
    """The outcome of its solution for each step. Steps of a solution whose outcome is undecided (grader timeout) are rejected."""
    source = context.config.kind
    outcomes = steps.join(solutions.select("solution_id", "correct"), on="solution_id", how="left", maintain_order="left")
    decided = outcomes.filter(pl.col("correct").is_not_null())
    rows = decided.select(
        "solution_id",
        "step_index",
        pl.lit(source).alias("labeller"),
        "problem_id",
        pl.lit(1, pl.Int32).alias("n_rollouts"),
        pl.col("correct").cast(pl.Int32).alias("n_correct"),
        pl.col("correct").alias("label"),
        pl.col("correct").cast(pl.Float32).alias("value"),
        pl.lit(source).alias("source"),
        pl.lit(None, pl.String).alias("reason"),
    )
    undecided = outcomes.filter(pl.col("correct").is_null()).select("solution_id", "step_index").iter_rows()
    dropped = [(f"{solution_id}/{index}", "outcome undecided", None) for solution_id, index in undecided]
    return Outcome(TABLES["step_labels"].check(rows, "step_labels"), rejects("step_labels", "steps", dropped))


def monte_carlo_labels(steps: pl.DataFrame, solutions: pl.DataFrame, rollouts: pl.DataFrame, context: Context) -> Outcome:
    """A row for every step: the policy looks at the rollouts again, in the order in which it drew them."""
    config: RolloutsConfig = context.config
    drawn: dict[str, dict[int, Result]] = {}
    for prefix, index, correct in rollouts.select("prefix_key", "rollout_index", "correct").iter_rows():
        drawn.setdefault(prefix, {})[index] = correct
    ids, paths = solution_paths(steps, solutions)
    prober = Prober(paths, plan_of(config), drawn)
    name = labeller_of(config.labels)
    source = "binary-search" if config.labels.policy == "binary-search" else "monte-carlo"
    rows = [
        {
            "solution_id": solution_id,
            "step_index": index,
            "labeller": name,
            "problem_id": path.problem,
            "n_rollouts": label.n_rollouts,
            "n_correct": label.n_correct,
            "label": label.label,
            "value": label.value,
            "source": source,
            "reason": _reason(label, config.labels),
        }
        for number, (solution_id, path) in enumerate(zip(ids, paths, strict=True))
        for index, label in enumerate(prober.labels(number))
    ]
    return Outcome(TABLES["step_labels"].frame(rows))


def vote_labels(steps: pl.DataFrame, solutions: pl.DataFrame, context: Context) -> Outcome:
    """A row for every step: of the other right samples of its problem, how many take it. Copies are samples like others.

    What right samples do more than once is seldom wrong, and what none of them does seldom right. It asks for many samples of
    short steps, whose texts come again: paraphrases do not count. Self-Consistency (arXiv 2203.11171), a step at a time.
    """
    outcomes = solutions.select("solution_id", pl.col("correct").fill_null(False).cast(pl.Int32).alias("own"))
    known = steps.join(outcomes, on="solution_id", how="left", maintain_order="left")
    known = known.with_columns(pl.col("text").str.strip_chars())
    right = known.filter(pl.col("own") == 1).select("solution_id", "problem_id").unique()
    counts, sizes = takers(right, known)
    counted = known.join(counts, on=("problem_id", "text"), how="left", maintain_order="left")
    counted = counted.join(sizes, on="problem_id", how="left", maintain_order="left").with_columns(
        (pl.col(counted_as).cast(pl.Int32).fill_null(0) - pl.col("own")).alias(name)
        for counted_as, name in (("size", "n_rollouts"), ("takers", "n_correct"))
    )
    asked = pl.col("n_rollouts") > 0
    rows = counted.with_columns(
        labeller=pl.lit(labeller_of(context.config)),
        label=pl.when(asked).then(pl.col("n_correct") > 0),
        value=pl.when(asked).then(pl.col("n_correct") / pl.col("n_rollouts")).cast(pl.Float32),
        source=pl.lit("vote"),
        reason=pl.when(~asked).then(pl.lit("no other right sample")),
    )
    return Outcome(rows.select(TABLES["step_labels"].polars_schema.names()))


def _reason(label: Label, config: MonteCarloLabels) -> str | None:
    if label.reason == UNDRAWN:
        return "budget spent" if config.budget is not None else "rollouts failed: see rejects"
    return label.reason


def truth_labels(steps: pl.DataFrame, problems: pl.DataFrame, context: Context) -> Outcome:
    """A row for every step, from what the generator of its problem knows. InputError: problems of another source."""
    config: TruthLabels = context.config
    families: dict[str, FamilyName] = {f"{SOURCE}{name}": name for name in NAMES}
    _require_truth(problems.filter(~pl.col("source").is_in(list(families))))
    asked = problems.select("problem_id", "source", "question").iter_rows()
    known: dict[str, tuple[FamilyName, str]] = {
        problem_id: (families[source], question) for problem_id, source, question in asked
    }
    rows: list[dict[str, object]] = []
    texts = steps.sort("solution_id", "step_index").group_by("solution_id", "problem_id", maintain_order=True).agg("text")
    for solution_id, problem_id, found in texts.iter_rows():
        family, question = known[problem_id]
        right = verdicts(family, question, found)
        if config.of == "prefix":
            right = list(accumulate(right, lambda before, now: before and now))
        rows += [
            {
                "solution_id": solution_id,
                "step_index": index,
                "labeller": labeller_of(config),
                "problem_id": problem_id,
                "n_rollouts": 0,
                "n_correct": 0,
                "label": label,
                "value": float(label),
                "source": "truth",
                "reason": None,
            }
            for index, label in enumerate(right)
        ]
    return Outcome(TABLES["step_labels"].frame(rows))


def _require_truth(others: pl.DataFrame) -> None:
    if others.is_empty():
        return
    raise InputError(
        "the truth of a step is known for generated problems only",
        where='step_labels.kind = "truth"',
        count=others.height,
        examples=others["source"].unique().sort().to_list(),
        next_step='use labels of kind "outcome" or "monte-carlo", or problems.source.kind = "arithmetic"',
    )
