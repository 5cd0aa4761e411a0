"""docs/cookbook.md is run: every query over a build of the recipe `tiny`, some against the same by hand."""

import re
from itertools import groupby
from math import comb
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from fullstep_data.query import sql
from fullstep_data.store import Version, open_version
from tests.cli.commands import done

TEXT = (Path(__file__).parents[2] / "docs" / "cookbook.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^### (\d+)\. .*?^```sql\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    folder = tmp_path_factory.mktemp("cookbook")
    done("fs-data build tiny --out tiny", folder)
    return open_version(str(folder / "tiny"))


def test_there_are_twenty() -> None:
    assert list(RECIPES) == [str(number) for number in range(1, 21)]
    assert TEXT.count("```sql") == 20


@pytest.mark.parametrize("number", RECIPES)
def test_every_query_answers_with_rows(version: Version, number: str) -> None:
    assert sql(version, RECIPES[number]).height > 0


def test_pass_at_k_is_the_unbiased_estimate(version: Version) -> None:
    rows = version.frame("solutions").select("problem_id", "correct").sort("problem_id").iter_rows()
    counts = [[bool(correct) for _, correct in group] for _, group in groupby(rows, key=lambda row: row[0])]
    answer = dict(sql(version, RECIPES["4"]).iter_rows())
    for k in (1, 2, 4):
        by_hand = [1 - comb(len(tries) - sum(tries), k) / comb(len(tries), k) for tries in counts if len(tries) >= k]
        assert answer[k] == pytest.approx(sum(by_hand) / len(by_hand), abs=5e-4)


def test_the_auc_is_sklearns(version: Version) -> None:
    scores = sql(version, "SELECT any_value(correct) AS correct, avg(reward) AS score FROM rewards GROUP BY solution_id")
    by_hand = roc_auc_score(scores["correct"].to_numpy(), scores["score"].to_numpy())
    assert sql(version, RECIPES["13"]).item() == pytest.approx(by_hand, abs=5e-4)
