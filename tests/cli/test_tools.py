"""The tools: both layers call a model by one name, and a built-in model that cannot be made is the user's to mend."""

import importlib.util
import logging
from pathlib import Path

import pytest
import torch
from transformers import LlamaForTokenClassification

import fullstep_data.engines.model_files
import fullstep_train.models
from cli.progress import Lines, ProgressReporter
from cli.recipe import load
from cli.tools import ReferenceTool, ScorerTool, VLLMScorerTool, build_stages, build_tools, find_model, train_tools
from fullstep_data.config import QwenFormat, VLLMReference, VLLMScoring
from fullstep_data.engines.protocol import ScoreRequest
from fullstep_data.engines.public_prm import PublicPRMTool
from fullstep_data.rollouts import KnownTool
from fullstep_data.runner import QuietReporter, run
from fullstep_data.stage import no_tick
from fullstep_data.store import Store, open_version
from fullstep_train import builtin
from fullstep_train.config import PolicyTraining
from schemas import InputError
from tests.fullstep_data.engines.loopback import loopback
from tests.fullstep_data.engines.public_prms import prm_of
from tests.fullstep_data.store.mounts import remount, tmpfs
from tests.fullstep_train.frames import make_tables
from tests.models import tiny_model, tiny_tokenizer

QUIET = ProgressReporter(Lines(lambda text: None))
FIRST = ("problems", "samples", "solutions", "steps", "rollouts", "step_labels")


def test_sampler_and_trainer_know_a_model_by_one_identity() -> None:
    folder = find_model("tiny-random", QUIET)
    identity = fullstep_train.models.identity(folder)
    assert fullstep_data.engines.model_files.model_identity(folder) == identity
    tools = build_tools(load("tiny", ['samples.engine={kind="hf"}']), QUIET)
    assert tools["prm_trainer"].identity({}) == identity
    assert identity in tools["generator"].identity({})


def test_a_given_prm_takes_the_place_of_the_stage_that_trains_one(tmp_path: Path) -> None:
    assert "prm" in [stage.name for stage in build_stages(load("tiny"))]
    given = load("tiny", [f'prm={{kind="given", path="{tmp_path}"}}'])
    assert "prm" not in [stage.name for stage in build_stages(given)]


def test_labels_as_rewards_take_the_place_of_prm_and_scorer() -> None:
    recipe = load("tiny", ['prm={kind="labels"}'])
    stages = {stage.name: stage for stage in build_stages(recipe)}
    assert "prm" not in stages
    assert [read.table for read in stages["step_scores"].reads] == ["step_labels"]
    assert build_tools(recipe, QUIET).keys() == {"grader", "generator"}


def test_a_base_model_of_the_bench_is_a_name_like_others() -> None:
    with pytest.raises(InputError, match="no model 'bench-arithmetic-sums'"):
        find_model("bench-arithmetic-sums", QUIET)


def test_the_server_has_the_tokenizer_of_the_recipe_s_model_unless_text_is_sent() -> None:
    engine = 'samples.engine={kind="server", url="http://localhost:9/v1"}'
    identity = build_tools(load("tiny", [engine]), QUIET)["generator"].identity({})
    assert identity == f"server:tiny-random:{fullstep_train.models.identity(find_model('tiny-random', QUIET))}"
    named = build_tools(load("tiny", [engine, "samples.engine.model=qwen"]), QUIET)["generator"].identity({})
    assert named == identity.replace("tiny-random", "qwen")
    text = build_tools(load("tiny", [engine, "samples.engine.prompts=text"]), QUIET)["generator"]
    assert text.identity({}) == "server:tiny-random:text"


def test_vllm_takes_the_place_of_transformers_where_the_recipe_says_so(tmp_path: Path) -> None:
    tools = build_tools(load("tiny", ['samples.engine={kind="vllm"}', 'step_scores.engine={kind="vllm"}']), QUIET)
    assert tools["generator"].identity({}).startswith("vllm:")
    models = {"prm": random_prm(tmp_path / "prm")}
    assert tools["scorer"].identity(models) != build_tools(load("tiny"), QUIET)["scorer"].identity(models)
    if importlib.util.find_spec("vllm") is None:
        for name in ("generator", "scorer"):
            with pytest.raises(InputError, match="needs the package vllm") as caught:
                tools[name].open(models)
            assert 'pip install "fullstep[vllm]"' in caught.value.next_step


