"""The examples of the card fit what is published. That they run as they stand: tests/cli/test_hub.py."""

import ast
import re

import pytest

from fullstep_data.hub.dataset import dataset_bundle
from fullstep_data.store import Version


def used(version: Version, tables: list[str] | None) -> str:
    with dataset_bundle(version, tables, "ann/sums", "v1", None) as bundle:
        card = bundle.card(None)
    return card[card.index("## Use") : card.index("## Columns")]


@pytest.mark.parametrize(
    ("tables", "loaded", "asked"),
    [
        (None, "preferences", "avg(reward)"),
        (["problems", "solutions", "steps", "step_labels"], "stepwise", "FROM '{hub}/step_labels/*.parquet'"),
        (["problems"], "problems", "FROM '{hub}/problems/*.parquet'"),
    ],
)
def test_each_names_what_is_there(tables: list[str] | None, loaded: str, asked: str, dataset: Version):
    text = used(dataset, tables)
    assert f'load_dataset("ann/sums", "{loaded}", revision="v1"' in text
    assert asked in text
    assert ("fs-train run" in text) == (tables is None)
    assert ("TRL's DPOTrainer" in text) == (tables is None)
    for block in re.findall("```python\n(.*?)```", text, re.DOTALL):
        ast.parse(block)
