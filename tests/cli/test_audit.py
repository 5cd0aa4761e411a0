import json
from pathlib import Path

from tests.cli.commands import done, invoke


def test_a_leak_is_shown_and_makes_the_exit_code(built: Path, tmp_path: Path):
    clean = done("fs-data audit out/tiny", built).stdout
    assert "Training problems that repeat another\n  none" in clean
    assert "builtin:sums.jsonl" in clean
    assert "licence, as the authors state it: Apache-2.0" in clean
    assert "no evaluation set was looked into" in clean
    row = json.loads(
        done("""fs-data sql out/tiny "FROM problems WHERE split = 'train' ORDER BY 1 LIMIT 1" --format json""", built).stdout
    )[0]
    leaked = tmp_path / "leaked.jsonl"
    leaked.write_text(json.dumps({"question": row["question"].upper(), "answer": "1"}) + "\n")
    result = invoke(f"fs-data audit out/tiny --against {leaked}", built)
    assert result.exit_code == 1
    assert "normalised: 1" in result.stdout
    assert row["problem_id"] in result.stdout
    found = json.loads(invoke(f"fs-data audit out/tiny --against {leaked} --json", built).stdout)
    assert [leak["problem_id"] for leak in found["leaks"]] == [row["problem_id"]]
    assert "problems.audit.against" in result.stdout
    assert "no evaluation set was looked into" not in result.stdout
    assert "problems.audit.against" not in clean


def test_an_unknown_set_is_named(built: Path):
    result = invoke("fs-data audit out/tiny --against gsm9k", built)
    assert result.exit_code == 2
    assert "gsm8k" in result.stderr
