"""The methods: each is keys of a recipe, differs from every other, and names what it starts from."""

import pytest

from cli.experiment_methods import METHODS, chosen, groups, method
from cli.recipe import load
from schemas import InputError


@pytest.mark.parametrize("one", METHODS, ids=lambda one: one.name)
def test_every_method_is_a_recipe_of_its_own(one) -> None:
    recipe = load("arithmetic", (*one.data, *one.policy))
    begins = (one.needs, one.prm)
    others = [other for other in METHODS if other.name != one.name and (other.needs, other.prm) == begins]
    # nor is gamma 0.5 listed twice: no two recipes are the same
    assert all(load("arithmetic", (*other.data, *other.policy)) != recipe for other in others)
    assert all(METHODS.index(method(name)) < METHODS.index(one) for name in one.needs)
    assert not one.prm or load("arithmetic", one.prm) != recipe


def test_names_and_groups_are_chosen_with_what_they_start_from() -> None:
    assert [one.name for one in chosen("sft-dpo")] == ["sft", "sft-dpo"]
    assert [one.name for one in chosen("rounds-dpo")] == ["round-1", "round-2", "round-3", "rounds-dpo"]
    assert [one.name for one in chosen("gamma, base")] == [one.name for one in METHODS if one.group == "gamma"]
    assert {one.group for one in chosen(",".join(groups()))} == set(groups())


def test_a_page_shows_all_that_a_method_changes() -> None:
    changes = method("round-2").changes
    assert changes[-2:] == ("policy.base = that of round-1", "samples.engine.model = that of round-1")
    assert "policy.objective.kind=sft" in changes
    assert "problems.source.size=800" in method("full-step-prm-800x4").changes[-1]


def test_which_methods_have_a_prm_of_their_own() -> None:
    """Other problems, or labels by rollouts or votes; not where labels are the rewards. A PRM of true labels knows the truth."""
    own = {one.name for one in METHODS if one.has_prm}
    assert method("full-step-prm-true").knows_truth
    assert own == {
        f"full-step-{name}" for name in ("mc2", "mc4", "mc8", "prm-100x32", "prm-400x8", "prm-800x4", "prm-true", "vote")
    }


def test_an_unknown_name_is_told_a_near_one() -> None:
    with pytest.raises(InputError, match="no method 'full-stp'") as caught:
        chosen("full-stp")
    assert "did you mean full-step?" in caught.value.next_step
