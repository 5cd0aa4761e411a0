"""SQL over one version of a dataset: read-only, and unable to reach any file but the version's own parts.

    sql(open_version("dataset@v1"), "SELECT label, avg(reward) FROM rewards GROUP BY label")     # a polars frame
    with connect(version) as connection: ask(connection, version, "FROM preferences")            # for many questions

Views: one per table of the contract, the ready joins `rewards` (scored steps with label and verdict), `steps_wide` (every step
with all that is known of it) and `preferences` (pairs as text, with the rewards of their steps), and what to look at before
labels are learnt (`store/label_health.py`).

Two walls. `sql` lets only SELECT-like statements pass, and looks inside them: DuckDB 2 takes COPY and INSERT in a WITH clause.
And the connection has no file system but `Parts` below, which knows the version's files by name and opens nothing for writing;
DuckDB's own `allowed_paths` would let a COPY overwrite what may be read.
"""

import json
import mmap
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import polars as pl
import pyarrow as pa
from fsspec import AbstractFileSystem

from fullstep_data.store import StoredFile, Version
from fullstep_data.store.storage import storage_of
from fullstep_data.store.views import JOINS, create
from schemas import InputError

SCHEME = "fullstep"
_QUERY_NODES = frozenset(("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"))
_EXPLAIN = re.compile(r"(\s|--[^\n]*\n|/\*([^*]|\*(?!/))*\*/)*EXPLAIN(\s+ANALYZE)?(\s*\([^)]*\))?\s", re.IGNORECASE)
_FAULTS_OF_THE_QUERY = (
    *(duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.PermissionException),
    *(duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.NotImplementedException),
)
_DAMAGED = "correct the query; if it is right, a part may be damaged: `fs-data check` finds it"
ROWS_AT_ONCE = 50_000
_Made = TypeVar("_Made")
_HUGE_INTEGER = pa.decimal128(38, 0)  # DuckDB's type of a sum of integers, as Arrow has it


class Parts(AbstractFileSystem):
    """The files of a version under the names fullstep://parts/<table>/<key>.parquet, for reading only.

    scheme: another word than `fullstep`, where one connection reads two versions.
    """

    protocol = SCHEME
    cachable = False

    def __init__(self, root: Path, files: Sequence[StoredFile], scheme: str = SCHEME) -> None:
        super().__init__()
        self.protocol = scheme
        self.fault: InputError | None = None
        self._files = {f"{scheme}://{file.path.relative_to(root).as_posix()}": file for file in files}

    def exists(self, path: str, **kwargs: Any) -> bool:
        return path in self._files

    def glob(self, path: str, maxdepth: int | None = None, **kwargs: Any) -> list[str]:
        return [path] if self.exists(path) else []

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return {"name": path, "size": self._local(path).size, "type": "file"}

    def modified(self, path: str) -> datetime:
        return datetime.fromtimestamp(0, UTC)  # a part is never changed

    def open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:
        if mode != "rb":
            raise PermissionError(f"the dataset is read-only: {path}")
        # Mapped, not opened: DuckDB lets go of files without closing them, which Python warns of, and seeks and reads from
        # several threads; a map needs no close, and its seek and read never give up the interpreter lock half-way.
        stored = self._local(path)
        try:
            stored.fetch()
        except InputError as error:
            self.fault = error  # of which DuckDB would hand on a traceback
            raise
        with stored.path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def _local(self, path: str) -> StoredFile:
        if path not in self._files:
            raise PermissionError(f"not a part of this version: {path}")
        return self._files[path]