def test_rollouts_are_drawn_by_the_engine_of_their_section(tmp_path: Path) -> None:
    """Here a server, which reads prefixes as text, beside samples of another engine."""
    with loopback() as server:
        engine = f'{{kind="server", url="{server.url}", model="scripted", prompts="text"}}'
        labels = f'step_labels={{kind="monte-carlo", n=2, engine={engine}}}'
        recipe = load("tiny", ["problems.source.limit=6", "samples.samples=3", labels])
        stages = [stage for stage in build_stages(recipe) if stage.name in FIRST]
        version = run(stages, recipe, Store.create(tmp_path / "data"), build_tools(recipe, QUIET), QuietReporter())
    drawn = version.frame("rollouts")
    assert set(version.frame("samples")["sampler"].str.starts_with("scripted")) == {True}
    assert set(drawn["sampler"].str.starts_with("server:scripted:text")) == {True}
    assert drawn.height == len(server.asked) > 10
    assert version.frame("step_labels")["label"].null_count() == 0


def test_a_judge_is_asked_through_the_engine_of_its_section_or_of_the_samples() -> None:
    side = 'side_labels=[{kind="judge", name="hf", engine={kind="hf"}}, {kind="judge", name="same"}, {kind="outcome"}]'
    tools = build_tools(load("tiny", [side, 'step_labels={kind="judge", engine={kind="scripted", error_rate=0}}']), QUIET)
    assert tools["judge"].identity({}) == "scripted:0"
    assert tools["judge_1"].identity({}).startswith("hf:")
    assert tools["judge_2"] is tools["generator"]
    assert "judge_3" not in tools


def test_a_published_prm_is_asked_in_its_format(tmp_path: Path) -> None:
    folder = prm_of(QwenFormat(), tmp_path / "qwen")
    given, form = f'prm={{kind="given", path="{folder}"}}', 'step_scores={format={kind="qwen"}}'
    tool = build_tools(load("tiny", [given, form]), QUIET)["scorer"]
    assert tool == PublicPRMTool(str(folder), QwenFormat())
    (stage,) = [stage for stage in build_stages(load("tiny", [given, form])) if stage.name == "step_scores"]
    assert [read.table for read in stage.reads] == ["solutions", "steps", "problems"]
    in_vllm = build_tools(load("tiny", [given, 'step_scores={format={kind="qwen"}, engine={kind="vllm"}}']), QUIET)["scorer"]
    assert in_vllm.identity({}) != tool.identity({})
    for wrong, told in (
        ([form], "is how a published PRM is asked"),
        ([given, 'step_scores={format={kind="skywork"}, engine={kind="vllm"}}'], "run in transformers"),
    ):
        with pytest.raises(InputError, match=told):
            load("tiny", wrong)


@pytest.mark.vllm
def test_vllm_gives_the_rewards_of_transformers(tmp_path: Path) -> None:
    """Both tools on one PRM: the same solutions are refused, the same rewards within 1e-4."""
    models = {"prm": random_prm(tmp_path / "prm")}
    text = "Step 1: 4 + 3 = 7.\nStep 2: 7 - 2 = 5."
    prompt = "Problem: 4 + 3 - 2 =\n"
    groups = [
        [ScoreRequest(prompt, text, (19, len(text)), True), ScoreRequest(prompt, text[:19], (19,), False)],
        [ScoreRequest(prompt, "7" * 9000, (9000,), True), ScoreRequest(prompt, text, (2, 19, len(text)), True)],
    ]
    vllm = VLLMScorerTool(VLLMScoring(dtype="float32", eager=True), None).open(models)
    found, expected = vllm.score(groups), ScorerTool(None).open(models).score(groups)
    vllm.close()
    assert found[1][0] == expected[1][0]
    for group, other in zip(found, expected, strict=True):
        for rewards, wanted in zip(group, other, strict=True):
            assert rewards == (wanted if isinstance(wanted, str) else pytest.approx(wanted, abs=1e-4))


