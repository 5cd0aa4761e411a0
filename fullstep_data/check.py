"""Is a version whole? Contracts, checksums, rules over all rows, keys, references, and every input key in rows or rejects.

    for finding in check(open_version("dataset"), PIPELINE):
        print(finding)          # an empty list: all is well

Rows are looked at file by file; what needs a whole table (keys, references, accounts) is asked of DuckDB, which spills to disk.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from fullstep_data.accounts import read_index
from fullstep_data.query import SCHEME, Parts, located
from fullstep_data.stage import Accounts, Stage
from fullstep_data.store import Contract, StageRecord, Store, StoredFile, Version
from fullstep_data.store.parquet import decode
from fullstep_data.store.storage import shown, storage_of
from fullstep_data.store.version import part_path, reject_path
from fullstep_data.store.views import file_list, table_body, views_file
from schemas import TABLES, InputError, Reference, Table
from schemas.errors import MAX_EXAMPLES


@dataclass(frozen=True)
class Finding:
    """Something wrong with a version. count: rows or files concerned; examples: at most five of them."""

    what: str
    where: str
    count: int
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        return str(InputError(self.what, self.where, self.count, self.examples))


def check(version: Version, stages: Sequence[Stage] = ()) -> list[Finding]:
    """All that is wrong with a version. stages: whose accounts to check, where the version holds what they wrote and read."""
    found = _Found()
    readable = [name for name in version.tables if _contract_holds(version, name, found)]
    whole = [name for name in version.tables if _files_hold(version, name, found) and name in readable]
    for name in readable:
        _rows_hold(version, name, found)
    for name in version.manifest.models:
        _model_holds(version, name, found)
    _counts_hold(version, found)
    _folder_holds(version, found, views=set(version.tables) == set(readable))
    with tempfile.TemporaryDirectory(prefix="fullstep-check-") as spill, duckdb.connect(":memory:") as connection:
        connection.execute(f"SET temp_directory = '{spill}'")
        connection.register_filesystem(Parts(version.path, [file for name in whole for file in version.tables[name].stored]))
        for name in whole:
            files = [located(version, path) for path in version.files(name)]
            connection.execute(f"CREATE VIEW {name} AS {table_body(TABLES[name], files)}")
        _keys_hold(version, whole, connection, found)
        _references_hold(whole, connection, found)
        for stage in stages:
            _accounts_hold(version, stage, whole, connection, found)
        connection.unregister_filesystem(SCHEME)
    return found.findings()


@dataclass
class _Found:
    """Findings by (what, where): the same fault in many files is one finding with a count."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, what: str, where: str, count: int, examples: Sequence[object]) -> None:
        self.counts[what, where] = self.counts.get((what, where), 0) + count
        shown = self.examples.setdefault((what, where), [])
        shown.extend(str(example) for example in examples[: MAX_EXAMPLES - len(shown)])

    def findings(self) -> list[Finding]:
        return [Finding(*place, count, tuple(self.examples[place])) for place, count in self.counts.items()]


def _contract_holds(version: Version, name: str, found: _Found) -> bool:
    """Is the table's contract the one of today?"""
    table = TABLES.get(name)
    written = version.manifest.rejects if name == "rejects" else version.manifest.tables[name].contract
    if table is None:
        found.add("this fullstep does not know the table", name, 1, ())
    elif written != Contract(version=table.version, fingerprint=table.fingerprint):
        age = "an older" if written.version < table.version else "a newer" if written.version > table.version else "another"
        step = "upgrade fullstep" if written.version > table.version else "run the build again: it makes the table anew"
        found.add(
            f"the table was written under {age} contract than this fullstep's: version {written.version} "
            f"({written.fingerprint}), here version {table.version} ({table.fingerprint}); its rows were not looked at; {step}",
            name,
            1,
            (),
        )
    else:
        return True
    return False


