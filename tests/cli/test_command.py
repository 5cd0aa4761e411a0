import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import hidden_modules
from cli.command import App, Command
from schemas.errors import InputError
from tests.cli.commands import REPOSITORY
from tests.interrupt import interrupted_query


@click.group("app", cls=App, examples=("app fail", "app fail --loud"))
def app() -> None:
    """An app for these tests."""


@app.command("fail", cls=Command, examples=("app fail 1", "app fail 2"))
@click.argument("how")
def fail(how: str) -> int:
    """Fails as told."""
    if how == "input":
        raise InputError("column q is missing", where="x.jsonl:3", count=7, examples=range(9), next_step="name the column")
    if how == "fault":
        raise ZeroDivisionError
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "query":
        interrupted_query()
    return int(how)


def test_a_users_mistake_is_one_block_and_exit_code_2():
    result = CliRunner().invoke(app, ["fail", "input"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "error: column q is missing",
        "  where: x.jsonl:3",
        "  count: 7",
        *(f"  example: {number}" for number in range(5)),
        "  next: name the column",
    ]


def test_a_fault_of_ours_keeps_its_traceback():
    assert isinstance(CliRunner().invoke(app, ["fail", "fault"]).exception, ZeroDivisionError)


@pytest.mark.parametrize("how", ["interrupt", "query"])
def test_an_interrupt_says_how_to_go_on_and_exits_130(how: str):
    result = CliRunner().invoke(app, ["fail", how])
    assert result.exit_code == 130
    assert "run the same command again" in result.stderr


def test_a_commands_number_is_the_exit_code():
    assert CliRunner().invoke(app, ["fail", "1"]).exit_code == 1
    assert CliRunner().invoke(app, ["fail", "0"]).exit_code == 0


def test_usage_errors_exit_with_2():
    result = CliRunner().invoke(app, ["fial"])
    assert result.exit_code == 2
    assert "fail" in result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["fail", "--help"]])
def test_help_opens_with_two_examples(arguments: list[str]):
    lines = CliRunner().invoke(app, arguments).stdout.splitlines()
    assert lines[0].startswith("Usage: app")
    assert lines[2] == "Examples:"
    assert [line.split()[0] for line in lines[3:5]] == ["app", "app"]
    assert lines.index("Options:") > 5


def test_sigterm_ends_a_command_like_ctrl_c():
    program = textwrap.dedent(
        """
        import time, click
        from cli.command import App
        @click.group("app", cls=App, examples=())
        def app(): pass
        @app.command("wait")
        def wait():
            print("ready", flush=True)
            time.sleep(60)
        app()
        """
    )
    command = [sys.executable, "-c", program, "wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "run the same command again" in errors


def test_nothing_of_ours_is_hidden_here():
    assert hidden_modules() == {}


def test_a_module_that_hides_ours_is_named(tmp_path: Path):
    (tmp_path / "schemas.py").write_text("")
    # -P keeps the current directory out; PYTHONPATH comes before the installed packages, as a user's own folder does.
    program = f"import sys; sys.path.append({str(REPOSITORY)!r}); import cli"
    result = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert str(tmp_path / "schemas.py") in result.stderr
    assert "rename that module" in result.stderr
