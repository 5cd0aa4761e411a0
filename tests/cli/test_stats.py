import json
from pathlib import Path

from tests.cli.commands import done, invoke


def test_every_block_and_the_same_numbers_as_json(built: Path):
    text = done("fs-data stats out/tiny", built).stdout
    heads = ("Warnings", "Tables", "Rewards by label", "Rewards by step position", "Rewards by number of steps")
    for head in (*heads, "Scores of solutions", "Calibration", "Pairs", "Diversity", "Tokens"):
        assert f"\n{head}" in text
    found = json.loads(done("fs-data stats out/tiny --json", built).stdout)
    assert f"{found['scores']['auc']['mean']:.3f}" in text
    assert f"{found['calibration']['ece']:.3f}" in text
    for warned in found["warnings"]:
        assert warned["name"] in text
    assert found["tables"]["samples"] == 296


def test_a_dataset_without_rewards_says_so(built: Path):
    text = done("fs-data stats out/tiny-run", built).stdout
    assert "no step of this version has a reward" in text
    assert json.loads(done("fs-data stats out/tiny-run --json", built).stdout)["warnings"] == []


def test_an_unknown_version_is_named(built: Path):
    assert invoke("fs-data stats out/tiny@9", built).exit_code == 2
