"""Label health as SQL views: what to look at before a PRM is trained on labels. `store.views` adds them to every version.

fs-data sql out/tiny "SELECT * FROM label_agreement"

label_agreement         how often a label says what the outcome says, by labeller and position of the step
doubted_right_answers   steps labelled wrong on the way to a right answer
label_balance           steps labelled right, wrong and left open, by labeller
open_labels             why labels are open
equal_solutions         solutions of a problem with the same text
problem_outcomes        problems whose solutions are all right, all wrong, or mixed; how different the solutions are
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
}
