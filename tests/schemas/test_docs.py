"""The page about the tables is the contract's own words."""

from pathlib import Path

from schemas import TABLES
from schemas.docs import page


def test_the_page_is_up_to_date():
    written = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m schemas.docs > docs/tables.md"


def test_every_column_of_every_table_is_on_the_page():
    text = page()
    for table in TABLES.values():
        section = text.split(f"\n## {table.name}\n")[1].split("\n## ")[0]
        assert all(f"| `{column.name}` |" in section for column in table.columns)
