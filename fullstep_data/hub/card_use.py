"""The part of the card that says how to use the dataset. All code runs as it stands: tests/cli/test_hub.py pastes it."""

from fullstep_data.hub.facts import Card


def use(card: Card) -> str:
    """`datasets`, SQL by DuckDB, and our own commands, each with what is published."""
    return f"""## Use

{_datasets(card)}

The same for every config above. SQL without fetching the whole; only the ranges of the files are read that a query needs:

```python
import duckdb
from huggingface_hub import HfFileSystem

{_query(card)}
with duckdb.connect() as db:
    db.register_filesystem(HfFileSystem())
    print(db.sql(query))
```

With fullstep the tables go by their names, and a query may join any of them:

```bash
{chr(10).join(_commands(card))}
```
{_notes(card)}"""


def _datasets(card: Card) -> str:
    name = card.configs[0].name
    shown = {"preferences": ("prompt", "chosen", "rejected"), "stepwise": ("prompt", "completions", "labels")}
    columns = shown.get(name, tuple(card.configs[0].schema.names[:3]))
    return f"""```python
from datasets import load_dataset

rows = load_dataset("{card.repo}", "{name}", revision="{card.tag}", split="train")
print({", ".join(f'rows[0]["{column}"]' for column in columns)})
```"""


def _query(card: Card) -> str:
    """The assignment of `query`: the most telling one that the published tables allow."""
    hub = f'hub = "hf://datasets/{card.repo}@{card.tag}/parts"'
    if card.has("step_labels", "step_scores"):
        return f'''{hub}
query = f"""
    SELECT labeller, label, count(*) AS steps, round(avg(reward), 3) AS mean_reward
    FROM '{{hub}}/step_labels/*.parquet' JOIN '{{hub}}/step_scores/*.parquet' USING (solution_id, step_index)
    GROUP BY ALL ORDER BY ALL"""'''
    if card.has("step_labels"):
        return f'''{hub}
query = f"SELECT labeller, label, count(*) AS steps FROM '{{hub}}/step_labels/*.parquet' GROUP BY ALL ORDER BY ALL"'''
    table = next(config.name for config in card.configs if config.pattern.startswith("parts/"))
    return f"""{hub}
query = f"SELECT count(*) AS rows FROM '{{hub}}/{table}/*.parquet'\""""


def _commands(card: Card) -> list[str]:
    place = f"hf://{card.repo}@{card.tag}"
    query = f"SELECT count(*) FROM {card.configs[-1].name}"
    if card.has("solutions"):
        query = "SELECT correct, count(*) AS solutions FROM solutions GROUP BY correct"
    commands = [
        f'fs-data sql {place} "{query}"',
        f"fs-data pull {card.repo}@{card.tag} --out data    # the dataset folder, checked",
    ]
    if card.has("problems", "solutions", "steps", "step_scores", "pairs"):
        commands.append(f"fs-train run tiny --data {place} --out run    # a policy; `fs-data recipe` lists the recipes")
    return commands


def _notes(card: Card) -> str:
    notes = []
    if card.has("preferences"):
        notes.append(
            "`preferences` has the columns of TRL's DPOTrainer. Its prompts are rendered, special tokens included; if the "
            "tokenizer puts a begin token before every text (as Llama's), cut it off the prompts, or TRL has it twice."
        )
    if card.has("stepwise"):
        notes.append(
            "`stepwise` has the columns of TRL's stepwise supervision. Its steps keep their line ends: join them as they are."
        )
    return "\n" + " ".join(notes) if notes else ""
