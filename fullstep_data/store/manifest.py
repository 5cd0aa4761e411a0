"""What a version is, as data: for every table its exact parts and what decided them. Written as versions/000007.json.

Nothing in it names a time, a host or an absolute path of ours, so the same input gives the same bytes on every machine.

    manifest = Manifest.parse(path.read_bytes(), where=str(path), number=7)
    manifest.tables["pairs"].parts[0].sha256
"""

import hashlib
import json
from collections import Counter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas import InputError

FORMAT = 2
"""The latest store format that can be read. 1: as below, without `Part.merged`. 2: with it."""


class Record(BaseModel):
    """Base of every piece of a manifest: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Slice(Record):
    """Which cut of a table a part is. chunk: of the problems, in order. block: of sample indices. None: not cut that way."""

    chunk: int | None = None
    block: int | None = None


class RejectFile(Record):
    """The rejects written beside a part: parts/rejects/<key>.parquet. reasons: rows by reason."""

    key: str
    rows: int
    sha256: str
    bytes: int
    reasons: dict[str, int]


class Part(Record):
    """One Parquet file. parents: keys of the parts it was made from. rows_in: input rows that it answers for.

    merged: the parts whose rows and rejects lie in this one, one after the other, where `compact` put them together.
    """

    key: str
    slice: Slice
    rows: int
    sha256: str
    bytes: int
    parents: tuple[str, ...]
    rows_in: int
    rejects: RejectFile | None = None
    merged: tuple["Part", ...] = Field(default=(), exclude_if=lambda merged: not merged)

    @property
    def members(self) -> tuple["Part", ...]:
        """The parts as stages made them: those that were merged, or the part itself."""
        return self.merged or (self,)


class Counts(Record):
    """Rows that went into a stage, came out, and were dropped, by reason."""

    rows_in: int = Field(validation_alias="in", serialization_alias="in")
    kept: int
    rejected: dict[str, int]


class StageRecord(Record):
    """What one stage put into a table, and what decided it. tools: identity by name."""

    name: str
    revision: int
    config: Any
    tools: dict[str, str]
    counts: Counts
    parts: tuple[Part, ...]


class Contract(Record):
    """Which contract rows were written under."""

    version: int
    fingerprint: str


class TableRecord(Record):
    """One table of a version; as a rule one stage writes it."""

    contract: Contract
    stages: tuple[StageRecord, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for stage in self.stages for part in stage.parts)

    @property
    def rejected(self) -> dict[str, int]:
        """Rejects by reason, of all its stages."""
        total: Counter[str] = Counter()
        for stage in self.stages:
            total.update(stage.counts.rejected)
        return dict(sorted(total.items()))


class ModelFile(Record):
    """A file of a model folder."""

    sha256: str
    bytes: int


class ModelRecord(Record):
    """A model that the build made: models/<key>/. files: by path inside the folder, with `/`. rejects: not learnt from."""

    key: str
    revision: int
    config: Any
    tools: dict[str, str]
    files: dict[str, ModelFile]
    parents: tuple[str, ...]
    rejects: RejectFile | None = Field(default=None, exclude_if=lambda rejects: rejects is None)


class Upstream(Record):
    """The version of another dataset that this one builds on. sha256: of its manifest file."""

    number: int
    sha256: str


class Manifest(Record):
    """A version: all tables advance together. Tables and models stand in the order of the flow."""

    format: int = 1
    number: int
    recipe: Any
    upstream: Upstream | None = None
    rejects: Contract
    tables: dict[str, TableRecord]
    models: dict[str, ModelRecord]

    def content(self) -> bytes:
        """The manifest as the bytes of its file. Its last key, `sha256`, is of the document without that key: a manifest that was
        altered is not the `content` of what `parse` reads in it.
        """
        text = _json(self.model_dump(mode="json", by_alias=True))
        seal = hashlib.sha256(text.encode("utf-8")).hexdigest()
        return f'{text.removesuffix(_END)},\n "sha256": "{seal}"{_END}\n'.encode()

    @classmethod
    def parse(cls, content: bytes, where: str, number: int) -> "Manifest":
        """Read the manifest of version `number`. InputError: damaged, of another version, or written by a later fullstep."""
        try:
            data = json.loads(content)
            found = data["format"]
            data.pop("sha256", None)
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(where, str(error)) from error
        if isinstance(found, int) and found > FORMAT:
            raise InputError(
                what=f"the dataset has store format {found}, and this fullstep reads up to format {FORMAT}",
                where=where,
                next_step="upgrade fullstep",
            )
        try:
            manifest = cls.model_validate(data)
        except ValidationError as error:
            fault = error.errors()[0]
            raise _damaged(where, f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
        if manifest.number != number:
            raise _damaged(where, f"it says that it is of version {manifest.number}")
        return manifest

    @property
    def compacted(self) -> bool:
        """Are parts merged in it?"""
        return any(part.merged for table in self.tables.values() for part in table.parts)

    def same_content(self, other: "Manifest") -> bool:
        """Are the two the same version, but for its number and for parts that lie merged in a file?"""
        return self._expanded() == other._expanded()

    def _expanded(self) -> "Manifest":
        """The manifest as it was before anything was merged, without a number."""
        tables = {
            name: table.model_copy(
                update={
                    "stages": tuple(
                        stage.model_copy(update={"parts": tuple(member for part in stage.parts for member in part.members)})
                        for stage in table.stages
                    )
                }
            )
            for name, table in self.tables.items()
        }
        return self.model_copy(update={"number": 0, "format": 1, "tables": tables})


_END = "\n}"
"""How a document ends that `_json` has written."""


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1)


def _damaged(where: str, detail: str) -> InputError:
    return InputError(
        what=f"the manifest of a version is damaged: {detail}",
        where=where,
        next_step="restore the file from a copy, or read another version (@NUMBER); to build on, delete the file and run the "
        "build again: it makes the version anew from the parts that are there",
    )