@pytest.mark.vllm
def test_vllm_gives_the_log_probs_of_transformers(tmp_path: Path) -> None:
    """Both tools on one base: the same rows of reference_logprobs within 1e-4, under the same name of the reference."""
    base = str(tiny_model(tmp_path / "base", hidden=128))
    preferences = make_tables(problems=3).preferences().tables
    config = PolicyTraining(dtype="float32")
    vllm = ReferenceTool(base, config, engine=VLLMReference(dtype="float32", eager=True)).open({})
    found, dropped = vllm(preferences, no_tick)
    vllm.close()
    expected, others = ReferenceTool(base, config).open({})(preferences, no_tick)
    assert dropped.equals(others)
    assert found.height
    assert found.drop("logprobs").equals(expected.drop("logprobs"))
    assert found["logprobs"].explode().to_list() == pytest.approx(expected["logprobs"].explode().to_list(), abs=1e-4)


def test_the_reference_runs_in_what_the_recipe_says(built: Path) -> None:
    plain = load("tiny", ["reference_logprobs.in_dataset=true"])
    in_vllm = load("tiny", ['reference_logprobs={in_dataset=true, engine={kind="vllm", dtype="float32"}}'])
    tools = [
        made["reference"]
        for recipe in (plain, in_vllm)
        for made in (build_tools(recipe, QUIET), train_tools(recipe, QUIET, open_version(str(built / "out/tiny"))))
    ]
    names = [tool.identity({}) for tool in tools]
    assert names[0] == names[1]
    assert names[2] == names[3] == f"{names[0]}:vllm:float32"
    assert "engine" not in plain.model_dump()["reference_logprobs"]
    if importlib.util.find_spec("vllm") is None:
        with pytest.raises(InputError, match="needs the package vllm"):
            tools[2].open({})


def test_a_build_by_monte_carlo_labels_knows_the_dataset_s_rollouts(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "data")
    tools = build_tools(load("tiny", ['step_labels={kind="monte-carlo"}']), QUIET, store=store)
    assert tools["known_rollouts"] == KnownTool(store.path)
    assert "known_rollouts" not in build_tools(load("tiny", []), QUIET, store=store)


def random_prm(folder: Path) -> Path:
    """A PRM as a training leaves it, of random weights, wide enough for vLLM on a CPU."""
    base = tiny_model(folder / "base", hidden=128)
    model = LlamaForTokenClassification.from_pretrained(base, num_labels=2)
    torch.nn.init.normal_(model.score.weight, std=0.5, generator=torch.Generator().manual_seed(0))
    torch.nn.init.zeros_(model.score.bias)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def test_a_cache_that_cannot_be_written_is_told_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tmpfs(tmp_path / "cache", "300k") as cache:
        monkeypatch.setenv("FULLSTEP_CACHE", str(cache / "full"))
        with pytest.raises(InputError, match="tiny-random cannot be made: the disk is full") as caught:
            find_model("tiny-random", QUIET)
        assert "FULLSTEP_CACHE" in caught.value.next_step
        assert not list((cache / "full").glob("models/*"))
        remount(cache, "ro")
        monkeypatch.setenv("FULLSTEP_CACHE", str(cache / "fixed"))
        with pytest.raises(InputError, match="cannot be made: the folder cannot be written"):
            find_model("tiny-random", QUIET)


def test_a_fault_of_ours_in_making_a_model_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path, tick: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setenv("FULLSTEP_CACHE", str(tmp_path))
    monkeypatch.setitem(builtin.BUILTIN, "tiny-random", (lambda: "1", broken))
    with pytest.raises(ZeroDivisionError):
        find_model("tiny-random", QUIET)


def test_a_warning_of_a_kernel_that_nothing_needs_is_not_shown():
    """The module silences it when it is imported, for commands and worker processes alike."""
    assert not logging.getLogger("bitsandbytes.backends.cpu.ops").isEnabledFor(logging.WARNING)
