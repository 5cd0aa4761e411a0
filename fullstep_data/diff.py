"""What changed from one version to another: rows by key, rewards, the recipe, which problems gained or lost pairs.

    found = diff(open_version("dataset@1"), open_version("dataset@2"))
    found.tables["pairs"].added         # rows whose key only the second has
    found.drift                         # how far the rewards of the same steps moved

The two may be versions of one dataset or of two. A part that both list is not read: its rows are the same.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from fullstep_data.query import Parts, located
from fullstep_data.stats import MEMORY
from fullstep_data.store import Version
from fullstep_data.store.history import differences
from fullstep_data.store.storage import storage_of
from fullstep_data.store.version import fetch
from fullstep_data.store.views import table_body
from schemas import TABLES, InputError
from schemas.errors import MAX_EXAMPLES

SIDES = ("before", "after")
DRIFT_BINS = 10

# Of every step that both versions scored; with several scorers on a side, their mean. A step goes by 64 bits of hash, which
# takes less memory: that two of 20M steps share one happens once in 90,000 comparisons.
DRIFT = """
CREATE TEMP TABLE drift AS
WITH before_rewards AS (SELECT hash(solution_id, step_index) AS step, avg(reward) AS reward FROM before.step_scores GROUP BY ALL),
     after_rewards AS (SELECT hash(solution_id, step_index) AS step, avg(reward) AS reward FROM after.step_scores GROUP BY ALL)
SELECT a.reward - b.reward AS change FROM before_rewards AS b JOIN after_rewards AS a USING (step)
"""

PAIRED = """
CREATE TEMP TABLE paired AS
SELECT *, CASE WHEN pairs_before = 0 AND pairs_after > 0 THEN 'gained' WHEN pairs_before > 0 AND pairs_after = 0 THEN 'lost'
               WHEN pairs_after > pairs_before THEN 'more' WHEN pairs_after < pairs_before THEN 'fewer'
               WHEN pairs_after = 0 THEN 'none' ELSE 'same' END AS fate
FROM (
    SELECT problem_id, question, coalesce(b.pairs, 0) AS pairs_before, coalesce(a.pairs, 0) AS pairs_after
    FROM (SELECT problem_id, question FROM before.problems UNION SELECT problem_id, question FROM after.problems)
    LEFT JOIN (SELECT problem_id, count(*) AS pairs FROM before.pairs GROUP BY ALL) AS b USING (problem_id)
    LEFT JOIN (SELECT problem_id, count(*) AS pairs FROM after.pairs GROUP BY ALL) AS a USING (problem_id)
)
"""


@dataclass(frozen=True)
class TableDiff:
    """A table in two versions; rows are None where a version has no such table. changed: rows of the same key that differ in
    another column. examples: keys of the first few, by `added`, `removed`, `changed`.
    """

    rows_before: int | None
    rows_after: int | None
    added: int
    removed: int
    changed: int
    examples: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Drift:
    """Reward after minus reward before, over steps that both versions scored, by whichever PRM (with several: by their mean).

    steps: how many; moved: how many of them have another reward. mean, mean_absolute: of the differences.
    bins: (low, high, steps), equal parts of [-widest, widest], where widest is the largest difference either way.
    """

    steps: int
    moved: int
    mean: float
    mean_absolute: float
    bins: tuple[tuple[float, float, int], ...]


@dataclass(frozen=True)
class ProblemChange:
    """A problem whose number of pairs changed. fate: gained (none before), lost (none after), more or fewer."""

    problem_id: str
    question: str
    fate: str
    pairs_before: int
    pairs_after: int


@dataclass(frozen=True)
class ProblemPairs:
    """Problems by what became of their pairs. gained: none before; lost: none after. changes: each of them, gained and lost ones
    first.
    """

    gained: int
    lost: int
    more: int
    fewer: int
    changes: tuple[ProblemChange, ...]


@dataclass(frozen=True)
class Diff:
    """All that differs. recipe: keys with old and new value. drift, problems: None where either has no such table."""

    recipe: tuple[str, ...]
    tables: dict[str, TableDiff]
    drift: Drift | None
    problems: ProblemPairs | None

    @property
    def same(self) -> bool:
        """Have the two the same rows? (Their recipes may differ in what decides nothing.)"""
        return not any(table.added or table.removed or table.changed for table in self.tables.values())


def diff(before: Version, after: Version) -> Diff:
    """Compare two versions. InputError: a part of either is missing, truncated or damaged."""
    with both(before, after) as connection:
        return Diff(
            recipe=tuple(differences("", before.manifest.recipe, after.manifest.recipe)),
            tables={
                name: _table(connection, name, before, after) for name in TABLES if name in before.tables or name in after.tables
            },
            drift=_drift(connection) if _in_both("step_scores", before, after) else None,
            problems=_problems(connection) if _in_both("pairs", before, after) else None,
        )


def _in_both(name: str, before: Version, after: Version) -> bool:
    return name in before.tables and name in after.tables


@contextmanager
def both(before: Version, after: Version) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the tables of both: before.steps, after.steps, and before_only.steps: its parts that the other lacks.

    InputError: a part of either is missing, truncated or damaged.
    """
    with tempfile.TemporaryDirectory(prefix="fullstep-diff-") as spill, duckdb.connect(":memory:") as connection:
        connection.execute(f"SET temp_directory = '{spill}'; SET memory_limit = '{MEMORY}'")
        try:
            for side, version, other in (("before", before, after), ("after", after, before)):
                _see(connection, side, version, other)
            yield connection
        except duckdb.Error as error:
            step = "a part may be damaged: `fs-data check` finds it"
            raise InputError(what=str(error).splitlines()[0], where=after.place, next_step=step) from error
        finally:
            for side in SIDES:
                connection.unregister_filesystem(side)


