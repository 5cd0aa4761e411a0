"""A trained PRM or policy as a model repository: its own files, a seal that lists them, and a card that names the data version.

    bundle = model_bundle(open_version("out/tiny-run"), ModelPush("ann/policy", "v1"))
    publish(bundle, Hub("ann/policy", "model"), tag="v1", private=True)

Weights, config, tokenizer, settings and training curve go out; tables of rows (rejects, reference log-probs) do not.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fullstep_data.accuracy import accuracy
from fullstep_data.hub.address import Address
from fullstep_data.hub.card import CITATION, shown
from fullstep_data.hub.dataset import without_folders
from fullstep_data.hub.front_matter import merged
from fullstep_data.hub.publish import Bundle
from fullstep_data.hub.pull import find
from fullstep_data.stats import PRM_FIGURES
from fullstep_data.store import ModelRecord, Version
from fullstep_data.store.disk import sha256_of
from schemas import InputError

SEAL = "fullstep.json"
FORMAT = 1
_ROWS = ".parquet"
_CLASSES = {"policy": "AutoModelForCausalLM", "prm": "AutoModelForTokenClassification"}
_TASKS = {"policy": "text-generation", "prm": "token-classification"}
_WHAT = {
    "policy": "A language model trained by step-wise DPO (Full-Step-DPO, arXiv:2502.14356): every step of a solution is weighted "
    "by its reward.",
    "prm": "A process-reward model: for each step of a solution, read at its last token, the probability that it is correct.",
}


@dataclass(frozen=True)
class ModelPush:
    """What the user names. model: a stage of the version that made one; None where there is only one. data: the published dataset
    that it was trained on; None: only the version's number and hash are told.
    """

    repo: str
    tag: str
    model: str | None = None
    data: Address | None = None
    license: str | None = None


def model_bundle(version: Version, push: ModelPush) -> Bundle:
    """InputError: the version has no such model, a file of it was altered, or `data` is not what it was trained on."""
    stage = _stage(version, push.model)
    record = version.manifest.models[stage]
    folder = version.model(stage)
    files = {name: folder / name for name in record.files if not name.endswith(_ROWS)}
    _require_whole(record, files)
    if push.data is not None:
        _require_trained_on(push.data, record, version)
    seal = _seal(version, stage, record, files, push.data)
    return Bundle(
        kind="model",
        title=f"{stage} {record.key[:12]}",
        files={**files, SEAL: seal},
        seal=SEAL,
        sealed=[*files, SEAL],
        is_seal=lambda path: path == SEAL,
        stale=lambda there, old: there & _listed(old),
        card=lambda readme: merged(readme, _front(version, stage, push), _body(version, stage, record, push)),
        differs=lambda other: _differences(other, seal),
    )


def _stage(version: Version, named: str | None) -> str:
    models = list(version.manifest.models)
    if named in models:
        return str(named)
    if named is None and len(models) == 1:
        return models[0]
    what = f"version {version.number} has no model {named}" if named or not models else "the version has several models"
    step = (
        f"its models: {', '.join(models)}" if models else "name a run of `fs-train run`, or a dataset whose build trained a PRM"
    )
    raise InputError(what if models else f"version {version.number} has no model", where=version.place, next_step=step)


def _require_whole(record: ModelRecord, files: dict[str, Path]) -> None:
    altered = [str(path) for name, path in files.items() if not path.is_file() or sha256_of(path) != record.files[name].sha256]
    if altered:
        raise InputError(
            what="files of the model are missing or were altered after they were written",
            where=str(next(iter(files.values())).parent),
            count=len(altered),
            examples=altered,
            next_step="delete the folder and run the training again: it makes the model anew",
        )


def _require_trained_on(data: Address, record: ModelRecord, version: Version) -> None:
    """Every part that the training read must be in the published version."""
    remote = find(data)
    published = {part.key for table in remote.manifest.tables.values() for part in table.parts}
    # What the run itself made of the data (reference log-probs) counts as what that was made from.
    own = version.manifest.tables.values() if version.manifest.upstream else ()
    parents = {part.key: part.parents for table in own for part in table.parts}
    read = {root for key in record.parents for root in parents.get(key, (key,))}
    foreign = sorted(read - published)
    if foreign:
        raise InputError(
            what=f"the model was not trained on {data}: parts that it read are not in it",
            where=version.place,
            count=len(foreign),
            examples=foreign,
            next_step="name the dataset and the tag that it was trained on, or leave --data out",
        )


def _seal(version: Version, stage: str, record: ModelRecord, files: dict[str, Path], data: Address | None) -> bytes:
    upstream = version.manifest.upstream
    trained_on: dict[str, Any] = {"parts": list(record.parents)}
    if upstream is not None:
        trained_on |= {"version": upstream.number, "manifest_sha256": upstream.sha256}
    if data is not None:
        trained_on["dataset"] = str(data)
    content = {
        "format": FORMAT,
        "stage": stage,
        "key": record.key,
        "config": without_folders(record.config),
        "tools": without_folders(record.tools),
        "trained_on": trained_on,
        "files": {name: record.files[name].model_dump() for name in files},
    }
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode("utf-8")


def _listed(seal: bytes) -> set[str]:
    """The files of an earlier version; none where its seal cannot be read."""
    try:
        return set(json.loads(seal)["files"])
    except (ValueError, KeyError, TypeError):
        return set()


def _differences(other: bytes, ours: bytes) -> list[str]:
    """How another version differs, in at most five lines."""
    try:
        theirs, mine = json.loads(other), json.loads(ours)
        files = {name: file["sha256"] for name, file in theirs["files"].items()}
    except (ValueError, KeyError, TypeError):
        return ["a seal that cannot be read"]
    own = {name: file["sha256"] for name, file in mine["files"].items()}
    lines = [f"{key}: {theirs.get(key)} there, {mine[key]} here" for key in ("stage", "key") if theirs.get(key) != mine[key]]
    lines += [f"{name} is another" for name in sorted(files.keys() | own.keys()) if files.get(name) != own.get(name)]
    return (lines or ["the same files, said to be of other data"])[:5]


def _base(version: Version, stage: str) -> str | None:
    recipe = without_folders(version.manifest.recipe)
    if not isinstance(recipe, dict):
        return None
    section = recipe.get(stage)
    own = section.get("base") if isinstance(section, dict) else None
    return own or recipe.get("model")


def _front(version: Version, stage: str, push: ModelPush) -> dict[str, Any]:
    base = _base(version, stage) or ""
    return {
        **({"license": push.license} if push.license else {}),
        "library_name": "transformers",
        "pipeline_tag": _TASKS.get(stage, "text-generation"),
        **({"base_model": base} if base.count("/") == 1 else {}),
        **({"datasets": [push.data.repo]} if push.data else {}),
        "tags": ["fullstep", "dpo" if stage == "policy" else "prm"],
    }


def _body(version: Version, stage: str, record: ModelRecord, push: ModelPush) -> str:
    upstream = version.manifest.upstream
    data = [f"Published as [{push.data}](https://huggingface.co/datasets/{push.data.repo})."] if push.data else []
    if upstream is not None:
        data.append(f"Version {upstream.number} of its dataset; that version's manifest has SHA-256 `{upstream.sha256}`.")
    else:
        data.append(f"Version {version.number} of the dataset that it was built with.")
    data.append(f"The parts that it read, by key: {', '.join(f'`{key}`' for key in record.parents[:3])}"
                f"{f' and {len(record.parents) - 3} more' if len(record.parents) > 3 else ''} (all in `{SEAL}`).")  # fmt: skip
    settings = "\n".join(
        f"| {name} | {shown(value)} |" for name, value in without_folders(record.config).items() if value is not None
    )
    return f"""# {push.repo.partition("/")[2]}

