"""An evaluation as a run of stages: which stages rules need, growth without new samples, and what is refused."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fullstep_data.check import check
from fullstep_data.config import Calibration, Columns, Platt, ScriptedEngine, SolutionsConfig
from fullstep_data.engines.protocol import Completion, Failure, Request
from fullstep_data.engines.scripted import ScriptedGenerator
from fullstep_data.evaluation import (
    EvalRecipe,
    Questions,
    StoredRecipe,
    asked,
    evaluation,
    require_prm,
    require_samples,
    scored_by,
    stored,
)
from fullstep_data.grading import GraderTool
from fullstep_data.runner import QuietReporter, run
from fullstep_data.sources.sets import FileForm
from fullstep_data.stage import Context, Tick, no_tick
from fullstep_data.store import Store, Version
from schemas import InputError
from tests.fullstep_data.test_beam import Adder

SUMS = [("What is 4 - 1 + 7?", "10"), ("What is 12 + 5 - 8?", "9"), ("What is 20 - 7 + 3?", "16")]


class Counting(ScriptedGenerator):
    """The scripted engine, which counts its requests."""

    asked = 0

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion | Failure]:
        Counting.asked += len(requests)
        return super().generate(requests, tick)


class Opened:
    """A tool that is there already."""

    def __init__(self, tool: Any) -> None:
        self.tool = tool

    def identity(self, models: Mapping[str, Path]) -> str:
        return self.tool.identity

    def open(self, models: Mapping[str, Path]) -> Any:
        return self.tool


TOOLS = {"generator": Opened(Counting(0.3)), "grader": GraderTool(SolutionsConfig()), "scorer": Opened(Adder())}


@pytest.fixture
def sums(tmp_path: Path) -> str:
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in SUMS))
    return str(file)


def recipe(sums: str, *decode: str, prm: str | None = "adder", **changes: Any) -> EvalRecipe:
    questions = Questions(sets=(sums,), problems_per_part=2)
    return EvalRecipe(model="m", prm=prm, decode=decode, questions=questions, engine=ScriptedEngine(), **changes)


def evaluated(recipe: EvalRecipe, folder: Path) -> Version:
    return run(evaluation(recipe), recipe, Store.create(folder), TOOLS, QuietReporter())


def counts(version: Version) -> dict[str, int]:
    return dict(version.frame("predictions")["decoding"].value_counts().iter_rows())


def test_one_pass_of_samples_serves_every_rule(sums: str, tmp_path: Path) -> None:
    Counting.asked = 0
    version = evaluated(recipe(sums, "greedy", "sc@8", "bon-min@8", "wsc-last@4"), tmp_path / "out")
    assert Counting.asked == 3 + 3 * 8
    at_n = (
        {f"sc@{n}": 3 for n in (1, 2, 4, 8)} | {f"bon-min@{n}": 3 for n in (1, 2, 4, 8)} | {f"wsc-last@{n}": 3 for n in (1, 2, 4)}
    )
    assert counts(version) == {"greedy": 3, "sample": 24, **at_n}
    assert check(version, evaluation(recipe(sums, "greedy", "sc@8", "bon-min@8", "wsc-last@4"))) == []
    assert version.frame("predictions")["lowest_reward"].null_count() == 0


def test_more_samples_and_other_rules_sample_only_what_is_missing(sums: str, tmp_path: Path) -> None:
    first = evaluated(recipe(sums, "sc@4", prm=None), tmp_path / "out")
    Counting.asked = 0
    again = evaluated(recipe(sums, "sc@4", prm=None), tmp_path / "out")
    assert (Counting.asked, again.number) == (0, first.number)
    evaluated(recipe(sums, "sc@8", "bon@8"), tmp_path / "out")
    assert Counting.asked == 3 * 4
    samples = [tuple(row) for row in first.frame("samples").select("problem_id", "sample_index", "text").rows()]
    later = Store.open(tmp_path / "out").version().frame("samples").select("problem_id", "sample_index", "text").rows()
    assert set(samples) < set(later)


def test_a_search_has_a_part_for_each_rule(sums: str, tmp_path: Path) -> None:
    version = evaluated(recipe(sums, "beam@2x2", "beam-last@1x3"), tmp_path / "out")
    assert counts(version) == {"beam@2x2": 3, "beam-last@1x3": 3}
    assert list(version.tables) == ["problems", "predictions", "rejects"]
    assert check(version, evaluation(recipe(sums, "beam@2x2", "beam-last@1x3"))) == []


def test_sampling_settings_and_the_template_decide_the_answers(sums: str, tmp_path: Path) -> None:
    keys = set()
    changes: list[dict[str, Any]] = [{}, {"temperature": 0.5}, {"top_p": 0.9}, {"max_tokens": 100}, {"seed": 1}]
    for place, change in enumerate(changes):
        version = evaluated(recipe(sums, "sc@1", "beam@1x1", **change), tmp_path / str(place))
        keys.add(tuple(part.key for part in version.manifest.tables["predictions"].parts))
    assert len(keys) == len(changes)
    assert len({key for of_one in keys for key in of_one}) == sum(map(len, keys))


def test_rules_over_stored_samples_ask_no_model(sums: str, tmp_path: Path) -> None:
    upstream = evaluated(recipe(sums, "sc@8", "bon-min@8"), tmp_path / "out")
    Counting.asked = 0
    again = StoredRecipe(model="m", prm="adder", decode=("sc@4", "wsc-min@8"), split="test", rescore=False)
    version = run(stored(again), again, Store.create(tmp_path / "new"), TOOLS, QuietReporter(), upstream=upstream)
    assert Counting.asked == 0
    assert counts(version) == {"sample": 24, "sc@1": 3, "sc@2": 3, "sc@4": 3} | {f"wsc-min@{n}": 3 for n in (1, 2, 4, 8)}
    same = upstream.frame("predictions").filter(decoding="sc@4").select("problem_id", "sample_index", "correct")
    assert version.frame("predictions").filter(decoding="sc@4").select(same.columns).equals(same)


def test_stored_samples_can_be_rewarded_anew(sums: str, tmp_path: Path) -> None:
    class Other(Adder):
        identity = "other"

        def _one(self, step: str) -> float:
            return 1 - super()._one(step)

    upstream = evaluated(recipe(sums, "bon-mean@8"), tmp_path / "out")
    assert scored_by(upstream) == ["adder"]
    again = StoredRecipe(model="m", prm="other", decode=("bon-mean@8",), split="test", rescore=True)
    tools = {**TOOLS, "scorer": Opened(Other())}
    version = run(stored(again), again, Store.create(tmp_path / "new"), tools, QuietReporter(), upstream=upstream)
    assert scored_by(version) == ["other"]
    # the worst of eight by one PRM are the best by the other
    right, wrong = (one.frame("predictions").filter(decoding="bon-mean@8")["correct"].sum() for one in (upstream, version))
    assert right > wrong


def test_more_samples_than_stored_says_how_to_top_up(sums: str, tmp_path: Path) -> None:
    solutions = evaluated(recipe(sums, "sc@4", prm=None), tmp_path / "out").frame("solutions")
    require_samples(solutions, ("sc@4", "bon@2"), "out", "fs-train eval")
    fewer = solutions.filter((solutions["problem_id"] != solutions["problem_id"][0]) | (solutions["sample_index"] < 1))
    with pytest.raises(InputError, match="asks for 16 samples of each problem, and fewer are stored") as caught:
        require_samples(fewer, ("sc@16",), "out", "fs-train eval … --decode sc@16")
    assert caught.value.count == 3
    assert caught.value.examples == ["1 problems with 1", "2 problems with 4"]
    assert "fs-train eval … --decode sc@16" in caught.value.next_step


@pytest.mark.parametrize("decode", ["bon@8", "wsc-min@2", "beam@2x2", "sc@8,bon-last@1"])
def test_rules_that_a_prm_chooses_by_need_one(decode: str) -> None:
    with pytest.raises(InputError, match="none is named"):
        require_prm(decode.split(","), None, calibrated=False)
    require_prm(decode.split(","), "prm", calibrated=False)


def test_a_hybrid_needs_something_to_calibrate_on(sums: str) -> None:
    with pytest.raises(InputError, match="nothing to calibrate") as caught:
        evaluation(recipe(sums, "hybrid-min@4"))
    assert "--calibrate" in caught.value.next_step
    found = Calibration(score="min", curve=Platt(slope=1, intercept=0), base=0.5, weight=1, problems=3)
    assert [stage.name for stage in evaluation(recipe(sums, "hybrid-min@4", calibrations=(found,)))][-1] == "predictions_sampled"


def read(*sets: str, **form: Any) -> Any:
    return asked(Context(Questions(sets=sets, form=FileForm(**form)), {}))


def test_a_question_of_two_sets_is_asked_once(sums: str, tmp_path: Path) -> None:
    other = tmp_path / "more.jsonl"
    other.write_text('{"question": "What is 4 - 1 + 7?", "answer": "10"}\n{"question": "What is 1 + 1?", "answer": "2"}\n')
    found = read(sums, str(other))
    assert found.rows["source"].to_list() == ["sums.jsonl"] * 3 + ["more.jsonl"]
    assert set(found.rows["split"]) == {"test"}
    assert found.rejects.select("key", "reason", "detail").rows() == [
        ("more.jsonl/1", "question of an earlier set", "What is 4 - 1 + 7?")
    ]


def test_a_limit_is_of_each_set(sums: str) -> None:
    assert read(sums, "builtin:sums.jsonl", limit=2).rows["source"].to_list() == ["sums.jsonl"] * 2 + ["builtin:sums.jsonl"] * 2


def test_a_set_without_gold_answers_is_refused_and_single_ones_are_left_out(sums: str, tmp_path: Path) -> None:
    none = tmp_path / "none.jsonl"
    none.write_text('{"question": "1 + 1?", "answer": null}\n{"question": "1 + 2?", "answer": ""}\n')
    with pytest.raises(InputError, match="a question and a gold answer") as caught:
        read(sums, str(none))
    assert caught.value.count == 2
    assert "no gold answer (2 rows" in str(caught.value.examples[0])
    with pytest.raises(InputError, match="no row has the column 'gold'"):
        read(sums, columns=Columns(answer="gold"))
    some = tmp_path / "some.jsonl"
    some.write_text('{"question": "1 + 1?", "answer": null}\n{"question": "1 + 2?", "answer": "3"}\n')
    assert read(str(some)).rejects["reason"].to_list() == ["no gold answer"]
