"""The card says what the tables and the manifest say."""

from pathlib import Path

import pytest
import yaml
from datasets import Features

from fullstep_data.audit import QuestionSet
from fullstep_data.hub.dataset import dataset_bundle
from fullstep_data.store import Version
from schemas import TABLES
from tests.fullstep_data.formats.trips import golden, import_records
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
    splits = dataset.frame("problems")["split"].to_list()
    assert f"| small | {splits.count('train')} | {splits.count('test')} |" in text  # problems by source
    assert 'load_dataset("ann/sums", "preferences", revision="v1"' in text
    assert "Not audited" in text
    assert "raw output of the sampler is not published" in text
    assert "2502.14356" in text


def of_recipe(version: Version, **recipe: object) -> tuple[dict, str]:
    """The card of the version, were it made by another recipe."""
    return card(Version(version.path, version.manifest.model_copy(update={"recipe": recipe})))


def test_sampler_m_t_n_grader_prm_and_seeds_are_told(dataset: Version):
    _, text = of_recipe(
        dataset,
        samples={"samples": 32, "temperature": 0.7, "seed": 5, "engine": {"kind": "vllm"}},
        step_labels={"kind": "monte-carlo", "n": 8, "policy": "early-stop"},
        side_labels=[{"kind": "judge", "threshold": 0.5}],
        learn_from="consensus",
        prm={"kind": "train", "seed": 3},
        pairs={"top": 4, "seed": 7},
    )
    for row in (
        "| sampler | kind `vllm` |",
        "| M, samples per problem | `32` |",
        "| temperature | `0.7` |",
        "| seed of the samples | `5` |",
        "| N, rollouts per step | `8` |",
        "| side labels | kind `judge`, threshold `0.5` |",
        "| the PRM and `step_pairs` learn from | `consensus` |",
        "| PRM | kind `train`, seed `3` |",
        "| T, solutions per side | `4` |",
        "| selection of pairs | top `4`, seed `7` |",
        "| sampler (identity) | `",
    ):
        assert row in text, row
    assert "| software | fullstep `" in text


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("outcome", "outcomes (N = 1)"),
        ("monte-carlo", "not a proof"),
        ("judge", "a model's opinion"),
        ("vote", "are votes"),
        ("truth", ""),
    ],
)
def test_the_limits_are_those_of_the_labels(kind: str, told: str, dataset: Version):
    _, text = of_recipe(dataset, step_labels={"kind": kind})
    limits = text.partition("## Known limits")[2].partition("##")[0]
    assert [words for words in ("outcomes (N = 1)", "not a proof", "a model's opinion", "are votes") if words in limits] == [
        told
    ] * bool(told)


def test_language_and_source_stand_where_they_are_known(dataset: Version):
    front, _ = of_recipe(dataset, problems={"source": {"kind": "hub", "name": "openai/gsm8k", "preset": "gsm8k"}})
    assert (front["language"], front["source_datasets"]) == (["en"], ["openai/gsm8k"])
    front, _ = of_recipe(dataset, problems={"source": {"kind": "file", "path": "mine.jsonl", "preset": None}})
    assert not {"language", "source_datasets"} & set(front)
    assert of_recipe(dataset, problems={"source": {"kind": "file", "path": "builtin:sums.jsonl"}})[0]["language"] == ["en"]


def test_an_imported_dataset_says_what_was_imported(tmp_path: Path):
    version, _ = import_records("math-shepherd", golden("math-shepherd"), tmp_path, prompt_label="drop")
    front, text = card(version, license_id=None)
    assert "| imported | format `math-shepherd`, options prompt_label `drop` |" in text
    assert "| SHA-256 of math-shepherd.jsonl | `" in text
    assert "as the imported files have them" in text
    assert "- What is to be known of the format: correct: the label of the last step; no gold answers" in text
    assert "| problems (import) |" in text
    assert "raw output" not in text
    assert "preference pairs among them" not in text
    assert [config["config_name"] for config in front["configs"] if config.get("default")] == ["stepwise"]


def test_the_method_and_this_version_can_be_cited(dataset: Version):
    _, text = card(dataset)
    assert "Xu, Huimin and Mao, Xin" in text
    assert "@misc{sums-v1," in text
    assert "\\url{https://huggingface.co/datasets/ann/sums/tree/v1}" in text


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
