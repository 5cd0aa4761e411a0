"""docs/cli.md, made from the commands themselves, so that the page and `--help` cannot differ.

python -m cli.reference > docs/cli.md
"""

from collections.abc import Iterator

import click

from cli.data import main as fs_data
from cli.train import main as fs_train

WIDTH = 110

HEAD = """# Commands

Made by `python -m cli.reference > docs/cli.md`; a test compares. Each section is what `--help` prints.

Exit codes: 0 done; 1 `fs-data check` or `audit` found something; 2 a mistake that the message explains; 130 interrupted (Ctrl-C
or SIGTERM).
Progress and errors go to standard error, results to standard output.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join((HEAD, *(section for app in (fs_data, fs_train) for section in _sections(app))))


def _sections(app: click.Group) -> Iterator[str]:
    context = _context(app, app.name or "", None)
    yield f"## {app.name}\n\n```text\n{app.get_help(context)}\n```\n"
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        if command is not None:
            yield f"### {app.name} {name}\n\n```text\n{command.get_help(_context(command, name, context))}\n```\n"


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)


if __name__ == "__main__":
    print(reference(), end="")
