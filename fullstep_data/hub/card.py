"""The dataset card, made from the contract and the manifest: what the dataset is, how it was made, how to use it, what to doubt.

dataset_card(card, readme_on_the_hub)   ->  README.md, merged (see front_matter)
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from fullstep_data.audit import LICENCES, Match, licence_of
from fullstep_data.config import OVERLAPS
from fullstep_data.formats import FORMATS
from fullstep_data.hub.card_use import use
from fullstep_data.hub.facts import Card
from fullstep_data.hub.front_matter import features, merged
from fullstep_data.hub.views import MEANINGS
from schemas import TABLES

PAPER = "arXiv:2502.14356"
CITATION = """@inproceedings{xu2025fullstepdpo,
  title = {Full-Step-DPO: Self-Supervised Preference Optimization with Step-wise Rewards for Mathematical Reasoning},
  author = {Xu, Huimin and Mao, Xin and Li, Feng-Lin and Wu, Xiaobao and Chen, Wang and Zhang, Wei and Luu, Anh Tuan},
  booktitle = {Findings of the Association for Computational Linguistics: ACL 2025},
  pages = {24343--24356},
  year = {2025},
  url = {https://aclanthology.org/2025.findings-acl.1249},
  eprint = {2502.14356},
  archivePrefix = {arXiv}
}"""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
_IN_ENGLISH = {*LICENCES, "arithmetic"}
"""Sources whose language we know, by preset or kind; what is built in is English too."""
IMPORT = "import"


def dataset_card(card: Card, readme: str | None) -> str:
    """The README. readme: the one on the Hub, whose other content stays."""
    parts = (_what, _made, _rewards, use, _columns, _limits, _audited, _lineage, _licence, _citation)
    return merged(readme, _front(card), "\n\n".join(text for part in parts if (text := part(card))))


def _front(card: Card) -> dict[str, Any]:
    names = [config.name for config in card.configs]
    default = next((name for name in ("preferences", "pairs", "stepwise", *names) if name in names), None)
    rows = max((config.rows for config in card.configs), default=0)
    return {
        **({"license": card.license} if card.license else {}),
        **_source(card.recipe),
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
                "splits": [{"name": "train", "num_bytes": config.unpacked, "num_examples": config.rows}],
                "download_size": config.bytes,
                "dataset_size": config.unpacked,
            }
            for config in card.configs
        ],
    }


def _source(recipe: dict[str, Any]) -> dict[str, Any]:
    """Language and source, where the recipe tells them."""
    source = _at(recipe, "problems", "source") or {}
    english = {source.get("preset"), source.get("kind")} & _IN_ENGLISH or str(source.get("path", "")).startswith("builtin:")
    named = [source["name"]] if source.get("kind") == "hub" and source.get("name") else []
    return {**({"language": ["en"]} if english else {}), **({"source_datasets": named} if named else {})}


def _what(card: Card) -> str:
    rows = "\n".join(f"| `{config.name}` | {config.rows:,} | {config.says} |" for config in card.configs)
    made = "Made with fullstep" + (f" {card.facts.software['fullstep']}" if "fullstep" in card.facts.software else "")
    return f"""# {card.repo.partition("/")[2]}

Step-labelled solutions of maths problems{" and preference pairs among them" if card.has("pairs") else ""}, for step-wise DPO
(Full-Step-DPO, {PAPER}) and for training process-reward models. {made}. Tag `{card.tag}` holds exactly what is described here.

| config | rows | one row per |
|---|---|---|
{rows}"""


def _made(card: Card) -> str:
    lines = [f"| {what} | {shown(_at(card.recipe, *path))} |" for what, path in _SETTINGS if _at(card.recipe, *path) is not None]
    lines += [f"| {what} | {shown(value)} |" for what, value in _identities(card)]
    counts = "\n".join(
        f"| {what} | {stage.counts.rows_in:,} | {stage.counts.kept:,} | {_reasons(stage.counts.rejected)} |"
        for name, table in card.manifest.tables.items()
        for stage in table.stages
        for what in (f"{name} ({IMPORT})" if stage.name == IMPORT else stage.name,)
    )
    return f"""## How it was made

| setting | value |
|---|---|
{chr(10).join(lines)}{_problems(card)}

What went into each stage, what came out, and what was dropped for which reason{_rejects(card)}:

| stage | in | kept | dropped |
|---|---|---|---|
{counts}"""


def _identities(card: Card) -> Iterator[tuple[str, Any]]:
    """What was imported, and by which tools and software rows were made."""
    stages = [stage for table in card.manifest.tables.values() for stage in table.stages]
    imported = next((stage for stage in stages if stage.name == IMPORT), None)
    if imported is not None:
        yield "imported", {key: value for key, value in imported.config.items() if value is not None}
        yield from ((f"SHA-256 of {name}", sha256) for name, sha256 in imported.tools.items())
    tools = {name: tool for stage in stages if stage.name != IMPORT for name, tool in stage.tools.items()}
    yield from ((f"{name.replace('_', ' ')} (identity)", tool) for name, tool in tools.items())
    if "sampler" not in tools and card.facts.samplers:
        yield "sampler (identity)", list(card.facts.samplers)
    if card.facts.software:
        yield "software", card.facts.software


def _problems(card: Card) -> str:
    """Problems by source and split, under a heading of their own."""
    counts: dict[str, dict[str, int]] = {}
    for source, split, count in card.facts.problems:
        counts.setdefault(source, {})[split] = count
    rows = "\n".join(f"| {source} | {of.get('train', 0):,} | {of.get('test', 0):,} |" for source, of in counts.items())
    return f"\n\n| source of problems | for training | held out (split `test`) |\n|---|---|---|\n{rows}" if rows else ""


def _rejects(card: Card) -> str:
    return " (rows in `rejects`)" if card.has("rejects") else ""


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
    ("N, rollouts per step", ("step_labels", "n")),
    ("step labels (`outcome` is N = 1)", ("step_labels",)),
    ("side labels", ("side_labels",)),
    ("the PRM and `step_pairs` learn from", ("learn_from",)),
    ("PRM", ("prm",)),
    ("step scores", ("step_scores",)),
    ("T, solutions per side", ("pairs", "top")),
    ("selection of pairs", ("pairs",)),
    ("selection of next steps", ("step_pairs",)),
    ("left out, because an evaluation set holds it", ("problems", "audit")),
)


def _rewards(card: Card) -> str:
    if not card.facts.rewards:
        return ""
    rows = "\n".join(
        f"| {shown(label)} | {steps:,} | {mean:.3f} | {low:.3f} | {high:.3f} |"
        for label, steps, mean, low, high in card.facts.rewards
    )
    labeller, scorer = card.facts.shown
    by = f"By the labels of {shown(labeller)}, scored by {shown(scorer)}." if labeller else f"Scored by {shown(scorer)}."
    return f"""## Step rewards

![Step rewards by label](rewards.png)

{by}

| label | steps | mean reward | 10 % | 90 % |
|---|---|---|---|---|
{rows}"""


def _columns(card: Card) -> str:
    blocks = []
    for config in card.configs:
        if config.name in TABLES:
            table = TABLES[config.name]
            text = f"{table.doc} Key: {', '.join(f'`{name}`' for name in table.key)}.\n\n{table.markdown()}"
        else:
            meanings = MEANINGS[config.name]
            rows = "\n".join(f"| `{field.name}` | {_type(field.type)} | {meanings[field.name]} |" for field in config.schema)
            text = f"| column | type | meaning |\n|---|---|---|\n{rows}"
        blocks.append(f"<details><summary><code>{config.name}</code></summary>\n\n{text}\n\n</details>")
    return "## Columns\n\n" + "\n\n".join(blocks)


def _type(kind: pa.DataType) -> str:
    return f"list of {kind.value_type}" if pa.types.is_list(kind) or pa.types.is_large_list(kind) else str(kind)


def _limits(card: Card) -> str:
    lines = [_LABELS[kind] for kind in _label_kinds(card.recipe) if kind in _LABELS]
    stages = [stage.name for table in card.manifest.tables.values() for stage in table.stages]
    if IMPORT in stages:
        lines.append("Solutions, and labels where there are any, are as the imported files have them.")
        lines += _of_format(card)
    if card.facts.prm:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in card.facts.prm.items())
        told = "It was trained on most of the problems whose steps it scored here."
        lines.append(f"The rewards are a PRM's. {told} On problems that it was not trained on: {figures}.")
    elif card.has("step_scores"):
        lines.append("The rewards are a PRM's; how good that is was not measured in this build.")
    for name, count in card.facts.left_out.items():
        if count:
            lines.append(f"`{name}` leaves out {count:,} rows that its form cannot carry (two prompts, or a label left open).")
    if "samples" not in card.manifest.tables and IMPORT not in stages:
        lines.append("The raw output of the sampler is not published; `solutions` holds every graded text.")
    lines.append("The texts were written by a model and were not read by people.")
    return "## Known limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _of_format(card: Card) -> list[str]:
    """What the format that was imported does not tell, or must be known of it."""
    stage = next(stage for record in card.manifest.tables.values() for stage in record.stages if stage.name == IMPORT)
    form = FORMATS.get(str(stage.config.get("format")))
    lost = form.reader.lost if form and form.reader else ()
    return [f"What is to be known of the format: {'; '.join(lost)}."] if lost else []


def _label_kinds(recipe: dict[str, Any]) -> list[str]:
    """Of the labels of a build, side labels included."""
    sections = [recipe.get("step_labels"), *(recipe.get("side_labels") or ())]
    return list(dict.fromkeys(section["kind"] for section in sections if isinstance(section, dict) and section.get("kind")))


_LABELS = {
    "outcome": "Step labels are outcomes (N = 1): every step carries whether the final answer is right. A wrong step in a "
    "solution with a right answer is labelled 1, and a right step in a solution with a wrong answer is labelled 0.",
    "monte-carlo": "Step labels are Monte-Carlo: did any completion from the step reach the gold answer? That is the sampler's "
    "chance to get there, not a proof that the step is right; answers reached by wrong steps count.",
    "vote": "Step labels are votes: does another right sample of the problem take the step, word for word? A right step that no "
    "other sample writes in this way is labelled 0, an error that several make is labelled 1.",
    "judge": "Step labels of a judge are a model's opinion; nobody checked them.",
}


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
    owner, _, name = card.repo.partition("/")
    return f"""## Citation

The method:

```bibtex
{CITATION}
```

This version of the data:

```bibtex
@misc{{{name.replace("_", "-")}-{card.tag.replace("_", "-")},
  title = {{{name}, {card.tag}}},
  author = {{{owner}}},
  howpublished = {{\\url{{https://huggingface.co/datasets/{card.repo}/tree/{card.tag}}}}},
  note = {{Hugging Face dataset, manifest {hashlib.sha256(card.manifest.content()).hexdigest()[:16]}}}
}}
```"""


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
