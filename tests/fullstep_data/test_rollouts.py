"""Stage `rollouts`: which requests it makes of the engine, what its rows say, budgets, failures, and solutions from elsewhere."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from fullstep_data.config import (
    MonteCarloLabels,
    RolloutBudget,
    RolloutsConfig,
    SamplesConfig,
    ScriptedEngine,
    SolutionsConfig,
    StepsConfig,
    TokenBudget,
)
from fullstep_data.engines.protocol import Completion, Failure, Request
from fullstep_data.engines.scripted import ScriptedGenerator
from fullstep_data.grading import Grader
from fullstep_data.rollouts import rollouts, rollouts_key, solution_paths
from fullstep_data.samples import samples
from fullstep_data.solutions import solutions
from fullstep_data.stage import Context, Outcome, Tick, no_tick
from fullstep_data.step_labels import monte_carlo_labels
from fullstep_data.steps import steps
from schemas import TABLES
from schemas.ids import content_id, rollout_seed

SUMS = {"What is 4 - 1 + 7 + 2?": "12", "What is 7 + 2 - 3 + 5?": "11", "What is 6 * 7 - 2?": "40"}
MAX_TOKENS = 150
ERRORS = 0.3


class Recorder(ScriptedGenerator):
    """The scripted engine, which notes its requests and refuses those with a seed in `refused`."""

    def __init__(self, refused: Sequence[int] = ()) -> None:
        super().__init__(ERRORS)
        self.calls: list[list[Request]] = []
        self._refused = refused

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion | Failure]:
        self.calls.append(list(requests))
        results = super().generate(requests, tick)
        pairs = zip(requests, results, strict=True)
        return [Failure("too hard", "it said") if request.seed in self._refused else result for request, result in pairs]

    @property
    def requests(self) -> list[Request]:
        return [request for call in self.calls for request in call]


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    """problems, samples, solutions and steps of three sums, six solutions each."""
    problems = TABLES["problems"].frame(
        [
            {
                "problem_id": content_id(question),
                "question": question,
                "answer": answer,
                "source": "test",
                "split": "train",
                "domain": "math",
            }
            for question, answer in SUMS.items()
        ]
    )
    config = SamplesConfig(engine=ScriptedEngine(), samples=6, max_tokens=MAX_TOKENS)
    drawn = samples(problems, Context(config, {"generator": ScriptedGenerator(ERRORS)}, {"first": 0, "last": 6})).rows
    with Grader() as grader:
        graded = solutions(drawn, problems, Context(SolutionsConfig(), {"grader": grader})).rows
    assert set(graded["correct"]) == {True, False}
    return {
        "problems": problems,
        "samples": drawn,
        "solutions": graded,
        "steps": steps(graded, Context(StepsConfig(), {})).rows,
    }


def config_of(**labels: Any) -> RolloutsConfig:
    return RolloutsConfig(labels=MonteCarloLabels(**{"n": 4, **labels}), max_tokens=MAX_TOKENS)


class Remembered:
    """Known rollouts in memory."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self._rows = rows

    def of(self, problem_ids: Sequence[str]) -> pl.DataFrame:
        return self._rows.filter(pl.col("problem_id").is_in(list(problem_ids)))


def rolled(
    tables: dict[str, pl.DataFrame],
    sampler: Recorder | None = None,
    tick: Tick = no_tick,
    known: pl.DataFrame | None = None,
    **labels: Any,
) -> Outcome:
    with Grader() as grader:
        tools = {"rollout_generator": sampler or Recorder(), "grader": grader}
        tools |= {} if known is None else {"known_rollouts": Remembered(known)}
        frames = [tables[name] for name in ("steps", "solutions", "samples", "problems")]
        outcome = rollouts(*frames, Context(config_of(**labels), tools, tick=tick))
    TABLES["rollouts"].check(outcome.rows, "test")
    TABLES["rejects"].check(outcome.rejects, "test")
    return outcome


def labelled(tables: dict[str, pl.DataFrame], drawn: pl.DataFrame, **labels: Any) -> pl.DataFrame:
    rows = monte_carlo_labels(tables["steps"], tables["solutions"], drawn, Context(config_of(**labels), {})).rows
    return TABLES["step_labels"].check(rows, "test")


