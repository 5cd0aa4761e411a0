"""The dataset card, made from the contract and the manifest: what the dataset is, how it was made, how to use it, what to doubt.

dataset_card(card, readme_on_the_hub)   ->  README.md, merged (see front_matter)
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from fullstep_data.audit import Audit, Match, licence_of
from fullstep_data.config import OVERLAPS
from fullstep_data.hub.front_matter import features, merged
from fullstep_data.hub.views import MEANINGS
from fullstep_data.store import Manifest
from schemas import TABLES

PAPER = "arXiv:2502.14356"
CITATION = """@inproceedings{xu2025fullstepdpo,
  title = {Full-Step-DPO: Self-Supervised Preference Optimization with Step-wise Rewards for Mathematical Reasoning},
  author = {Xu and others},
  booktitle = {Findings of the Association for Computational Linguistics: ACL 2025},
  year = {2025},
  eprint = {2502.14356},
  archivePrefix = {arXiv}
}"""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


@dataclass(frozen=True)
class Config:
    """One config of the repository: a table or a view. pattern: of its files. loaded: the files that `datasets` is told to load,
    or the pattern. bytes: their size. says: one row per …"""

    name: str
    pattern: str
    loaded: Sequence[str]
    schema: pa.Schema
    rows: int
    bytes: int
    says: str


@dataclass(frozen=True)
class Facts:
    """What is read out of the rows. sources: problems by source. rewards: label, steps, mean and 10 and 90 % quantile.

    bins: by label, steps in each bin of the picture. prm: validation metrics, where this build trained the PRM. left_out: rows
    that a view cannot carry. audit: of the problems against the evaluation sets that were named for this push.
    """

    sources: Sequence[tuple[str, int]]
    rewards: Sequence[tuple[Any, ...]]
    bins: dict[bool | None, list[int]]
    prm: dict[str, float] | None
    left_out: dict[str, int]
    audit: Audit | None = None


@dataclass(frozen=True)
class Card:
    """All that the card tells. repo: owner/name. license: as the Hub names licences; None: not stated."""

    repo: str
    tag: str
    license: str | None
    manifest: Manifest
    configs: Sequence[Config]
    facts: Facts


def dataset_card(card: Card, readme: str | None) -> str:
    """The README. readme: the one on the Hub, whose other content stays."""
    parts = (_what, _made, _rewards, _use, _columns, _limits, _audited, _lineage, _licence, _citation)
    return merged(readme, _front(card), "\n\n".join(text for part in parts if (text := part(card))))


def _front(card: Card) -> dict[str, Any]:
    names = [config.name for config in card.configs]
    default = next((name for name in ("preferences", "pairs", "stepwise", *names) if name in names), None)
    rows = max((config.rows for config in card.configs), default=0)
    return {
        **({"license": card.license} if card.license else {}),
        "pretty_name": card.repo.partition("/")[2],
        "size_categories": [next((name for most, name in _SIZES if rows < most), "n>10M")],
        "task_categories": ["text-generation"],
        "annotations_creators": ["machine-generated"],
        "tags": ["fullstep", "reasoning", "preference", "dpo", "prm", "trl", "synthetic"],
        "configs": [
            {
                "config_name": config.name,
                "data_files": [{"split": "train", "path": config.loaded[0] if len(config.loaded) == 1 else config.loaded}],
                **({"default": True} if config.name == default else {}),
            }
            for config in card.configs
        ],
        "dataset_info": [
            {
                "config_name": config.name,
                "features": features(config.schema),
                "splits": [{"name": "train", "num_bytes": config.bytes, "num_examples": config.rows}],
                "download_size": config.bytes,
                "dataset_size": config.bytes,
            }
            for config in card.configs
        ],
    }


def _what(card: Card) -> str:
    rows = "\n".join(f"| `{config.name}` | {config.rows:,} | {config.says} |" for config in card.configs)
    return f"""# {card.repo.partition("/")[2]}

Step-labelled solutions of maths problems and preference pairs among them, for step-wise DPO (Full-Step-DPO, {PAPER}) and for
training process-reward models. Made with fullstep. Tag `{card.tag}` holds exactly what is described here.

