"""A model of a run in a repository of its own; its card names the data."""

import json
from pathlib import Path

import pytest
import yaml

from fullstep_data.hub.model import ModelPush, model_bundle
from fullstep_data.hub.publish import content
from fullstep_data.store import Version
from schemas import InputError
from tests.fullstep_data.small_chain import STAGES, Generator, build, run_stages

PUSH = ModelPush("ann/prm", "v1", license="apache-2.0")


def test_the_files_of_the_model_and_a_seal_that_lists_them(dataset: Version):
    bundle = model_bundle(dataset, PUSH)
    record = dataset.manifest.models["prm"]
    assert set(bundle.files) == {*record.files, "fullstep.json"}
    seal = json.loads(bundle.seal_content)
    assert seal["files"] == {name: file.model_dump() for name, file in record.files.items()}
    assert seal["trained_on"]["parts"] == list(record.parents)
    assert content(bundle.files["mean.txt"]) == (dataset.model("prm") / "mean.txt").read_bytes()


def test_rows_are_no_part_of_a_model(dataset: Version):
    """A training leaves rejects.parquet and the like beside the weights."""
    record = dataset.manifest.models["prm"]
    (dataset.model("prm") / "rejects.parquet").write_bytes(b"rows")
    more = record.model_copy(update={"files": {**record.files, "rejects.parquet": next(iter(record.files.values()))}})
    version = Version(dataset.path, dataset.manifest.model_copy(update={"models": {"prm": more}}))
    assert "rejects.parquet" not in model_bundle(version, PUSH).files


def test_the_card_names_the_data_and_what_was_measured(dataset: Version):
    (dataset.model("prm") / "metrics.json").write_text('{"validation": {"auc": 0.75}}')
    _, head, text = model_bundle(dataset, PUSH).card(None).split("---\n", 2)
    front = yaml.safe_load(head)
    assert front["pipeline_tag"] == "token-classification"
    assert front["license"] == "apache-2.0"
    assert "Version 1 of the dataset" in text
    assert dataset.manifest.models["prm"].parents[0] in text
    assert "| AUC | 0.750 |" in text
    assert 'from_pretrained("ann/prm", revision="v1")' in text


def test_which_model(dataset: Version, tmp_path: Path):
    with pytest.raises(InputError, match="has no model policy") as caught:
        model_bundle(dataset, ModelPush("ann/x", "v1", model="policy"))
    assert "its models: prm" in str(caught.value)
    bare = run_stages(tmp_path / "bare", [stage for stage in STAGES if stage.name not in ("prm", "step_scores", "pairs")])
    with pytest.raises(InputError, match="has no model") as caught:
        model_bundle(bare, PUSH)
    assert "fs-train run" in str(caught.value)


def test_an_altered_model_is_not_published(dataset: Version):
    (dataset.model("prm") / "mean.txt").write_text("0.9")
    with pytest.raises(InputError, match="missing or were altered") as caught:
        model_bundle(dataset, PUSH)
    assert "mean.txt" in str(caught.value)


def test_a_model_and_a_later_one_under_another_tag(hub, forks, tmp_path, repo):
    """What the first version left and the second has not is gone from the head; what others put there stays."""
    build(tmp_path / "dataset")
    assert forks.run(f"fs-train push dataset {repo} --tag v1", tmp_path).status == 0
    published = hub.repos["model", repo]
    first = set(published.main.files)
    published.add("main", "quantised", {**published.main.files, "model.gguf": next(iter(published.main.files.values()))})
    run_stages(tmp_path / "dataset", STAGES, None, generator=Generator("word"))
    done = forks.run(f"fs-train push dataset {repo} --tag v2", tmp_path)
    assert done.status == 0, done.errors
    assert set(published.main.files) == {*first, "model.gguf"}
    assert forks.run(f"fs-train push dataset {repo} --tag v2", tmp_path).output.strip().endswith("nothing to do")
    done = forks.run(f"fs-train push dataset@1 {repo} --tag v2", tmp_path)
    assert done.status == 2
    assert "mean.txt is another" in done.errors
    assert hub.read("model", repo, "mean.txt", "v1") != hub.read("model", repo, "mean.txt", "v2")


def test_data_is_named_only_where_it_is_true(hub, forks, tmp_path, repo):
    build(tmp_path / "dataset")
    assert forks.run(f"fs-data push dataset {repo} --tag v1", tmp_path).status == 0
    assert forks.run(f"fs-data push dataset {repo}-problems --tag v1 --tables problems", tmp_path).status == 0
    done = forks.run(f"fs-train push dataset {repo}-prm --data {repo}@v1", tmp_path)
    assert done.status == 0, done.errors
    card = hub.read("model", f"{repo}-prm", "README.md", "v1").decode()
    assert f"datasets:\n- {repo}\n" in card
    assert f"Published as [{repo}@v1]" in card
    done = forks.run(f"fs-train push dataset {repo}-other --data {repo}-problems@v1", tmp_path)
    assert done.status == 2
    assert "was not trained on" in done.errors
    assert ("model", f"{repo}-other") not in hub.repos
