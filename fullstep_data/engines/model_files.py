"""Where a model's files are, and whether there is a model at all; what it is by content says `schemas.model_files`.

    find_model("runs/demo/policy")      -> ModelPlace(path="runs/demo/policy", revision=None)
    find_model("org/name")              -> ModelPlace(path="org/name", revision="<commit on the Hub>")
    model_identity("runs/demo/policy")  -> "c0ffee…"  (20 hexadecimal digits)

A folder holds a whole model (config.json, weights, tokenizer) or a LoRA adapter (adapter_config.json) that names its base model.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import schemas.model_files
from schemas import InputError
from schemas.model_files import ADAPTER, WEIGHTS

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True)
class ModelPlace:
    """A folder (revision None), or a Hub id at a commit."""

    path: str
    revision: str | None = None

    @property
    def adapter(self) -> Path | None:
        """The adapter's config where the folder holds a LoRA adapter and no whole model."""
        config = Path(self.path) / ADAPTER
        return config if self.revision is None and config.is_file() else None


def find_model(model: str | Path, weights: bool = True) -> ModelPlace:
    """The folder or the Hub id that `model` names. Raises InputError where there is no model to be had.

    weights: False takes any folder, for those who want only its tokenizer.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if weights:
            _check_folder(folder)
        return ModelPlace(str(folder))
    if not folder.exists() and _HUB_ID.fullmatch(str(model)):
        return ModelPlace(str(model), _hub_commit(str(model)))
    what = "model path is a file, not a folder" if folder.exists() else "model path does not exist"
    raise InputError(what, where=str(model), next_step="give a folder with config.json and weights, or a Hub id (owner/name)")


def model_identity(model: str | Path, weights: bool = True) -> str:
    """`schemas.model_files.model_identity` of a model that is there. Raises InputError where there is none (see find_model)."""
    place = find_model(model, weights)
    return schemas.model_files.model_identity(place.path, _hub_commit)


def _check_folder(folder: Path) -> None:
    next_step = "give a folder that save_pretrained wrote, with config.json (or adapter_config.json) and weights"
    if not (folder / "config.json").is_file() and not (folder / ADAPTER).is_file():
        raise InputError("model folder has no config.json", where=str(folder), next_step=next_step)
    if not any(path for pattern in WEIGHTS for path in folder.glob(pattern)):
        raise InputError("model folder has no weights (*.safetensors)", where=str(folder), next_step=next_step)


@lru_cache(maxsize=64)
def _hub_commit(name: str) -> str:
    """The commit that `name` stands for now: asked of the Hub, or of the local cache where the Hub cannot be reached."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import (
        HFValidationError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage] -- the base of HfHubHTTPError: httpx or httpx2, as the Hub client has it
        OfflineModeIsEnabled,
    )

    try:
        commit = HfApi().model_info(name).sha
    except (HTTPError, HFValidationError, OfflineModeIsEnabled) as error:
        for file in ("config.json", ADAPTER):
            cached = try_to_load_from_cache(name, file)
            if isinstance(cached, str):
                return Path(cached).parent.name  # …/snapshots/<commit>/config.json
        raise InputError(
            "model is neither a folder here nor to be had from the Hugging Face Hub",
            where=name,
            examples=(str(error).strip().splitlines()[0],),
            next_step="check the path or the Hub id; without a network, give a folder",
        ) from error
    if commit is None:
        raise InputError("the Hugging Face Hub names no commit for this model", where=name, next_step="give a folder")
    return commit
