"""The folder that a training leaves, and how a killed one goes on.

    run = RunFolder.of(folder, "prm", config, models.identity(base), {"steps": steps, …})
    if run.finished(): return
    run.begin()                            # from here on: checkpoints in run.checkpoints, each there whole or not at all
    run.finish(model, tokenizer, curve, rejects)   # weights, config, tokenizer, then `prm.json`, then the checkpoints go

`key` is a hash of all that decides the result. A folder with another run's key is refused, not overwritten. Nothing in
the folder depends on time, machine or place: two runs leave the same bytes. Of the processes of a distributed training only the
first one writes.
"""

import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
from accelerate import PartialState

from fullstep_train.adapters import merged
from fullstep_train.config import Training
from fullstep_train.progress import quiet
from schemas import TABLES, InputError
from schemas.ids import content_id

FORMAT = 1
PACKAGES = ("peft", "torch", "transformers")
DECIDING = {
    "pairs": ("pair_id", "chosen_id", "rejected_id"),
    "solutions": ("solution_id", "prompt", "text", "finish_reason"),
    "steps": ("solution_id", "step_index", "stop"),
    "step_labels": ("solution_id", "step_index", "label", "value"),
    "step_scores": ("solution_id", "step_index", "scorer", "reward"),
    "step_pairs": ("step_pair_id", "prompt", "prefix", "chosen", "rejected", "chosen_finished", "rejected_finished"),
    "reference_logprobs": ("token_hash", "reference", "logprobs"),
}
"""The columns of each table that a training depends on."""


@dataclass(frozen=True)
class RunFolder:
    """folder: where the model goes. kind: prm or policy, names the manifest. settings: what decides the result, for the manifest:
    config, base model, data. key: their hash, package versions with them.
    """

    folder: Path
    kind: str
    settings: Mapping[str, Any]
    key: str

    @classmethod
    def of(cls, folder: Path, kind: str, config: Training, base: str, tables: Mapping[str, pl.DataFrame]) -> "RunFolder":
        """The folder of a training. base: the identity of its model. tables: all that it learns from, by name."""
        settings = {"config": config.model_dump(exclude={"base"}), "base": base, "data": data_record(**tables)}
        return cls(folder, kind, settings, content_id(settings, versions()))

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def manifest(self) -> Path:
        return self.folder / f"{self.kind}.json"

    @property
    def first_process(self) -> bool:
        """Whether this process is the one that writes: the first of a distributed training, or the only one."""
        return PartialState().is_main_process

    def finished(self) -> bool:
        """Whether this run's model is complete. InputError: the folder holds another run's model or checkpoints."""
        for file in (self.manifest, *(self.checkpoints / "run.json" for _ in self.checkpoints.glob("checkpoint-*"))):
            if file.is_file() and json.loads(file.read_text())["run"] != self.key:
                raise InputError(
                    what=f"the folder holds another {self.kind} training (other data, config, base model or package versions)",
                    where=str(self.folder),
                    next_step="give another folder, or remove this one",
                )
        if self.manifest.is_file():
            shutil.rmtree(self.checkpoints, ignore_errors=True)  # left by a kill just before the end
            return True
        return False

    def begin(self) -> None:
        """Make the folder, when all input has been found good."""
        if self.first_process:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            write_json(self.checkpoints / "run.json", {"run": self.key})
        PartialState().wait_for_everyone()

    def last_checkpoint(self) -> Path | None:
        """The latest checkpoint, None where there is none."""
        found = sorted(self.checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        return found[-1] if found else None

    def finish(
        self,
        model: Any,
        tokenizer: Any,
        curve: list[dict[str, Any]],
        rejects: pl.DataFrame,
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Write the merged model, its tokenizer, the training curve, what was dropped, and last the manifest.

        more: what the manifest says beside the settings.
        """
        if not self.first_process:
            return
        for begun in self.folder.glob(".tmp*"):  # weights that safetensors was writing when it was killed
            begun.unlink()
        plain = merged(model)
        plain.__dict__.pop("forward", None)  # that of forward.answer_logprobs
        plain.config.use_cache = True
        with quiet():
            plain.save_pretrained(self.folder)
            tokenizer.save_pretrained(self.folder)
        scrub(self.folder)
        for weights in self.folder.glob("*.safetensors"):
            weights.chmod((self.folder / "config.json").stat().st_mode)  # safetensors writes them for the owner alone
        write_json(self.folder / "training.json", curve)
        TABLES["rejects"].check(rejects, where="rejects").write_parquet(self.folder / "rejects.parquet")
        write_json(
            self.manifest,
            {"format": FORMAT, "kind": self.kind, "run": self.key, "versions": versions(), **self.settings, **more},
        )
        shutil.rmtree(self.checkpoints)


def versions() -> dict[str, str]:
    """The packages whose version may change a result."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def data_record(**tables: pl.DataFrame) -> dict[str, dict[str, str | int]]:
    """Rows and hash of each table by its name: of what decides a training, whatever the order of the rows."""
    return {name: {"rows": table.height, "hash": _hash(table, DECIDING[name])} for name, table in tables.items()}


def _hash(table: pl.DataFrame, columns: tuple[str, ...]) -> str:
    return content_id(table.select(columns).sort(columns).write_ndjson())


def write_json(path: Path, content: Any) -> None:
    """JSON with sorted keys, there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")
    part.replace(path)


def scrub(folder: Path) -> None:
    """Take out of config.json and tokenizer_config.json where the model was loaded from."""
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        file = folder / name
        if file.is_file():
            settings = json.loads(file.read_text())
            places = ("_name_or_path", "_model_name_or_path", "name_or_path")
            write_json(file, {key: value for key, value in settings.items() if key not in places})
