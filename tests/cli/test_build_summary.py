import duckdb
import polars as pl
import pytest
from rich.console import Group

from cli.build_summary import (
    Ask,
    best_and_worst,
    build_summary,
    labellers,
    monte_carlo,
    pairs,
    reward_histogram,
    tables_and_rejects,
)
from fullstep_data.store.label_health import LABEL_HEALTH
from schemas import TABLES
from tests.cli.test_render import shown


def over_frames(frames: dict[str, pl.DataFrame]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name, frame in frames.items():
        connection.register(name, frame)
    return connection


def ask_frames(frames: dict[str, pl.DataFrame]) -> Ask:
    connection = over_frames(frames)
    return lambda text: connection.sql(text).pl()


STEPS = [
    # solution, step, text, reward, label
    ("good", 0, "Step 1: 2 + 3 = 5\n", 0.95, True),
    ("good", 1, "Step 2: \\boxed{5}", 0.85, True),
    ("bad", 0, "Step 1: 2 + 3 = 6\n", 0.15, False),
    ("bad", 1, "Step 2: \\boxed{6} [b]", 0.05, False),
    ("fair", 0, "Step 1: \\boxed{7}", 1.0, False),
]


@pytest.fixture
def frames() -> dict[str, pl.DataFrame]:
    problem = {"question": "What is 2 + 3?", "source": "s", "domain": "math", "split": "train"}
    pair = {
        "problem_id": "p1",
        "chosen_id": "good",
        "chosen_score": 0.9,
        "chosen_rank": 0,
        "policy": "mean-top2",
        "scorer": "prm",
    }
    reject = {"stage": "pairs", "table": "problems", "reason": "no correct solution"}
    return {
        "problems": TABLES["problems"].frame(
            [problem | {"problem_id": key, "answer": "5"} for key in ("p1", "p2", "p3")],
        ),
        "steps": TABLES["steps"].frame(
            [
                {"solution_id": s, "step_index": i, "problem_id": "p1", "start": 0, "stop": len(t), "text": t, "prefix_key": s}
                for s, i, t, _, _ in STEPS
            ]
        ),
        "step_scores": TABLES["step_scores"].frame(
            [{"solution_id": s, "step_index": i, "scorer": "prm", "problem_id": "p1", "reward": r} for s, i, _, r, _ in STEPS]
        ),
        "step_labels": TABLES["step_labels"].frame(
            [
                {
                    "solution_id": s,
                    "step_index": i,
                    "labeller": "outcome",
                    "problem_id": "p1",
                    "n_rollouts": 1,
                    "n_correct": int(label),
                    "label": label,
                    "value": float(label),
                    "source": "outcome",
                }
                for s, i, _, _, label in STEPS
            ]
        ),
        "pairs": TABLES["pairs"].frame(
            [
                pair | {"pair_id": "a", "rejected_id": "bad", "rejected_score": 0.1, "margin": 0.8, "rejected_rank": 0},
                pair | {"pair_id": "b", "rejected_id": "fair", "rejected_score": 1.0, "margin": -0.1, "rejected_rank": 1},
            ]
        ),
        "rejects": TABLES["rejects"].frame([reject | {"key": "p2"}, reject | {"key": "p3"}]),
    }


def test_tables_have_rows_and_rejects_by_reason(frames):
    text = shown(tables_and_rejects(ask_frames(frames), ["problems", "steps", "pairs", "rejects"]))
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in text.splitlines()[2:]}
    assert rows["problems"].strip() == "3"
    assert rows["steps"].strip() == "5"
    assert rows["pairs"].split(maxsplit=1) == ["2", "2 problems: no correct solution"]
    assert "rejects" not in rows


def test_what_a_stage_dropped_that_writes_no_table_is_shown_too(frames):
    dropped = frames["rejects"].with_columns(stage=pl.lit("prm"), reason=pl.lit("no step is labelled"))
    text = shown(tables_and_rejects(ask_frames(frames | {"rejects": dropped}), ["pairs", "rejects"]))
    assert text.splitlines()[-1].split() == ["prm", "2", "problems:", "no", "step", "is", "labelled"]


