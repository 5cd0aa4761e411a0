"""The experiment: what is typed, what each seed's recipe is, and a whole small study that is stopped and goes on."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli.experiment import QUICK, RATES, Study, collect, seeds_of, settle, study_of
from cli.experiment_coverage import errors, selections, told_apart
from cli.experiment_injection import TAKEN
from cli.experiment_methods import Method, chosen
from cli.experiment_summary import ANSWERS, PRM, injections
from cli.experiment_world import World
from schemas import InputError
from tests.cli.commands import done, invoke

TYPED: dict[str, Any] = {
    "name": "arithmetic",
    "family": "facts,skill",
    "seeds": "2",
    "methods": "default",
    "rates": "3e-4,1e-4",
    "decode": "greedy,sc@4",
    "sets": "",
    "prm_sets": "",
}
OF_RECIPE: dict[str, Any] = {"name": "tiny", "family": None, "rates": None, "sets": "svamp,gsm8k"}


def typed(*, quick: bool = False, **changes: Any) -> Study:
    known = TYPED | {"inject": 0, "prms": ""} | changes
    return study_of(**known, test_problems=400, overrides=("pairs.top=2",), quick=quick, command="fs-train …")


def test_a_study_as_it_was_typed() -> None:
    study = typed()
    assert study.families == ("facts", "skill")
    assert study.rates == (1e-4, 3e-4)
    assert study.decode == ("greedy", "sc@4")
    assert study.methods == tuple(chosen("default"))
    assert len(RATES) == 5


def test_a_quick_one_is_smaller_and_keeps_what_was_set() -> None:
    study = typed(quick=True)
    assert (len(study.families), len(study.rates), study.test_problems) == (1, 1, 100)
    assert study.overrides == (*QUICK, "pairs.top=2")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"family": "fact"}, "there is no family 'fact'"),
        ({"rates": "fast"}, "a learning rate is a number"),
        ({"methods": "ppo"}, "there is no method 'ppo'"),
        ({"decode": "best"}, "best"),
        ({"sets": "gsm8k"}, "the bench makes its own test problems"),
        ({"prm_sets": "processbench"}, "the bench makes its own test problems"),
        (OF_RECIPE | {"sets": ""}, "a study of a recipe needs test problems"),
        (OF_RECIPE | {"family": "facts"}, "a recipe has no families"),
        (OF_RECIPE | {"quick": True}, "--quick is a size of the bench"),
        (OF_RECIPE | {"methods": "dpo,full-step-true"}, "need problems of the bench"),
        (OF_RECIPE | {"methods": "lengths"}, "need problems of the bench"),
        (OF_RECIPE | {"name": "tinny"}, "tinny"),
        (OF_RECIPE | {"prms": "labels"}, "only the bench decides under several PRMs"),
        ({"prms": "labels,dpo"}, "these methods have no PRM of their own"),
        ({"prms": "labels", "decode": "greedy,beam@2x2"}, "PRMs decide over samples, and no rule asks for any"),
        (OF_RECIPE | {"inject": 90}, "only the bench's base models can be taught a mistake"),
    ],
)
def test_what_is_none_is_refused(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what):
        typed(**changes)


def test_prms_are_named_by_method_or_group() -> None:
    """A group is those of its methods that have a PRM of their own."""
    assert typed(prms="labels,full-step-prm-800x4").prms == tuple(
        f"full-step-{name}" for name in ("mc2", "mc4", "mc8", "prm-800x4")
    )
    assert typed(prms="default").prms == typed().prms == ()


def test_a_study_of_a_recipe() -> None:
    """Its family is its name, its rate that of the recipe, and of a group it takes the methods that need no bench."""
    study = typed(**OF_RECIPE, prm_sets="processbench")
    assert (study.families, study.rates, study.sets) == (("tiny",), (1e-3,), ("svamp", "gsm8k"))
    assert study.prm_sets == ("processbench",)
    names = [one.name for one in study.methods]
    assert "full-step" in names
    assert not {"full-step-true", "step-dpo-oracle"} & set(names)
    assert typed(**OF_RECIPE | {"rates": "1e-5"}).rates == (1e-5,)


def test_seeds_are_counted_or_named() -> None:
    assert (list(seeds_of("2")), list(seeds_of("3-5"))) == ([0, 1], [3, 4, 5])
    for wrong in ("0", "5-3", "many", "-1"):
        with pytest.raises(InputError, match="these are no seeds"):
            seeds_of(wrong)


def test_a_folder_keeps_its_search(tmp_path: Path) -> None:
    """Seeds, families, methods and rules may be added; another grid, other tests or keys may not."""
    settle(tmp_path / "out", "arithmetic", typed())
    settle(tmp_path / "out", "arithmetic", typed(methods="gamma", family="skill", seeds="7", decode="bon@8"))
    settle(tmp_path / "misled", "arithmetic", typed(inject=90))
    for other in (0, 50):
        with pytest.raises(InputError, match="one search for all its methods") as told:
            settle(tmp_path / "misled", "arithmetic", typed(inject=other))
        assert len(told.value.examples) == 1
        assert told.value.examples[0].startswith("inject: 90, now")
    with pytest.raises(InputError, match="one search for all its methods"):
        settle(tmp_path / "out", "arithmetic", typed(inject=90))
    with pytest.raises(InputError, match="one search for all its methods") as caught:
        settle(tmp_path / "out", "arithmetic", typed(rates="1e-4,3e-4,1e-3"))
    assert caught.value.count == 1
    settle(tmp_path / "own", "tiny", typed(**OF_RECIPE))
    with pytest.raises(InputError, match="one search for all its methods"):
        settle(tmp_path / "own", "tiny", typed(**OF_RECIPE | {"sets": "svamp"}))
    assert caught.value.examples[0] == "rates: [0.0001, 0.0003], now [0.0001, 0.0003, 0.001]"


def test_results_of_an_older_version_are_not_mixed_in(tmp_path: Path) -> None:
    (tmp_path / "facts/seed-0/dpo").mkdir(parents=True)
    (tmp_path / "facts/seed-0/dpo/results.parquet").touch()
    with pytest.raises(InputError, match="results of an older fullstep"):
        settle(tmp_path, "arithmetic", typed())


@pytest.mark.slow
def test_a_study_is_stopped_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the test of the second method: what was finished stays as it was, and the rest is made."""
    line = "fs-train experiment arithmetic --quick --methods sft,dpo --decode greedy,sc@2 --out out"
    asked: list[str] = []
    test = World.test

    def stopped(self: World, one: Method | None, *rest: Any) -> pl.DataFrame:
        asked.append(one.name if one else "base")
        if asked == ["base", "sft", "dpo"]:
            raise KeyboardInterrupt
        return test(self, one, *rest)

    monkeypatch.setattr(World, "test", stopped)
    assert invoke(line, tmp_path).exit_code == 130
    first = tmp_path / "out/facts/seed-0/sft/results.parquet"
    made = first.stat().st_mtime_ns
    shown = done(line, tmp_path).stdout
    assert asked == ["base", "sft", "dpo", "dpo"]
    assert first.stat().st_mtime_ns == made
    assert "Methods, facts" in shown
    found = collect(tmp_path / "out")
    assert found["results"].sort("method").select("method", "decoding").unique(maintain_order=True).rows() == [
        ("base", "greedy"),
        ("base", "sc@1"),
        ("base", "sc@2"),
        ("dpo", "greedy"),
        ("sft", "greedy"),
    ]
    assert found["trials"].height == 2
    assert found["answers"].group_by("method").len()["len"].unique().to_list() == [found["results"]["test_n"][0]]
    assert (tmp_path / "out/results.png").is_file()
    assert found["figures"].filter(figure="samples right")["value"][0] > 0.1
    choice, by_truth = selections(tmp_path / "out").sort("selection").to_dicts()
    assert (choice["selection"], by_truth["selection"]) == ("mean-top4", "mean-top4, labels truth")
    assert 0 < choice["false"] < 0.2 < choice["problems"] < 1 < choice["chosen"]
    (apart,) = told_apart(tmp_path / "out").to_dicts()
    assert 0 <= apart["prm"] < apart["usual"] <= 1
    wrong = {row["method"]: row for row in errors(tmp_path / "out").to_dicts()}
    assert set(wrong) == {"base", "sft", "dpo"}
    assert 0.05 < wrong["base"]["often"] < 0.3
    assert 0 < wrong["base"]["few"] < 1


@pytest.mark.slow
def test_an_injected_mistake_is_looked_for_in_prm_and_answers(tmp_path: Path) -> None:
    """The base model has learnt it: it makes it nearly always, and so do its samples, which the PRM judges."""
    shown = done("fs-train experiment arithmetic --quick --inject 90 --methods dpo --out out", tmp_path).stdout
    assert "The injected mistake, PRMs" in shown
    figures = collect(tmp_path / "out")["figures"]
    made = injections(figures, ANSWERS).filter(method="base", figure=TAKEN)["value"][0]
    assert made > 0.75
    assert injections(figures, PRM).filter(figure="steps that make it, how many")["value"][0] > 0
    assert set(injections(figures, ANSWERS)["method"]) == {"base", "dpo"}
