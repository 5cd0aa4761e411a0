"""The shell that `fs-data sql DIR` opens on a terminal: one connection, history, completion, paging.

run_shell(open_version("out/tiny"))

A statement ends with `;` and may take several lines. Words that begin with a dot are the shell's own: `.help` lists them.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from rich.console import Group, RenderableType
from rich.pager import Pager
from rich.text import Text

from cli.render import console
from cli.sql import as_table
from fullstep_data.query import Parts, connect, pieces, split
from fullstep_data.store import Version
from schemas import InputError

HELP = """\
SELECT …;        a question: it ends with ; and may take several lines
.tables          the tables and views
.columns TABLE   the columns of one
.quit            leave (also Ctrl-D)
Tab completes names, the arrow keys bring back what was asked before, Ctrl-C gives up a line or a long question.
An answer longer than the screen is paged: space goes on, q comes back here."""

LEAVE = (".quit", ".exit", "quit", "exit", r"\q")
HELPED = ("help", "?", r"\?")
"""Words of other shells that leave or ask for help; they are no SQL."""

KEYWORDS = (
    *("SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "JOIN", "LEFT JOIN", "USING", "ON", "AND", "OR", "NOT", "AS"),
    *("WITH", "DISTINCT", "HAVING", "DESC", "CASE", "WHEN", "THEN", "ELSE", "END", "FILTER", "COUNT", "AVG", "SUM", "MIN", "MAX"),
    *("SUMMARIZE", "DESCRIBE", "EXPLAIN", "UNION ALL", "IS NULL", "QUALIFY", "OVER", "PARTITION BY", "ROUND", "QUANTILE_CONT"),
)
_WORD = re.compile(r"[\w.]+")
_ALIAS = r"\b(\w+)\s+(?:AS\s+)?{alias}\b"


def run_shell(version: Version, pager: Pager | None = None, parts: Parts | None = None) -> None:
    """Ask and answer until the user leaves. pager: what shows an answer that is longer than the screen; None: the system's."""
    out = console()
    out.print(Text(f"{version.place}, version {version.number}; .help for help, .quit to leave", style="dim"), soft_wrap=True)
    with connect(version, parts) as connection:
        names = columns_by_table(connection)
        session = open_session(names)
        while True:
            try:
                text = session.prompt("fs> ", prompt_continuation="  > ").strip()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            if text.removesuffix(";") in LEAVE:
                return
            for answer in answers(connection, version, names, text):
                show(answer, pager)


def columns_by_table(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """The columns of every table and view."""
    found: dict[str, list[str]] = {}
    rows = connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns ORDER BY table_name, ordinal_position"
    )
    for table, column in rows.fetchall():
        found.setdefault(table, []).append(column)
    return found


def answers(
    connection: duckdb.DuckDBPyConnection, version: Version, names: dict[str, list[str]], text: str
) -> Iterable[RenderableType]:
    """What to show for one input: answers, what a dot word asks for, or what is wrong. Ctrl-C ends a long query only."""
    try:
        if text.startswith(".") or text in HELPED:
            yield dot_word(names, ".help" if text in HELPED else text)
            return
        for statement in split(text):
            yield Group(*as_table(pieces(connection, version, statement)))
    except InputError as error:
        yield Text.assemble(("error", "bold red"), f": {error}")
    except KeyboardInterrupt:
        yield Text("interrupted", style="dim")


def dot_word(names: dict[str, list[str]], text: str) -> RenderableType:
    """The answer to `.tables` and the like. InputError: there is no such word or table."""
    word, _, rest = text.partition(" ")
    if word == ".help":
        return Text(HELP)
    if word == ".tables":
        return Text("\n".join(names))
    if word == ".columns" and rest.strip().rstrip(";") in names:
        return Text("\n".join(names[rest.strip().rstrip(";")]))
    if word == ".columns":
        raise InputError(f"there is no table {rest.strip()!r}", next_step=f"one of {', '.join(names)}")
    raise InputError(f"{word} is no word of this shell", next_step=".help lists them; a question in SQL begins without a dot")


def show(answer: RenderableType, pager: Pager | None = None) -> None:
    """Print, or page what is longer than the screen."""
    out = console()
    lines = len(out.render_lines(answer, pad=False))
    if lines < out.height:
        out.print(answer)
        return
    with out.pager(pager):
        out.print(answer)


def open_session(names: dict[str, list[str]]) -> "PromptSession[str]":
    """A prompt with history and completion. Enter sends what is finished (`;` or a dot word), and else begins a line."""
    keys = KeyBindings()

    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    session: PromptSession[str] = PromptSession(
        history=history(), completer=Names(names), complete_while_typing=False, multiline=True, key_bindings=keys
    )
    finished = Condition(lambda: is_finished(session.default_buffer.text))
    keys.add("enter", filter=finished)(send)
    return session


def is_finished(text: str) -> bool:
    """Is nothing missing before it can be run?"""
    stripped = text.strip()
    return not stripped or stripped.endswith(";") or stripped.startswith(".") or stripped in (*LEAVE, *HELPED)


def history() -> History:
    """What was asked before, kept in the user's state folder; only in memory where that cannot be written."""
    path = history_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


def history_path() -> Path:
    """$XDG_STATE_HOME/fullstep/sql_history, by default under ~/.local/state."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "fullstep" / "sql_history"


class Names(Completer):
    """Completes tables, columns and SQL words; after `table.` or `alias.` the columns of that table, and nothing else."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self._names = names
        columns = sorted({column for found in names.values() for column in found})
        self._words = [*names, *columns, *KEYWORDS]

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        word = document.get_word_before_cursor(pattern=_WORD)
        table, dot, begun = word.rpartition(".")
        words: Any = self._names.get(self._table(table, document.text), ()) if dot else self._words
        for candidate in words:
            if (begun and candidate.lower().startswith(begun.lower())) or (dot and not begun):
                yield Completion(candidate, start_position=-len(begun))

    def _table(self, name: str, text: str) -> str:
        """The table behind a name, which may be an alias: FROM steps AS s."""
        if name in self._names:
            return name
        found = re.findall(_ALIAS.format(alias=re.escape(name)), text, re.IGNORECASE) if name else []
        return next((table for table in found if table in self._names), "")
