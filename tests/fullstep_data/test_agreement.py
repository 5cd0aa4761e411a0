"""Agreement of labellers in little memory, against the view that says the same of every solution."""

from typing import Any

import duckdb
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from fullstep_data.agreement import agreement
from fullstep_data.store.label_health import LABEL_HEALTH

NAMES = ("judge", "mc", "outcome")
SAID = """
SELECT labeller, other, count(*) AS solutions, count(agree) AS decided, count(*) FILTER (keep) AS kept,
       avg(agree::INT) AS agreement
FROM label_consensus GROUP BY ALL ORDER BY ALL
"""
LACKING = "lacking"

label = st.sampled_from([True, False, None, LACKING])
solution = st.integers(1, 5).flatmap(lambda steps: st.tuples(*[st.tuples(*[label] * steps)] * len(NAMES)))


def opened(solutions: list[tuple[tuple[Any, ...], ...]]) -> duckdb.DuckDBPyConnection:
    """Tables and views of solutions, each the labels of its steps by every labeller; `lacking`: no row."""
    steps = [(f"s{place}", "p", index) for place, said in enumerate(solutions) for index in range(len(said[0]))]
    labels = [
        (f"s{place}", index, name, "judge", one)
        for place, said in enumerate(solutions)
        for name, mine in zip(NAMES, said, strict=True)
        for index, one in enumerate(mine)
        if one is not LACKING
    ]
    connection = duckdb.connect()
    for table, rows, columns in (
        ("steps", steps, {"solution_id": pl.String, "problem_id": pl.String, "step_index": pl.Int32}),
        (
            "step_labels",
            labels,
            {
                "solution_id": pl.String,
                "step_index": pl.Int32,
                "labeller": pl.String,
                "source": pl.String,
                "label": pl.Boolean,
            },
        ),
    ):
        connection.register(table, pl.DataFrame(rows, schema=columns, orient="row"))
    for name in ("first_errors", "label_consensus"):
        connection.execute(f"CREATE VIEW {name} AS {LABEL_HEALTH[name]}")
    return connection


@settings(deadline=None, max_examples=60)
@given(st.lists(solution, max_size=6))
def test_it_is_what_the_view_says(solutions: list[tuple[tuple[Any, ...], ...]]) -> None:
    with opened(solutions) as connection:
        assert agreement(connection, NAMES) == connection.sql(SAID).pl().to_dicts()


def test_a_step_without_a_label_hides_what_comes_after_it() -> None:
    # judge: wrong at 2; mc: wrong at 2 too, but says nothing of step 1, so its first wrong step may be 1; outcome: all right
    said = (True, True, False), (True, LACKING, False), (True, True, True)
    with opened([said]) as connection:
        first, second, third = agreement(connection, NAMES)
    assert (first["labeller"], first["other"], first["decided"]) == ("judge", "mc", 0)
    assert first["agreement"] is None
    assert (second["labeller"], second["other"], second["decided"], second["kept"]) == ("judge", "outcome", 1, 0)
    assert third["decided"] == 0


def test_one_labeller_is_compared_with_nobody() -> None:
    with opened([((True,), (False,), (None,))]) as connection:
        assert agreement(connection, ["judge", "judge"]) == []
        assert agreement(connection, []) == []
