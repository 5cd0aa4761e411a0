"""The store: a dataset folder of immutable Parquet parts, with one manifest per version that lists every part exactly.

versions/000007.json            manifest of version 7; the same input gives the same bytes
versions/000007.compacted       empty: says that parts of version 7 are merged (`fs-data compact`)
runs/000007.json                when and how fast it was made, with which packages; not part of the version
parts/<table>/<part key>.parquet    the key hashes all that decides the part: if the file exists, the part is done
parts/rejects/<key>.parquet     what was dropped while a part was made
models/<key>/                   a model that the build trained (<key>.partial/ while it is being made)
tags/v1                         a name for a version
views.sql                       DuckDB views over the exact files of the latest version

In a bucket (`storage`) the same, but a model is models/<key>/<sha256>/<file> and a list, models/<key>.json; and besides:
conditional-put                 says that this server refuses what a conditional PUT must not overwrite
builds/                         who is at work now (`flight`), in place of a lock

version = Store.open(Path("dataset")).version("v1")
version.frame("pairs")          # a Polars frame with exactly the types of the contract, checksums verified
"""

from fullstep_data.store.folder import Store, open_version
from fullstep_data.store.manifest import (
    Contract,
    Counts,
    Manifest,
    ModelFile,
    ModelRecord,
    Part,
    RejectFile,
    Slice,
    StageRecord,
    TableRecord,
    Upstream,
)
from fullstep_data.store.names import parse_spec
from fullstep_data.store.version import StoredFile, TableVersion, Version

__all__ = [
    "Contract",
    "Counts",
    "Manifest",
    "ModelFile",
    "ModelRecord",
    "Part",
    "RejectFile",
    "Slice",
    "StageRecord",
    "Store",
    "StoredFile",
    "TableRecord",
    "TableVersion",
    "Upstream",
    "Version",
    "open_version",
    "parse_spec",
]
