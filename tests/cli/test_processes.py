"""--processes and --accelerate-config reach accelerate; without them nothing is launched."""

from pathlib import Path

from cli.processes import ALONE, Processes
from fullstep_train.launch import Launch
from tests.cli.commands import done, invoke


def test_one_process_is_this_one():
    assert ALONE.launch() is None
    assert Processes(2).launch() == Launch(2)
    assert Processes(1, "some.yaml").launch() == Launch(1, "some.yaml")


def test_the_options_reach_the_trainings(built: Path, tmp_path: Path):
    line = f"fs-train run tiny --data {built}/out/tiny --out run --accelerate-config absent.yaml"
    refused = invoke(line, tmp_path)
    assert refused.exit_code == 2
    assert "no such file" in refused.stderr
    assert "absent.yaml" in refused.stderr
    small = "--set problems.source.limit=8 --set samples.samples=2 --set pairs.top=1"
    refused = invoke(f"fs-data build tiny --out data {small} --accelerate-config absent.yaml", tmp_path)
    assert refused.exit_code == 2
    assert "absent.yaml" in refused.stderr
    done(f"fs-data build tiny --out data {small}", tmp_path)