| config | rows | one row per |
|---|---|---|
{rows}"""


def _made(card: Card) -> str:
    recipe = card.manifest.recipe if isinstance(card.manifest.recipe, dict) else {}
    lines = [f"| {what} | {shown(_at(recipe, *path))} |" for what, path in _SETTINGS if _at(recipe, *path) is not None]
    tools = {
        name: tool for table in card.manifest.tables.values() for stage in table.stages for name, tool in stage.tools.items()
    }
    lines += [f"| {name.replace('_', ' ')} (identity) | `{tool}` |" for name, tool in tools.items()]
    sources = "\n".join(f"| {source} | {count:,} |" for source, count in card.facts.sources)
    counts = "\n".join(
        f"| {stage.name} | {stage.counts.rows_in:,} | {stage.counts.kept:,} | {_reasons(stage.counts.rejected)} |"
        for table in card.manifest.tables.values()
        for stage in table.stages
    )
    problems = f"\n\n| source of problems | problems |\n|---|---|\n{sources}" if sources else ""
    return f"""## How it was made

| setting | value |
|---|---|
{chr(10).join(lines)}{problems}

What went into each stage, what came out, and what was dropped for which reason (rows in `rejects`):

| stage | in | kept | dropped |
|---|---|---|---|
{counts}"""


_SETTINGS = (
    ("recipe", ("name",)),
    ("model", ("model",)),
    ("problems from", ("problems", "source")),
    ("share held out for evaluation", ("problems", "held_out")),
    ("sampler", ("samples", "engine")),
    ("prompt", ("samples", "prompt")),
    ("M, samples per problem", ("samples", "samples")),
    ("temperature", ("samples", "temperature")),
    ("top p", ("samples", "top_p")),
    ("longest sample, tokens", ("samples", "max_tokens")),
    ("seed of the samples", ("samples", "seed")),
    ("steps cut by", ("steps",)),
    ("step labels (`outcome` is N = 1)", ("step_labels",)),
    ("PRM", ("prm",)),
    ("selection (T = `top`)", ("pairs",)),
)


def _rewards(card: Card) -> str:
    if not card.facts.rewards:
        return ""
    rows = "\n".join(
        f"| {shown(label)} | {steps:,} | {mean:.3f} | {low:.3f} | {high:.3f} |"
        for label, steps, mean, low, high in card.facts.rewards
    )
    return f"""## Step rewards

![Step rewards by label](rewards.png)

| label | steps | mean reward | 10 % | 90 % |
|---|---|---|---|---|
{rows}"""


def _use(card: Card) -> str:
    name = next(
        (config.name for config in card.configs if config.name == "preferences"), card.configs[0].name if card.configs else ""
    )
    example = next((config for config in card.configs if config.name in TABLES), None)
    query = f'fs-data sql hf://{card.repo}@{card.tag} "SELECT count(*) FROM {example.name}"' if example else ""
    duck = f"hf://datasets/{card.repo}@{card.tag}/{example.pattern}" if example else ""
    return f"""## Use

```python
from datasets import load_dataset

rows = load_dataset("{card.repo}", "{name}", revision="{card.tag}", split="train")
```

```sql
-- DuckDB, no download of the whole; every table's files are under parts/<table>/
SELECT * FROM '{duck}' LIMIT 5;
```

```bash
{query}
fs-data pull {card.repo}@{card.tag} --out data      # the dataset folder, checked
fs-train run demo --data hf://{card.repo}@{card.tag} --out run
```

`preferences` has the columns of TRL's DPOTrainer, `stepwise` those of its stepwise supervision. Prompts are rendered already."""


def _columns(card: Card) -> str:
    blocks = []
    for config in card.configs:
        if config.name in TABLES:
            table = TABLES[config.name]
            text = f"{table.doc} Key: {', '.join(f'`{name}`' for name in table.key)}.\n\n{table.markdown()}"
        else:
            meanings = MEANINGS[config.name]
            rows = "\n".join(f"| `{field.name}` | {field.type} | {meanings[field.name]} |" for field in config.schema)
            text = f"| column | type | meaning |\n|---|---|---|\n{rows}"
        blocks.append(f"<details><summary><code>{config.name}</code></summary>\n\n{text}\n\n</details>")
    return "## Columns\n\n" + "\n\n".join(blocks)


