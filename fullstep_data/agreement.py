"""Do labellers agree on where a solution first goes wrong? The view `label_consensus`, counted, in little memory.

    found = agreement(connection, ("judge", "outcome"))     # connection: of `query.connect`
    found[0]["agreement"]                                    # share of the solutions of which both know it

The view joins all steps with all labels, twice; here each labeller's labels are gone through once, and what is kept of a solution
is two numbers. A solution goes by 64 bits of hash: that two of ten million share one happens once in 400,000 datasets.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import duckdb

STEPS = "CREATE TEMP TABLE step_counts AS SELECT hash(solution_id) AS id, count(*)::INT AS steps FROM steps GROUP BY ALL"

# first: twice the index of the first step that is not labelled right, and one more where it is labelled wrong, not open.
FIRST = """
CREATE TEMP TABLE first_{place} AS
SELECT hash(solution_id) AS id, count(*)::INT AS labels, max(step_index) AS last,
       min(2 * step_index + (label IS NOT NULL)::INT) FILTER (label IS DISTINCT FROM TRUE) AS first
FROM step_labels WHERE labeller = $labeller GROUP BY ALL
"""

# Of solutions with a label after a step that has none: the index of the first such step. As a rule there are none.
HOLES = """
CREATE TEMP TABLE holes_{place} AS
SELECT id, min(before) AS hole FROM (
    SELECT hash(solution_id) AS id, step_index, row_number() OVER (PARTITION BY solution_id ORDER BY step_index) - 1 AS before
    FROM step_labels WHERE labeller = $labeller AND hash(solution_id) IN (SELECT id FROM first_{place} WHERE last >= labels))
WHERE before <> step_index GROUP BY ALL
"""

# A step without a label is open. error: index of the first wrong step, -1: there is none, null: an open step comes first.
ERRORS = """
CREATE TEMP TABLE errors_{place} AS
SELECT id, CASE WHEN first // 2 < opened THEN CASE WHEN first % 2 = 1 THEN first // 2 END WHEN opened = steps THEN -1 END AS error
FROM (SELECT id, steps, coalesce(first, 2 * steps) AS first, least(coalesce(hole, labels), steps) AS opened
      FROM first_{place} JOIN step_counts USING (id) LEFT JOIN holes_{place} USING (id))
"""

BOTH = """
SELECT count(*) AS solutions, count(a.error = b.error) AS decided, count(*) FILTER (a.error = b.error) AS kept,
       avg((a.error = b.error)::INT) AS agreement
FROM errors_{one} a JOIN errors_{two} b USING (id)
"""


def agreement(connection: duckdb.DuckDBPyConnection, labellers: Sequence[str]) -> list[dict[str, Any]]:
    """Of every two labellers: labeller, other, solutions (that both judged), decided (of which both know the first wrong step, or
    that there is none), kept (of which they say the same), agreement (share of the decided).
    """
    names = sorted(set(labellers))
    if len(names) < 2:
        return []
    connection.execute(STEPS)
    for place, name in enumerate(names):
        for question in (FIRST, HOLES):
            connection.execute(question.format(place=place), {"labeller": name})
        connection.execute(ERRORS.format(place=place))
        connection.execute(f"DROP TABLE first_{place}; DROP TABLE holes_{place}")
    found: list[dict[str, Any]] = []
    for (one, labeller), (two, other) in combinations(enumerate(names), 2):
        row = connection.sql(BOTH.format(one=one, two=two)).pl().row(0, named=True)
        found += [{"labeller": labeller, "other": other, **row}] if row["solutions"] else []
    connection.execute("; ".join(f"DROP TABLE {table}" for table in ("step_counts", *(f"errors_{n}" for n in range(len(names))))))
    return found