def test_a_rollout_goes_on_from_the_very_tokens_that_were_sampled(tables: dict[str, pl.DataFrame]) -> None:
    engine = Recorder()
    rows = rolled(tables, engine, policy="full").rows
    asked = {request.seed: request for request in engine.requests}
    assert len(asked) == len(engine.requests) == rows.height
    known = tables["solutions"].join(
        tables["samples"].select("problem_id", "sample_index", "token_ids"), on=["problem_id", "sample_index"]
    )
    by_id = {row["solution_id"]: row for row in known.iter_rows(named=True)}
    stops = {(row["solution_id"], row["step_index"]): row["stop"] for row in tables["steps"].iter_rows(named=True)}
    for row in rows.iter_rows(named=True):
        source, request = by_id[row["solution_id"]], asked[row["seed"]]
        stop = stops[row["solution_id"], row["step_index"]]
        assert request.prompt == source["prompt"]
        assert list(request.prefix) == source["token_ids"][: row["prefix_tokens"]]
        assert bytes(request.prefix).decode() == source["text"][:stop]  # the scripted engine's tokens are bytes
        assert request.max_tokens == MAX_TOKENS - len(request.prefix)  # as many tokens in all as the samples might have
        assert row["seed"] == rollout_seed(row["problem_id"], row["prefix_key"], row["rollout_index"], 0)


def test_prefix_and_text_are_a_graded_solution(tables: dict[str, pl.DataFrame]) -> None:
    rows = rolled(tables, policy="full").rows
    gold = {content_id(question): answer for question, answer in SUMS.items()}
    text = dict(tables["solutions"].select("solution_id", "text").iter_rows())
    stops = {(row["solution_id"], row["step_index"]): row["stop"] for row in tables["steps"].iter_rows(named=True)}
    assert set(rows["correct"]) == {True, False}
    for row in rows.iter_rows(named=True):
        whole = text[row["solution_id"]][: stops[row["solution_id"], row["step_index"]]] + row["text"]
        assert ("\\boxed{" + gold[row["problem_id"]] + "}." in whole) == row["correct"]


def test_full_draws_what_the_solution_itself_does_not_give(tables: dict[str, pl.DataFrame]) -> None:
    rows = rolled(tables, policy="full").rows
    prefixes = {key for path in solution_paths(tables["steps"], tables["solutions"])[1] for key in path.prefixes[:-1]}
    assert set(rows["prefix_key"]) == prefixes
    assert set(rows.group_by("prefix_key").len()["len"]) == {3}  # N = 4, one of them is the solution
    labels = labelled(tables, rows, policy="full")
    last = tables["steps"].group_by("solution_id").agg(pl.max("step_index"))
    inner = labels.join(last, on=["solution_id", "step_index"], how="anti")
    assert set(inner["n_rollouts"]) == {4}
    assert inner["value"].to_list() == pytest.approx((inner["n_correct"] / inner["n_rollouts"]).to_list())
    assert labels["label"].null_count() == 0


def test_early_stop_gives_the_labels_of_full_for_fewer_rollouts_in_rounds(tables: dict[str, pl.DataFrame]) -> None:
    engine = Recorder()
    full, early = rolled(tables, policy="full").rows, rolled(tables, engine).rows
    assert early.height < full.height
    key = ["prefix_key", "rollout_index"]
    assert early.join(full, on=full.columns, how="anti", nulls_equal=True).is_empty()  # the same rollouts, fewer of them
    same = labelled(tables, full, policy="full").join(labelled(tables, early), on=["solution_id", "step_index"])
    assert (same["label"] == same["label_right"]).all()
    assert early.select(key).is_unique().all()
    assert len(engine.calls) <= 3  # one call of the engine for all problems and each round


