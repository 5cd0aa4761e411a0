"""docs/cookbook.md is run: every query over a build of the recipe `tiny`, some against the same by hand. Half of its steps go
wrong, so that some problems have no right solution and give no pairs.
"""

import re
from itertools import groupby
from math import comb
from pathlib import Path

import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from fullstep_data.query import sql
from fullstep_data.stats import stats
from fullstep_data.store import Version, open_version
from tests.cli.commands import done

TEXT = (Path(__file__).parents[2] / "docs" / "cookbook.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^### (\d+)\. .*?^```sql\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    folder = tmp_path_factory.mktemp("cookbook")
    done("fs-data build tiny --out tiny --set samples.engine.error_rate=0.5", folder)
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


def test_problems_without_pairs_are_those_that_were_sampled_and_have_none(version: Version) -> None:
    problems, pairs = version.frame("problems"), version.frame("pairs")
    lacking = problems.filter(pl.col("split") == "train").join(pairs, on="problem_id", how="anti")
    answer = sql(version, RECIPES["2"])
    assert sorted(answer["question"]) == sorted(lacking["question"]) != []
    assert set(answer["tried"]) == {8}
    assert set(answer.filter(pl.col("reason") == "no correct solution")["solved"]) == {0}


def test_length_bias_is_that_of_stats(version: Version) -> None:
    assert sql(version, RECIPES["16"]).row(0)[0] == pytest.approx(stats(version)["scores"]["length_correlation"], abs=5e-4)


def test_the_pairs_of_question_19_are_all_pairs(version: Version) -> None:
    answer = sql(version, RECIPES["19"])
    assert answer["pairs"].sum() == version.tables["pairs"].rows
    longer = (answer["pairs"] * answer["chosen_is_longer"]).sum() / answer["pairs"].sum()
    assert longer == pytest.approx(stats(version)["pairs"]["chosen_longer"], abs=1e-3)
