"""Ours goes in, theirs stays."""

from typing import Any

import pyarrow as pa
import pytest
import yaml
from datasets import Features
from hypothesis import given
from hypothesis import strategies as st

from fullstep_data.hub.front_matter import BEGIN, END, features, merged
from schemas import InputError

OURS: dict[str, Any] = {
    "license": "mit",
    "pretty_name": "sums",
    "size_categories": ["n<1K"],
    "tags": ["fullstep", "dpo"],
    "configs": [{"config_name": "pairs", "data_files": [{"split": "train", "path": "parts/pairs/*.parquet"}]}],
}


def front(readme: str) -> dict[str, Any]:
    return yaml.safe_load(readme.split("---\n")[1])


def test_a_new_readme():
    readme = merged(None, OURS, "# Sums")
    assert front(readme) == OURS
    assert readme.endswith(f"---\n{BEGIN}\n\n# Sums\n\n{END}\n")


def test_what_somebody_else_wrote_stays():
    theirs = """---
license: cc-by-4.0
pretty_name: Mine
size_categories: [1M<n<10M]
tags: [mine, dpo]
configs:
- config_name: pairs
  data_files: old.parquet
- config_name: extra
  data_files: extra.csv
arxiv: "1234.5678"
---
# My title

Read this first.
"""
    readme = merged(theirs, OURS, "generated")
    assert front(readme) == {
        "license": "mit",  # ours is there only where the user named it for this push
        "pretty_name": "Mine",  # said by them: ours does not replace it
        "size_categories": ["n<1K"],  # describes the files: ours
        "tags": ["mine", "dpo", "fullstep"],
        "configs": [OURS["configs"][0], {"config_name": "extra", "data_files": "extra.csv"}],
        "arxiv": "1234.5678",
    }
    assert "# My title\n\nRead this first." in readme
    assert readme.index("Read this first.") < readme.index("generated")


def test_configs_whose_files_went_with_an_older_version_go_too():
    older = {
        "configs": [
            *OURS["configs"],
            {
                "config_name": "steps",
                "data_files": [{"split": "train", "path": ["parts/steps/a.parquet", "parts/steps/b.parquet"]}],
            },
            {"config_name": "stepwise", "data_files": "views/stepwise/*.parquet", "default": True},
        ],
        "dataset_info": [{"config_name": name} for name in ("pairs", "steps", "stepwise")],
    }
    readme = merged(merged("---\nconfigs:\n- config_name: mine\n  data_files: mine.csv\n---\n", older, ""), OURS, "")
    assert [one["config_name"] for one in front(readme)["configs"]] == ["pairs", "mine"]
    readme = merged(merged(None, older, ""), {**OURS, "dataset_info": [{"config_name": "pairs"}]}, "")
    assert front(readme)["dataset_info"] == [{"config_name": "pairs"}]


def test_there_is_one_default():
    config = {**OURS["configs"][0], "default": True}
    assert front(merged(None, {**OURS, "configs": [config]}, ""))["configs"] == [config]
    theirs = {"config_name": "mine", "data_files": "mine.csv", "default": True}
    readme = merged(f"---\n{yaml.safe_dump({'configs': [theirs]})}---\n", {**OURS, "configs": [config]}, "")
    assert front(readme)["configs"] == [OURS["configs"][0], theirs]


def test_only_the_text_between_the_marks_is_replaced():
    first = merged(None, OURS, "old text").replace(END, f"{END}\n\nA note of mine.")
    second = merged("---\nlicense: mit\n---\nBefore.\n\n" + first.split("---\n", 2)[2], OURS, "new text")
    assert "old text" not in second
    assert second.index("Before.") < second.index("new text") < second.index("A note of mine.")


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc")), max_size=80))
def test_merging_twice_changes_nothing(body: str):
    once = merged("# Title\n", OURS, f"text {body}".replace(END, "").replace(BEGIN, ""))
    assert merged(once, OURS, f"text {body}".replace(END, "").replace(BEGIN, "")) == once


@pytest.mark.parametrize("head", ["tags: [a", "- a\n- b", "just words"])
def test_a_front_matter_that_cannot_be_read_is_not_lost(head: str):
    with pytest.raises(InputError, match="cannot be merged"):
        merged(f"---\n{head}\n---\ntext", OURS, "body")
    with pytest.raises(InputError, match="cannot be merged"):
        merged("---\nlicense: mit\n", OURS, "body")  # it has no end
    with pytest.raises(InputError, match="cannot be merged"):
        merged("---\nconfigs: [a, b]\n---\n", OURS, "body")


def test_lists_grow_whatever_they_hold():
    tags = front(merged("---\ntags: [{a: 1}, dpo]\n---\n", OURS, "body"))["tags"]
    assert tags == [{"a": 1}, "dpo", "fullstep"]
    assert front(merged("---\ntags: mine\n---\n", OURS, "body"))["tags"] == ["mine", "fullstep", "dpo"]


def test_features_are_those_that_datasets_reads():
    schema = pa.schema(
        {
            "a": pa.string(),
            "b": pa.int32(),
            "c": pa.int64(),
            "d": pa.float32(),
            "e": pa.float64(),
            "f": pa.bool_(),
            "g": pa.list_(pa.float32()),
        }
    )
    assert Features._from_yaml_list(features(schema)) == Features.from_arrow_schema(schema)
