"""Rows to the bytes of a Parquet part and back, with exactly the contract's types.

Format as measured: zstd 3, and 1 for ids, whose digits no effort makes shorter; a dictionary only where few values repeat;
other text with its lengths apart; numbers as they are. Parts are published as they are, so they are written as the Hub likes
files: pages cut by content (a part that grew, or was put together anew, shares most of its bytes with the older one: 4 % of rows
gone in three places leave half of a 3 MB file and more of a larger one), a page index, row groups of at most 100 MB. The footer
carries a note under the key `fullstep` (see `Note`).

    content = encode(TABLES["steps"], frame, Note(rows_in=8))
    decode(TABLES["steps"], content)
"""

import io
from collections.abc import Sequence

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from fullstep_data.store.manifest import Record, RejectFile
from schemas import Column, InputError, Table

# Columns of few distinct values besides those with a closed vocabulary: identities, names and the prompt that all samples share.
FEW_VALUES = frozenset(
    (
        *("sampler", "grader", "prompt", "source", "policy", "scorer", "labeller", "model", "decoding"),
        *("stage", "table", "reason", "problem_id"),
    )
)
ROW_GROUP_ROWS = 122_880  # DuckDB's own unit of parallel reading
ROW_GROUP_BYTES = 100_000_000
"""As Arrow counts them: the Hub's viewer refuses to read much larger row groups."""
NOTE_KEY = b"fullstep"


class Note(Record):
    """What a part's file says of itself, so that a part found after a kill can be taken up without making it again."""

    rows_in: int
    rejects: RejectFile | None = None


def encode(table: Table, frame: pl.DataFrame, note: Note | None = None) -> bytes:
    """The Parquet file of some rows of `table`, in the order given."""
    few, encodings = _encodings(table)
    # CompatLevel.oldest: plain Arrow strings, which every Parquet reader knows, in place of string views.
    rows = frame[table.polars_schema.names()].to_arrow(compat_level=pl.CompatLevel.oldest())
    sink = io.BytesIO()
    writer = pq.ParquetWriter(
        sink,
        rows.schema,
        compression="zstd",
        compression_level={_leaf(column): 1 if column.name.endswith("_id") else 3 for column in table.columns},
        use_dictionary=few or False,  # type: ignore[arg-type]  # a list of columns is allowed: pyarrow's own docstring
        column_encoding=encodings or None,
        store_schema=False,  # the Arrow schema in the footer would only repeat the contract
        use_content_defined_chunking=True,
        write_page_index=True,
    )
    with writer:
        writer.write_table(rows, row_group_size=_group_rows(rows))
        if note is not None:
            writer.add_key_value_metadata({NOTE_KEY: note.model_dump_json().encode("utf-8")})
    return sink.getvalue()


def _group_rows(rows: pa.Table) -> int:
    """Rows of a row group: ROW_GROUP_ROWS, or as many as ROW_GROUP_BYTES hold."""
    held = ROW_GROUP_BYTES * rows.num_rows // max(rows.nbytes, 1)
    return max(1, min(ROW_GROUP_ROWS, held))


def scan(table: Table, content: bytes, where: str, columns: Sequence[str] = ()) -> pl.LazyFrame:
    """The rows of a part, of these columns only where some are named, to be collected. InputError where its columns are not those
    of the contract of today.
    """
    if pl.read_parquet_schema(io.BytesIO(content)) != table.polars_schema:
        raise InputError(
            what=f"table {table.name}: the file's columns are not those of contract version {table.version}",
            where=where,
            next_step="run the build again: it makes the table under the contract of today",
        )
    rows = pl.scan_parquet(content, schema=table.polars_schema, hive_partitioning=False, glob=False)
    return rows.select(columns) if columns else rows


def decode(table: Table, content: bytes, where: str) -> pl.DataFrame:
    """What `scan` gives of all columns, collected."""
    return scan(table, content, where).collect()


def read_note(content: bytes) -> tuple[int, Note]:
    """Rows and note of a part's file. ValueError: no Parquet file, or none of a part."""
    try:
        metadata = pq.read_metadata(io.BytesIO(content))
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    text = (metadata.metadata or {}).get(NOTE_KEY)
    if text is None:
        raise ValueError("the footer has no note")
    return metadata.num_rows, Note.model_validate_json(text)


def _leaf(column: Column) -> str:
    """The path of a column's values in the file."""
    return f"{column.name}.list.element" if isinstance(column.dtype, pl.List) else column.name


def _encodings(table: Table) -> tuple[list[str], dict[str, str]]:
    """Columns with a dictionary, and the encoding of the others by the path of their leaf (what is named in neither is plain)."""
    few: list[str] = []
    encodings: dict[str, str] = {}
    for column in table.columns:
        inner = column.dtype.inner if isinstance(column.dtype, pl.List) else column.dtype
        if column.dtype == pl.String and (column.values or column.name in FEW_VALUES):
            few.append(column.name)
        elif inner == pl.String:
            encodings[_leaf(column)] = "DELTA_LENGTH_BYTE_ARRAY"
    return few, encodings
