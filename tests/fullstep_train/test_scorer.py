"""scorer: the rewards of a trained PRM, by the contract of StepScorer."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fullstep_train.config import LoRA
from fullstep_train.groups import labelled_groups
from fullstep_train.prm import step_rewards
from fullstep_train.scorer import load_scorer, scorer_identity, step_reader
from fullstep_train.tokens import NO_TOKEN, TOO_LONG
from schemas import InputError
from tests.fullstep_train.frames import make_tables
from tests.fullstep_train.runs import run_prm


@dataclass(frozen=True)
class Asked:
    prompt: str
    text: str
    stops: tuple[int, ...]
    finished: bool


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_prm(tmp_path_factory.mktemp("prm"), lora=LoRA(rank=2), max_length=200)


def asked_groups(problems: int = 3) -> list[list[Asked]]:
    tables = make_tables(problems=problems)
    stops = dict(tables.steps.group_by("solution_id", maintain_order=True).agg("stop").iter_rows())
    groups = tables.solutions.sort("problem_id", "sample_index").partition_by("problem_id", maintain_order=True)
    return [
        [Asked(row["prompt"], row["text"], tuple(stops[row["solution_id"]]), finished=True) for row in group.to_dicts()]
        for group in groups
    ]


def test_one_reward_per_step_in_order(folder: Path) -> None:
    scorer = load_scorer(folder)
    groups = asked_groups()
    seen: list[tuple[int, int]] = []
    found = scorer.score(groups, lambda done, total: seen.append((done, total)))
    assert [[len(rewards) for rewards in group] for group in found] == [[len(item.stops) for item in group] for group in groups]
    assert all(0 <= reward <= 1 for group in found for rewards in group if not isinstance(rewards, str) for reward in rewards)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert scorer.score([]) == []
    alone = scorer.score([[groups[1][2]]])[0][0]
    assert alone == pytest.approx(found[1][2], abs=1e-5)


def test_scoring_is_what_training_measured(folder: Path) -> None:
    """The saved, merged model read back gives the rewards that the model in training gives, at the same tokens."""
    scorer = load_scorer(folder)
    tables = make_tables(problems=3)
    groups, _ = labelled_groups(tables.solutions, tables.steps, tables.step_labels, scorer.tokenizer, 2048, "label")
    measured = step_rewards(scorer.model, groups, scorer.runs)
    found = [rewards for group in scorer.score(asked_groups()) for rewards in group]
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(measured, found, strict=True))


def test_a_later_step_does_not_change_an_earlier_reward(folder: Path) -> None:
    item = asked_groups(1)[0][0]
    shorter = replace(item, text=item.text[: item.stops[0]], stops=item.stops[:1], finished=False)
    whole, first = load_scorer(folder).score([[item, shorter]])[0]
    assert first == pytest.approx(whole[:1], abs=1e-6)


def test_reasons_instead_of_rewards(folder: Path) -> None:
    item = asked_groups(1)[0][0]
    swallowed = replace(item, text="Step", stops=(1, 2, 3, 4))
    long = replace(item, text=item.text * 9, stops=(len(item.text) * 9,))
    found = load_scorer(folder).score([[long, item, swallowed], [long]])
    assert found[0][0] == found[1][0] == TOO_LONG
    assert isinstance(found[0][1], list)
    assert found[0][2] == NO_TOKEN


def test_identity_is_of_the_content(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "metrics.json").unlink()
    assert scorer_identity(copy) == scorer_identity(folder) == load_scorer(folder).identity
    manifest = json.loads((copy / "prm.json").read_text())
    manifest["config"]["max_length"] = 100
    (copy / "prm.json").write_text(json.dumps(manifest))
    assert scorer_identity(copy) != scorer_identity(folder)


def test_folders_that_hold_no_prm(tiny: Path, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match=r"no readable config\.json"):
        load_scorer(tmp_path)
    with pytest.raises(InputError, match="LlamaForCausalLM, not"):
        load_scorer(tiny)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    settings = json.loads((copy / "config.json").read_text()) | {"id2label": {"0": "a", "1": "b", "2": "c"}}
    (copy / "config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="3 labels"):
        load_scorer(copy)


def test_a_reader_gives_the_ids_and_places_that_the_scorer_uses(folder: Path) -> None:
    scorer, read = load_scorer(folder), step_reader(folder)
    item = asked_groups(1)[0][0]
    made = read(item)
    assert not isinstance(made, str)
    ids, places = made
    assert len(places) == len(item.stops)
    with torch.no_grad():
        rewards = scorer.model(torch.tensor([ids], device=scorer.model.device)).logits[0, places].softmax(-1)[:, 1]
    assert rewards.tolist() == pytest.approx(scorer.score([[item]])[0][0], abs=1e-6)
    assert read(replace(item, text=item.text * 9, stops=(len(item.text) * 9,))) == TOO_LONG


def test_scoring_moves_no_random_state(folder: Path) -> None:
    scorer = load_scorer(folder)
    state = torch.random.get_rng_state()
    scorer.score(asked_groups())
    assert torch.equal(state, torch.random.get_rng_state())
