"""docs/tables.md out of the contract: `python -m schemas.docs > docs/tables.md`; a test compares."""

import sys

from schemas import TABLES
from schemas.table import Table

HEAD = """# Tables

Made from the contract in `schemas/` by `python -m schemas.docs > docs/tables.md`. Every table is also a SQL view
of the same name: `fs-data sql DIR "SELECT * FROM pairs"`. Rules are SQL: `SELECT * FROM steps WHERE NOT (stop > start)` finds
rows that break one.
"""


def page() -> str:
    """The whole page as Markdown."""
    return HEAD + "".join(_section(table) for table in TABLES.values())


def _section(table: Table) -> str:
    lines = [
        "",
        f"## {table.name}",
        "",
        f"{table.doc}",
        "",
        f"One row per {table.grain.removeprefix('one ')}. Key: {_names(table.key)}.",
    ]
    for reference in table.references:
        lines.append(f"{_names(reference.columns)} → `{reference.table}` ({_names(reference.target_columns)}).")
    lines += ["", table.markdown(), ""]
    lines += [f"- {rule.name}: `{rule.sql}`" for rule in table.rules]
    return "\n".join(lines).rstrip() + "\n"


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(f"`{column}`" for column in columns)


if __name__ == "__main__":
    sys.stdout.write(page())
