"""The card says what the tables and the manifest say."""

from pathlib import Path

import yaml
from datasets import Features

from fullstep_data.audit import QuestionSet
from fullstep_data.hub.dataset import dataset_bundle
from fullstep_data.store import Version
from schemas import TABLES
from tests.fullstep_data.small_chain import Recipe, build


def card(version: Version, license_id: str | None = "mit", tables: list[str] | None = None) -> tuple[dict, str]:
    with dataset_bundle(version, tables, "ann/sums", "v1", license_id) as bundle:
        readme = bundle.card(None)
    _, head, text = readme.split("---\n", 2)
    return yaml.safe_load(head), text


def test_every_config_names_its_files_its_columns_and_its_rows(dataset: Version):
    front, _ = card(dataset)
    names = [config["config_name"] for config in front["configs"]]
    tables = [name for name in dataset.manifest.tables if name != "samples"]
    assert names == ["preferences", "stepwise", *tables, "rejects"]
    assert [config["config_name"] for config in front["configs"] if config.get("default")] == ["preferences"]
    infos = {info["config_name"]: info for info in front["dataset_info"]}
    for name in tables:
        features = Features._from_yaml_list(infos[name]["features"])
        assert list(features) == TABLES[name].polars_schema.names()
        assert infos[name]["splits"][0]["num_examples"] == dataset.frame(name).height
    assert front["size_categories"] == ["n<1K"]
    assert front["license"] == "mit"


def test_a_file_without_rows_is_not_loaded(tmp_path: Path):
    """`datasets` fails at a Parquet file whose row group is empty: a part of problems that gave no pair."""
    version = build(tmp_path / "dataset", Recipe(samples=2))
    full = [file.path.relative_to(version.path).as_posix() for file in version.tables["pairs"].stored if file.rows]
    assert 1 < len(full) < len(version.files("pairs"))
    paths = {config["config_name"]: config["data_files"][0]["path"] for config in card(version)[0]["configs"]}
    assert paths["pairs"] == full
    assert paths["problems"] == "parts/problems/*.parquet"


def test_it_says_how_the_dataset_was_made(dataset: Version):
    _, text = card(dataset)
    for name, record in dataset.manifest.tables.items():
        if name != "samples":
            counts = record.stages[0].counts
            assert f"| {name} | {counts.rows_in:,} | {counts.kept:,} |" in text
            assert TABLES[name].markdown() in text
    assert "1 the answer is missing" in text  # what problems dropped
    assert "| small | 10 |" in text  # problems by source
    assert 'load_dataset("ann/sums", "preferences", revision="v1"' in text
    assert "Not audited" in text
    assert "raw output of the sampler is not published" in text
    assert "2502.14356" in text


def test_the_rewards_are_those_of_the_rows(dataset: Version):
    _, text = card(dataset)
    rewards = dataset.frame("step_scores").join(dataset.frame("step_labels"), on=["solution_id", "step_index"])
    for label, rows in rewards.group_by("label"):
        mean = rows["reward"].mean()
        assert f"| `{str(label[0]).lower()}` | {rows.height:,} | {mean:.3f} |" in text
    assert "rewards.png" in text
    _, without = card(dataset, tables=["problems", "solutions"])
    assert "rewards.png" not in without


def test_the_audit_counts_by_set_and_kind_and_says_no_folder(dataset: Version):
    asked = dataset.frame("problems").filter(split="train")["question"].to_list()
    sets = [QuestionSet("/home/ann/private/mine.jsonl", (asked[0], asked[1].replace("+", " +  "), "How tall is it?"))]
    with dataset_bundle(dataset, None, "ann/sums", "v1", "mit", sets) as bundle:
        text = bundle.card(None)
    # exact, normalised, 13-gram, near: the first question as it is, the second with other blanks
    assert "| training problems that stand in mine.jsonl (3 questions) | 1 | 1 | 0 | 0 |" in text
    assert "| test problems that stand in the training split | 0 | 0 | 0 | 0 |" in text
    assert "/home/ann" not in text


def test_the_licence_that_authors_state_is_told(dataset: Version):
    recipe = {"problems": {"source": {"kind": "hub", "preset": "gsm8k"}}}
    told = Version(dataset.path, dataset.manifest.model_copy(update={"recipe": recipe}))
    assert "licence of their source, which its authors state as MIT" in card(told)[1]


def test_no_licence_is_not_made_up(dataset: Version):
    front, text = card(dataset, license_id=None)
    assert "license" not in front
    assert "No licence was named for this version." in text
