"""What a model is, by content: both layers name a model in part keys and manifests by the same hash, wherever its files lie.

    model_identity("runs/demo/policy", hub_commit)   ->  "c0ffee…"  (20 hexadecimal digits)
    model_identity("org/name", hub_commit)           ->  the same of the Hub id and the commit that hub_commit("org/name") gives

A folder holds a whole model (config.json, weights, tokenizer) or a LoRA adapter (adapter_config.json) that names its base model.
Asking the Hub is left to the caller, so nothing here needs a network.
"""

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from schemas.ids import content_id

WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "adapter_model*.bin")
SETTINGS = (
    "config.json",
    "generation_config.json",
    "*.safetensors.index.json",
    "pytorch_model*.bin.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*.jinja",
    "chat_template*.json",
)
ADAPTER = "adapter_config.json"


def model_identity(model: str | Path, hub_commit: Callable[[str], str]) -> str:
    """Hash of the model's content: settings, tokenizer and weights of a folder (of an adapter's base too); a Hub id's commit."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return content_id("hub", str(model), hub_commit(str(model)))
    files = sorted({path for pattern in (*WEIGHTS, *SETTINGS) for path in folder.glob(pattern) if path.is_file()})
    content = [(path.name, _sha256(path, *_stamp(path))) for path in files]
    adapter = folder / ADAPTER
    if not adapter.is_file():
        return content_id("model", content)
    settings = json.loads(adapter.read_text(encoding="utf-8"))
    # The base counts by its content: its path is another on every machine.
    base = model_identity(settings.pop("base_model_name_or_path"), hub_commit)
    return content_id("adapter", base, settings, content)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    """Kept while size and time of change stay, so that asking for an identity again reads nothing."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
