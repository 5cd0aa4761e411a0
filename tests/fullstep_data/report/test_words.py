from typing import Any

import polars as pl
import pytest

from cli.recipe import load
from fullstep_data.report.queries import facts
from fullstep_data.report.words import FIGURES, LACKING, figures, lead, notes, percent, settings
from tests.fullstep_data.report.conftest import Connected


def found(connected: Connected, **totals: Any) -> dict[str, pl.DataFrame]:
    """The frames of an empty version, with some totals set."""
    frames = facts(connected(), "mean")
    return {**frames, "totals": frames["totals"].with_columns(**{name: pl.lit(value) for name, value in totals.items()})}


def test_the_first_sentences(connected: Connected):
    sampled = {"problems": 10, "held_out": 2, "solutions": 64, "sampled": 8, "right_ones": 16}
    frames = found(connected, **sampled, pairs=1, paired=1, in_order=1.0, rejected=3)
    assert " ".join(lead(frames)).replace("\u00a0", " ") == (
        "10 problems, 2 of them held out for evaluation. 64 solutions to 8 of them, 25 % right. "
        "1 pair on 1 problem; the right solution scores higher in 100 % of them. 3 records were dropped on the way."
    )


def test_of_nothing_little_is_said(connected: Connected):
    assert lead(found(connected)) == ["0 problems."]


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0 %"), (1, "100 %"), (0.5, "50 %"), (0.0004, "less than 0.1 %"), (0.9996, "more than 99.9 %"), (0.1234, "12.3 %")],
)
def test_a_part_is_never_rounded_to_none_or_all(share: float, said: str):
    assert percent(share).replace("\u00a0", " ") == said


def test_what_is_lacking_is_said(connected: Connected):
    rows = dict.fromkeys(LACKING, 5)
    assert notes(rows, found(connected)) == []
    assert notes({**rows, "pairs": 0}, found(connected)) == [
        "The table pairs has no rows: no pairs, margins or pairs per problem."
    ]
    del rows["step_scores"]
    (note,) = notes(rows, found(connected))
    assert note.startswith("There is no table step_scores in this version")


def test_two_scorers_are_said(connected: Connected):
    (note,) = notes(dict.fromkeys(LACKING, 5), found(connected, scorers=2))
    assert note == "step_scores holds rows of 2 scorers; the charts show the one with the most rows."


def test_captions_tell_what_was_counted(connected: Connected):
    frames = {**found(connected, in_order=0.75), "auc": pl.DataFrame({"auc": [0.875]})}
    said = {figure.name: figure.caption for figure in figures(frames)}
    assert said["scores"].endswith("in 87.5\u00a0% of all such couples (AUC 0.875).")
    assert said["margins"].endswith("They are 25\u00a0% of all.")
    empty = {figure.name: figure for figure in figures(found(connected))}
    assert empty["scores"].caption == "It takes right and wrong solutions with scores to compare them."
    assert not any(figure.drawn for figure in empty.values())


def test_charts_of_changes_stand_only_where_versions_are_compared(connected: Connected):
    frames = found(connected)
    assert {figure.section for figure in figures(frames)} == {"rewards", "solutions", "pairs"}
    both = {**frames, "rewards_changed": pl.DataFrame(), "drift": pl.DataFrame()}
    assert [figure.name for figure in figures(both)] == [figure.name for figure in FIGURES]


def test_settings_are_keys_that_recipes_have():
    recipe = load("tiny", ('step_labels={kind="monte-carlo", n=4}',)).model_dump(mode="json")
    assert settings(recipe) == [
        ("sampled by", "scripted"),
        ("samples of a problem", "8"),
        ("temperature", "1.0"),
        ("steps cut at", "step-label"),
        ("labels", "monte-carlo"),
        ("rollouts of a step", "4"),
        ("score of a solution, of step rewards", "mean"),
        ("best and worst of a problem paired", "3"),
    ]


def test_settings_are_those_of_the_recipe():
    recipe = {"samples": {"engine": {"kind": "hf"}, "samples": 32}, "pairs": {"top": 4}, "steps": "odd"}
    assert [value for _, value in settings(recipe)] == ["hf", "32", "4"]
    assert settings(None) == []
