"""Running command lines as a user writes them: in this process (`invoke`) or in one of their own (`spawn`)."""

import contextlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
from click.testing import CliRunner, Result

from cli.command import App
from cli.data import main as fs_data
from cli.train import main as fs_train

APPS: dict[str, App] = {"fs-data": fs_data, "fs-train": fs_train}
REPOSITORY = Path(__file__).parents[2]


def invoke(line: str, cwd: Path) -> Result:
    """Run `fs-data …` or `fs-train …` in folder `cwd`; what follows ` > ` is the file that takes the output."""
    line, _, target = line.partition(" > ")
    name, *arguments = shlex.split(line)
    with contextlib.chdir(cwd):
        result = CliRunner().invoke(APPS[name], arguments)
        if target:
            Path(target).write_text(result.stdout, encoding="utf-8")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def done(line: str, cwd: Path) -> Result:
    """Run a command that must succeed."""
    result = invoke(line, cwd)
    assert result.exit_code == 0, result.output
    return result


def spawn(line: str, cwd: Path) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    name, *arguments = shlex.split(line)
    module = {"fs-data": "cli.data", "fs-train": "cli.train"}[name]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def commands() -> dict[str, click.Command]:
    """Every command by its full name, the two groups included."""
    found: dict[str, click.Command] = {}
    for name, app in APPS.items():
        found[name] = app
        found |= {f"{name} {sub}": command for sub, command in app.commands.items()}
    return found


def examples(line: str) -> list[str]:
    """The examples in the help of a command."""
    lines = invoke(f"{line} --help", Path.cwd()).stdout.splitlines()
    start = lines.index("Examples:") + 1
    return [text.strip() for text in lines[start : lines.index("", start)]]
