"""The data half of a recipe: what is refused, and what may not be changed once it is read."""

from typing import Any

import pytest
from pydantic import ValidationError

from fullstep_data.config import DataRecipe, MonteCarloLabels, OutcomeLabels

SMALL: dict[str, Any] = {
    "name": "small",
    "model": "m",
    "problems": {"source": {"kind": "file", "path": "a.jsonl"}},
    "samples": {"engine": {"kind": "scripted"}, "samples": 4},
}


def recipe(**changed: Any) -> DataRecipe:
    return DataRecipe.model_validate(SMALL | changed)


def test_the_defaults_are_the_papers() -> None:
    read = DataRecipe.model_validate(SMALL | {"samples": {"engine": {"kind": "scripted"}}})
    assert (read.samples.samples, read.pairs.top, read.pairs.score, read.step_labels.kind) == (32, 4, "mean", "outcome")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0])
def test_a_number_is_finite_and_not_negative(number: float) -> None:
    for samples in ({"temperature": number}, {"top_p": number}):
        with pytest.raises(ValidationError):
            recipe(samples=SMALL["samples"] | samples)
    with pytest.raises(ValidationError):
        recipe(solutions={"timeout_seconds": number})


def test_more_pairs_than_samples_are_refused_unless_the_solutions_are_given() -> None:
    with pytest.raises(ValidationError, match=r"pairs\.top = 5 is larger than samples\.samples = 4"):
        recipe(pairs={"top": 5})
    given = recipe(pairs={"top": 5}, samples={"engine": {"kind": "given", "path": "s.jsonl"}, "samples": 4})
    assert given.pairs.top == 5


@pytest.mark.parametrize("steps", [{"splitter": "regex"}, {"pattern": "Step"}, {"splitter": "newline", "pattern": "x"}])
def test_splitter_regex_and_pattern_go_together(steps: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="splitter regex and pattern go together"):
        recipe(steps=steps)
    assert recipe(steps={"splitter": "regex", "pattern": "x"}).steps.pattern == "x"


def test_a_recipe_that_was_read_does_not_change() -> None:
    read = recipe()
    with pytest.raises(ValidationError, match="frozen"):
        read.samples.samples = 8  # type: ignore[misc]  # that it is refused is the point


def test_a_broken_pattern_is_refused_before_anything_is_sampled() -> None:
    with pytest.raises(ValidationError, match="pattern is not a regular expression"):
        recipe(steps={"splitter": "regex", "pattern": "("})


def test_rollouts_need_an_engine_and_chance() -> None:
    labels = {"kind": "monte-carlo", "n": 4}
    given = {"engine": {"kind": "given", "path": "s.jsonl"}}
    with pytest.raises(ValidationError, match=r"step_labels\.engine is missing: solutions from a file"):
        recipe(samples=given, step_labels=labels)
    named = recipe(samples=given, step_labels=labels | {"engine": {"kind": "hf"}})
    assert isinstance(named.step_labels, MonteCarloLabels)
    with pytest.raises(ValidationError, match="temperature = 0 makes all rollouts of a prefix alike"):
        recipe(samples=SMALL["samples"] | {"temperature": 0}, step_labels=labels)
    assert recipe(samples=SMALL["samples"] | {"temperature": 0}).step_labels == OutcomeLabels()


@pytest.mark.parametrize("wrong", [{"n": 3}, {"policy": "lazy"}, {"budget": {"kind": "rollouts", "per_problem": 0}}])
def test_labels_of_no_known_kind_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        recipe(step_labels={"kind": "monte-carlo"} | wrong)
    with pytest.raises(ValidationError):
        recipe(step_labels={"kind": "outcome"} | wrong)


def test_the_kind_of_labels_may_be_called_source_as_it_once_was() -> None:
    assert recipe(step_labels={"source": "outcome"}).step_labels == OutcomeLabels()
    with pytest.raises(ValidationError):
        recipe(step_labels={"source": "outcome", "kind": "monte-carlo"})


JUDGE = {"kind": "judge", "engine": {"kind": "scripted"}}


def test_consensus_needs_somebody_to_agree_with() -> None:
    for wanted in ({"learn_from": "consensus"}, {"pairs": {"agreed": True, "top": 2}}):
        with pytest.raises(ValidationError, match="add side_labels"):
            recipe(**wanted)
        assert recipe(side_labels=[JUDGE], **wanted)


def test_a_judge_of_given_solutions_needs_an_engine() -> None:
    given = {"engine": {"kind": "given", "path": "s.jsonl"}}
    with pytest.raises(ValidationError, match="a judge's engine is missing"):
        recipe(samples=given, side_labels=[{"kind": "judge"}])
    assert recipe(samples=given, side_labels=[JUDGE])


def test_what_is_not_used_does_not_stand_in_the_manifest() -> None:
    """Datasets made before there were side labels keep their keys."""
    assert not {"side_labels", "learn_from"} & recipe().model_dump().keys()
    assert "agreed" not in recipe().pairs.model_dump()
    assert recipe(side_labels=[JUDGE], learn_from="consensus").model_dump()["learn_from"] == "consensus"