{_WHAT.get(stage, "A model trained with fullstep.")} Made with fullstep from `{_base(version, stage)}`. Tag `{push.tag}`.

```python
from transformers import AutoTokenizer, {_CLASSES.get(stage, "AutoModel")}

model = {_CLASSES.get(stage, "AutoModel")}.from_pretrained("{push.repo}", revision="{push.tag}")
tokenizer = AutoTokenizer.from_pretrained("{push.repo}", revision="{push.tag}")
```

## Data

{chr(10).join(data)}

## Training

| setting | value |
|---|---|
{settings}

{_measured(version, stage)}

## Citation

The method:

```bibtex
{CITATION}
```"""


def _measured(version: Version, stage: str) -> str:
    """Accuracy before and after of a policy, validation figures of a PRM; what is not known is said."""
    head = "## What was measured\n\n"
    if stage == "policy" and "predictions" in version.tables and version.tables["predictions"].rows:
        rows = "\n".join(
            f"| {row['model']} training | {row['correct']}/{row['n']} | {row['low']:.1%} to {row['high']:.1%} |"
            for row in accuracy(version.frame("predictions")).iter_rows(named=True)
        )
        table = f"| model | correct | 95 % interval |\n|---|---|---|\n{rows}"
        return f"{head}Greedy answers to the dataset's held-out problems, one run, one seed:\n\n{table}"
    metrics = version.model_file(stage, "metrics.json")
    figures = json.loads(metrics).get("validation") if metrics else None
    if figures:
        rows = "\n".join(f"| {PRM_FIGURES[name]} | {figures[name]:.3f} |" for name in PRM_FIGURES if name in figures)
        return f"{head}On problems that it was not trained on:\n\n| figure | value |\n|---|---|\n{rows}"
    return f"{head}Nothing: no held-out problem was asked."