@contextmanager
def connect(version: Version, parts: Parts | None = None, memory: str = "") -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection with the views of a version; large sorts may spill into a private folder that is removed at the end.

    parts: where the files of the version are, if not in its folder. memory: how much of it DuckDB may take before it spills, as
    "600 MB" (default: 80 % of the machine's). InputError: a part of the version is missing, truncated or damaged; a query that
    fails while the connection is in use.
    """
    if parts is None:
        files = [file for table in version.tables.values() for file in table.stored]
        storage = storage_of(version.path)
        for file in files if not storage.far else ():  # in a bucket a part is looked for when it is asked for
            file.require_found(storage.size(file.path))
        parts = Parts(version.path, files)
    with tempfile.TemporaryDirectory(prefix="fullstep-sql-") as spill, duckdb.connect(":memory:") as connection:
        connection.register_filesystem(parts)
        try:
            create(connection, version, lambda path: located(version, path))
            for setting, value in _settings(spill, memory).items():
                connection.execute(f"SET {setting} = {value}")
            yield connection
        except (duckdb.Error, InputError) as error:
            if parts.fault is not None:
                raise parts.fault from error
            if isinstance(error, InputError):
                raise
            step = _renewal(version) if isinstance(error, duckdb.BinderException) and version.outdated else _DAMAGED
            raise InputError(what=_message(error), where=version.place, next_step=step) from error
        finally:
            connection.unregister_filesystem(SCHEME)


def located(version: Version, path: Path, scheme: str = SCHEME) -> str:
    """The name under which `Parts` knows a file of the version."""
    return f"{scheme}://{path.relative_to(version.path).as_posix()}"


def sql(version: Version, text: str, parts: Parts | None = None) -> pl.DataFrame:
    """The answer to one query that reads: SELECT, FROM, WITH, VALUES, DESCRIBE, SUMMARIZE, SHOW, EXPLAIN.

    parts: as for `connect`. InputError: any other statement, or an error in the query, in DuckDB's own words.
    """
    with connect(version, parts) as connection:
        return ask(connection, version, text)


def ask(connection: duckdb.DuckDBPyConnection, version: Version, text: str) -> pl.DataFrame:
    """The same over a connection that `connect` has made."""
    try:
        _require_reading(connection, text)
        return _frame(_interruptible(connection, lambda: connection.sql(text).to_arrow_table()))
    except duckdb.Error as error:
        raise _explained(error, text, version) from error


def pieces(connection: duckdb.DuckDBPyConnection, version: Version, text: str) -> Iterator[pl.DataFrame]:
    """The same piece by piece, as DuckDB works it out, for an answer that need not fit into memory. The first has no rows, but
    the columns. InputError as above, perhaps after some pieces.
    """
    try:
        _require_reading(connection, text)
        reader = _interruptible(connection, lambda: connection.sql(text).to_arrow_reader(ROWS_AT_ONCE))
        _require_known(reader.schema)
        yield _frame(pa.Table.from_batches([], schema=reader.schema))  # `empty_table` would import pandas, for 0.3 s
        while (batch := _interruptible(connection, lambda: next(reader, None))) is not None:
            yield _frame(pa.Table.from_batches([batch]))
    except duckdb.Error as error:
        raise _explained(error, text, version) from error
    except OSError as error:  # what Arrow makes of DuckDB's errors
        kind = str(error).split(" Error:", maxsplit=1)[0].replace(" ", "")
        raise _explained(getattr(duckdb, f"{kind}Exception", duckdb.Error)(str(error)), text, version) from error


def split(text: str) -> list[str]:
    """The statements of a script, in order. InputError: it is no SQL."""
    with duckdb.connect(":memory:") as connection:
        try:
            return [statement.query.strip() for statement in connection.extract_statements(text)]
        except duckdb.Error as error:
            raise InputError(what=_message(error), where=text.strip()[:200], next_step="correct the query") from error


def _interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[[], _Made]) -> _Made:
    """Works in a thread, because DuckDB does not see Ctrl-C while it does."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        answer = pool.submit(work)
        try:
            while not answer.done():  # in short waits: one long wait is not woken by the signal
                wait((answer,), timeout=0.2)
            return answer.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def _settings(spill: str, memory: str) -> dict[str, str]:
    """enable_external_access comes last but one: what it forbids cannot be set after it; the lock is last."""
    limit = {"memory_limit": f"'{memory}'"} if memory else {}
    return limit | {
        "python_enable_replacements": "false",  # else a query could read Python variables by name
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "temp_directory": f"'{spill}'",
        "allowed_directories": f"['{SCHEME}://']",
        "enable_external_access": "false",
        "lock_configuration": "true",
    }


def _require_reading(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """InputError unless `text` is one statement that only reads."""
    query = _EXPLAIN.sub("", text, count=1) if _EXPLAIN.match(text) else text
    try:
        kinds = [statement.type for statement in connection.extract_statements(query)]
    except ValueError:  # a statement so new that the Python package has no name for its type
        kinds = []
    if len(kinds) > 1:
        raise _refusal(f"{len(kinds)} statements in one query", text)
    if (
        kinds == [duckdb.StatementType.MULTI] and "PIVOT" in text.upper()
    ):  # it would look for its columns first, in two statements
        raise InputError(
            "a PIVOT must name its columns", where=text.strip(), next_step="list them: PIVOT … ON column IN ('a', 'b')"
        )
    if kinds != [duckdb.StatementType.SELECT]:
        raise _refusal("only queries that read are allowed", text)
    ((parsed,),) = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
    tree = json.loads(parsed)
    if tree["error"] or not set(_node_types(tree)) <= _QUERY_NODES:
        raise _refusal("only queries that read are allowed", text)


def _node_types(tree: Any) -> Iterator[str]:
    """The type of every query node in a parsed statement: SELECT_NODE, and in a WITH clause perhaps COPY_QUERY_NODE."""
    if isinstance(tree, Mapping):
        kind = tree.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE"):
            yield kind
        for value in tree.values():
            yield from _node_types(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _node_types(value)


def _refusal(what: str, text: str) -> InputError:
    return InputError(
        what=what,
        where=text.strip(),
        next_step="ask with one SELECT, FROM, WITH, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN; to write a file, use the shell: "
        "fs-data sql … --format csv > file",
    )


def _explained(error: duckdb.Error, text: str, version: Version) -> InputError:
    next_step = "correct the query"
    if not isinstance(error, _FAULTS_OF_THE_QUERY):
        next_step = _DAMAGED
    if isinstance(error, duckdb.CatalogException):
        next_step = f"tables of this version: {', '.join(version.tables)}; and the views {', '.join(JOINS)}"
        if version.outdated:
            next_step += f" (where they fit); {_renewal(version)}"
    elif isinstance(error, duckdb.BinderException) and version.outdated:
        next_step = f"correct the query; {_renewal(version)}"
    elif isinstance(error, duckdb.PermissionException):
        next_step = "a query reads this version's tables and no other file"
    return InputError(what=_message(error), where=text.strip(), next_step=next_step)


def _renewal(version: Version) -> str:
    """What to do about tables of an older contract."""
    made = "fs-train run" if version.manifest.upstream else "fs-data build RECIPE"
    tables = ", ".join(version.outdated)
    return f"{tables} of this version are of an older contract: run what made it again ({made} --out {version.place})"


def _message(error: duckdb.Error) -> str:
    """DuckDB's own words. An error of `Parts` arrives with its Python traceback; its last line is what happened."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1] if "Traceback" in lines[0] else "\n".join(lines)


def _frame(table: pa.Table) -> pl.DataFrame:
    """Arrow to polars: repeated column names get a number, sums of integers become integers again."""
    names: list[str] = []
    for name in table.column_names:
        names.append(next(one for one in (name, *(f"{name}_{n}" for n in range(1, len(names) + 2))) if one not in names))
    _require_known(table.schema)
    frame = pl.DataFrame(pl.from_arrow(table.rename_columns(names)))
    huge = [name for name, kind in zip(names, table.schema.types, strict=True) if kind == _HUGE_INTEGER]
    return frame.with_columns(pl.col(huge).cast(pl.Int128)) if huge else frame


def _require_known(schema: pa.Schema) -> None:
    """InputError for a column of a type that polars has none for."""
    strange = [str(kind) for kind in schema.types if _strange(kind)]
    if strange:
        raise InputError(
            what="the answer has a column of a kind that cannot be shown",
            where=f"columns of type {', '.join(strange)}",
            next_step="cast the column: column::VARCHAR",
        )


def _strange(kind: pa.DataType) -> bool:
    """Is it, or is there in it, what polars has no type for: an INTERVAL or a UNION?"""
    inner = (kind.field(place).type for place in range(kind.num_fields))
    return pa.types.is_interval(kind) or pa.types.is_union(kind) or any(map(_strange, inner))
