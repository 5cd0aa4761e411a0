import json
from pathlib import Path

from tests.cli.commands import done, invoke


def test_a_recipe_of_fewer_pairs_shows_in_every_block(place: Path):
    done("fs-data build tiny --out out/tiny --set pairs.top=1", place)
    text = done("fs-data diff out/tiny@1 out/tiny", place).stdout
    assert text.startswith("out/tiny, version 1 → out/tiny, version 2\n")
    assert "pairs.top: 3 → 1" in text
    lines = {line.split()[0]: line.split()[1:] for line in text[: text.index("Recipe")].splitlines() if line.strip()}
    assert lines["samples"] == ["296", "296"]
    before, after = (int(count) for count in lines["pairs"][:2])
    assert after < before
    found = json.loads(done("fs-data diff out/tiny@1 out/tiny@2 --json", place).stdout)
    assert found["same"] is False
    assert found["tables"]["pairs"]["rows_before"] == before
    assert found["problems"]["gained"] == 0
    changes = found["problems"]["changes"]
    assert found["problems"]["fewer"] == len(changes) > 0
    assert f"{changes[0]['pairs_before']} → {changes[0]['pairs_after']}" in text
    assert all(change["problem_id"] in text for change in changes[:5])
    assert "--json lists them all" in text
    assert found["drift"]["moved"] == 0


def test_a_version_and_itself(built: Path):
    assert "the rows are the same" in done("fs-data diff out/tiny out/tiny@1", built).stdout


def test_sections_that_only_one_recipe_has_are_cut_short_and_json_has_them_whole(built: Path, tmp_path: Path):
    done(f"fs-data import math-shepherd builtin:math-shepherd.jsonl --out {tmp_path / 'shepherd'}", built)
    text = done(f"fs-data diff {tmp_path / 'shepherd'} out/tiny", built).stdout
    recipe = text[text.index("Recipe") : text.index("Problems with pairs") if "Problems with pairs" in text else None]
    assert '"learning_rate"' not in recipe
    assert "--json has them whole" in recipe
    assert "options: " in recipe
    found = json.loads(done(f"fs-data diff {tmp_path / 'shepherd'} out/tiny --json", built).stdout)
    (section,) = [line for line in found["recipe"] if line.startswith("prm: null → ")]
    assert json.loads(section.removeprefix("prm: null → "))["learning_rate"] > 0
    assert "--json has them whole" not in done("fs-data diff out/tiny out/tiny@1", built).stdout


def test_an_unknown_version_is_named(built: Path):
    result = invoke("fs-data diff out/tiny@1 out/tiny@2", built)
    assert result.exit_code == 2
    assert "no version '2'" in result.stderr