def test_the_reward_histogram_counts_each_label_apart(frames):
    view, _ = reward_histogram(ask_frames(frames))
    lines = {line.split()[0]: line for line in shown(view).splitlines() if line[:1].isdigit()}
    assert len(lines) == 10
    # label 1: one step of two in 0.8-0.9 and one in 0.9-1.0; label 0: 0.0, 0.1, and exactly 1.0, which belongs to the last bin
    assert [word for word in lines["0.8-0.9"].split() if word.isdigit()] == ["1"]
    assert [word for word in lines["0.9-1.0"].split() if word.isdigit()] == ["1", "1"]
    assert "█" * 12 in lines["0.8-0.9"]
    assert "█" * 8 in lines["0.0-0.1"]
    assert "█" not in lines["0.4-0.5"]


def test_pairs_are_counted_with_the_problems_that_have_none(frames):
    lines = [line.plain for line in pairs(ask_frames(frames))]
    # margins 0.8 and -0.1: mean 0.35; one of two in order
    assert lines == [
        "2 pairs on 1 problem; mean margin 0.350; the chosen scores higher in 50%",
        "2 problems without pairs: no correct solution 2",
    ]


def test_the_widest_pair_stands_side_by_side_with_rewards_and_literal_brackets(frames):
    text = shown(best_and_worst(ask_frames(frames)))
    assert "What is 2 + 3?   (gold answer: 5)" in text
    rows = text.splitlines()
    (first,) = [row for row in rows if "2 + 3 = 5" in row]
    assert "0.95 Step 1: 2 + 3 = 5" in first
    assert "0.15 Step 1: 2 + 3 = 6" in first
    assert any("[b]" in row for row in rows)


def test_no_pairs_at_all_is_said(frames):
    frames["pairs"] = frames["pairs"].clear()
    metrics = {"auc": 0.75, "ece": None, "problems": 9, "solutions": 72, "steps": 1277, "undefined": "ece: no reason"}
    text = shown(Group(*build_summary(over_frames(frames), list(frames), metrics, "tiny", "out/tiny")))
    assert "no pairs, so there is nothing to train on" in text
    assert "fs-train" not in text
    assert "fs-data show out/tiny solutions" in text
    figures = {line.split("  ")[1].strip(): line.split()[-1] for line in text.split("PRM, on")[1].splitlines()[1:7]}
    assert figures["AUC"] == "0.750"
    assert figures["expected calibration error"] == "-"
    assert "9 problems, 72 solutions, 1,277 steps; ece: no reason" in text


def test_pairs_lead_to_the_training(frames):
    text = shown(Group(*build_summary(over_frames(frames), list(frames), {}, "tiny", "out/tiny")))
    assert "fs-train run tiny --data out/tiny --out out/tiny-run" in text


def test_monte_carlo_labels_say_what_they_cost_and_what_stayed_open(frames: dict[str, pl.DataFrame]) -> None:
    # Five steps, N = 4: all N at every step would be 20 rollouts; 5 were drawn, 25 %. One label is open.
    labels = frames["step_labels"].with_columns(
        labeller=pl.lit("monte-carlo n=4 early-stop"),
        source=pl.lit("monte-carlo"),
        label=pl.when(pl.col("solution_id") != "fair").then(pl.col("label")),
        reason=pl.when(pl.col("solution_id") == "fair").then(pl.lit("budget spent")),
    )
    rollout = {"problem_id": "p1", "solution_id": "bad", "step_index": 0, "seed": 1, "text": "x", "finish_reason": "eos"}
    graded = {"tokens": 7, "answer_source": "none", "correct": False, "grade_path": "no-answer", "grader": "g", "sampler": "s"}
    rows = TABLES["rollouts"].frame([{"prefix_key": "bad", "rollout_index": k, **rollout, **graded} for k in range(5)])
    ask = ask_frames({**frames, "step_labels": labels, "rollouts": rows})
    text = shown(Group(*monte_carlo(ask)))
    assert "monte-carlo n=4 early-stop: 2 steps labelled right, 2 wrong, 1 open (budget spent 1)" in text
    assert "5 rollouts (35 tokens), 25% of the 20 that N = 4 at every step would be" in text
    assert "soft ones need all N" in text
    assert "pooled" not in text
    assert "no proof" in shown(Group(*reward_histogram(ask)))
    for policy, told in (
        ("full pooled", ("values are soft labels", "equal prefixes", "may stand on more than N")),
        ("first-error", ("later steps are open",)),
        ("binary-search", ("approximate",)),
    ):
        other = labels.with_columns(labeller=pl.lit(f"monte-carlo n=4 {policy}"))
        text = " ".join(shown(Group(*monte_carlo(ask_frames({**frames, "step_labels": other, "rollouts": rows})))).split())
        assert all(words in text for words in told)


