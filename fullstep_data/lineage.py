"""Where a preference pair comes from: its solutions, their sampler, seeds and grader, the PRM behind its scores and what that
was trained on, and the problem's row in its source.

    graph = lineage(open_version("dataset"), "3fab")    # an id of a pair (or of a step_pair), or the beginning of one
    graph.nodes["pair"].facts, graph.edges              # edges run from what was made to what it was made of
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from fullstep_data.query import connect
from fullstep_data.store import StageRecord, Version
from fullstep_data.store.storage import shown
from schemas import InputError
from schemas.errors import MAX_EXAMPLES

SIDES = ("chosen", "rejected")
_NEEDED = ("pairs", "solutions", "problems")
_FACTS = {
    "pairs": ("margin", "chosen_rank", "rejected_rank", "policy"),
    "step_pairs": ("margin", "step_index", "prefix", "chosen", "rejected", "policy"),
}


# A step_pair has the scores of its steps, and no word of whose they are: of several PRMs, the one with most rows.
STEP_PAIRS = """
SELECT *, (SELECT scorer FROM step_scores GROUP BY scorer ORDER BY count(*) DESC, scorer LIMIT 1) AS scorer
FROM step_pairs WHERE starts_with(step_pair_id, $id) ORDER BY step_pair_id LIMIT $most
"""


@dataclass(frozen=True)
class Node:
    """Something that took part. title: what it is, and its name; facts: what is known of it, by the word for each."""

    title: str
    facts: dict[str, str]


@dataclass(frozen=True)
class Edge:
    """`source` was made from, or by, `target`; both name nodes. label: how."""

    source: str
    target: str
    label: str


@dataclass
class Lineage:
    """A graph without cycles whose first node, `pair`, is the one that was asked for."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

    def add(self, name: str, title: str, facts: Mapping[str, Any], *made: tuple[str, str]) -> None:
        """A node, with the edges (source, label) that lead to it. Facts that are null are left out."""
        told = {word: _short(value) for word, value in facts.items() if value is not None}
        self.nodes.setdefault(name, Node(title, told))
        self.edges.extend(Edge(source, name, label) for source, label in made)


def lineage(version: Version, pair_id: str | None = None) -> Lineage:
    """The graph of one pair, of solutions or of next steps. pair_id: whole, or as much of its beginning as no other pair has;
    None: the pair of solutions of the widest margin. InputError: no such pair, several, or a version without pairs.
    """
    for name in _NEEDED:
        version.table(name)
    pair, rows = _rows(version, pair_id)
    graph = Lineage()
    table = "step_pairs" if "step_pair_id" in pair else "pairs"
    stage = _stage(version, table)
    facts = {name: pair[name] for name in _FACTS[table]}
    title = f"pair {pair['pair_id']}" if table == "pairs" else f"pair of next steps {pair['step_pair_id']}"
    graph.add("pair", title, facts | {"version": version.number, "recipe": version.manifest.recipe.get("name")})
    for side in SIDES:
        _solution(graph, version, pair, rows, side)
    rejected = ", ".join(f"{count:,} {reason}" for reason, count in stage.counts.rejected.items())
    graph.add(
        "selection",
        f"stage {table}, revision {stage.revision}",
        {"config": stage.config, "kept": f"{stage.counts.kept:,}", "rejected": rejected or None},
        ("pair", "selected by"),
    )
    problem = rows["problems"].row(0, named=True)
    origin = {"question": problem["question"], "gold": problem["answer"], "source": problem["source"]}
    graph.add(
        "problem",
        f"problem {problem['problem_id']}",
        origin | {"row": problem["source_row"], "split": problem["split"]},
        *((side, "solves") for side in SIDES),
    )
    return graph


def _rows(version: Version, pair_id: str | None) -> tuple[dict[str, Any], dict[str, pl.DataFrame]]:
    """The pair, and of each table the rows that concern it."""
    with connect(version) as connection:
        find = "WHERE starts_with(pair_id, $id)" if pair_id else ""
        order = f"ORDER BY {'pair_id' if pair_id else 'margin DESC, pair_id'} LIMIT {MAX_EXAMPLES if pair_id else 1}"
        asked = {"id": pair_id} if pair_id else None
        found = connection.sql(f"FROM pairs {find} {order}", params=asked).pl().to_dicts()
        if pair_id:
            found += connection.sql(STEP_PAIRS, params={"id": pair_id, "most": MAX_EXAMPLES}).pl().to_dicts()
        if len(found) != 1:
            raise _not_one(version, pair_id, [str(pair.get("pair_id") or pair["step_pair_id"]) for pair in found])
        (pair,) = found
        ids = [pair["chosen_id"], pair["rejected_id"]]
        queries = {
            "problems": ("FROM problems WHERE problem_id = ?", [pair["problem_id"]]),
            "solutions": ("FROM solutions WHERE solution_id IN (?, ?)", ids),
            "step_labels": ("FROM step_labels WHERE solution_id IN (?, ?) ORDER BY step_index", ids),
            "step_scores": (
                "FROM step_scores WHERE solution_id IN (?, ?) AND scorer = ? ORDER BY step_index",
                [*ids, pair["scorer"]],
            ),
        }
        return pair, {name: connection.sql(query, params=ids).pl() for name, (query, ids) in queries.items()}


