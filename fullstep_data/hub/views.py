"""The two tables for readers who know nothing of ours: `preferences` and `stepwise`, with TRL's columns of these names.

    write_views(version, ("problems", "solutions", "pairs"), folder)    ->  [View("preferences", (folder / "00000.parquet",), …)]

The prompt is the one that was sampled with, rendered, special tokens included; `question` is the bare problem. Steps join to the
solution's text as they are, separators included.

Files are written as the Hub likes them: chunks cut by content (so that a new version shares storage with the old one), a page
index, row groups of about 100 MB, files of at most 500 MB.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fullstep_data.query import connect
from fullstep_data.store import Version

ROW_GROUP_BYTES = 100_000_000
FILE_BYTES = 500_000_000
_BATCH_ROWS = 2048

PREFERENCES = """
SELECT better.prompt AS prompt, better.text AS chosen, worse.text AS rejected, {question}
       chosen_score, rejected_score, margin, pair_id, pairs.problem_id
FROM pairs
JOIN solutions AS better ON better.solution_id = chosen_id
JOIN solutions AS worse ON worse.solution_id = rejected_id
{problems}
WHERE better.prompt = worse.prompt
ORDER BY pairs.problem_id, chosen_rank, rejected_rank, pair_id"""

STEPWISE = """
SELECT solutions.prompt AS prompt, list(steps.text ORDER BY step_index) AS completions, list(label ORDER BY step_index) AS labels,
       {question} list(value ORDER BY step_index) AS "values", {rewards} correct, labeller,
       solutions.solution_id, solutions.problem_id
FROM steps
JOIN step_labels USING (solution_id, step_index)
JOIN solutions USING (solution_id)
{scores}
{problems}
GROUP BY ALL
HAVING count(*) = count(label)
ORDER BY solutions.problem_id, solutions.solution_id, labeller"""

INPUTS = {"preferences": ("solutions", "pairs"), "stepwise": ("solutions", "steps", "step_labels")}
"""The tables that a view needs; `problems` and `step_scores` add columns where they are published."""

MEANINGS = {
    "preferences": {
        "prompt": "The prompt that both were sampled from, special tokens included: tokenise it adding none.",
        "chosen": "The preferred solution, a correct one.",
        "rejected": "The other, an incorrect one.",
        "question": "The bare problem.",
        "chosen_score": "Aggregated step rewards of the chosen solution.",
        "rejected_score": "Aggregated step rewards of the rejected solution.",
        "margin": "chosen_score - rejected_score.",
        "pair_id": "Key into `pairs`.",
        "problem_id": "Key into `problems`.",
    },
    "stepwise": {
        "prompt": "The prompt that the solution was sampled from, special tokens included.",
        "completions": "The steps; joined as they are they give the solution's text (no separator between them).",
        "labels": "Hard label of each step.",
        "question": "The bare problem.",
        "values": "Soft label of each step: share of its rollouts that reached the gold answer.",
        "rewards": "Reward of each step: the PRM's probability that it is correct.",
        "correct": "Does the solution's answer equal the gold answer? Null: could not be decided.",
        "labeller": "Identity of what made the labels.",
        "scorer": "Identity of the PRM.",
        "solution_id": "Key into `solutions`.",
        "problem_id": "Key into `problems`.",
    },
}


@dataclass(frozen=True)
class View:
    """A view on disk. left_out: rows that it cannot carry (pairs of two prompts; solutions with a label left open)."""

    name: str
    files: tuple[Path, ...]
    schema: pa.Schema
    rows: int
    left_out: int


def write_views(version: Version, tables: Sequence[str], folder: Path) -> list[View]:
    """Those views whose tables are among `tables` and that have rows, into folder/<view>/."""
    wanted = [name for name, inputs in INPUTS.items() if all(_has_rows(version, table, tables) for table in inputs)]
    found = []
    if wanted:
        with connect(version) as connection:
            for name in wanted:
                ((total,),) = connection.execute(_TOTALS[name]).fetchall()
                reader = connection.sql(_query(name, version, tables, connection)).to_arrow_reader(_BATCH_ROWS)
                files, rows = _write(reader, folder / name)
                if rows:
                    found.append(View(name, files, pq.read_schema(files[0]), rows, total - rows))
    return found


def _has_rows(version: Version, table: str, tables: Sequence[str]) -> bool:
    return table in tables and table in version.tables and version.tables[table].rows > 0


_TOTALS = {
    "preferences": "SELECT count(*) FROM pairs",
    "stepwise": "SELECT count(*) FROM (SELECT DISTINCT solution_id, labeller FROM step_labels)",
}


def _query(name: str, version: Version, tables: Sequence[str], connection: duckdb.DuckDBPyConnection) -> str:
    parts = dict.fromkeys(("question", "problems", "rewards", "scores"), "")
    if _has_rows(version, "problems", tables):
        left = "pairs" if name == "preferences" else "solutions"
        parts |= {"question": "question,", "problems": f"JOIN problems ON problems.problem_id = {left}.problem_id"}
    if name == "preferences":
        return PREFERENCES.format(**parts)
    if _has_rows(version, "step_scores", tables):
        ((scorers,),) = connection.execute("SELECT count(DISTINCT scorer) FROM step_scores").fetchall()
        if scorers == 1:  # of several PRMs, none is the one to show
            rewards = "list(reward ORDER BY step_index) AS rewards, any_value(scorer) AS scorer,"
            parts |= {"rewards": rewards, "scores": "LEFT JOIN step_scores USING (solution_id, step_index)"}
    return STEPWISE.format(**parts)


def _write(reader: pa.RecordBatchReader, folder: Path) -> tuple[tuple[Path, ...], int]:
    """The rows in files of at most FILE_BYTES (as Arrow counts them); the files, and how many rows they hold."""
    folder.mkdir(parents=True)
    files: list[Path] = []
    rows = 0
    for tables in _files(reader):
        files.append(folder / f"{len(files):05d}.parquet")
        with pq.ParquetWriter(
            files[-1],
            reader.schema,
            compression="zstd",
            use_content_defined_chunking=True,
            write_page_index=True,
            store_schema=False,
        ) as writer:
            for table in tables:
                writer.write_table(table, row_group_size=table.num_rows)
                rows += table.num_rows
    return tuple(files), rows


def _files(reader: pa.RecordBatchReader) -> Iterator[Iterator[pa.Table]]:
    """The row groups of each file. A file's groups are to be taken before the next file is asked for."""
    groups = _row_groups(reader)
    for first in groups:

        def of_this_file(first: pa.Table = first) -> Iterator[pa.Table]:
            room = FILE_BYTES - first.nbytes
            yield first
            while room >= ROW_GROUP_BYTES and (group := next(groups, None)) is not None:
                room -= group.nbytes
                yield group

        yield of_this_file()


def _row_groups(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Batches put together up to about ROW_GROUP_BYTES."""
    batches: list[pa.RecordBatch] = []
    for batch in reader:
        batches.append(batch)
        if sum(one.nbytes for one in batches) >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(batches)
            batches = []
    if batches:
        yield pa.Table.from_batches(batches)