def test_more_rollouts_pooling_and_other_policies_draw_the_same_ones(tables: dict[str, pl.DataFrame]) -> None:
    eight = rolled(tables, policy="full", n=8).rows
    for labels in ({"policy": "full"}, {"policy": "first-error"}, {"policy": "binary-search"}, {"pooled": True}):
        fewer = rolled(tables, **labels).rows.drop("solution_id", "step_index")
        assert 0 < fewer.height < eight.height
        assert fewer.join(eight, on=fewer.columns, how="anti", nulls_equal=True).is_empty()
    assert rolled(tables, policy="full", seed=1).rows["seed"].is_in(eight["seed"].implode()).sum() == 0


def test_n_1_draws_nothing_and_says_the_outcome(tables: dict[str, pl.DataFrame]) -> None:
    drawn = rolled(tables, n=1)
    assert drawn.rows.is_empty()
    rows = labelled(tables, drawn.rows, n=1).join(tables["solutions"].select("solution_id", "correct"), on="solution_id")
    assert (rows["label"] == rows["correct"]).all()
    assert set(rows["n_rollouts"]) == {1}


def test_pooled_counts_solutions_through_a_prefix(tables: dict[str, pl.DataFrame]) -> None:
    apart, pooled = rolled(tables, policy="full").rows, rolled(tables, policy="full", pooled=True).rows
    assert pooled.height < apart.height
    labels = labelled(tables, pooled, policy="full", pooled=True)
    of_prefix = labels.join(tables["steps"], on=["solution_id", "step_index"])
    inner = of_prefix.filter(pl.col("prefix_key").is_in(apart["prefix_key"].unique().implode()))
    assert inner["n_rollouts"].max() > 4  # six right solutions begin alike
    assert (
        inner.group_by("prefix_key").agg(pl.col("n_correct").n_unique())["n_correct"].max() == 1
    )  # equal prefixes, equal labels


def test_a_failed_rollout_is_a_reject_and_leaves_a_label_open_unless_another_succeeds(tables: dict[str, pl.DataFrame]) -> None:
    whole = rolled(tables, policy="full").rows
    correct = whole.group_by("prefix_key").agg(pl.col("correct").any())
    hopeless, hopeful = (correct.filter(pl.col("correct") == found)["prefix_key"].sort()[0] for found in (False, True))
    lost = {
        key: whole.filter((pl.col("prefix_key") == key) & ~pl.col("correct")).sort("rollout_index").row(0, named=True)
        for key in (hopeless, hopeful)
        if whole.filter((pl.col("prefix_key") == key) & ~pl.col("correct")).height
    }
    outcome = rolled(tables, Recorder([row["seed"] for row in lost.values()]), policy="full")
    assert sorted(outcome.rejects.select("table", "key", "reason").rows()) == sorted(
        ("rollouts", f"{key}/{row['rollout_index']}", "too hard") for key, row in lost.items()
    )
    labels = labelled(tables, outcome.rows, policy="full").join(tables["steps"], on=["solution_id", "step_index"])
    open_rows = labels.filter((pl.col("prefix_key") == hopeless) & (pl.col("n_correct") == 0))
    assert open_rows["label"].null_count() == open_rows.height > 0
    assert labels.filter(pl.col("prefix_key") == hopeful)["label"].all()


@pytest.mark.parametrize("policy", ["full", "early-stop", "first-error"])
def test_a_budget_of_rollouts_is_kept_and_what_it_does_not_reach_is_open(tables: dict[str, pl.DataFrame], policy: str) -> None:
    whole = rolled(tables, policy=policy).rows.height
    for per_problem in (1, 2, 4):
        budget = RolloutBudget(per_problem=per_problem)
        rows = rolled(tables, policy=policy, budget=budget).rows
        assert rows.height <= 3 * per_problem < whole
        labels = labelled(tables, rows, policy=policy, budget=budget)
        open_labels = labels.filter(pl.col("label").is_null())
        assert "budget spent" in set(open_labels["reason"])
        assert open_labels["reason"].null_count() == 0
        known = labelled(tables, rolled(tables, policy=policy).rows, policy=policy)
        both = labels.filter(pl.col("label").is_not_null()).join(known, on=["solution_id", "step_index"])
        assert (both["label"] == both["label_right"]).all()


