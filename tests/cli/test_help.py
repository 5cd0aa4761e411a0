from pathlib import Path

import pytest

from tests.cli.commands import commands, done, examples, invoke

EVERY = sorted(commands())
HEAVY = ("build demo", "run demo", "experiment arithmetic")
"""Examples that sample or train a real model are left to `make demo` and slow tests."""
HUB = "fs-data pull"
"""Its examples ask a Hub: tests/cli/test_hub.py runs them against our own."""


@pytest.mark.parametrize("line", EVERY)
def test_help_opens_with_two_examples_of_the_command_itself(line: str):
    shown = invoke(f"{line} --help", Path.cwd()).stdout.splitlines()
    assert shown[2] == "Examples:"
    found = examples(line)
    assert len(found) == 2
    assert all(example.startswith(line) for example in found)
    assert shown.index("Options:") > shown.index(f"  {found[1]}")


@pytest.mark.parametrize("example", sorted({example for line in EVERY for example in examples(line)}))
def test_examples_run(example: str, place: Path):
    if any(heavy in example for heavy in HEAVY):
        pytest.skip("needs a real model")
    if example.startswith(HUB):
        pytest.skip("needs a Hub")
    done(example, place)


@pytest.mark.parametrize("line", EVERY)
def test_help_has_no_line_beyond_the_terminal(line: str):
    shown = invoke(f"{line} --help", Path.cwd()).stdout
    prose = shown[shown.index("\n\n  ") :]
    assert max(map(len, prose.splitlines())) <= 80
