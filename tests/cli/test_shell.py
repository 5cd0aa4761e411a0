"""The shell, with real key strokes through prompt_toolkit's own test input, and once in a real pseudo-terminal."""

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which

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
from tests.cli.commands import REPOSITORY

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


class Terminal:
    """`fs-data sql out/tiny` on a terminal of its own. seen: what it has printed since the last `type`."""

    def __init__(self, built: Path, state: Path) -> None:
        self.seen = ""
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "XDG_STATE_HOME": str(state), "TERM": "xterm", "PAGER": "less"}
        self._screen, screen = pty.openpty()
        termios.tcsetwinsize(screen, (24, 100))
        command = [sys.executable, "-m", "cli.data", "sql", "out/tiny"]
        self._process = subprocess.Popen(
            command, cwd=built, env=environment, stdin=screen, stdout=screen, stderr=screen, start_new_session=True
        )
        os.close(screen)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)

    def type(self, keys: str) -> None:
        self.seen = ""
        os.write(self._screen, keys.encode())

    def says(self, text: str, within: float = 20) -> None:
        """Wait until it has printed that."""
        until = time.monotonic() + within
        while text not in self.seen:
            assert time.monotonic() < until, self.seen
            if select.select([self._screen], [], [], 0.2)[0]:
                come = os.read(self._screen, 65536).decode(errors="replace")
                self.seen += come
                if "\x1b[6n" in come:
                    os.write(self._screen, b"\x1b[1;1R")  # where is the cursor? what a terminal answers

    def ends(self) -> int:
        return self._process.wait(timeout=20)


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


@pytest.mark.parametrize("word", ["exit", "quit;", r"\q"])
def test_words_of_other_shells_are_understood(version: Version, keys: PipeInput, capsys: pytest.CaptureFixture[str], word: str):
    keys.send_text(f"help\n{word}\n")
    run_shell(version)
    shown = capsys.readouterr().out
    assert "q comes back here" in shown
    assert "error" not in shown


def test_in_a_real_terminal_it_completes_pages_and_remembers(built: Path, tmp_path: Path):
    """A pseudo-terminal of 24 lines: Tab, an answer in less, q, and the history of another process."""
    if which("less") is None:
        pytest.skip("there is no less here")
    with Terminal(built, tmp_path) as terminal:
        terminal.says("fs>", within=60)
        terminal.type("SELECT count(*) + 1000 FROM step_sc\t")
        terminal.says("ores")
        terminal.type(";\r")
        terminal.says("2144")
        terminal.type("SELECT range + 70000 AS n FROM range(300);\r")
        terminal.says("70010")
        assert "70299" not in terminal.seen
        terminal.type("q")
        terminal.says("fs>")
        terminal.type("exit\r")
        assert terminal.ends() == 0
    with Terminal(built, tmp_path) as terminal:
        terminal.says("fs>", within=60)
        terminal.type("\x1b[A\x1b[A\x1b[A\r")
        terminal.says("2144")


@pytest.mark.parametrize(("text", "finished"), [("", True), ("SELECT 1", False), ("SELECT 1;\n", True), (".tables", True)])
def test_a_statement_is_finished_by_its_semicolon(text: str, finished: bool):
    assert is_finished(text) is finished
