"""`fs-train compare`: two runs, before and after of one, two rules of one; and runs that cannot be compared."""

from pathlib import Path

import polars as pl
import pytest

from cli.compare import Sides, compare
from schemas import InputError
from tests.cli.commands import done, invoke
from tests.cli.test_eval_summary import answers


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> dict[str, pl.DataFrame]:
    """Runs by name, as frames of predictions."""
    found: dict[str, pl.DataFrame] = {}

    class Opened:
        number = 1

        def __init__(self, name: str) -> None:
            self.name = name

        def frame(self, table: str) -> pl.DataFrame:
            assert table == "predictions"
            return found[self.name]

    monkeypatch.setattr("cli.compare.open_version", Opened)
    return found


def printed(
    capsys: pytest.CaptureFixture[str], first: str, second: str | None = None, shown: int = 3, **sides: tuple[str, str]
) -> str:
    compare(first, second, Sides(**sides), shown)
    return capsys.readouterr().out


def cells(text: str, rule: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.strip().startswith(rule))


def test_two_runs_by_every_rule_that_both_have(runs: dict[str, pl.DataFrame], capsys: pytest.CaptureFixture[str]) -> None:
    # greedy: 2 of 4 against 3 of 4, fixed 2 (p1, p2), broken 1 (p3): p = 1. sc@2: equal. sc@1 is a point of its curve.
    runs["a"] = answers(model="x", greedy=[True, False, False, True], sc_1=[True] * 4, sc_2=[True] * 4, sc_4=[True] * 4)
    runs["b"] = answers(model="y", greedy=[True, True, True, False], sc_1=[True] * 4, sc_2=[True] * 4)
    text = printed(capsys, "a", "b")
    assert cells(text, "greedy")[:4] == ["greedy", "50.0%", "75.0%", "+25.0"]
    assert cells(text, "greedy")[-3:] == ["2", "1", "1"]
    assert cells(text, "sc@2")[1:4] == ["100.0%", "100.0%", "+0.0"]
    assert "sc@1" not in text
    assert "4 problems that both answered" in text
    lost = text.split("Right in the first, wrong in the second (greedy): 1 of 1")[1]
    assert lost.split() == ["q3", "gold", "1;", "first", "1;", "second", "2", "text", "of", "greedy"]


def test_problems_that_one_run_left_out_are_counted(runs: dict[str, pl.DataFrame], capsys: pytest.CaptureFixture[str]) -> None:
    runs["a"], runs["b"] = answers(greedy=[True] * 3), answers(greedy=[True] * 2, start=2)
    text = printed(capsys, "a", "b")
    assert "1 problem that both answered; 2 that only the first answered are left out; 1 that only the second" in text
    assert "too few problems" in text


def test_before_and_after_of_one_training(built: Path) -> None:
    text = done("fs-train compare out/tiny-run", built).stdout
    assert "first: out/tiny-run, before" in text
    assert "second: out/tiny-run, after" in text
    assert "second: out/tiny-run, before" in done("fs-train compare out/tiny-run --models after,before --show 0", built).stdout


def test_two_rules_of_one_evaluation(runs: dict[str, pl.DataFrame], capsys: pytest.CaptureFixture[str]) -> None:
    runs["a"] = answers(greedy=[False, True], sc_2=[True, True])
    found = cells(printed(capsys, "a", rules=("greedy", "sc@2")), "greedy")
    assert found[:6] == ["greedy", "→", "sc@2", "50.0%", "100.0%", "+50.0"]


def test_the_surest_mistakes_are_told_first_and_only_so_many(
    runs: dict[str, pl.DataFrame], capsys: pytest.CaptureFixture[str]
) -> None:
    runs["a"] = answers(sc_2=[True] * 3)
    runs["b"] = answers(sc_2=[False] * 3).with_columns(score=pl.Series([0.5, 0.9, 0.7]))
    text = printed(capsys, "a", "b", shown=2)
    assert "2 of 3" in text
    assert text.index("q1") < text.index("q2")
    assert "sure by 0.90" in text
    assert "q0" not in text
    assert "Right in the first" not in printed(capsys, "a", "b", shown=0)


def test_what_cannot_be_compared_is_told(runs: dict[str, pl.DataFrame]) -> None:
    runs["a"] = answers(greedy=[True])
    runs["empty"] = runs["a"].clear()
    runs["other rule"] = answers(sc_2=[True])
    runs["other problems"] = answers(start=5, greedy=[True])
    runs["many"] = pl.concat([answers(model=name, greedy=[True]) for name in "xyz"])
    for second, sides, message in (
        ("empty", {}, "holds no predictions"),
        ("other rule", {}, "share no decoding rule"),
        ("other problems", {}, "no problem in common"),
        ("many", {}, "several models"),
        (None, {}, "nothing to compare it with"),
        ("many", {"models": ("m", "q")}, "no answers of the model 'q'"),
        ("a", {"rules": ("greedy", "sc@8")}, "no answers by the rule 'sc@8'"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            compare("a", second, Sides(**sides))
        assert caught.value.next_step


def test_a_pair_of_names_is_a_pair(built: Path) -> None:
    result = invoke("fs-train compare out/tiny-run --models before", built)
    assert result.exit_code == 2
    assert "two names" in result.stderr
