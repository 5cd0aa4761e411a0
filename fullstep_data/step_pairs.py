"""step_pairs: first wrong steps against right next steps from the same prefix, for Step-DPO (Lai et al., arXiv 2406.18629).

The prefixes are those that the sampled solutions of a problem share. The selection is the SQL below, run by DuckDB; a reader can
run the same over the tables of a version.
"""

import duckdb
import polars as pl

from fullstep_data.config import StepPairsConfig, WrongByScore
from fullstep_data.stage import Context, Outcome, rejects
from schemas import TABLES
from schemas.ids import content_id

# A step that a correct solution takes too, from the same prefix, is not wrong: that solution shows a way on to the answer.
MARKED = """
CREATE TEMP TABLE marked AS
SELECT steps.problem_id, prompt, solution_id, step_index, correct,
       steps.text AS step, left(solutions.text, steps.start) AS prefix,
       lag(prefix_key, 1, '') OVER (PARTITION BY solution_id ORDER BY step_index) AS before,
       steps.stop = length(solutions.text) AND finish_reason <> 'length' AS finished,
       CAST(reward AS DOUBLE) AS score,
       coalesce({wrong}, false) AND NOT bool_or(correct) OVER (PARTITION BY steps.problem_id, prefix_key) AS wrong
FROM steps JOIN solutions USING (solution_id)
LEFT JOIN step_scores USING (solution_id, step_index)
LEFT JOIN (SELECT solution_id, step_index, bool_and(label) AS label FROM step_labels GROUP BY ALL) USING (solution_id, step_index)
WHERE correct IS NOT NULL
"""

# Equal wrong steps of several solutions make one pair; ties go by a hash of the solution's id, as in `pairs`.
PAIRED = """
CREATE TEMP TABLE paired AS
WITH first_errors AS (
    SELECT * FROM marked WHERE NOT correct AND wrong
    QUALIFY row_number() OVER (PARTITION BY solution_id ORDER BY step_index) = 1
), matched AS (
    SELECT w.problem_id, w.prompt, w.prefix, w.step_index, w.step AS chosen, l.step AS rejected, w.finished AS chosen_finished,
           l.finished AS rejected_finished, w.solution_id AS chosen_id, l.solution_id AS rejected_id, w.score AS chosen_score,
           l.score AS rejected_score, w.score - l.score AS margin, w.before
    FROM first_errors l JOIN marked w ON w.correct AND w.problem_id = l.problem_id AND w.prompt = l.prompt
         AND w.before = l.before AND w.step <> l.step
    QUALIFY row_number() OVER (PARTITION BY w.problem_id, w.prompt, w.before, l.step
                               ORDER BY w.score DESC NULLS LAST, md5(w.solution_id), md5(l.solution_id)) = 1
)
SELECT * EXCLUDE (before) FROM matched
QUALIFY row_number() OVER (PARTITION BY problem_id ORDER BY margin DESC NULLS LAST, md5(rejected_id)) <= $top
ORDER BY problem_id, step_index, md5(rejected_id)
"""

WITHOUT_PAIRS = """
SELECT problem_id, CASE
    WHEN count(solution_id) = 0 THEN 'no usable solution'
    WHEN count(*) FILTER (correct) = 0 THEN 'no correct solution'
    WHEN count(*) FILTER (NOT correct) = 0 THEN 'no incorrect solution'
    WHEN count(*) FILTER (NOT correct AND wrong) = 0 THEN 'no wrong step'
    ELSE 'no correct solution begins as one does before its first wrong step' END
FROM problems LEFT JOIN marked USING (problem_id)
WHERE problem_id NOT IN (SELECT problem_id FROM paired)
GROUP BY problem_id ORDER BY problem_id
"""


def step_pairs(
    problems: pl.DataFrame,
    solutions: pl.DataFrame,
    steps: pl.DataFrame,
    step_labels: pl.DataFrame,
    step_scores: pl.DataFrame,
    context: Context,
) -> Outcome:
    """At most `top` pairs of steps per problem, those of the widest margin. Problems without one are rejects."""
    config: StepPairsConfig = context.config
    policy = f"{_name(config)}-top{config.top}"
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        frames = (problems, solutions, steps, step_labels, step_scores)
        for name, frame in zip(("problems", "solutions", "steps", "step_labels", "step_scores"), frames, strict=True):
            connection.register(name, frame)
        connection.execute(MARKED.format(wrong=_wrong(config)))
        connection.execute(PAIRED, {"top": config.top})
        rows = connection.sql("SELECT * FROM paired").pl()
        without = connection.execute(WITHOUT_PAIRS).fetchall()
    texts = rows.select("problem_id", "prompt", "prefix", "chosen", "rejected").iter_rows()
    rows = rows.with_columns(
        pl.Series("step_pair_id", [content_id("step pair", *text, policy) for text in texts], dtype=pl.String),
        pl.lit(policy).alias("policy"),
    )
    dropped = rejects("step_pairs", "problems", [(key, reason, None) for key, reason in without])
    return Outcome(TABLES["step_pairs"].check(rows, "step_pairs"), dropped)


def _wrong(config: StepPairsConfig) -> str:
    return f"reward < {config.wrong.threshold}" if isinstance(config.wrong, WrongByScore) else "NOT label"


def _name(config: StepPairsConfig) -> str:
    return f"score{config.wrong.threshold:g}" if isinstance(config.wrong, WrongByScore) else "label"