def _files_hold(version: Version, name: str, found: _Found) -> bool:
    """Is every file of the table there, with the size and checksum that the manifest gives?"""
    before = len(found.counts)
    for file in version.tables[name].stored:
        _file_holds(file.path, file.size, file.sha256, f"table {name}", found)
    return len(found.counts) == before


def _model_holds(version: Version, stage: str, found: _Found) -> None:
    """Are the files of the model those that the manifest lists, and no others?"""
    folder, files = version.model_folder(stage), version.manifest.models[stage].files
    storage = storage_of(folder)
    for name, file in files.items():
        _file_holds(storage.placed(folder, name, file.sha256), file.bytes, file.sha256, f"model {stage}", found)
    if storage.far:
        return  # a rival's files may stand beside those of this version
    others = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.relative_to(folder).as_posix() not in files]
    if others:
        found.add("files that the build did not write (remove them)", f"model {stage}", len(others), others)


def _counts_hold(version: Version, found: _Found) -> None:
    """Do the counts in the manifest add up: kept and rejected of each stage over its parts?"""
    for name, table in version.manifest.tables.items():
        for stage in table.stages:
            reasons: Counter[str] = Counter()
            for part in stage.parts:
                reasons.update(part.rejects.reasons if part.rejects else {})
            kept = sum(part.rows for part in stage.parts)
            told = (stage.counts.kept, stage.counts.rejected)
            if told != (kept, dict(reasons)):
                detail = f"kept and rejected: {told[0]} and {told[1]}; its parts: {kept} and {dict(reasons)}"
                found.add("the manifest's counts are not those of its parts", f"table {name}, stage {stage.name}", 1, [detail])


def _folder_holds(version: Version, found: _Found, *, views: bool) -> None:
    """Are manifest, tags and views.sql as they were written? (views.sql speaks of the latest version only.)

    views: whether to look at views.sql; under another contract another fullstep wrote it.
    """
    store = Store(version.path)
    manifest, file = store.manifest_path(version.number), version.path / "views.sql"
    if store.storage.read(manifest) != version.manifest.content():
        found.add("the manifest was altered after it was written (restore it from a copy)", "versions", 1, [shown(manifest)])
    lost = [f"{tag}: version {number}" for tag, number in store.tags().items() if number not in store.numbers()]
    if lost:
        found.add("tags name versions that are not there", "tags", len(lost), lost)
    latest = version.number == store.numbers()[-1]
    if views and latest and not (store.storage.size(file) and store.storage.read(file) == views_file(version)):
        what = "the file is not that of the latest version (run the build again: it is written anew)"
        found.add(what, "views.sql", 1, [shown(file)])


def _file_holds(path: Path, size: int, sha256: str, where: str, found: _Found) -> bool:
    altered = "file was truncated or altered after it was written (delete it and run the build again)"
    storage, place = storage_of(path), shown(path)
    if (length := storage.size(path)) is None:
        found.add("file is missing (run the build again)", where, 1, [place])
    elif length != size:
        found.add(altered, where, 1, [f"{place}: expected {size} bytes, found {length}"])
    elif (actual := storage.sha256(path)) != sha256:
        found.add(altered, where, 1, [f"{place}: expected sha256 {sha256}, found {actual}"])
    else:
        return True
    return False


def _rows_hold(version: Version, name: str, found: _Found) -> None:
    """Do the rows of each intact file keep the contract?"""
    for file in version.tables[name].stored:
        try:
            frame = decode(TABLES[name], file.content(), where=shown(file.path))
        except InputError as error:
            if _intact(file):  # else it is reported already
                found.add(error.what, f"table {name}", 1, [shown(file.path)])
            continue
        if frame.height != file.rows:
            found.add("a file has not the number of rows that the manifest says", f"table {name}", 1, [shown(file.path)])
        for violation in TABLES[name].violations(frame):
            found.add(f"rows break the rule: {violation.rule}", f"table {name}", violation.count, violation.examples)


def _intact(file: StoredFile) -> bool:
    return _file_holds(file.path, file.size, file.sha256, "", _Found())


