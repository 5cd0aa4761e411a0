"""The bench's base models: their names, one folder per content, made once."""

from pathlib import Path

import pytest

from cli.bench_model import ATTEMPTS, bench_model, greedy_share, is_bench_model
from fullstep_data.arithmetic import FAMILIES, Item, demonstration
from fullstep_train.progress import no_tick
from fullstep_train.scratch import Scratch, train_from_scratch
from schemas import InputError

SMALL = Scratch(width=16, epochs=1)


def test_a_model_is_made_once_and_a_seed_makes_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULLSTEP_CACHE", str(tmp_path))

    def made(name: str) -> Path:
        return bench_model(name, no_tick, SMALL, demonstrations=20, able=(0.0, 1.0))

    folder = made("bench-arithmetic-skill")
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert made("bench-arithmetic-skill-0") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert made("bench-arithmetic-skill-1") != folder
    assert made("bench-arithmetic-facts") != folder
    mixed = made("bench-arithmetic-skill-1-injected-90")
    assert len({made("bench-arithmetic-skill-1"), mixed, made("bench-arithmetic-skill-1-injected-50")}) == 3
    assert made("bench-arithmetic-skill-1-injected-90") == mixed
    assert len(list((tmp_path / "models").iterdir())) == 5


def test_an_injected_mistake_is_taught_and_lowers_the_band(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the probes is enough of a model that has one mistake more, and too little of another."""
    monkeypatch.setenv("FULLSTEP_CACHE", str(tmp_path))
    taught: list[list[tuple[str, str]]] = []
    monkeypatch.setattr("cli.bench_model.greedy_share", lambda folder, items: 0.33)
    monkeypatch.setattr("cli.bench_model.train_from_scratch", lambda texts, *rest: _kept(texts, taught, *rest))
    assert bench_model("bench-arithmetic-facts-1-injected-90", no_tick, SMALL, demonstrations=20).is_dir()
    assert taught == [[(f"{question}\n", text) for question, text in (demonstration("facts", 1, n, 0, 0.9) for n in range(20))]]
    with pytest.raises(InputError, match="no attempt"):
        bench_model("bench-arithmetic-facts-1", no_tick, SMALL, demonstrations=20)


def test_a_model_out_of_the_band_is_made_again_with_other_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second attempt is within the band; where none is, nothing is left in the cache."""
    monkeypatch.setenv("FULLSTEP_CACHE", str(tmp_path))
    shares = iter([0.9, 0.6, *[0.1] * ATTEMPTS])
    taught: list[list[tuple[str, str]]] = []
    monkeypatch.setattr("cli.bench_model.greedy_share", lambda folder, items: next(shares))
    monkeypatch.setattr("cli.bench_model.train_from_scratch", lambda texts, *rest: _kept(texts, taught, *rest))
    assert bench_model("bench-arithmetic-facts", no_tick, SMALL, demonstrations=20).is_dir()
    assert len(taught) == 2
    assert [prompt for prompt, _ in taught[0]] == [prompt for prompt, _ in taught[1]]
    assert taught[0] != taught[1]
    with pytest.raises(InputError, match=f"no attempt of {ATTEMPTS} answers 50% to 75% of its probes"):
        bench_model("bench-arithmetic-facts-1", no_tick, SMALL, demonstrations=20)
    assert len(list((tmp_path / "models").iterdir())) == 1


def _kept(texts: list[tuple[str, str]], taught: list[list[tuple[str, str]]], *rest: object) -> None:
    taught.append(texts)
    rest[2].mkdir(exist_ok=True)  # type: ignore[attr-defined]  # the folder


def test_the_share_of_probes_that_a_model_answers(tmp_path: Path) -> None:
    """A model that has learnt one demonstration by heart answers its question, and not another."""
    question, text = demonstration("facts", 0, 0)
    train_from_scratch([(f"{question}\n", text)] * 40, FAMILIES["facts"].TOKENS, Scratch(epochs=10, warmup=2), tmp_path)
    answer = text.rpartition(" ")[2]
    other = str((int(answer) + 1) % 10)
    assert greedy_share(tmp_path, [Item(question, answer), Item(question, other)]) == 0.5


def test_a_name_that_is_nearly_one_is_told_the_names_there_are() -> None:
    assert is_bench_model("bench-arithmetic-fact")
    assert not is_bench_model("tiny-random")
    with pytest.raises(InputError, match="no model 'bench-arithmetic-fact'") as caught:
        bench_model("bench-arithmetic-fact", no_tick)
    assert "bench-arithmetic-skill[-SEED[-injected-PERCENT]]" in caught.value.next_step
