"""Published PRMs: our rewards are those of the model card's own code, on tiny models of the right architecture."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from fullstep_data.config import MathShepherdFormat, PublicFormat, QwenFormat, RLHFlowFormat, SkyworkFormat
from fullstep_data.engines.prm_layouts import TOO_LONG
from fullstep_data.engines.public_prm import PublicPRMTool
from schemas import InputError
from tests.fullstep_data.engines.card_code import CARDS
from tests.fullstep_data.engines.public_prms import asked, prm_of
from tests.models import tiny_model

FORMATS: list[PublicFormat] = [MathShepherdFormat(), RLHFlowFormat(), SkyworkFormat(), QwenFormat()]
GROUPS = [[asked(3), asked(1), asked(2, "How many apples?")], [], [asked(3, "9" * 600), asked(3)]]


@pytest.fixture(scope="module", params=FORMATS, ids=lambda form: form.kind)
def form(request: pytest.FixtureRequest) -> PublicFormat:
    return request.param


@pytest.fixture(scope="module")
def folder(form: PublicFormat, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prm_of(form, tmp_path_factory.mktemp("prm") / form.kind)


def test_rewards_are_those_of_the_model_card_s_code(form: PublicFormat, folder: Path) -> None:
    ticks: list[tuple[int, int]] = []
    found = PublicPRMTool(str(folder), form).open({}).score(GROUPS, lambda done, total, note="": ticks.append((done, total)))
    assert ticks == [(1, 3), (2, 3), (3, 3)]
    assert found[1] == []
    assert found[2][0] == TOO_LONG
    rewards: list[float] = []
    for group, results in zip(GROUPS, found, strict=True):
        for request, result in zip(group, results, strict=True):
            if not isinstance(result, str):
                assert result == pytest.approx(CARDS[form.kind](folder, request.question, request.steps), abs=1e-5)
                rewards += result
    assert len(rewards) == 3 + 1 + 2 + 3
    assert max(rewards) - min(rewards) > 0.05


def test_the_identity_is_that_of_content_and_format(form: PublicFormat, folder: Path, tmp_path: Path) -> None:
    tool = PublicPRMTool(str(folder), form)
    assert tool.identity({}) == PublicPRMTool(str(shutil.copytree(folder, tmp_path / "copy")), form).identity({})
    assert tool.identity({}) == tool.open({}).identity
    other = QwenFormat(system="Be brief.") if form.kind == "qwen" else QwenFormat()
    assert PublicPRMTool(str(folder), other).identity({}) != tool.identity({})


@pytest.mark.parametrize("form", [SkyworkFormat(), QwenFormat()], ids=lambda form: form.kind)
def test_a_model_without_the_format_s_head_is_refused(form: PublicFormat, tmp_path: Path) -> None:
    folder = prm_of(form, tmp_path / "prm")
    kept = {name: value for name, value in load_file(folder / "model.safetensors").items() if name.startswith("model.")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"holds no PRM of the format {form.kind}: its safetensors hold no"):
        PublicPRMTool(str(folder), form).open({})


def test_a_model_that_writes_nothing_is_no_generative_prm(tmp_path: Path) -> None:
    folder = prm_of(MathShepherdFormat(), tmp_path / "prm")
    state = load_file(folder / "model.safetensors")
    del state["lm_head.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="weights are missing"):
        PublicPRMTool(str(folder), MathShepherdFormat()).open({})


def test_a_missing_tag_is_told_before_the_weights_are_read(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "bare")
    (folder / "model.safetensors").write_bytes(b"not read")
    with pytest.raises(InputError, match="has no token 'ки'"):
        PublicPRMTool(str(folder), MathShepherdFormat()).open({})


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    folder = prm_of(QwenFormat(), tmp_path / "prm")
    settings = json.loads((folder / "config.json").read_text()) | {"model_type": "nothing"}
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError):
        PublicPRMTool(str(folder), QwenFormat()).open({})
