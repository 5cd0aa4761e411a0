"""fs-train: train a policy on a dataset's pairs, and measure models.

fs-train run tiny --data out/tiny --out out/tiny-run
fs-train eval --model tiny-random --problems out/tiny --max-tokens 16
"""

import sys

import click

from cli.command import App, Command


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
def run(recipe: str, data: str, out: str, overrides: tuple[str, ...]) -> None:
    """Train a policy on pairs, and evaluate it before and after.

    Both evaluations are greedy answers to the dataset's held-out problems. RECIPE is the name of a built-in recipe
    (`fs-data recipe` lists them) or a TOML file: usually the one that built the dataset. Run the same command again
    after an interruption: training goes on from its last checkpoint.
    """
    from cli.run import run as run_training

    run_training(recipe, data, out, overrides)


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
@click.option("--template", default="steps-few-shot", show_default=True, help="Prompt: a template's name or a TOML file.")
@click.option("--max-tokens", default=512, show_default=True, type=click.IntRange(min=1), help="Longest answer.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many problems, the first by id.")
@click.option("--out", metavar="DIR", help="Keep the predictions here, as a dataset with the table `predictions`.")
def evaluate(model: str, problems: str, template: str, max_tokens: int, limit: int | None, out: str | None) -> None:
    """Greedy accuracy of a model, with its 95 % interval."""
    from cli.evaluate import evaluate as evaluate_model

    evaluate_model(model, problems, template, max_tokens, limit, out)


if __name__ == "__main__":
    sys.exit(main())
