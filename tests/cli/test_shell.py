"""The shell, with real key strokes through prompt_toolkit's own test input."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.pager import Pager

from cli.shell import Names, columns_by_table, history_path, is_finished, open_session, run_shell
from fullstep_data.query import connect
from fullstep_data.store import Version, open_version

UP, CTRL_D, CTRL_C = "\x1b[A", "\x04", "\x03"


@pytest.fixture
def version(built: Path) -> Version:
    return open_version(str(built / "out/tiny"))


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PipeInput]:
    """Where a test types; the history is a file of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with create_pipe_input() as typed, create_app_session(input=typed, output=DummyOutput()):
        yield typed


class Shown(Pager):
    """A pager that notes what it was given."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    def show(self, content: str) -> None:
        self.pages.append(content)


def test_a_question_may_take_several_lines(version: Version, keys: PipeInput, capsys: pytest.CaptureFixture[str]):
    keys.send_text(f"SELECT count(*) AS n\nFROM samples;\n{CTRL_D}")
    run_shell(version)
    assert "296" in capsys.readouterr().out


def test_mistakes_are_told_and_the_shell_goes_on(version: Version, keys: PipeInput, capsys: pytest.CaptureFixture[str]):
    lines = ("SELEC 1;", "FROM nope;", "COPY pairs TO 'x.csv';", "FROM '/etc/passwd';", ".nope", ".columns nope", "SELECT 42;")
    keys.send_text("".join(f"{line}\n" for line in lines) + ".quit\n")
    run_shell(version)
    shown = capsys.readouterr().out
    assert shown.count("error: ") == 6
    assert "only queries that read are allowed" in shown
    assert "root:" not in shown
    assert "42" in shown


def test_dot_words(version: Version, keys: PipeInput, capsys: pytest.CaptureFixture[str]):
    keys.send_text(".tables\n.columns step_labels\n.help\n\n.exit\n")
    run_shell(version)
    shown = capsys.readouterr().out
    for word in ("preferences", "steps_wide", "n_rollouts", "Ctrl-D"):
        assert word in shown


def test_what_was_asked_comes_back_also_in_the_next_shell(version: Version, keys: PipeInput, capsys: pytest.CaptureFixture[str]):
    keys.send_text("SELECT 6 * 7 AS answer;\n.quit\n")
    run_shell(version)
    assert "SELECT 6 * 7 AS answer;" in history_path().read_text()
    capsys.readouterr()
    keys.send_text(f"{UP}{UP}\n.quit\n")
    run_shell(version)
    assert "42" in capsys.readouterr().out


def test_ctrl_c_gives_up_the_line(version: Version, keys: PipeInput, capsys: pytest.CaptureFixture[str]):
    keys.send_text(f"SELECT nonsense{CTRL_C}SELECT 42;\n{CTRL_D}")
    run_shell(version)
    shown = capsys.readouterr().out
    assert "42" in shown
    assert "error" not in shown


def test_long_answers_are_paged_and_short_ones_are_not(version: Version, keys: PipeInput, capsys: pytest.CaptureFixture[str]):
    pager = Shown()
    keys.send_text("SELECT 42;\nSELECT range FROM range(300);\n.quit\n")
    run_shell(version, pager)
    assert len(pager.pages) == 1
    assert "299" in pager.pages[0]
    assert "299" not in capsys.readouterr().out


def completions(names: dict[str, list[str]], text: str) -> list[str]:
    return [one.text for one in Names(names).get_completions(Document(text), CompleteEvent())]


def test_completion_knows_tables_columns_aliases_and_words(version: Version):
    with connect(version) as connection:
        names = columns_by_table(connection)
    assert names["pairs"] == version.frame("pairs").columns
    assert "preferences" in completions(names, "FROM pre")
    assert "SELECT" in completions(names, "sel")
    assert completions(names, "SELECT step_labels.n_r") == ["n_rollouts"]
    assert completions(names, "FROM step_labels AS l WHERE l.n_c") == ["n_correct"]
    assert completions(names, "FROM pairs p WHERE p.") == names["pairs"]
    assert completions(names, "SELECT unknown.") == []
    assert completions(names, "") == []
    assert isinstance(open_session(names).completer, Names)


def test_a_state_folder_that_cannot_be_written_costs_only_the_history(
    version: Version, keys: PipeInput, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/none")
    keys.send_text("SELECT 42;\n.quit\n")
    run_shell(version)
    assert "42" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "finished"), [("", True), ("SELECT 1", False), ("SELECT 1;\n", True), (".tables", True)])
def test_a_statement_is_finished_by_its_semicolon(text: str, finished: bool):
    assert is_finished(text) is finished