def _not_one(version: Version, pair_id: str | None, found: list[str]) -> InputError:
    where = f"{version.place}, version {version.number}"
    if pair_id is None:
        return InputError("the version has no pairs", where=where, next_step="`fs-data show` tells why: see the rejects of pairs")
    if found:
        return InputError(f"several pairs begin with {pair_id!r}", where=where, examples=found, next_step="give more of the id")
    return InputError(
        what=f"the version has no pair {pair_id!r}",
        where=where,
        next_step=f'list them: fs-data sql {version.place}@{version.number} "SELECT pair_id, margin FROM pairs"',
    )


def _solution(graph: Lineage, version: Version, pair: Mapping[str, Any], rows: Mapping[str, pl.DataFrame], side: str) -> None:
    """One side of the pair, with sampler, grader, labels and scorer behind it; what both sides share is one node."""
    solution_id = pair[f"{side}_id"]
    mine = {name: frame.filter(pl.col("solution_id") == solution_id) for name, frame in rows.items() if name != "problems"}
    row = mine["solutions"].row(0, named=True)
    facts = {name: row[name] for name in ("sample_index", "seed", "finish_reason", "tokens", "answer", "correct")}
    rewards = [round(reward, 3) for reward in mine["step_scores"]["reward"]]
    title = f"solution {solution_id}"
    score = "score of the step" if "step_pair_id" in pair else "score"
    graph.add(side, title, facts | {score: pair[f"{side}_score"], "rewards": rewards or None}, ("pair", side))
    sampling = _stage_or_none(version, "samples")
    graph.add(
        f"sampler {row['sampler']}",
        f"sampler {row['sampler']}",
        {"model": version.manifest.recipe.get("model"), "config": sampling.config if sampling else None},
        (side, f"sampled with seed {row['seed']}"),
    )
    graph.add(f"grader {row['grader']}", f"grader {row['grader']}", {}, (side, f"graded by {row['grade_path']}"))
    for labeller, source in mine["step_labels"].select("labeller", "source").unique(maintain_order=True).iter_rows():
        labels = mine["step_labels"].filter(pl.col("labeller") == labeller)["label"].to_list()
        told = "".join("?" if label is None else str(int(label)) for label in labels)
        graph.add(f"labels {labeller}", f"labeller {labeller}", {"source": source}, (side, f"steps labelled {told}"))
    if pair["scorer"] is not None:
        _scorer(graph, version, str(pair["scorer"]), side)


def _scorer(graph: Lineage, version: Version, scorer: str, side: str) -> None:
    """The PRM, and the rows that it was trained on where this version trained it."""
    name = f"prm {scorer}"
    known = name in graph.nodes
    model = version.manifest.models.get("prm")
    if model is None:
        graph.add(name, f"PRM {scorer}", {"trained": "elsewhere: the recipe names a PRM"}, (side, "scored by"))
        return
    metrics = _metrics(version)
    facts = {"folder": shown(version.model_folder("prm")), "config": model.config, "trainer": model.tools or None}
    graph.add(name, f"PRM {scorer}", facts | metrics, (side, "scored by"))
    if known:
        return
    counts = dict(_trained_on(version, set(model.parents)))
    graph.add("training rows", "what the PRM was trained on", counts, (name, "trained on"))


def _metrics(version: Version) -> dict[str, str]:
    """Problems that the PRM was trained and validated on, and how well it did, where its trainer left that."""
    content = version.model_file("prm", "metrics.json")
    if content is None:
        return {}
    metrics = json.loads(content)
    told = {f"{part} problems": metrics[part]["problems"] for part in ("training", "validation") if part in metrics}
    auc = metrics.get("validation", {}).get("auc")
    return told | ({"validation AUC": round(auc, 3)} if auc is not None else {})


def _trained_on(version: Version, parents: set[str]) -> Iterator[tuple[str, str]]:
    """The rows of each table among the parts that a model was made from."""
    for name, record in version.manifest.tables.items():
        parts = [member for part in record.parts for member in part.members if member.key in parents]
        if parts:
            yield name, f"{sum(part.rows for part in parts):,} rows in {len(parts)} parts"


def _stage(version: Version, table: str) -> StageRecord:
    return version.manifest.tables[table].stages[0]


def _stage_or_none(version: Version, table: str) -> StageRecord | None:
    return _stage(version, table) if table in version.manifest.tables else None


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else str(value) if not isinstance(value, dict | list) else json.dumps(value)
