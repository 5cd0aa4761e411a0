"""What a table promises, declared once: columns with type, doc and unit; a key; rules written as SQL.

From one `Table` come the Polars schema, the check of a frame (`violations`), the lock file that makes a silent change
fail a test (`fingerprint`), and the column table of docs and dataset cards (`markdown`).

    from schemas import TABLES
    TABLES["pairs"].check(frame, where="my pairs")   # raises ContractError, or returns the frame with columns in order
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import polars as pl

from schemas.errors import MAX_EXAMPLES, ContractError


@dataclass(frozen=True)
class Column:
    """One column. `unit` names what a number counts (characters, tokens, probability …); `values` closes a vocabulary."""

    name: str
    dtype: pl.DataType | type[pl.DataType]
    doc: str
    unit: str = ""
    nullable: bool = False
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A sentence that must hold in every row, as SQL that Polars and DuckDB both read. NULL counts as kept."""

    name: str
    sql: str


@dataclass(frozen=True)
class Reference:
    """Foreign key: each value of `columns` must exist in `table`, there as `targets` (default: under the same names)."""

    columns: tuple[str, ...]
    table: str
    targets: tuple[str, ...] = ()

    @property
    def target_columns(self) -> tuple[str, ...]:
        return self.targets or self.columns


@dataclass(frozen=True)
class Violation:
    """A rule that rows break: how many rows, and the keys of at most five of them."""

    rule: str
    count: int
    examples: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Table:
    """The contract of one table. `grain` says what a row is; `key` identifies it."""

    name: str
    version: int
    grain: str
    doc: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()
    references: tuple[Reference, ...] = ()

    @cached_property
    def polars_schema(self) -> pl.Schema:
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def empty(self) -> pl.DataFrame:
        """The table without rows."""
        return pl.DataFrame(schema=self.polars_schema)

    def frame(self, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
        """Rows given as dicts, as a frame of exactly this table's types. Absent nullable columns become null."""
        return pl.DataFrame(rows, schema=self.polars_schema, strict=True)

    def all_rules(self) -> Iterator[Rule]:
        """Every row rule, those that follow from the columns first."""
        for column in self.columns:
            if not column.nullable:
                yield Rule(f"{column.name} is not null", f'"{column.name}" IS NOT NULL')
            if column.values:
                values = ", ".join(f"'{value}'" for value in column.values)
                yield Rule(f"{column.name} is one of {', '.join(column.values)}", f'"{column.name}" IN ({values})')
        yield from self.rules

    def violations(self, frame: pl.DataFrame) -> list[Violation]:
        """Every rule that `frame` breaks; an empty list means it keeps the contract."""
        shape = self._shape_violations(frame)
        if shape:
            return shape
        # All rules and the key in one pass; what is broken is looked at again.
        rules, looks = self._looks
        *broken, repeats = frame.select(looks).row(0)
        found = [self._broken(frame, rule) for rule, count in zip(rules, broken, strict=True) if count]
        if repeats:
            repeated = frame.filter(pl.struct(self.key).is_duplicated())
            examples = repeated.select(self.key).unique(maintain_order=True).head(MAX_EXAMPLES).to_dicts()
            found.append(Violation(f"key ({', '.join(self.key)}) is unique", repeated.height, tuple(examples)))
        return found

    def check(self, frame: pl.DataFrame, where: str) -> pl.DataFrame:
        """`frame` with its columns in the contract's order; ContractError names the first broken rule and counts the others."""
        found = self.violations(frame)
        if not found:
            names = self.polars_schema.names()
            return frame if frame.columns == names else frame.select(names)
        first, *others = found
        also = "".join(f"; also broken: {violation.rule} ({violation.count})" for violation in others)
        raise ContractError(
            what=f"table {self.name}: rows break the rule: {first.rule}{also}",
            where=where,
            count=first.count,
            examples=[json.dumps(example, ensure_ascii=False, default=str) for example in first.examples],
            next_step=f"see the columns and rules of `{self.name}` in docs/tables.md",
        )

    def describe(self) -> dict[str, Any]:
        """The whole contract as plain JSON data: what the lock file in schemas/lock holds."""
        return {
            "name": self.name,
            "version": self.version,
            "grain": self.grain,
            "key": list(self.key),
            "columns": [
                {
                    "name": column.name,
                    "dtype": str(column.dtype),
                    "unit": column.unit,
                    "nullable": column.nullable,
                    "values": list(column.values),
                }
                for column in self.columns
            ],
            "rules": [{"name": rule.name, "sql": rule.sql} for rule in self.rules],
            "references": [
                {"columns": list(reference.columns), "table": reference.table, "targets": list(reference.target_columns)}
                for reference in self.references
            ],
        }

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of the contract; manifests carry it, so a reader knows whether it speaks the same language."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()[:16]

    def markdown(self) -> str:
        """The column table for docs and cards."""
        lines = ["| column | type | unit | null | meaning |", "|---|---|---|---|---|"]
        for column in self.columns:
            values = f" One of: {', '.join(f'`{value}`' for value in column.values)}." if column.values else ""
            null = "yes" if column.nullable else ""
            lines.append(f"| `{column.name}` | {column.dtype} | {column.unit} | {null} | {column.doc}{values} |")
        return "\n".join(lines)

    @cached_property
    def _looks(self) -> tuple[tuple[Rule, ...], list[pl.Expr]]:
        """All row rules; how many rows break each, and how many keys repeat, as expressions over the table."""
        rules = tuple(self.all_rules())
        counts = [_breaks(rule.sql).sum().alias(f"{place}") for place, rule in enumerate(rules)]
        key = pl.col(self.key[0]) if len(self.key) == 1 else pl.struct(self.key)
        return rules, [*counts, (pl.len() - key.n_unique()).alias("key")]

    def _shape_violations(self, frame: pl.DataFrame) -> list[Violation]:
        if frame.schema == self.polars_schema:
            return []
        found: list[Violation] = []
        for column in self.columns:
            if column.name not in frame.columns:
                found.append(Violation(f"column {column.name} is present", frame.height, ()))
            elif frame.schema[column.name] != column.dtype:
                rule = f"column {column.name} has type {column.dtype} (found {frame.schema[column.name]})"
                found.append(Violation(rule, frame.height, ()))
        extra = [name for name in frame.columns if name not in self.polars_schema]
        if extra:
            found.append(Violation(f"no columns beyond the contract (found {', '.join(extra)})", len(extra), ()))
        return found

    def _broken(self, frame: pl.DataFrame, rule: Rule) -> Violation:
        broken = frame.filter(_breaks(rule.sql))
        return Violation(rule.name, broken.height, tuple(broken.select(self.key).head(MAX_EXAMPLES).to_dicts()))


@cache
def _breaks(sql: str) -> pl.Expr:
    """Does a row break the rule?"""
    return ~pl.sql_expr(sql).fill_null(value=True)
