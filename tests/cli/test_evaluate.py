"""`fs-train eval`: problems of a file in any form that a recipe reads, or a dataset's; kept or not, gone on with or not."""

import json
from pathlib import Path
from typing import get_args

import pytest

from cli import train
from cli.progress import ProgressReporter
from fullstep_data import config, prompts
from tests.cli.commands import done, invoke

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
    ],
)
def test_a_file_that_is_read_in_the_wrong_way_is_told(options: str, message: str, folder: Path):
    result = invoke(f"{EVAL} {options}", folder)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_dataset_needs_no_columns(built: Path):
    result = invoke(f"{EVAL} --problems out/tiny --preset gsm8k", built)
    assert result.exit_code == 2
    assert "this is a dataset" in result.stderr


def test_the_presets_and_chat_modes_are_those_of_the_recipe():
    assert get_args(train.Preset) == get_args(config.Preset)
    assert get_args(train.Chat) == get_args(prompts.Chat)


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