def test_a_budget_of_tokens_is_never_passed(tables: dict[str, pl.DataFrame]) -> None:
    free = rolled(tables).rows["tokens"].sum()
    taken = [rolled(tables, budget=TokenBudget(per_problem=share)).rows["tokens"].sum() for share in (150, 300, 10_000)]
    assert taken[0] <= 450
    assert taken[0] < taken[1] <= 900
    assert taken[2] == free


def test_solutions_from_elsewhere_are_continued_as_text_and_are_no_rollouts(tables: dict[str, pl.DataFrame]) -> None:
    given = {**tables, "samples": tables["samples"].with_columns(token_ids=pl.lit(None, pl.List(pl.Int32)))}
    engine = Recorder()
    rows = rolled(given, engine, policy="full", engine=ScriptedEngine()).rows
    assert set(rows.group_by("prefix_key").len()["len"]) == {4}  # all N
    assert rows["prefix_tokens"].null_count() == rows.height
    texts = tables["solutions"]["text"].to_list()
    assert all(request.prefix == () for request in engine.requests)
    for request in engine.requests:
        assert any(request.prompt.endswith("\n" + text[: text.index("Step 2")]) for text in texts) or "Step 2" in request.prompt
    without_ids = Recorder()
    assert set(rolled(given, without_ids, policy="full").rows.group_by("prefix_key").len()["len"]) == {3}  # still its own sampler
    assert all(request.prefix == () for request in without_ids.requests)


def test_a_prefix_that_leaves_no_token_is_a_cut_solution() -> None:
    # One step of 10 bytes; the limit of the samples is met exactly where it ends, so nothing can follow.
    solution = {"text": "Step 1: 4\nStep 2: 3", "token_ids": list(b"Step 1: 4\nStep 2: 3")}
    frames = one_solution(solution)
    config = RolloutsConfig(labels=MonteCarloLabels(n=2, policy="full"), max_tokens=10)
    with Grader() as grader:
        engine = Recorder()
        rows = rollouts(*frames, Context(config, {"rollout_generator": engine, "grader": grader})).rows
    assert engine.requests == []
    assert rows.select("text", "finish_reason", "tokens", "correct").rows() == [("", "length", 0, False)]


def one_solution(solution: dict[str, Any]) -> list[pl.DataFrame]:
    """Frames steps, solutions, samples and problems of one wrong solution."""
    row = {"problem_id": "p", "sample_index": 0, "seed": 1, "prompt": "4 + 3", "finish_reason": "length", "sampler": "x"}
    verdict = {"solution_id": "s", "answer_source": "none", "correct": False, "grade_path": "no-answer", "grader": "x"}
    found = TABLES["solutions"].frame([{**row, **verdict, "text": solution["text"]}])
    problem = {"problem_id": "p", "question": "4 + 3", "answer": "7", "source": "t", "split": "train", "domain": "math"}
    return [
        steps(found, Context(StepsConfig(), {})).rows,
        found,
        TABLES["samples"].frame([{**row, **solution}]),
        TABLES["problems"].frame([problem]),
    ]


def test_progress_goes_up_to_its_end_over_all_rounds(tables: dict[str, pl.DataFrame]) -> None:
    calls: list[tuple[int, int]] = []
    rolled(tables, tick=lambda done, total, note="": calls.append((done, total)))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert {total for _, total in calls} == {1000}
    assert 500 < calls[-1][0] <= 1000


def test_progress_of_a_round_is_its_share_of_what_may_be_drawn(tables: dict[str, pl.DataFrame]) -> None:
    """Nothing succeeds, so each step takes three rollouts in three rounds: a third of the bar each."""
    hopeless = {**tables, "problems": tables["problems"].with_columns(answer=pl.lit("-1"))}
    hopeless["solutions"] = tables["solutions"].with_columns(correct=pl.lit(False))
    calls: list[int] = []
    rows = rolled(hopeless, tick=lambda done, total, note="": calls.append(done)).rows
    thirds = [place for place, shown in enumerate(calls, start=1) if shown in (333, 667, 1000)]
    assert [calls[place - 1] for place in thirds] == [333, 667, 1000]
    assert [3 * place for place in thirds] == [rows.height, 2 * rows.height, 3 * rows.height]


