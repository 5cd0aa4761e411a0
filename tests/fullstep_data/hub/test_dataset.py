"""What is published of a version, and what is not."""

import getpass
import json
import re
import socket
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from fullstep_data.hub.dataset import dataset_bundle, default_tables, differences, published, without_folders
from fullstep_data.hub.publish import Bundle, content
from fullstep_data.stage import Context, Outcome
from fullstep_data.store import Version
from schemas import InputError
from tests.fullstep_data.small_chain import STAGES, run_stages


def bundle(version: Version, tables: list[str] | None = None) -> Bundle:
    """The bundle with its views read into memory, since their folder is gone afterwards."""
    with dataset_bundle(version, tables, "ann/sums", "v1", "mit") as made:
        files = {path: content(one) for path, one in made.files.items()}
    return Bundle(**{**made.__dict__, "files": files})


def test_the_parts_go_out_as_they_are_and_raw_samples_do_not(dataset: Version):
    made = bundle(dataset)
    parts = {path for path in made.files if path.startswith("parts/")}
    expected = {
        file.path.relative_to(dataset.path).as_posix()
        for name, table in dataset.tables.items()
        for file in table.stored
        if name not in ("samples", "rejects")
    }
    rejects = {
        f"parts/rejects/{part.rejects.key}.parquet"
        for name, table in dataset.manifest.tables.items()
        for part in table.parts
        if part.rejects and name != "samples"
    }
    assert parts == expected | rejects
    assert all(made.files[path] == (dataset.path / path).read_bytes() for path in parts)
    others = set(made.files) - parts
    assert others == {
        "versions/000001.json",
        "views.sql",
        "rewards.png",
        "views/preferences/00000.parquet",
        "views/stepwise/00000.parquet",
    }


def test_samples_go_out_when_they_are_named(dataset: Version):
    made = bundle(dataset, ["problems", "samples"])
    assert {path.split("/")[1] for path in made.files if path.startswith("parts/")} == {"problems", "samples", "rejects"}
    assert not [path for path in made.files if path.startswith("views/")]


def test_models_stay_here(dataset: Version):
    assert dataset.manifest.models
    made = bundle(dataset)
    assert json.loads(made.files["versions/000001.json"])["models"] == {}
    assert not [path for path in made.files if path.startswith("models/")]


def test_only_tables_that_are_there(dataset: Version):
    with pytest.raises(InputError, match="has no table thoughts") as caught:
        bundle(dataset, ["problems", "thoughts"])
    assert "its tables: problems, samples" in str(caught.value)
    with pytest.raises(InputError, match="no table is named"):
        bundle(dataset, ["rejects"])


def test_the_same_version_gives_the_same_bytes(dataset: Version):
    first, second = bundle(dataset), bundle(dataset)
    assert first.files == second.files
    assert first.card(None) == second.card(None)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"path": "/home/ann/secret/sums.jsonl"}, {"path": "sums.jsonl"}),
        ({"path": "private/sums.jsonl"}, {"path": "sums.jsonl"}),
        ({"template": "prompts/mine.toml"}, {"template": "mine.toml"}),
        ({"template": "steps-few-shot"}, {"template": "steps-few-shot"}),
        ({"path": "builtin:sums.jsonl"}, {"path": "builtin:sums.jsonl"}),
        ({"model": "/models/Qwen2.5"}, {"model": "Qwen2.5"}),
        ({"model": "~/models/Qwen2.5"}, {"model": "Qwen2.5"}),
        ({"base": "../runs/a/policy"}, {"base": "policy"}),
        ({"base": "runs/a/policy"}, {"base": "policy"}),
        ({"base": r"C:\Users\ann\policy"}, {"base": "policy"}),
        ({"model": "Qwen/Qwen2.5-1.5B"}, {"model": "Qwen/Qwen2.5-1.5B"}),
        ({"pattern": "/a/b/"}, {"pattern": "/a/b/"}),
        ({"url": "http://gpu7.intern:8000/v1"}, {"url": "a server"}),
        ({"url": "https://gpu7.intern", "api_key_env": "ANNS_KEY"}, {"url": "a server", "api_key_env": None}),
        ([1, None, "/x/y"], [1, None, "y"]),
    ],
)
def test_folders_of_this_machine_are_cut_off(value: object, shown: object):
    assert without_folders(value) == shown


