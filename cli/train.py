"""fs-train: train a policy on a dataset's pairs, and measure models.

fs-train run tiny --data out/tiny --out out/tiny-run
fs-train eval --model tiny-random --problems out/tiny --max-tokens 16
"""

import sys
from typing import Literal, get_args

import click

from cli.command import App, Command
from cli.processes import Processes, processes_options

Preset = Literal["gsm8k", "math", "svamp", "aqua", "metamath"]
Chat = Literal["auto", "always", "never"]


@click.group(
    "fs-train",
    cls=App,
    examples=(
        "fs-train run tiny --data out/tiny --out out/tiny-run",
        "fs-train eval --model tiny-random --problems out/tiny --max-tokens 16",
    ),
)
@click.version_option(package_name="fullstep", prog_name="fs-train")
def main() -> None:
    """Step-wise DPO on the pairs of a dataset, and accuracy with its interval."""


@main.command(
    "run",
    cls=Command,
    examples=(
        "fs-train run tiny --data out/tiny --out out/tiny-run",
        "fs-train run tiny --data out/tiny@1 --out out/tiny-dpo --set policy.weighting.gamma=0",
    ),
)
@click.argument("recipe")
@click.option(
    "--data", required=True, metavar="DIR[@VERSION]", help="The dataset with pairs, step rewards and held-out problems."
)
@click.option("--out", required=True, metavar="RUN", help="Folder of the run: predictions before and after, and the policy.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe; may be repeated.")
@processes_options
def run(recipe: str, data: str, out: str, overrides: tuple[str, ...], processes: int, accelerate_config: str | None) -> None:
    """Train a policy on pairs, and evaluate it before and after.

    Both evaluations are greedy answers to the dataset's held-out problems. RECIPE is the name of a built-in recipe
    (`fs-data recipe` lists them) or a TOML file: usually the one that built the dataset. Run the same command again
    after an interruption: training goes on from its last checkpoint.
    """
    from cli.run import run as run_training

    run_training(recipe, data, out, overrides, Processes(processes, accelerate_config))


@main.command(
    "eval",
    cls=Command,
    examples=(
        "fs-train eval --model tiny-random --problems out/tiny --max-tokens 16",
        "fs-train eval --model tiny-random --problems out/tiny@1 --limit 2 --max-tokens 16 --out out/tiny-eval",
    ),
)
@click.option("--model", required=True, help="A built-in model, a folder, or a Hub id as owner/name.")
@click.option(
    "--problems",
    required=True,
    metavar="FILE|DIR[@VERSION]",
    help="A JSONL, CSV or Parquet file, or a dataset's held-out problems.",
)
@click.option(
    "--preset", type=click.Choice(get_args(Preset)), help="The columns of a well-known data set, for a FILE in its form."
)
@click.option("--question", metavar="COLUMN", help="Column of the questions in a FILE. [default: question]")
@click.option("--answer", metavar="COLUMN", help="Column of the gold answers in a FILE. [default: answer]")
@click.option("--template", default="steps-few-shot", show_default=True, help="Prompt: a template's name or a TOML file.")
@click.option("--chat", type=click.Choice(get_args(Chat)), help="Chat template? [default: as the template says]")
@click.option("--max-tokens", default=512, show_default=True, type=click.IntRange(min=1), help="Longest answer.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="Only so many problems: the first of a FILE, of a dataset the first by id."
)
@click.option("--out", metavar="DIR", help="Keep the predictions here, as a dataset with the table `predictions`.")
def evaluate(
    model: str,
    problems: str,
    preset: Preset | None,
    question: str | None,
    answer: str | None,
    template: str,
    chat: Chat | None,
    max_tokens: int,
    limit: int | None,
    out: str | None,
) -> None:
    """Greedy accuracy of a model, with its 95 % interval."""
    from cli.evaluate import Questions
    from cli.evaluate import evaluate as evaluate_model
    from fullstep_data.config import Columns, PredictionsConfig, PromptConfig

    named = {"question": question, "answer": answer}
    columns = Columns.model_validate({column: name for column, name in named.items() if name is not None})
    questions = Questions(place=problems, preset=preset, columns=columns, limit=limit)
    prompt = PromptConfig(template=template, chat=chat)
    evaluate_model(model, questions, PredictionsConfig(prompt=prompt, max_tokens=max_tokens), out)


if __name__ == "__main__":
    sys.exit(main())
