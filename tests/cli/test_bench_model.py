"""The bench's base models: their names, one folder per content, made once."""

from pathlib import Path

import pytest

from cli.bench_model import bench_model, is_bench_model
from fullstep_train.progress import no_tick
from fullstep_train.scratch import Scratch
from schemas import InputError

SMALL = Scratch(width=16, epochs=1)


def test_a_model_is_made_once_and_a_seed_makes_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULLSTEP_CACHE", str(tmp_path))
    folder = bench_model("bench-arithmetic-skill", no_tick, SMALL, demonstrations=20)
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert bench_model("bench-arithmetic-skill-0", no_tick, SMALL, demonstrations=20) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    assert bench_model("bench-arithmetic-skill-1", no_tick, SMALL, demonstrations=20) != folder
    assert bench_model("bench-arithmetic-facts", no_tick, SMALL, demonstrations=20) != folder
    assert len(list((tmp_path / "models").iterdir())) == 3


def test_a_name_that_is_nearly_one_is_told_the_names_there_are() -> None:
    assert is_bench_model("bench-arithmetic-fact")
    assert not is_bench_model("tiny-random")
    with pytest.raises(InputError, match="no model 'bench-arithmetic-fact'") as caught:
        bench_model("bench-arithmetic-fact", no_tick)
    assert "bench-arithmetic-skill[-SEED]" in caught.value.next_step