def test_nothing_in_it_says_where_it_was_made(dataset: Version, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_NobodyMaySeeThis")
    recipe = {**dataset.manifest.recipe, "model": f"{dataset.path}/models/mine", "source": {"path": "/data/of/ann/sums.jsonl"}}
    made = bundle(Version(dataset.path, dataset.manifest.model_copy(update={"recipe": recipe})))
    everything = b"\n".join((*made.files.values(), made.card(None).encode()))
    for secret in ("hf_NobodyMaySeeThis", str(dataset.path), "/data/of/ann", str(Path.home()), str(Path.cwd())):
        assert secret.encode() not in everything, secret
    texts = b"\n".join(made.files[name] for name in ("versions/000001.json", "views.sql")) + made.card(None).encode()
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b".encode(), texts)
    assert f"/{getpass.getuser()}/".encode() not in everything
    assert b"sums.jsonl" in everything


def test_rows_that_name_a_folder_of_this_machine_stay_here(tmp_path: Path):
    def by_path(samples: pl.DataFrame, problems: pl.DataFrame, context: Context) -> Outcome:
        made = STAGES[2].run(samples, problems, context)
        return replace(made, rows=made.rows.with_columns(sampler=pl.lit("server:/home/ann/models/x.gguf:text")))

    stages = [replace(stage, run=by_path) if stage.name == "solutions" else stage for stage in STAGES]
    version = run_stages(tmp_path / "dataset", stages)
    with pytest.raises(InputError, match="rows name folders of this machine") as caught:
        bundle(version)
    assert "solutions.sampler: server:/home/ann/models/x.gguf:text" in str(caught.value)
    assert bundle(version, ["problems"]).files


def test_a_reject_that_names_a_folder_of_ours_stays_here(tmp_path: Path):
    def fails(samples: pl.DataFrame, problems: pl.DataFrame, context: Context) -> Outcome:
        made = STAGES[2].run(samples, problems, context)
        detail = f"cannot open {Path.home()}/models/x.gguf"
        return replace(made, rejects=made.rejects.with_columns(detail=pl.lit(detail)))

    stages = [replace(stage, run=fails) if stage.name == "solutions" else stage for stage in STAGES]
    version = run_stages(tmp_path / "dataset", stages)
    assert version.manifest.tables["solutions"].rejected, "there is a reject to look at"
    with pytest.raises(InputError, match="rows name folders of this machine") as caught:
        bundle(version)
    assert "rejects.detail: cannot open" in str(caught.value)
    assert bundle(version, ["problems"]).files


def test_what_differs_is_told(dataset: Version):
    manifest = published(dataset.manifest, default_tables(dataset))
    fewer = published(dataset.manifest, ["problems", "solutions"])
    assert differences(fewer.content(), manifest) == [
        f"table {name} is only here" for name in ("steps", "step_labels", "step_scores", "pairs")
    ]
    later = manifest.model_copy(update={"number": 2})
    assert differences(later.content(), manifest) == ["version 2 there, version 1 here"]
    record = manifest.tables["problems"]
    cut = record.stages[0].model_copy(update={"parts": record.stages[0].parts[:1]})
    other = manifest.model_copy(update={"tables": {**manifest.tables, "problems": record.model_copy(update={"stages": (cut,)})}})
    assert differences(other.content(), manifest) == ["table problems: 1 parts there, 3 here, 1 in common"]
    assert differences(b"{}", manifest) == ["a manifest that cannot be read"]
