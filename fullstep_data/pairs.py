"""pairs: per problem, the T highest-scored correct × the T lowest-scored incorrect solutions (method.md, Selection).

The selection is the SQL below, run by DuckDB; a reader can run the same over the tables of a version.
"""

import duckdb
import polars as pl

from fullstep_data.config import PairsConfig
from fullstep_data.consensus import disputed
from fullstep_data.stage import Context, Outcome, rejects
from schemas import TABLES
from schemas.ids import content_id

SCORES = {
    "mean": "avg(reward ORDER BY step_index)",
    "min": "min(reward)",
    "product": "product(reward ORDER BY step_index)",
    "last": "arg_max(reward, step_index)",
    "random": "hash_fraction(solution_id)",
}

# Ties go by a hash of the solution's id: stable, and independent of sampling order.
CANDIDATES = """
CREATE TEMP TABLE candidates AS
WITH texts AS (
    SELECT *, row_number() OVER (PARTITION BY problem_id, text ORDER BY sample_index, solution_id) AS copy FROM solutions
), scores AS (
    SELECT solution_id, CAST({score} AS DOUBLE) AS score, any_value(scorer) AS scorer FROM step_scores GROUP BY solution_id
)
SELECT problem_id, solution_id, correct, score, scorer, CASE
    WHEN correct IS NULL THEN 'outcome undecided'
    WHEN copy > 1 THEN 'duplicate text'
    WHEN solution_id IN (SELECT solution_id FROM disputed) THEN 'labellers disagree'
    WHEN score IS NULL THEN 'not scored' END AS dropped
FROM texts LEFT JOIN scores USING (solution_id)
"""

RANKED = """
CREATE TEMP TABLE ranked AS
SELECT problem_id, solution_id, correct, score, scorer, rank FROM (
    SELECT *, row_number() OVER (
        PARTITION BY problem_id, correct
        ORDER BY CASE WHEN correct THEN -score ELSE score END, md5(solution_id)) - 1 AS rank
    FROM candidates WHERE dropped IS NULL
) WHERE rank < $top
"""

PAIRED = """
SELECT w.problem_id, w.solution_id AS chosen_id, l.solution_id AS rejected_id, w.score AS chosen_score,
       l.score AS rejected_score, w.score - l.score AS margin, CAST(w.rank AS INTEGER) AS chosen_rank,
       CAST(l.rank AS INTEGER) AS rejected_rank, w.scorer
FROM ranked w JOIN ranked l ON w.problem_id = l.problem_id AND w.correct AND NOT l.correct
ORDER BY w.problem_id, chosen_rank, rejected_rank
"""

WITHOUT_PAIRS = """
SELECT problem_id, CASE
    WHEN count(solution_id) = 0 THEN 'no solutions'
    WHEN count(solution_id) FILTER (dropped IS NULL) = 0 THEN 'no usable solution'
    WHEN count(*) FILTER (dropped IS NULL AND correct) = 0 THEN 'no correct solution'
    ELSE 'no incorrect solution' END
FROM problems LEFT JOIN candidates USING (problem_id)
WHERE problem_id NOT IN (SELECT w.problem_id FROM ranked w JOIN ranked l USING (problem_id) WHERE w.correct AND NOT l.correct)
GROUP BY problem_id ORDER BY problem_id
"""


def pairs(problems: pl.DataFrame, solutions: pl.DataFrame, step_scores: pl.DataFrame, context: Context) -> Outcome:
    """At most top² pairs per problem. Problems without a pair, and solutions that could not compete, are rejects."""
    return _selected(problems, solutions, step_scores, [], context.config)


def agreed_pairs(
    problems: pl.DataFrame, solutions: pl.DataFrame, step_scores: pl.DataFrame, step_labels: pl.DataFrame, context: Context
) -> Outcome:
    """`pairs` of solutions that the consensus of the labellers keeps. step_labels: the labels of the consensus."""
    return _selected(problems, solutions, step_scores, disputed(step_labels), context.config)


def _selected(
    problems: pl.DataFrame, solutions: pl.DataFrame, step_scores: pl.DataFrame, left_out: list[str], config: PairsConfig
) -> Outcome:
    policy = f"{config.score}-top{config.top}" + (f"-seed{config.seed}" if config.score == "random" else "")
    policy += "-agreed" if config.agreed else ""
    unkept = pl.DataFrame({"solution_id": left_out}, schema={"solution_id": pl.String})
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")  # one order of additions: the same scores to the bit on every machine
        connection.execute(
            f"CREATE MACRO hash_fraction(id) AS CAST('0x' || md5(id || '/{config.seed}')[:13] AS BIGINT) / pow(16, 13)"
        )
        frames = {"problems": problems, "solutions": solutions, "step_scores": step_scores, "disputed": unkept}
        for name, frame in frames.items():
            connection.register(name, frame)
        connection.execute(CANDIDATES.format(score=SCORES[config.score]))
        connection.execute(RANKED, {"top": config.top})
        rows = connection.sql(PAIRED).pl()
        without = connection.execute(WITHOUT_PAIRS).fetchall()
        unfit = connection.execute(
            "SELECT solution_id, dropped FROM candidates WHERE dropped IS NOT NULL ORDER BY solution_id"
        ).fetchall()
    chosen_rejected = rows.select("chosen_id", "rejected_id").iter_rows()
    rows = rows.with_columns(
        pl.Series("pair_id", [content_id("pair", *ids, policy) for ids in chosen_rejected], dtype=pl.String),
        pl.lit(policy).alias("policy"),
    )
    dropped = pl.concat(
        [
            rejects("pairs", "problems", [(key, reason, None) for key, reason in without]),
            rejects("pairs", "solutions", [(key, reason, None) for key, reason in unfit]),
        ]
    )
    return Outcome(TABLES["pairs"].check(rows, "pairs"), dropped)