def test_labellers_side_by_side_say_how_often_they_agree(frames):
    """The judge turns the label of bad's second step, whose first error stays where it is, and of fair's only one: 2 of 3 agree.
    Rewards are shown by the labels of one labeller.
    """
    outcome = frames["step_labels"]
    turned = ((pl.col("solution_id") == "bad") & (pl.col("step_index") == 1)) | (pl.col("solution_id") == "fair")
    judge = outcome.with_columns(
        labeller=pl.lit("judge"), source=pl.lit("judge"), label=pl.when(turned).then(~pl.col("label")).otherwise("label")
    )
    both = frames | {"step_labels": pl.concat([outcome, judge])}
    view, told = labellers(over_frames(both))
    rows = {line.split()[0]: line.split()[1:] for line in shown(view).splitlines()[2:]}
    assert rows == {"judge": ["4", "1", "0"], "outcome": ["2", "3", "0"]}
    assert told.plain == "judge and outcome have the same first wrong step, or none, in 2 of 3 solutions"
    histogram, which = reward_histogram(ask_frames(both))
    assert "label 1 (2 steps)" in shown(histogram)
    assert which.plain.endswith("labeller: outcome")


def test_what_labellers_agree_on_is_no_labeller_to_compare_with(frames):
    outcome = frames["step_labels"]
    judge = outcome.with_columns(labeller=pl.lit("judge"), source=pl.lit("judge"))
    joint = outcome.with_columns(labeller=pl.lit("consensus"), source=pl.lit("consensus"))
    view, *told = labellers(over_frames(frames | {"step_labels": pl.concat([outcome, judge, joint])}))
    assert [line.split()[0] for line in shown(view).splitlines()[2:]] == ["consensus", "judge", "outcome"]
    assert [line.plain for line in told] == ["judge and outcome have the same first wrong step, or none, in 3 of 3 solutions"]


def test_labellers_are_compared_in_memory_that_the_view_does_not_fit_into() -> None:
    """30,000 solutions of four steps, two labellers who differ in every third solution; nothing may go to disk."""
    steps = pl.DataFrame({"solution": range(30_000)}).join(pl.DataFrame({"step_index": range(4)}), how="cross")
    steps = steps.select(solution_id=pl.format("solution {}", "solution"), problem_id=pl.lit("p"), step_index="step_index")
    wrong = pl.col("solution_id").str.extract(r"(\d+)").cast(pl.Int32) % 3 == 0
    outcome = steps.with_columns(labeller=pl.lit("outcome"), source=pl.lit("outcome"), label=pl.lit(value=True))
    judge = steps.with_columns(labeller=pl.lit("judge"), source=pl.lit("judge"), label=~wrong)
    with over_frames({"steps": steps, "step_labels": pl.concat([outcome, judge])}) as connection:
        for name in ("first_errors", "label_consensus"):
            connection.execute(f"CREATE VIEW {name} AS {LABEL_HEALTH[name]}")
        counts = connection.sql("SELECT count(*) FILTER (keep), count(*) FROM label_consensus").fetchall()
        assert counts == [(20_000, 30_000)]
        connection.execute("SET threads = 1; SET temp_directory = ''; SET memory_limit = '24 MB'")
        with pytest.raises(duckdb.OutOfMemoryException):
            connection.sql("SELECT count(*) FROM label_consensus").fetchall()
        _, told = labellers(connection)
    assert told.plain == "judge and outcome have the same first wrong step, or none, in 20,000 of 30,000 solutions"
