"""`fs-data import`, `export` and `formats` as typed: an imported set goes straight into PRM training and selection."""

import json
from pathlib import Path
from typing import Any

from cli.interchange import parse_overrides
from fullstep_data.formats import FORMATS
from tests.cli.commands import done, invoke


def test_an_imported_set_goes_into_prm_training_selection_and_a_policy(tmp_path: Path):
    shown = done("fs-data import math-shepherd builtin:math-shepherd.jsonl --out out", tmp_path).stdout
    assert "records in         64" in shown
    assert "correct: the label of the last step" in shown
    built = done("fs-data build tiny --out out", tmp_path)
    assert "going on from the imported tables: problems, solutions, steps, step_labels" in built.stderr
    assert "label 1: a rollout of the step reached the right answer" in built.stdout
    assert "(no gold answer)" in built.stdout
    assert done("fs-data check out", tmp_path).stdout.startswith("ok: 8 tables")
    again = done("fs-data build tiny --out out", tmp_path)
    assert "29 pairs on 16 problems" in again.stdout
    assert not (tmp_path / "out/versions/000003.json").exists()  # nothing changed, no new version
    done("fs-train run tiny --data out --out run", tmp_path)
    assert "import math-shepherd" in done("fs-data log out", tmp_path).stdout
    refused = invoke("fs-data import math-shepherd builtin:math-shepherd.jsonl --out out", tmp_path)
    assert refused.exit_code == 2
    assert "tables that a build has made: step_scores, pairs, step_pairs" in refused.stderr


def test_there_and_back(tmp_path: Path, built: Path):
    done(f"fs-data export trl-stepwise {built}/out/tiny -o a.jsonl", tmp_path)
    done("fs-data import trl-stepwise a.jsonl --out out --set labels_by=outcome --set correct=last-step", tmp_path)
    done("fs-data export trl-stepwise out -o b.jsonl", tmp_path)
    assert sorted((tmp_path / "a.jsonl").read_text().splitlines()) == sorted((tmp_path / "b.jsonl").read_text().splitlines())


def test_every_format_is_listed(tmp_path: Path):
    shown = done("fs-data formats", tmp_path).stdout
    assert all(f"\n{name}\n" in shown for name in FORMATS)
    assert "prompt_label" in shown


def test_mistakes(tmp_path: Path):
    unknown = invoke("fs-data import mathshepherd a.jsonl --out out", tmp_path)
    assert unknown.exit_code == 2
    assert "did you mean math-shepherd?" in unknown.stderr
    assert invoke("fs-data import math-shepherd none.jsonl --out out", tmp_path).exit_code == 2
    wrong = invoke("fs-data import math-shepherd builtin:math-shepherd.jsonl --out out --set prompt_label", tmp_path)
    assert "--set wants KEY=VALUE" in wrong.stderr


def test_values_of_options():
    assert parse_overrides(["a=true", "b=drop", "c=\\n", 'd="\\n"']) == {"a": True, "b": "drop", "c": "\\n", "d": "\n"}


def labelled(number: int) -> dict[str, Any]:
    """A record in the form of PRM800K, phase 2: a sampled solution, right or wrong at its last step, and a step beside that."""
    a, b, wrong = 10 + number // 2, 3 + number // 2, number % 2 == 1
    end = f"The sum is {a + b + wrong}.\n\n# Answer\n\n{a + b + wrong}"
    steps = [[(f"I add {a} and {b}.", 1)], [(end, -1 if wrong else 1), (f"I multiply {a} by {b}.", -1)]]
    return {
        "labeler": "0",
        "is_quality_control_question": False,
        "question": {
            "problem": f"What is {a} + {b}?",
            "ground_truth_answer": str(a + b),
            "pre_generated_steps": [rated[0][0] for rated in steps],
            "pre_generated_answer": str(a + b + wrong),
        },
        "label": {
            "steps": [
                {
                    "completions": [{"text": text, "rating": rating, "flagged": None} for text, rating in rated],
                    "human_completion": None,
                    "chosen_completion": 0,
                }
                for rated in steps
            ],
            "total_time": 1,
            "finish_reason": "found_error" if wrong else "solution",
        },
    }


def test_prm800k_goes_into_prm_training_selection_and_a_policy(tmp_path: Path):
    records = [labelled(number) for number in range(24)]
    (tmp_path / "phase2_train.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    done("fs-data import prm800k phase2_train.jsonl --out out --set neutral=right", tmp_path)
    built = done("fs-data build tiny --out out", tmp_path)
    assert "going on from the imported tables: problems, solutions, steps, step_labels" in built.stderr
    assert done("fs-data check out", tmp_path).stdout.startswith("ok: 8 tables")
    # Of each of 12 problems: a right and a wrong whole solution, graded by the gold answer; stumps are neither.
    assert "12 pairs on 12 problems" in built.stdout
    done("fs-train run tiny --data out --out run", tmp_path)