def _keys_hold(version: Version, whole: Sequence[str], connection: duckdb.DuckDBPyConnection, found: _Found) -> None:
    """Is no key in two parts? Not asked of rejects: two stages may drop the same record for the same reason."""
    for name in (one for one in whole if one != "rejects"):
        files = [located(version, path) for path in version.files(name)]
        if len(files) > 1:
            key = ", ".join(TABLES[name].key)
            source = f"read_parquet({file_list(files)}, filename = true)"
            query = f"SELECT {key} FROM {source} GROUP BY {key} HAVING count(DISTINCT filename) > 1"
            _report(connection, query, f"key ({key}) is in several parts", f"table {name}", found)


def _references_hold(whole: Sequence[str], connection: duckdb.DuckDBPyConnection, found: _Found) -> None:
    """Does every foreign key lead to a row?"""
    for table, reference in _references(whole):
        pairs = list(zip(reference.columns, reference.target_columns, strict=True))
        match = " AND ".join(f"child.{column} = parent.{target}" for column, target in pairs)
        present = " AND ".join(f"child.{column} IS NOT NULL" for column in reference.columns)
        key = ", ".join(f"child.{column}" for column in table.key)
        query = f"SELECT {key} FROM {table.name} child ANTI JOIN {reference.table} parent ON {match} WHERE {present}"
        what = f"({', '.join(reference.columns)}) leads to no row of {reference.table}"
        _report(connection, query, what, f"table {table.name}", found)


def _references(whole: Sequence[str]) -> Iterator[tuple[Table, Reference]]:
    """References between tables that are both in the version and whole."""
    for name, table in TABLES.items():
        for reference in table.references:
            if name in whole and reference.table in whole:
                yield table, reference


def _accounts_hold(
    version: Version, stage: Stage, whole: Sequence[str], connection: duckdb.DuckDBPyConnection, found: _Found
) -> None:
    """Did every input key of the stage end in its rows or its rejects?"""
    if stage.makes == "model" or stage.table not in whole or "rejects" not in whole:
        return
    record = next((one for one in version.manifest.tables[stage.table].stages if one.name == stage.name), None)
    for accounts in stage.accounts if record else ():
        if record and accounts.table in whole:
            query = _lost(version, stage, record, accounts)
            what = f"({', '.join(accounts.by)}) of {accounts.table} is neither in {stage.table} nor in rejects"
            _report(connection, query, what, f"stage {stage.name}", found)


def _lost(version: Version, stage: Stage, record: StageRecord, accounts: Accounts) -> str:
    """The query for the input keys that a stage lost. Each stage answers with the parts that it wrote itself."""
    rows = [located(version, part_path(version.path, stage.table, part.key)) for part in record.parts]
    dropped = [located(version, reject_path(version.path, part.rejects.key)) for part in record.parts if part.rejects]
    key = f"concat_ws('/', {', '.join(accounts.by)})"
    conditions = [text for text in (stage.reads[read_index(stage, accounts)].where, accounts.where) if text]
    where = " AND ".join(f"({condition})" for condition in conditions) or "TRUE"
    return f"""
        SELECT DISTINCT {key} AS key FROM {accounts.table} WHERE {where}
        EXCEPT SELECT {key} FROM ({table_body(TABLES[stage.table], rows)})
        EXCEPT SELECT key FROM ({table_body(TABLES["rejects"], dropped)}) WHERE "table" = '{accounts.table}'"""


def _report(connection: duckdb.DuckDBPyConnection, query: str, what: str, where: str, found: _Found) -> None:
    """Each row of the query's answer is a fault."""
    ((count,),) = connection.execute(f"SELECT count(*) FROM ({query})").fetchall()
    if count:
        examples = connection.execute(f"SELECT * FROM ({query}) ORDER BY ALL LIMIT {MAX_EXAMPLES}").fetchall()
        found.add(what, where, count, ["/".join(map(str, example)) for example in examples])
