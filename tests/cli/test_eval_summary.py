"""What an evaluation shows, from answers that can be counted by hand."""

from collections.abc import Sequence

import polars as pl
from rich.console import Group

from cli.eval_summary import eval_summary
from fullstep_data.config import Calibration, Platt
from schemas import TABLES
from tests.cli.test_render import shown


def answers(source: str = "sums", model: str = "m", start: int = 0, **rules: Sequence[bool | None]) -> pl.DataFrame:
    """rules: `sc_2` for sc@2; one verdict per problem. lowest_reward is 0.4 for the first problem, else 0.9."""
    rows = [
        {
            "problem_id": f"p{start + index}",
            "model": model,
            "decoding": rule.replace("_", "@"),
            "sample_index": 0,
            "source": source,
            "seed": 0,
            "question": f"q{start + index}",
            "gold": "1",
            "text": f"text of {rule}",
            "finish_reason": "eos",
            "tokens": 10,
            "answer": "1" if correct else "2",
            "answer_source": "boxed",
            "correct": correct,
            "grade_path": "timeout" if correct is None else "exact",
            "grader": "g",
            "sampler": "s",
            "n_samples": 1,
            "sampled_tokens": 25,
            "lowest_reward": 0.4 if index == 0 else 0.9,
        }
        for rule, verdicts in rules.items()
        for index, correct in enumerate(verdicts)
    ]
    return TABLES["predictions"].frame(rows)


def summary(
    frame: pl.DataFrame, *decode: str, threshold: float = 0.5, out: str | None = None, **more: tuple[Calibration, ...]
) -> str:
    blocks = eval_summary(frame, TABLES["rejects"].empty(), decode, threshold, more.get("calibrations", ()), out)
    return shown(Group(*blocks))


def line(text: str, *begin: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if tuple(line.split()[: len(begin)]) == begin)


def test_a_rule_s_row_has_accuracy_interval_and_cost() -> None:
    # 1 of 2: Wilson 9.5 % to 90.5 %. Of the one right answer one has a step below 0.5.
    found = line(summary(answers(greedy=[True, False]), "greedy"), "sums", "greedy")
    assert found == ["sums", "greedy", "1/2", "50.0%", "9.5%", "to", "90.5%", "10", "25", "1/1"]
    assert line(summary(answers(greedy=[True, False]), "greedy", threshold=0.3), "sums", "greedy")[-1] == "0/1"


def test_rules_stand_in_the_order_in_which_they_were_asked_for() -> None:
    text = summary(answers(greedy=[True], sc_1=[False], beam_1x1=[True]), "sc@1", "beam@1x1", "greedy")
    assert [row.split()[1] for row in text.splitlines() if row.strip().startswith("sums")] == ["sc@1", "beam@1x1", "greedy"]


def test_several_sets_have_a_row_each_and_one_together() -> None:
    both = pl.concat([answers("a", greedy=[True, True]), answers("b", start=2, greedy=[False, True, None])])
    text = summary(both, "greedy")
    assert line(text, "a", "greedy")[2] == "2/2"
    assert line(text, "b", "greedy")[2] == "1/3"
    assert line(text, "all", "sets", "greedy")[3] == "3/5"
    assert "1 answers could not be graded" in text


def test_curves_have_a_column_for_each_number_of_samples() -> None:
    samples = answers(sample=[True, False]).with_columns(problem_id=pl.lit("p0"), sample_index=pl.Series([0, 1], dtype=pl.Int32))
    text = summary(pl.concat([answers(sc_1=[True], sc_2=[False]), samples]), "sc@2")
    assert line(text, "sc")[:3] == ["sc", "100.0%", "0.0%"]
    # one of two samples is right: pass@1 = 1/2, pass@2 = 1
    assert line(text, "pass@k")[:3] == ["pass@k", "50.0%", "100.0%"]


def test_each_rule_is_tested_against_the_first() -> None:
    # Fixed 3, broken 0 of 4: p = 2 / 2^3 = 0.25, difference 3/4.
    text = summary(answers(greedy=[False, False, False, True], sc_1=[True] * 4), "greedy", "sc@1")
    found = line(text.split("Against greedy")[1], "sc@1")
    assert found[:2] == ["sc@1", "+75.0"]
    assert found[-3:] == ["3", "0", "0.25"]


def test_a_calibration_says_what_it_found() -> None:
    found = Calibration(score="min", curve=Platt(slope=1, intercept=0), base=0.4, weight=0.5, problems=80, gain=0.05, error=0.02)
    frame = answers(hybrid_1=[True]).with_columns(decoding=pl.lit("hybrid-min@1"))
    text = " ".join(summary(frame, "hybrid-min@1", calibrations=(found,)).split())
    assert "weight 0.5 (+5.0 points over sc out of fold" in text
    none = found.model_copy(update={"weight": 0.0})
    assert "hybrid votes as sc does" in " ".join(summary(frame, "hybrid-min@1", calibrations=(none,)).split())


def test_it_says_what_is_kept() -> None:
    assert "nothing is kept" in summary(answers(greedy=[True]), "greedy")
    assert "fs-train compare out/e OTHER" in summary(answers(greedy=[True]), "greedy", out="out/e")
