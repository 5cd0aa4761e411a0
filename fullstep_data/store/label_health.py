"""Label health as SQL views: what to look at before a PRM is trained on labels. `store.views` adds them to every version.

fs-data sql out/tiny "SELECT * FROM label_agreement"

label_agreement         how often a label says what the outcome says, by labeller and position of the step
doubted_right_answers   steps labelled wrong on the way to a right answer
label_balance           steps labelled right, wrong and left open, by labeller
open_labels             why labels are open
equal_solutions         solutions of a problem with the same text
lowest_is_last          share of solutions whose last step alone has the lowest reward, by scorer and outcome
problem_outcomes        problems whose solutions are all right, all wrong, or mixed; how different the solutions are
first_errors            the first wrong step of each solution, by each labeller
label_consensus         do two labellers agree on it? `keep`: what consensus filtering keeps
"""

LABEL_HEALTH: dict[str, str] = {
    "label_agreement": """\
SELECT labeller, step_index, count(*) AS steps, count(label) AS labelled,
       avg(CAST(label = correct AS INTEGER)) AS agreement,
       avg(CAST(label AS INTEGER)) FILTER (correct) AS labelled_right_if_right,
       avg(CAST(label AS INTEGER)) FILTER (NOT correct) AS labelled_right_if_wrong
FROM step_labels JOIN solutions USING (solution_id)
WHERE correct IS NOT NULL
GROUP BY labeller, step_index ORDER BY labeller, step_index""",
    "doubted_right_answers": """\
SELECT solutions.problem_id, solution_id, step_index, labeller, n_rollouts, n_correct, steps.text, solutions.answer
FROM step_labels JOIN steps USING (solution_id, step_index) JOIN solutions USING (solution_id)
WHERE correct AND NOT label""",
    "label_balance": """\
SELECT labeller, source, count(*) AS steps, count(*) FILTER (label) AS labelled_right,
       count(*) FILTER (NOT label) AS labelled_wrong, count(*) FILTER (label IS NULL) AS open,
       avg(CAST(label AS INTEGER)) AS share_right, avg(value) AS mean_value
FROM step_labels GROUP BY labeller, source ORDER BY labeller""",
    "open_labels": """\
SELECT labeller, reason, count(*) AS steps FROM step_labels
WHERE label IS NULL GROUP BY labeller, reason ORDER BY labeller, steps DESC, reason""",
    "equal_solutions": """\
SELECT problem_id, text, count(*) AS solutions, bool_and(correct) AS correct, list(solution_id ORDER BY sample_index) AS ids
FROM solutions GROUP BY problem_id, text HAVING count(*) > 1""",
    "problem_outcomes": """\
SELECT problem_id, count(*) AS solutions, count(*) FILTER (correct) AS right_answers,
       count(*) FILTER (NOT correct) AS wrong_answers,
       CASE WHEN count(correct) = 0 THEN 'undecided' WHEN bool_and(correct) THEN 'all right'
            WHEN bool_or(correct) THEN 'mixed' ELSE 'all wrong' END AS outcome,
       count(DISTINCT text) AS distinct_texts, count(DISTINCT answer) AS distinct_answers
FROM solutions GROUP BY problem_id""",
    "lowest_is_last": """\
SELECT scorer, correct, count(*) AS solutions, avg(CAST(lowest = last AS INTEGER)) AS share
FROM (SELECT scorer, solution_id, max(step_index) AS last,
             min(CAST(reward * 1e9 AS BIGINT) * 100000 + step_index) % 100000 AS lowest
      FROM step_scores GROUP BY scorer, solution_id HAVING count(*) > 1)
JOIN solutions USING (solution_id) GROUP BY scorer, correct ORDER BY scorer, correct""",
    # first_error: index of the first step labelled wrong, -1 where all are labelled right, null where a step before it is open
    "first_errors": """\
SELECT problem_id, solution_id, labeller, source,
       CASE WHEN open IS NULL OR wrong < open THEN coalesce(wrong, -1) END AS first_error
FROM (
    SELECT steps.problem_id, steps.solution_id, judged.labeller, judged.source,
           min(steps.step_index) FILTER (NOT step_labels.label) AS wrong,
           min(steps.step_index) FILTER (step_labels.label IS NULL) AS open
    FROM steps
    JOIN (SELECT DISTINCT solution_id, labeller, source FROM step_labels) judged ON judged.solution_id = steps.solution_id
    LEFT JOIN step_labels ON step_labels.solution_id = steps.solution_id AND step_labels.step_index = steps.step_index
                             AND step_labels.labeller = judged.labeller
    GROUP BY ALL)""",
    "label_consensus": """\
SELECT a.problem_id, a.solution_id, a.labeller, b.labeller AS other, a.first_error, b.first_error AS other_first_error,
       a.first_error = b.first_error AS agree, coalesce(a.first_error = b.first_error, FALSE) AS keep
FROM first_errors a JOIN first_errors b ON a.solution_id = b.solution_id AND a.labeller < b.labeller
WHERE a.source <> 'consensus' AND b.source <> 'consensus'""",
}

MAIN_LABELLER = """\
SELECT labeller FROM step_labels GROUP BY labeller, source ORDER BY count(label) DESC, source = 'judge', labeller LIMIT 1"""
"""The labeller to show where there are several: of those that say most, a judge last."""
