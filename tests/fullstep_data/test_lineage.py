"""The way back from a pair, on the small chain."""

from itertools import pairwise
from pathlib import Path

import pytest

from fullstep_data.lineage import Lineage, lineage
from fullstep_data.store import Store, Version
from schemas import InputError
from tests.fullstep_data.small_chain import STAGES, run_stages


@pytest.fixture
def version(built: Path) -> Version:
    return Store.open(built).version()


def targets(graph: Lineage, name: str) -> dict[str, str]:
    return {edge.target: edge.label for edge in graph.edges if edge.source == name}


def test_a_pair_leads_to_all_that_made_it(version: Version) -> None:
    pair = version.frame("pairs").row(0, named=True)
    graph = lineage(version, pair["pair_id"])
    assert graph.nodes["pair"].title == f"pair {pair['pair_id']}"
    assert set(targets(graph, "pair")) == {"chosen", "rejected", "selection"}
    solutions = {row["solution_id"]: row for row in version.frame("solutions").iter_rows(named=True)}
    for side in ("chosen", "rejected"):
        solution = solutions[pair[f"{side}_id"]]
        made_by = targets(graph, side)
        assert set(made_by) == {"sampler toy", "grader small", "labels outcome", "prm small", "problem"}
        assert made_by["sampler toy"] == f"sampled with seed {solution['seed']}"
        assert made_by["labels outcome"] == f"steps labelled {'11' if side == 'chosen' else '00'}"
        assert graph.nodes[side].facts["sample_index"] == str(solution["sample_index"])
    assert graph.nodes["problem"].facts["gold"] == solutions[pair["chosen_id"]]["answer"]


def test_the_stage_says_what_it_kept_and_rejected(version: Version) -> None:
    facts = lineage(version).nodes["selection"].facts
    reasons = version.frame("rejects").filter(stage="pairs")["reason"].value_counts().sort("reason")
    assert facts["kept"] == f"{version.tables['pairs'].rows:,}"
    assert facts["rejected"] == ", ".join(f"{count:,} {reason}" for reason, count in reasons.iter_rows())


def test_the_prm_names_the_rows_that_it_was_trained_on(version: Version) -> None:
    """Stage prm of the small chain reads step_labels and nothing else: all of its parts."""
    graph = lineage(version)
    assert targets(graph, "prm small") == {"training rows": "trained on"}
    labels = version.tables["step_labels"]
    assert graph.nodes["training rows"].facts == {"step_labels": f"{labels.rows} rows in {len(labels.parts)} parts"}


def test_without_an_id_it_is_the_widest_pair(version: Version) -> None:
    widest = version.frame("pairs").sort("margin", "pair_id", descending=[True, False])["pair_id"][0]
    assert lineage(version).nodes["pair"].title == f"pair {widest}"


def test_the_beginning_of_an_id_is_enough_where_it_is_the_only_one(version: Version) -> None:
    ids = version.frame("pairs")["pair_id"].to_list()
    only = next(
        one[:length] for one in ids for length in range(1, 20) if sum(other.startswith(one[:length]) for other in ids) == 1
    )
    assert lineage(version, only).nodes["pair"].title.removeprefix("pair ").startswith(only)


def test_ids_that_fit_none_or_several_are_told(version: Version) -> None:
    with pytest.raises(InputError, match="no pair 'zzz'"):
        lineage(version, "zzz")
    ids = sorted(version.frame("pairs")["pair_id"])
    twice = next((one[0] for one, other in pairwise(ids) if one[0] == other[0]), None)
    assert twice is not None, "none of the small chain's ids begin alike"
    with pytest.raises(InputError, match="several pairs begin with") as caught:
        lineage(version, twice)
    assert caught.value.examples == [one for one in ids if one.startswith(twice)][:5]


def test_a_version_without_pairs_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table pairs"):
        lineage(run_stages(tmp_path / "short", STAGES[:3]))