def test_the_key_holds_what_decides_a_rollout(tables: dict[str, pl.DataFrame]) -> None:
    base = rollouts_key(config_of())
    assert rollouts_key(config_of()) == base
    for change in ({"n": 8}, {"policy": "full"}, {"pooled": True}, {"seed": 1}, {"engine": ScriptedEngine()}):
        assert rollouts_key(config_of(**change)) != base
    assert rollouts_key(config_of(budget=TokenBudget(per_problem=9))) != rollouts_key(
        config_of(budget=RolloutBudget(per_problem=9))
    )
    for change in ({"temperature": 0.5}, {"top_p": 0.5}, {"max_tokens": 5}):
        assert rollouts_key(config_of().model_copy(update=change)) != base


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("prefix_key", "rollout_index")


@pytest.mark.parametrize("policy", ["full", "early-stop", "first-error", "binary-search"])
def test_more_rollouts_per_step_draw_only_the_missing_ones(tables: dict[str, pl.DataFrame], policy: str) -> None:
    """From N = 4 to N = 8: what N = 8 from nothing gives, for the rollouts that N = 4 had not."""
    few, engine = rolled(tables, n=4, policy=policy).rows, Recorder()
    more = rolled(tables, engine, n=8, policy=policy, known=few).rows
    assert in_order(more).equals(in_order(rolled(tables, n=8, policy=policy).rows))
    kept = more.join(few, on=["prefix_key", "rollout_index"], how="semi").height
    assert kept > 0
    assert len(engine.requests) == more.height - kept
    if policy == "full":  # 3 of 4 were drawn of each prefix, 7 of 8 are wanted: the solution is a rollout itself
        assert kept == few.height
        assert len(engine.requests) == few.height // 3 * 4
    again = Recorder()
    assert in_order(rolled(tables, again, n=8, policy=policy, known=more).rows).equals(in_order(more))
    assert again.requests == []


def test_more_samples_draw_only_the_rollouts_of_new_prefixes(tables: dict[str, pl.DataFrame]) -> None:
    half = {name: tables[name].filter(pl.col("sample_index") < 3) for name in ("samples", "solutions")}
    half |= {"problems": tables["problems"], "steps": tables["steps"].join(half["solutions"], on="solution_id", how="semi")}
    few, engine = rolled(half, policy="full").rows, Recorder()
    more = rolled(tables, engine, policy="full", known=few).rows
    assert in_order(more).equals(in_order(rolled(tables, policy="full").rows))
    new = set(more["prefix_key"]) - set(few["prefix_key"])
    assert 0 < len(new) < more["prefix_key"].n_unique()
    assert len(engine.requests) == 3 * len(new)


def test_only_the_rollouts_of_the_same_sampler_solution_ids_and_seed_are_taken(tables: dict[str, pl.DataFrame]) -> None:
    rows = rolled(tables, policy="full").rows
    for column, value in (("sampler", "other"), ("solution_id", "other"), ("prefix_tokens", 1), ("seed", 7)):
        engine = Recorder()
        changed = rows.with_columns(pl.when(pl.col("rollout_index") == 0).then(pl.lit(value)).otherwise(column).alias(column))
        found = rolled(tables, engine, policy="full", known=changed.cast(rows.schema)).rows
        assert in_order(found).equals(in_order(rows))
        assert len(engine.requests) == rows.filter(rollout_index=0).height


def test_known_rollouts_are_graded_anew_and_count_against_a_budget(tables: dict[str, pl.DataFrame]) -> None:
    rows, engine = rolled(tables, policy="full").rows, Recorder()
    wrong = rows.with_columns(correct=~pl.col("correct"), answer=pl.lit("0"))
    assert in_order(rolled(tables, engine, policy="full", known=wrong).rows).equals(in_order(rows))
    for budget in (RolloutBudget(per_problem=4), TokenBudget(per_problem=300)):
        expected = rolled(tables, budget=budget).rows
        assert in_order(rolled(tables, engine, budget=budget, known=rows).rows).equals(in_order(expected))
    assert engine.requests == []
