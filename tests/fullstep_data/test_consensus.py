"""consensus: who has the same first wrong step, by hand; the stage and the view say the same of any labels."""

from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fullstep_data.consensus import DISAGREE, UNKNOWN, ConsensusConfig, consensus, disputed, first_errors
from fullstep_data.pipeline import MONTE_CARLO, PIPELINE, stages_of, stages_on_import
from fullstep_data.probing import AFTER_ERROR
from fullstep_data.query import sql
from fullstep_data.stage import Context
from fullstep_data.store import Version
from fullstep_data.store.label_health import LABEL_HEALTH
from schemas import TABLES, InputError
from tests.fullstep_data.report.sums import build, questions
from tests.fullstep_data.test_config import JUDGE, recipe

Labels = tuple[bool | None, ...]
T, F = True, False

# solution: (labels by mc, labels by the judge)
GIVEN: dict[str, tuple[Labels, Labels]] = {
    "sound": ((T, T), (T, T)),
    "same": ((T, F, F), (T, F, T)),  # the first error is the same; what comes after does not count
    "other": ((T, F), (F, F)),
    "missed": ((T, F), (T, T)),
    "open": ((T, None), (T, T)),
    "cut": ((F, None), (F, F)),  # open after the first error: that is known
}


def frames(solutions: dict[str, tuple[Labels, Labels]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Steps and labels of both labellers; a judge's null is a step without a row, as a reject leaves it."""
    steps: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    for name, both in solutions.items():
        for index in range(len(both[0])):
            ids = {"solution_id": name, "problem_id": "p", "step_index": index}
            steps.append({**ids, "start": index, "stop": index + 1, "text": "x", "prefix_key": f"{name}{index}"})
            mc, judge = both[0][index], both[1][index]
            counts = {"n_rollouts": 4, "n_correct": 2 * bool(mc), "label": mc, "value": None if mc is None else mc / 2}
            labels.append({**ids, **counts, "labeller": "mc", "source": "monte-carlo", "reason": "why" if mc is None else None})
            if judge is not None:
                verdict = {"n_rollouts": 0, "n_correct": 0, "label": judge, "value": 0.9 if judge else 0.1}
                labels.append({**ids, **verdict, "labeller": "judge", "source": "judge", "reason": None})
    return TABLES["steps"].frame(steps), TABLES["step_labels"].frame(labels)


def agreed(solutions: dict[str, tuple[Labels, Labels]], labellers: tuple[str, ...] = ("mc", "judge")) -> pl.DataFrame:
    steps, labels = frames(solutions)
    return consensus(steps, labels, Context(ConsensusConfig(labellers=labellers), {})).rows


def test_labels_are_kept_up_to_the_first_wrong_step_where_both_agree_on_it() -> None:
    rows = {key: list(values) for key, *values in agreed(GIVEN).group_by("solution_id").agg("label", "reason").iter_rows()}
    assert rows == {
        "sound": [[T, T], [None, None]],
        "same": [[T, F, None], [None, None, AFTER_ERROR]],
        "other": [[None, None], [DISAGREE, DISAGREE]],
        "missed": [[None, None], [DISAGREE, DISAGREE]],
        "open": [[None, None], [UNKNOWN, UNKNOWN]],
        "cut": [[F, None], [None, AFTER_ERROR]],
    }
    assert disputed(agreed(GIVEN)) == ["missed", "open", "other"]


def test_counts_and_values_are_those_of_the_first_labeller() -> None:
    mc, judge = agreed(GIVEN), agreed(GIVEN, ("judge", "mc"))
    assert mc.filter(solution_id="same").select("n_rollouts", "n_correct", "value").rows() == [
        (4, 2, 0.5),
        (4, 0, 0.0),
        (4, 0, None),
    ]
    assert [round(value, 6) for value in judge.filter(solution_id="sound")["value"]] == [0.9, 0.9]
    assert set(mc["labeller"]) == set(mc["source"]) == {"consensus"}


def test_three_labellers_must_all_agree() -> None:
    steps, labels = frames(GIVEN)
    third = labels.filter(labeller="judge").with_columns(labeller=pl.lit("third"), label=pl.lit(value=True))
    config = ConsensusConfig(labellers=("mc", "judge", "third"))
    rows = consensus(steps, pl.concat([labels, third]), Context(config, {})).rows
    assert disputed(rows) == ["cut", "missed", "open", "other", "same"]


label = st.sampled_from([True, False, None])
both = st.integers(1, 4).flatmap(lambda k: st.tuples(st.tuples(*[label] * k), st.tuples(*[label] * k)))


@settings(deadline=None, max_examples=40)
@given(st.lists(both, min_size=1, max_size=5))
def test_the_stage_and_the_views_say_the_same(given_labels: list[tuple[Labels, Labels]]) -> None:
    solutions = {f"s{place}": labels for place, labels in enumerate(given_labels)}
    steps, labels = frames(solutions)
    rows = consensus(steps, labels, Context(ConsensusConfig(labellers=("mc", "judge")), {})).rows
    with duckdb.connect() as connection:
        connection.register("steps", steps)
        connection.register("step_labels", pl.concat([labels, rows.select(labels.columns)]))
        for name in ("first_errors", "label_consensus"):
            connection.execute(f"CREATE VIEW {name} AS {LABEL_HEALTH[name]}")
        for name in ("mc", "judge"):
            mine = dict(first_errors(steps, labels.filter(labeller=name)).iter_rows())
            query = f"SELECT solution_id, first_error FROM first_errors WHERE labeller = '{name}'"
            told = dict(connection.execute(query).fetchall())
            assert told == {key: value for key, value in mine.items() if key in told}
            assert all(value is None for key, value in mine.items() if key not in told)
        kept = {key for (key,) in connection.execute("SELECT solution_id FROM label_consensus WHERE keep").fetchall()}
    assert kept == set(solutions) - set(disputed(rows))


def reads_of(name: str, **changed: Any) -> list[str]:
    """What a stage of this recipe says of the labels that it reads."""
    (stage,) = [stage for stage in stages_of(recipe(**changed)) if stage.name == name]
    return [read.where for read in stage.reads if read.table == "step_labels"]


def test_prm_and_selection_go_by_the_labels_that_the_recipe_names() -> None:
    assert stages_of(recipe()) == PIPELINE
    assert reads_of("prm") == reads_of("step_pairs") == [""]
    assert reads_of("prm", side_labels=[JUDGE]) == reads_of("step_pairs", side_labels=[JUDGE]) == ["labeller = 'outcome'"]
    by_consensus = {"side_labels": [JUDGE], "learn_from": "consensus"}
    assert reads_of("prm", **by_consensus) == reads_of("step_pairs", **by_consensus) == ["labeller = 'consensus'"]
    assert reads_of("pairs", **by_consensus) == []
    assert reads_of("pairs", **by_consensus, pairs={"top": 2, "agreed": True}) == ["labeller = 'consensus'"]
    quoted = reads_of("prm", side_labels=[{"kind": "outcome"}], step_labels=JUDGE | {"name": "Ann's"})
    assert quoted == ["labeller = 'judge Ann''s judge-yes-no threshold=0.5'"]


def test_labellers_stand_where_the_labels_of_a_recipe_do() -> None:
    def names(**changed: Any) -> list[str]:
        return [stage.name for stage in stages_of(recipe(**changed))[4:-4]]

    sides = ["side_labels_1", "side_labels_2", "consensus"]
    assert names(side_labels=[JUDGE, JUDGE | {"name": "b"}]) == ["step_labels", *sides]
    assert names(side_labels=[JUDGE, {"kind": "outcome"}], step_labels={"kind": "monte-carlo"}) == [
        "rollouts",
        "step_labels",
        *sides,
    ]
    (judge,) = [stage for stage in stages_of(recipe(step_labels=JUDGE)) if stage.name == "step_labels"]
    assert judge.tools == ("judge",)
    assert len(MONTE_CARLO) == 2


def test_side_labels_cannot_stand_beside_imported_ones() -> None:
    with pytest.raises(InputError, match="side_labels cannot stand beside imported labels"):
        stages_on_import(stages_of(recipe(side_labels=[JUDGE])), ["problems", "solutions", "steps", "step_labels"])


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    folder = tmp_path_factory.mktemp("sides") / "data"
    labelling = {"side_labels": [JUDGE], "learn_from": "consensus", "pairs": {"top": 2, "agreed": True}}
    return build(folder, questions(12), labelling=labelling, per_part=5)


def test_a_build_with_a_judge_has_all_labels_side_by_side(version: Version) -> None:
    """A judge without mistakes finds the sum that went wrong first; the outcome blames the first step of a wrong solution. So
    they agree on right solutions that are sound all the way, and on those that go wrong in the first step.
    """
    counts = dict(sql(version, "SELECT labeller, count(*) FROM step_labels GROUP BY labeller").iter_rows())
    assert set(counts) == {"outcome", "judge judge-yes-no threshold=0.5", "consensus"}
    assert set(counts.values()) == {version.tables["steps"].rows}
    places = dict(sql(version, "SELECT first_error, count(*) FROM label_consensus WHERE keep GROUP BY 1").iter_rows())
    assert set(places) == {-1, 0}
    disagreed = sql(version, "SELECT DISTINCT first_error FROM label_consensus WHERE NOT keep")["first_error"].to_list()
    assert set(disagreed) - {-1}
    view = sql(version, "SELECT solution_id FROM label_consensus WHERE NOT keep ORDER BY solution_id")["solution_id"].to_list()
    assert disputed(version.frame("step_labels")) == view


def test_disputed_solutions_are_in_no_pair(version: Version) -> None:
    query = "SELECT count(*) FROM pairs JOIN label_consensus ON solution_id IN (chosen_id, rejected_id) WHERE NOT keep"
    assert version.tables["pairs"].rows
    assert sql(version, query).item() == 0
    assert version.tables["rejects"].rows
    (reason,) = sql(version, "SELECT DISTINCT reason FROM rejects WHERE reason LIKE 'labellers%'")["reason"]
    assert reason == "labellers disagree"