def _see(connection: duckdb.DuckDBPyConnection, side: str, version: Version, other: Version) -> None:
    """The tables of one version as schema `side`; as `side`_only the parts of it that the other lacks."""
    files = [file for table in version.tables.values() for file in table.stored]
    for file in files if not storage_of(version.path).far else ():
        file.require_size()
    fetch(files)
    connection.register_filesystem(Parts(version.path, files, side))
    for schema, leave_out in ((side, set[str]()), (f"{side}_only", _checksums(other))):
        connection.execute(f"CREATE SCHEMA {schema}")
        for name, table in TABLES.items():
            stored = version.tables[name].stored if name in version.tables else ()
            names = [located(version, file.path, side) for file in stored if file.sha256 not in leave_out]
            connection.execute(f"CREATE VIEW {schema}.{name} AS {table_body(table, names)}")


def _checksums(version: Version) -> set[str]:
    return {file.sha256 for table in version.tables.values() for file in table.stored}


def _table(connection: duckdb.DuckDBPyConnection, name: str, before: Version, after: Version) -> TableDiff:
    """Rows of one table by key. Rows of an older contract are compared in the columns that both have."""
    key = TABLES[name].key
    common = [column for column in _columns(connection, f"before.{name}") if column in _columns(connection, f"after.{name}")]
    values = [column for column in common if column not in key]
    same = " AND ".join(f'one."{column}" IS NOT DISTINCT FROM two."{column}"' for column in values) or "TRUE"
    on = " AND ".join(f'one."{column}" = two."{column}"' for column in key)
    both = [f'coalesce(one."{column}", two."{column}")' for column in key]
    sides = [
        f"(SELECT *, TRUE AS here FROM {side}_only.{name} QUALIFY row_number() OVER (PARTITION BY {_listed(key)}) = 1)"
        if name == "rejects"  # where a stage may drop a record twice for one reason
        else f"(SELECT *, TRUE AS here FROM {side}_only.{name})"
        for side in SIDES
    ]
    found = connection.execute(f"""
        SELECT what, count(*), min(key, {MAX_EXAMPLES}) FROM (
            SELECT CASE WHEN one.here IS NULL THEN 'added' WHEN two.here IS NULL THEN 'removed' ELSE 'changed' END AS what,
                   concat_ws('/', {", ".join(both)}) AS key
            FROM {sides[0]} one FULL JOIN {sides[1]} two ON {on}
            WHERE one.here IS NULL OR two.here IS NULL OR NOT ({same}))
        GROUP BY what ORDER BY what""").fetchall()
    counts = {what: count for what, count, _ in found}
    return TableDiff(
        rows_before=before.tables[name].rows if name in before.tables else None,
        rows_after=after.tables[name].rows if name in after.tables else None,
        **{what: counts.get(what, 0) for what in ("added", "removed", "changed")},
        examples={what: tuple(keys) for what, _, keys in found},
    )


def _columns(connection: duckdb.DuckDBPyConnection, view: str) -> list[str]:
    return [row[0] for row in connection.execute(f"DESCRIBE {view}").fetchall()]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _drift(connection: duckdb.DuckDBPyConnection) -> Drift | None:
    """None where no step was scored in both."""
    connection.execute(DRIFT)
    found = connection.execute("""
        SELECT count(*), count(*) FILTER (change <> 0), avg(change), avg(abs(change)), max(abs(change)) FROM drift""").fetchone()
    if found is None or not found[0]:
        return None
    steps, moved, mean, mean_absolute, widest = found
    width = 2 * widest / DRIFT_BINS
    counts: dict[int, int] = {}
    if widest:
        place = f"least(floor((change + {widest}) / {width}), {DRIFT_BINS - 1})::INT"
        counts = dict(connection.execute(f"SELECT {place} AS bin, count(*) FROM drift GROUP BY bin").fetchall())
    edges = [-widest + index * width for index in range(DRIFT_BINS + 1)]
    bins = tuple((edges[index], edges[index + 1], counts.get(index, 0)) for index in range(DRIFT_BINS)) if widest else ()
    return Drift(steps, moved, mean, mean_absolute, bins)


def _problems(connection: duckdb.DuckDBPyConnection) -> ProblemPairs:
    connection.execute(PAIRED)
    found = connection.execute("""
        SELECT problem_id, question, fate, pairs_before, pairs_after FROM paired WHERE pairs_before <> pairs_after
        ORDER BY list_position(['gained', 'lost', 'fewer', 'more'], fate), problem_id""")
    changes = tuple(ProblemChange(*row) for row in found.fetchall())
    counts = Counter(change.fate for change in changes)
    return ProblemPairs(**{fate: counts[fate] for fate in ("gained", "lost", "more", "fewer")}, changes=changes)
