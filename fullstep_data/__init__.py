"""The data layer: tables from tables.

    problems → samples → solutions → steps → step_labels → [PRM] → step_scores → pairs → [policy] → predictions

Each word is a table (`schemas/`), a stage function in the module of the same name here, and a SQL view. `pipeline.py` is the
list of stages, `runner.py` runs it part by part into a `store`, `query.py` answers SQL. Never imports fullstep_train or click.
"""

import schemas

if not hasattr(schemas, "TABLES"):
    raise ImportError(
        f"fullstep needs its own package `schemas`, but {schemas.__file__} hides it: rename that module or run elsewhere"
    )
