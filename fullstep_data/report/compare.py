"""What lies between two versions, of one dataset or of two: rows, recipe, rewards of the steps that both have, pairs by problem.

    changes = compare(open_version("data@1"), open_version("data@2"))
    changes.pairs["gained"]            # problems that had no pair and have some now

The rows of both versions stand in one DuckDB connection, as schemas `before` and `after`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from fullstep_data.diff import DRIFT, PAIRED, SIDES, both
from fullstep_data.report.queries import BINS, around_zero, shares
from fullstep_data.store import Version
from fullstep_data.store.history import differences
from schemas import TABLES

REWARDS = f"""
SELECT '{{side}}' AS series, least(floor(reward * {BINS}), {BINS - 1})::INT AS bin, count(*) AS count
FROM {{side}}.step_scores GROUP BY ALL
"""

FATES = "SELECT fate, count(*) AS problems FROM paired GROUP BY ALL"

FATES_OF = "SELECT problem_id, fate FROM paired WHERE list_contains($problems, problem_id)"

EXAMPLES = """
SELECT question, pairs_before, pairs_after FROM paired WHERE pairs_before <> pairs_after
ORDER BY (pairs_before = 0 OR pairs_after = 0) DESC, abs(pairs_after - pairs_before) DESC, problem_id LIMIT 12
"""


@dataclass(frozen=True)
class Changes:
    """before, after: names of the versions. tables: table, before, after (null: it has no such table), gone, new (keys).

    recipe: changed keys, as `pairs.top: 3 → 1`. rewards: as in `queries.shares`, series before and after. drift: low, high,
    steps (of both versions). pairs: problems by fate (gained, lost, more, fewer, same, none). examples: question, pairs_before,
    pairs_after of the problems that changed most. fates: of the problems that were asked for, by id.
    """

    before: str
    after: str
    tables: pl.DataFrame
    recipe: tuple[str, ...]
    rewards: pl.DataFrame
    drift: pl.DataFrame
    pairs: dict[str, int]
    examples: pl.DataFrame
    fates: dict[str, str]


def compare(before: Version, after: Version, problems: Sequence[str] = ()) -> Changes:
    """The changes from `before` to `after`. problems: ids whose fate to tell. InputError: a part is missing or damaged."""
    with both(before, after) as connection:
        names = [name for name in TABLES if name in before.tables or name in after.tables]
        tables = [_keys(connection, name, before, after) for name in names]
        series = pl.concat([connection.sql(REWARDS.format(side=side)).pl() for side in SIDES])
        connection.execute(PAIRED)
        connection.execute(DRIFT)
        one_folder = before.path.resolve() == after.path.resolve()
        return Changes(
            before=f"version {before.number}" if one_folder else f"{before.place}@{before.number}",
            after=f"version {after.number}" if one_folder else f"{after.place}@{after.number}",
            tables=pl.DataFrame(tables, schema=["table", "before", "after", "gone", "new"], orient="row"),
            recipe=tuple(differences("", before.manifest.recipe, after.manifest.recipe)),
            rewards=shares(series),
            drift=around_zero(connection, "change", "drift", "steps"),
            pairs=dict(connection.execute(FATES).fetchall()),
            examples=connection.sql(EXAMPLES).pl(),
            fates=dict(connection.execute(FATES_OF, {"problems": list(problems)}).fetchall()),
        )


def _keys(connection: duckdb.DuckDBPyConnection, name: str, before: Version, after: Version) -> tuple[object, ...]:
    key = ", ".join(f'"{column}"' for column in TABLES[name].key)
    lacking = f"SELECT count(*) FROM (SELECT {key} FROM {{}}.{name} EXCEPT SELECT {key} FROM {{}}.{name})"
    gone, new = (connection.execute(lacking.format(*sides)).fetchall()[0][0] for sides in (SIDES, SIDES[::-1]))
    rows = (version.tables[name].rows if name in version.tables else None for version in (before, after))
    return (name, *rows, gone, new)
