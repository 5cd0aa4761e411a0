"""Names of labellers, and what a judge's section may say."""

import pytest
from pydantic import ValidationError

from fullstep_data.label_config import JudgeLabels, MonteCarloLabels, labeller_of
from tests.fullstep_data.test_config import JUDGE, recipe


def test_labellers_have_names_of_their_own() -> None:
    read = recipe(
        side_labels=[JUDGE, JUDGE | {"threshold": 0.7}, JUDGE | {"name": "x"}, {"kind": "outcome"}],
        step_labels=JUDGE | {"name": "y"},
    )
    assert [labeller_of(labels) for labels in (read.step_labels, *read.side_labels)] == [
        "judge y judge-yes-no threshold=0.5",
        "judge judge-yes-no threshold=0.5",
        "judge judge-yes-no threshold=0.7",
        "judge x judge-yes-no threshold=0.5",
        "outcome",
    ]
    for twice in ([JUDGE, JUDGE], [{"kind": "outcome"}]):
        with pytest.raises(ValidationError, match="two labellers are called"):
            recipe(side_labels=twice)
    assert labeller_of(MonteCarloLabels(n=4, pooled=True)) == "monte-carlo n=4 early-stop pooled"


@pytest.mark.parametrize(
    "wrong", [{"threshold": 0}, {"threshold": 1}, {"top": 1}, {"name": ""}, {"engine": {"kind": "given", "path": "x"}}]
)
def test_a_judge_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        JudgeLabels.model_validate(wrong)


def test_a_judge_has_a_judge_s_template_unless_told() -> None:
    assert JudgeLabels.model_validate({"prompt": {"chat": "never"}}).prompt.template == "judge-yes-no"
    named = JudgeLabels.model_validate({"prompt": {"template": "my/own-judge.toml"}, "threshold": 0.25})
    assert labeller_of(named) == "judge own-judge threshold=0.25"
