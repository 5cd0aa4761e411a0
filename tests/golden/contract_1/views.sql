-- Version 1 of this dataset. In this folder: duckdb -init views.sql
CREATE OR REPLACE VIEW problems AS SELECT * FROM read_parquet(['parts/problems/a7964e2ee007023a806e6f25b678da3d.parquet']);
CREATE OR REPLACE VIEW samples AS SELECT * FROM read_parquet(['parts/samples/5d45cf497d8f05338cefaf40e05fcb78.parquet']);
CREATE OR REPLACE VIEW solutions AS SELECT * FROM read_parquet(['parts/solutions/8b9005b06744857de3f1ef07b54b5776.parquet']);
CREATE OR REPLACE VIEW steps AS SELECT * FROM read_parquet(['parts/steps/519e62d4b69e68514922482f37b287e5.parquet']);
CREATE OR REPLACE VIEW step_labels AS SELECT * FROM read_parquet(['parts/step_labels/4438ad2f58bdbccc8abc49520944c3d8.parquet']);
CREATE OR REPLACE VIEW step_scores AS SELECT * FROM read_parquet(['parts/step_scores/7e857d9eaed475041a923c5bfe9055ee.parquet']);
CREATE OR REPLACE VIEW pairs AS SELECT * FROM read_parquet(['parts/pairs/ae5ea37de30d91dbd386bf7bd34dea36.parquet']);
CREATE OR REPLACE VIEW reference_logprobs AS SELECT NULL::VARCHAR AS "solution_id", NULL::VARCHAR AS "reference", NULL::VARCHAR AS "token_hash", NULL::FLOAT[] AS "logprobs" WHERE FALSE;
CREATE OR REPLACE VIEW predictions AS SELECT NULL::VARCHAR AS "problem_id", NULL::VARCHAR AS "model", NULL::VARCHAR AS "decoding", NULL::INTEGER AS "sample_index", NULL::BIGINT AS "seed", NULL::VARCHAR AS "question", NULL::VARCHAR AS "gold", NULL::VARCHAR AS "text", NULL::VARCHAR AS "finish_reason", NULL::INTEGER AS "tokens", NULL::VARCHAR AS "answer", NULL::VARCHAR AS "answer_source", NULL::BOOLEAN AS "correct", NULL::VARCHAR AS "grade_path", NULL::VARCHAR AS "grader", NULL::VARCHAR AS "sampler" WHERE FALSE;
CREATE OR REPLACE VIEW rejects AS SELECT * FROM read_parquet(['parts/rejects/ae5ea37de30d91dbd386bf7bd34dea36.parquet']);
CREATE OR REPLACE VIEW rewards AS SELECT steps.problem_id, steps.solution_id, steps.step_index, steps.text, step_scores.reward, step_labels.label,
       step_labels.value, solutions.correct, step_scores.scorer, step_labels.labeller
FROM steps
JOIN step_scores USING (solution_id, step_index)
JOIN solutions USING (solution_id)
LEFT JOIN step_labels USING (solution_id, step_index);
