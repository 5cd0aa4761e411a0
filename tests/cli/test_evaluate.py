"""`fs-train eval`: problems of a file in any form that a recipe reads, or a dataset's; kept or not, gone on with or not."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import polars as pl
import pytest

from cli import evaluate, train
from cli.progress import ProgressReporter
from fullstep_data import beam, calibration, config, prompts
from fullstep_data.store import open_version
from fullstep_train.prm import held_back
from schemas import InputError
from tests.cli.commands import done, invoke
from tests.models import tiny_model

EVAL = "fs-train eval --model tiny-random --max-tokens 2"
GSM8K = [
    {"question": "Ann has 2 apples and buys 3. How many?", "answer": "2 + 3 = <<2+3=5>>5\n#### 5"},
    {"question": "A book costs 1,200. Two?", "answer": "2 * 1200 = 2400\n#### 2,400"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(record) + "\n" for record in GSM8K))
    renamed = [{"body": record["question"], "final": record["answer"].split("#### ")[1]} for record in GSM8K]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(record) + "\n" for record in renamed))
    (tmp_path / "none.jsonl").write_text('{"question": "1 + 1?", "answer": null}\n')
    return tmp_path


def golds(folder: Path, options: str) -> list[str]:
    done(f"{EVAL} {options} --out kept", folder)
    rows = json.loads(done("fs-data sql kept 'SELECT gold FROM predictions ORDER BY gold' --format json", folder).stdout)
    return [row["gold"] for row in rows]


def test_a_file_in_the_form_of_a_well_known_data_set(folder: Path):
    assert golds(folder, "--problems test.jsonl --preset gsm8k") == ["2400", "5"]


def test_a_file_with_columns_of_its_own(folder: Path):
    assert golds(folder, "--problems own.jsonl --question body --answer final") == ["2,400", "5"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--problems own.jsonl", "no row has the column 'question', 'answer'"),
        ("--problems test.jsonl --preset gsm8k --question body", "preset 'gsm8k' already says which columns hold question"),
        ("--problems test.jsonl --preset svamp", "no row has the column 'Body'"),
        ("--problems test.jsonl --preset gsm", "'gsm' is not one of"),
        ("--problems nowhere", "there is no such file"),
        ("--sets gsm9k", "did you mean gsm8k"),
        ("--sets test.jsonl --preset gsm8k --decode sc@0", "numbers begin at 1"),
        ("--sets test.jsonl --preset gsm8k --decode bon@2", "chosen by a process-reward model, and none is named"),
        ("--sets test.jsonl --preset gsm8k --engine given,path=x", "answers no question anew"),
        ("--sets test.jsonl --preset gsm8k --engine hf,batchsize=3", "batchsize: Extra inputs"),
        ("--sets none.jsonl", "a question and a gold answer"),
        ("", "name the problems"),
        ("--samples x", "--samples stands instead of --model"),
    ],
)
def test_a_file_that_is_read_in_the_wrong_way_is_told(options: str, message: str, folder: Path):
    result = invoke(f"{EVAL} {options}", folder)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    "engine",
    [
        "server,url=https://ann:S3CRET@host/v1",
        "server,url=https://host/v1?key=S3CRET",
        "server,url=https://host/v1,api_key_env=S3CRET-key",
        "server,url=https://host/v1,S3CRET",
        "server,url=https://host/v1,key=S3CRET",
        "server,url=https://host/v1,concurrency=S3CRET",
        "https://ann:S3CRET@host/v1",
        "S3CRET",
    ],
)
def test_a_key_that_is_typed_with_the_engine_is_in_no_error(engine: str, folder: Path):
    result = invoke(f"{EVAL} --sets test.jsonl --preset gsm8k --engine {engine}", folder)
    assert result.exit_code == 2
    assert "this is no engine" in result.stderr
    assert "S3CRET" not in result.stderr + result.stdout


def test_a_dataset_needs_no_columns(built: Path):
    result = invoke(f"{EVAL} --problems out/tiny --preset gsm8k", built)
    assert result.exit_code == 2
    assert "this is a dataset" in result.stderr


def test_the_presets_and_chat_modes_are_those_of_the_recipe():
    assert get_args(train.Preset) == get_args(config.Preset)
    assert get_args(train.Chat) == get_args(prompts.Chat)
    assert get_args(train.Curve) == get_args(calibration.Kind)
    assert get_args(train.Splitter) == tuple(beam.STEP_ENDS)


@pytest.mark.parametrize(("out", "said"), [("", "with --out DIR"), ("--out kept", "parts of stage predictions")])
def test_an_interruption_says_what_is_kept(out: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    def press(self: ProgressReporter, name: str, *rest: object) -> None:
        if name == "predictions":
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressReporter, "stage_started", press)
    result = invoke(f"{EVAL} --problems test.jsonl --preset gsm8k {out}", folder)
    assert result.exit_code == 130
    assert said in result.stderr
    assert ("are kept" in result.stderr) == bool(out)


EVAL_TINY = "fs-train eval --sets out/tiny --prm out/tiny"
SCRIPTED = "fs-train eval --engine scripted --sets out/tiny --prm out/tiny --max-tokens 128"


def accuracies(place: Path, out: str) -> dict[str, float]:
    query = "SELECT decoding, avg(CAST(correct AS INTEGER)) AS share FROM predictions GROUP BY decoding"
    rows = json.loads(done(f"fs-data sql {out} '{query}' --format json", place).stdout)
    return {row["decoding"]: row["share"] for row in rows}


def test_every_rule_by_one_command_and_anew_over_what_it_stored(place: Path):
    text = done(f"{SCRIPTED} --decode greedy,sc@4,bon-min@4,beam@2x2 --out out/e", place).stdout
    for block in ("Accuracy", "By number of samples", "pass@k", "Against greedy", "beam@2x2", "doubted"):
        assert block in text
    first = accuracies(place, "out/e")
    assert {"greedy", "sample", "sc@2", "sc@4", "bon-min@1", "beam@2x2"} <= first.keys()
    done("fs-train eval --samples out/e --decode sc@4,wsc-mean@2 --out out/again", place)
    again = accuracies(place, "out/again")
    assert again.keys() == {"sample", "sc@1", "sc@2", "sc@4", "wsc-mean@1", "wsc-mean@2"}
    assert {rule: again[rule] for rule in ("sample", "sc@1", "sc@2", "sc@4")}.items() <= first.items()
    result = invoke("fs-train eval --samples out/e --decode sc@16", place)
    assert result.exit_code == 2
    assert "asks for 16 samples of each problem, and fewer are stored" in result.stderr
    assert "--decode sc@16 --out out/e" in result.stderr
    assert "asks the model" in invoke("fs-train eval --samples out/e --decode greedy", place).stderr


def test_a_vote_is_calibrated_on_the_samples_of_a_build(place: Path):
    text = done(f"{SCRIPTED} --decode sc@4,hybrid-min@4 --calibrate out/tiny --curve isotonic", place).stdout
    version = open_version(str(place / "out/tiny"))
    sampled = version.frame("solutions")["problem_id"].unique().to_list()
    held = held_back(sampled, version.manifest.models["prm"].config["validation_share"])
    assert 0 < len(held) < len(sampled)
    assert f"fitted on {len(held)} problems" in " ".join(text.split())  # not on those that the PRM has learnt from
    assert "warning" not in text
    assert "nothing to calibrate" in invoke(f"{SCRIPTED} --decode hybrid@4", place).stderr
    # the problems of the evaluation themselves
    done(f"{SCRIPTED} --decode bon-min@4 --out out/e", place)
    over = done(f"{SCRIPTED} --decode hybrid-min@4 --calibrate out/e", place).stdout
    assert "of these problems are among those that hybrid was calibrated on" in over


def test_there_is_nothing_to_calibrate_on_where_the_prm_has_learnt_from_all():
    record = SimpleNamespace(config={"validation_share": 0.0})
    version: Any = SimpleNamespace(place="out", manifest=SimpleNamespace(models={"prm": record}))
    with pytest.raises(InputError, match="nothing is left to calibrate on"):
        evaluate._unlearnt(version, pl.DataFrame({"problem_id": ["a", "b"]}))


def test_a_prm_with_another_tokenizer_is_refused(place: Path):
    tiny_model(place / "other", vocab_extra=["<extra>"])
    engines = ("hf", "vllm", "vllm,model=other", "server,url=http://127.0.0.1:9/v1,tokenizer=other")
    for engine in engines:  # told before anything is opened: no server listens there
        result = invoke(f"{EVAL_TINY} --engine {engine} --model other --decode bon@2 --max-tokens 4", place)
        assert result.exit_code == 2
        assert "the PRM has another tokenizer than the model" in result.stderr, engine


def test_so_it_is_over_stored_samples(place: Path):
    tiny_model(place / "other", vocab_extra=["<extra>"])
    done("fs-train eval --model other --sets out/tiny --limit 2 --decode sc@2 --max-tokens 4 --out out/others", place)
    result = invoke("fs-train eval --samples out/others --prm out/tiny --decode bon@2", place)
    assert result.exit_code == 2
    assert "the PRM has another tokenizer than the model" in result.stderr
    shutil.rmtree(place / "other")  # of a model that is gone nothing is known
    done("fs-train eval --samples out/others --prm out/tiny --decode bon@2", place)


def test_an_evaluation_in_which_nothing_is_answered_is_no_accuracy(place: Path):
    tiny_model(place / "short", context=16)
    result = invoke("fs-train eval --model short --sets out/tiny", place)
    assert result.exit_code == 2
    assert "no problem was answered" in result.stderr
    assert "prompt longer than the context: 11" in result.stderr
