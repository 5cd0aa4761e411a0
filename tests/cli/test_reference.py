from pathlib import Path

from cli.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_docs_are_what_the_commands_say():
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: python -m cli.reference > docs/cli.md"
