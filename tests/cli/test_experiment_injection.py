"""An injected mistake, looked for by hand: in steps that a PRM judges, and in a policy's answers."""

from types import SimpleNamespace

import polars as pl
import pytest

from cli.experiment_injection import of_answers, of_prm
from cli.experiment_summary import ANSWERS, PRM
from fullstep_data.arithmetic import injected

SEED = 0
TERM = injected("facts", SEED)[1]
"""The mistake of this seed: v * TERM is taken for v + TERM."""


def told(value: int, right: bool) -> str:
    """A step at an occasion, right or with the mistake made."""
    return f"{value}*{TERM}={(value * TERM if right else value + TERM) % 10}"


def test_a_prm_is_measured_at_steps_that_make_the_mistake_and_at_others() -> None:
    """Right steps with rewards 0.1, 0.2 … 1.0, the last one at an occasion; steps that make it 0.15 and 0.95, another false 0.05.
    Below nine of ten right steps (0.19): 0.15 and 0.05. Against all right ones 0.15 is above 1 of 10 and 0.95 above 9.
    """
    steps = [(f"({place}) 1+2=3", True, place / 10) for place in range(1, 10)] + [(f"(1) {told(8, True)}", True, 1.0)]
    steps += [(f"(1) {told(8, False)}", False, 0.15), (f"(2) {told(4, False)}", False, 0.95), ("(1) 1+2=4", False, 0.05)]
    steps += [("Answer: 3", True, 0.0), (f"(1) {told(8, False)}", None, 0.0)]
    frame = pl.DataFrame(steps, schema=["text", "label", "reward"], orient="row", infer_schema_length=None)
    frame = frame.with_row_index("step_index").with_columns(solution_id=pl.lit("s"))
    blamed = frame.with_columns(label=pl.col("step_index") < 11)  # of the false steps the PRM's own labels blame two
    version = SimpleNamespace(frame={"steps": frame, "step_labels": blamed}.__getitem__)
    found = of_prm(frame, version, frame, "facts", SEED)  # type: ignore[arg-type]  # what of a version is asked for
    assert {name.removeprefix(PRM): value for name, value in found.items()} == {
        "steps that make it, how many": 2.0,
        "AUC, steps that make it": pytest.approx((9 + 1) / 20),
        "AUC, other false steps": 1.0,
        "AUC, steps that make it against right steps at its occasions": 1.0,
        "share flagged, steps that make it": 0.5,
        "share flagged, other false steps": 1.0,
        "share flagged, right steps at its occasions": 0.0,
        "share labelled false, steps that make it": 0.5,
        "share labelled false, other false steps": 1.0,
        "share labelled false, right steps at its occasions": 0.0,
    }


def test_what_is_not_there_has_no_figure() -> None:
    frame = pl.DataFrame({"solution_id": ["s"], "step_index": [0], "text": ["Answer: 3"], "label": [True], "reward": [0.5]})
    version = SimpleNamespace(frame={"steps": frame, "step_labels": frame}.__getitem__)
    found = of_prm(frame, version, frame, "facts", SEED)  # type: ignore[arg-type]  # as above
    assert [value for value in found.values() if value is not None] == [0.0]


def test_how_often_answers_make_it() -> None:
    """Four occasions: made in one, right in two, wrong in another way in one; an answer is looked at up to its first false step.
    Two other steps are met, one of them false.
    """
    asked = {
        f"8 (1)*{TERM} (2)+2": f"(1) {told(8, False)}\n(2) {(8 + TERM) % 10}+2={TERM % 10}\n",
        f"4 (1)*{TERM}": f"(1) {told(4, True)}\nAnswer: 1",
        f"4 (1)+2 (2)*{TERM}": f"(1) 4+2=6\n(2) {told(6, True)}\n",
        f"1 (1)*{TERM} (2)+2": "(1) 1+2=3\n",
        "5 (1)+2": "(1) 5+2=8\n",
    }
    found = of_answers(pl.DataFrame({"question": list(asked), "text": list(asked.values())}), "facts", SEED)
    assert {name.removeprefix(ANSWERS): value for name, value in found.items()} == {
        "share of its occasions where it is made": 0.25,
        "share of its occasions right": 0.5,
        "share of other steps false": 0.5,
    }