def _limits(card: Card) -> str:
    recipe = card.manifest.recipe if isinstance(card.manifest.recipe, dict) else {}
    lines = []
    if _at(recipe, "step_labels", "source") == "outcome":
        lines.append(_OUTCOME)
    if card.facts.prm:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in card.facts.prm.items())
        lines.append(f"The rewards are a PRM's. On problems it was not trained on: {figures}.")
    elif any(config.name == "step_scores" for config in card.configs):
        lines.append("The rewards are a PRM's; how good that is was not measured in this build.")
    for name, count in card.facts.left_out.items():
        if count:
            lines.append(f"`{name}` leaves out {count:,} rows that its form cannot carry (two prompts, or a label left open).")
    if "samples" not in card.manifest.tables:
        lines.append("The raw output of the sampler is not published; `solutions` holds every graded text.")
    lines.append("The texts were written by a model and were not read by people.")
    return "## Known limits\n\n" + "\n".join(f"- {line}" for line in lines)


_OUTCOME = (
    "Step labels are outcomes (N = 1): every step carries whether the final answer is right. A wrong step in a solution with a "
    "right answer is labelled 1, and a right step in a solution with a wrong answer is labelled 0."
)


def _audited(card: Card) -> str:
    found = card.facts.audit
    if found is None:
        return (
            "## Contamination\n\nNot audited: the problems were not compared with the test set of any benchmark (`fs-data push` "
            "with `--against SET` does that)."
        )
    rows = [
        (f"training problems that stand in {name} ({size:,} questions)", [one for one in found.leaks if one.place == name])
        for name, size in found.sets.items()
    ]
    rows += [("test problems that stand in the training split", found.between_splits)]
    rows += [("training problems that repeat one before", found.repeated)]
    table = "\n".join(f"| {what} | {' | '.join(_of_kinds(matches))} |" for what, matches in rows)
    return f"""## Contamination

The {found.problems:,} problems were compared with the evaluation sets named here, and with each other. Each problem counts
once, by the strictest way in which it is the same: the same text; the same words and signs; 13 words in a row in common; at
least 60 % of all runs of three words in common.

| | {" | ".join(OVERLAPS)} |
|---|{"---|" * len(OVERLAPS)}
{table}"""


def _of_kinds(matches: Sequence[Match]) -> list[str]:
    return [f"{sum(one.kind == kind for one in matches):,}" for kind in OVERLAPS]


def _lineage(card: Card) -> str:
    content = card.manifest.content()
    rows = "\n".join(
        f"| {name} | {record.contract.version} | `{record.contract.fingerprint}` | {len(record.parts)} |"
        for name, record in card.manifest.tables.items()
    )
    return f"""## Lineage

Version {card.manifest.number} of the dataset. `versions/{card.manifest.number:06d}.json` lists every file with its SHA-256, what
each stage was configured with, and which parts it was made from; it has SHA-256 `{hashlib.sha256(content).hexdigest()}`.

| table | contract | fingerprint | files |
|---|---|---|---|
{rows}"""


def _licence(card: Card) -> str:
    stated = f"Published under `{card.license}`." if card.license else "No licence was named for this version."
    known = licence_of(card.manifest.recipe)
    source = f", which its authors state as {known}" if known else " (see above)"
    kept = f"Problems keep the licence of their source{source}; solutions are a model's output."
    return f"## Licence and sources\n\n{stated} {kept}"


def _citation(card: Card) -> str:
    return f"## Citation\n\nThe method:\n\n```bibtex\n{CITATION}\n```"


def _at(data: Any, *path: str) -> Any:
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def shown(value: Any) -> str:
    """A value of the recipe in a cell: only what is set."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {shown(one)}" for key, one in value.items() if one is not None and one != {})
    if isinstance(value, list):
        return " ".join(shown(one) for one in value)
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`".replace("|", "\\|").replace("\n", "\\n")


def _reasons(rejected: dict[str, int]) -> str:
    return "; ".join(f"{count:,} {reason}" for reason, count in rejected.items())
