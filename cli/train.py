"""fs-train: train a policy on a dataset's pairs, and measure models.

fs-train run tiny --data out/tiny --out out/tiny-run
fs-train eval --model tiny-random --sets out/tiny --max-tokens 16
"""

import sys
from pathlib import Path
from typing import Literal, get_args

import click

from cli.command import App, Command
from cli.processes import Processes, processes_options
from cli.trackers import trackers_option
from cli.train_experiment import experiment
from cli.workers import Parts, workers_options

Preset = Literal["gsm8k", "math", "svamp", "aqua", "metamath"]
Chat = Literal["auto", "always", "never"]
Splitter = Literal["step-label", "newline", "blank-line"]
Curve = Literal["platt", "isotonic"]
Form = Literal["step-labels", "paragraphs"]


@click.group(
    "fs-train",
    cls=App,
    examples=(
        "fs-train run tiny --data out/tiny --out out/tiny-run",
        "fs-train eval --model tiny-random --sets out/tiny --max-tokens 16",
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
    "--data",
    required=True,
    metavar="DIR[@VERSION]|hf://OWNER/NAME[@TAG]",
    help="The dataset with pairs, step rewards and held-out problems; one on the Hub is fetched into the cache.",
)
@click.option("--out", required=True, metavar="RUN", help="Folder of the run: predictions before and after, and the policy.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe; may be repeated.")
@click.option(
    "--plot",
    metavar="FILE.png",
    type=click.Path(path_type=Path),
    help="Draw the course of the training there. [default: RUN/training.png]",
)
@workers_options
@processes_options
@trackers_option
def run(
    recipe: str,
    data: str,
    out: str,
    overrides: tuple[str, ...],
    plot: Path | None,
    parts: Parts,
    processes: int,
    accelerate_config: str | None,
    trackers: tuple[str, ...],
) -> None:
    """Train a policy on pairs, and evaluate it before and after.

    Both evaluations are greedy answers to the dataset's held-out problems. RECIPE is the name of a built-in recipe
    (`fs-data recipe` lists them) or a TOML file: usually the one that built the dataset. Run the same command again
    after an interruption: training goes on from its last checkpoint.
    """
    from cli.run import run as run_training

    run_training(recipe, data, out, overrides, Processes(processes, accelerate_config), plot, parts, trackers)


@main.command(
    "eval",
    cls=Command,
    examples=(
        "fs-train eval --model tiny-random --sets out/tiny --max-tokens 16",
        "fs-train eval --engine scripted --sets out/tiny --prm out/tiny --decode greedy,sc@4,bon@4,beam@2x2 --out out/tiny-eval",
    ),
)
@click.option("--model", help="A built-in model, a folder, or a Hub id as owner/name.")
@click.option(
    "--sets",
    "--problems",
    "sets",
    metavar="SET,…",
    help="Sets from the Hub by name (gsm8k, math500, svamp, gaokao2023en, minerva_math …), JSONL, CSV or Parquet files, "
    "NAME=FILE for a file in the form of a set, or datasets (DIR[@VERSION]) for their held-out problems.",
)
@click.option(
    "--decode",
    default="greedy",
    show_default=True,
    metavar="RULE,…",
    help="greedy, sc@N, bon@N, wsc@N, hybrid@N, beam@WxB; bon@N is all of bon-mean@N, bon-min@N, bon-product@N, bon-last@N.",
)
@click.option("--prm", metavar="DIR", help="The PRM for bon, wsc, hybrid and beam: a folder, or the dataset that trained it.")
@click.option("--samples", metavar="DIR[@VERSION]", help="Instead of asking a model: decide over the samples stored here.")
@click.option(
    "--calibrate",
    metavar="DIR[@VERSION]",
    help="For hybrid: graded samples of OTHER problems with rewards of --prm; of the dataset that trained it, those held back.",
)
@click.option("--curve", default="platt", show_default=True, type=click.Choice(get_args(Curve)), help="How hybrid calibrates.")
@click.option("--engine", default="hf", show_default=True, metavar="KIND[,KEY=VALUE…]", help="What writes: hf,batch_size=64 …")
@click.option(
    "--preset", type=click.Choice(get_args(Preset)), help="The columns of a well-known data set, for a FILE in its form."
)
@click.option("--question", metavar="COLUMN", help="Column of the questions in a FILE. [default: question]")
@click.option("--answer", metavar="COLUMN", help="Column of the gold answers in a FILE. [default: answer]")
@click.option("--template", default="steps-few-shot", show_default=True, help="Prompt: a template's name or a TOML file.")
@click.option("--chat", type=click.Choice(get_args(Chat)), help="Chat template? [default: as the template says]")
@click.option(
    "--splitter", default="step-label", show_default=True, type=click.Choice(get_args(Splitter)), help="Where steps begin."
)
@click.option("--max-tokens", default=512, show_default=True, type=click.IntRange(min=1), help="Longest answer.")
@click.option("--temperature", default=0.8, show_default=True, type=click.FloatRange(min=0, min_open=True), help="Of samples.")
@click.option("--top-p", default=1.0, show_default=True, type=click.FloatRange(0, 1, min_open=True), help="Nucleus of samples.")
@click.option("--seed", default=0, show_default=True, help="Of samples.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="Only so many problems of each set: the first rows, of a dataset by id."
)
@click.option(
    "--threshold", default=0.5, show_default=True, type=click.FloatRange(0, 1), help="A step reward below it is a doubt."
)
@click.option("--out", metavar="DIR", help="Keep the predictions here, as a dataset with the table `predictions`.")
@workers_options
def evaluate(
    model: str | None,
    sets: str | None,
    decode: str,
    prm: str | None,
    samples: str | None,
    calibrate: str | None,
    curve: Curve,
    engine: str,
    preset: Preset | None,
    question: str | None,
    answer: str | None,
    template: str,
    chat: Chat | None,
    splitter: Splitter,
    max_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    limit: int | None,
    threshold: float,
    out: str | None,
    parts: Parts,
) -> None:
    """Accuracy of a model under one decoding rule or many.

    Each rule has its 95 % interval, its cost, and a paired test against the first; all rules over samples share one
    set of samples, at 1, 2, 4 … of them. Run the same command again with --out after an interruption, or with more
    samples or rules: what was sampled is not sampled again.
    """
    from cli import evaluate as evaluation
    from fullstep_data.config import PromptConfig, StepsConfig
    from fullstep_data.evaluation import EvalRecipe

    rules = evaluation.rules_of(decode)
    shown = evaluation.Shown(out=out, threshold=threshold, calibrate=calibrate, curve=curve, parts=parts)
    if samples:
        if model or sets:
            raise click.UsageError("--samples stands instead of --model and --sets: its problems and its model are known")
        evaluation.decide(samples, rules, prm, shown)
        return
    if not sets:
        raise click.UsageError("name the problems: --sets SET,… (or decide over stored samples: --samples DIR)")
    writer = evaluation.engine_of(engine)
    if model is None and writer.kind == "hf":
        raise click.UsageError("name the model: --model NAME")
    recipe = EvalRecipe(
        model=model or writer.kind,
        prm=prm,
        decode=rules,
        questions=evaluation.questions_of(sets, preset, {"question": question, "answer": answer}, limit),
        engine=writer,
        prompt=PromptConfig(template=template, chat=chat),
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        steps=StepsConfig(splitter=splitter),
    )
    evaluation.evaluate(recipe, shown)


def _two_names(ctx: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, str] | None:
    """`A,B` as a pair."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2 or not all(names):
        raise click.BadParameter(f"two names with a comma between are wanted, found {text!r}")
    return names[0], names[1]


@main.command(
    "compare",
    cls=Command,
    examples=(
        "fs-train compare out/tiny-run",
        "fs-train compare out/tiny-run out/tiny-run --models before,after --show 1",
    ),
)
@click.argument("run_a", metavar="RUN_A[@VERSION]")
@click.argument("run_b", metavar="[RUN_B[@VERSION]]", required=False)
@click.option("--models", callback=_two_names, metavar="A,B", help="Which model of each, where a run has several.")
@click.option("--rules", callback=_two_names, metavar="A,B", help="Which rule of each. [default: every rule that both have]")
@click.option("--show", "shown", default=3, show_default=True, type=click.IntRange(min=0), help="Regressions told as text.")
def compare(run_a: str, run_b: str | None, models: tuple[str, str] | None, rules: tuple[str, str] | None, shown: int) -> None:
    """Do two models or rules differ on the same problems?

    Runs are folders of `fs-train eval --out` and `fs-train run`. Without RUN_B the two models of RUN_A are compared
    (before and after a training), or two rules of it. Says how many answers were fixed and broken, the difference with
    its paired 95 % interval, McNemar's exact test, and shows the worst regressions.
    """
    from cli.compare import Sides
    from cli.compare import compare as compare_runs

    compare_runs(run_a, run_b, Sides(models, rules), shown)


@main.command(
    "push",
    cls=Command,
    examples=(
        "fs-train push out/tiny-run ann/policy --dry-run",
        "fs-train push out/tiny@1 ann/prm --model prm --tag v1 --license apache-2.0 --dry-run",
    ),
)
@click.argument("run", metavar="RUN[@VERSION]")
@click.argument("repo", metavar="OWNER/NAME")
@click.option("--model", help="`policy` or `prm`. [default: the only one there is]")
@click.option(
    "--data", metavar="OWNER/NAME@TAG", help="The published dataset that it was trained on: checked, named in the card."
)
@click.option("--tag", help="Name of the version on the Hub; a tag never moves. [default: v and the run's version number]")
@click.option("--private", is_flag=True, help="Make the repository private. Refused where it is public already.")
@click.option("--license", "license_id", metavar="ID", help="The licence, as the Hub names it: apache-2.0, mit, …")
@click.option("--dry-run", is_flag=True, help="Show files, sizes and card; send nothing.")
def push(
    run: str,
    repo: str,
    model: str | None,
    data: str | None,
    tag: str | None,
    private: bool,
    license_id: str | None,
    dry_run: bool,
) -> None:
    """Publish a policy or a PRM on the Hugging Face Hub.

    RUN is the folder of `fs-train run`, or a dataset whose build trained a PRM. The model card names the version of the
    data, the settings and what was measured. One commit, then the tag, as in `fs-data push`.
    """
    from cli.hub import push_model

    push_model(run, repo, model, data, tag, private, license_id, dry_run)


@main.command(
    "eval-prm",
    cls=Command,
    examples=(
        "fs-train eval-prm --prm out/tiny --data out/tiny",
        "fs-train eval-prm --prm out/tiny --data out/tiny@1 --everything --format json",
    ),
)
@click.option("--prm", required=True, metavar="DIR", help="A PRM's folder, or the dataset (DIR[@VERSION]) that trained it.")
@click.option(
    "--data",
    required=True,
    metavar="DIR[@VERSION]|SET|FILE",
    help="A dataset with step_labels; processbench, a part of it (processbench/gsm8k) or prmbench; a file in their form.",
)
@click.option(
    "--threshold",
    default="0.5",
    show_default=True,
    metavar="NUMBER|tuned",
    help="A reward below it is an error. tuned: the best on the other half of the problems.",
)
@click.option("--everything", is_flag=True, help="Of the dataset that trained it: also the problems it was trained on.")
@click.option("--labeller", metavar="NAME", help="Whose labels, where several have judged the steps.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first rows of a FILE or of each part of a SET.")
@click.option("--template", default="steps-few-shot", show_default=True, help="Prompt before the solutions of a FILE or SET.")
@click.option("--chat", type=click.Choice(get_args(Chat)), help="Chat template? [default: as the template says]")
@click.option(
    "--form", default="step-labels", show_default=True, type=click.Choice(get_args(Form)), help="How a FILE's steps are written."
)
@click.option("--format", "output", default="text", show_default=True, type=click.Choice(("text", "json")), help="Output.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw how far rewards are probabilities.")
def eval_prm(
    prm: str,
    data: str,
    threshold: str,
    everything: bool,
    labeller: str | None,
    limit: int | None,
    template: str,
    chat: Chat | None,
    form: Form,
    output: Literal["text", "json"],
    plot: Path | None,
) -> None:
    """How good are the rewards of a PRM, on steps with known labels?

    AUC, accuracy, Brier score, calibration error and PRMBench's score of steps, overall, by source and by position; a
    reliability table; and first errors: exact matches, by their position too, and ProcessBench's F1, with the policy by
    which the threshold was chosen. Of a dataset that trained the PRM only the problems count that its training held back.
    """
    from cli.evaluate_prm import Measured, evaluate_prm

    try:
        fixed = None if threshold == "tuned" else float(threshold)
    except ValueError:
        raise click.BadParameter(f"a number or `tuned` is wanted, found {threshold!r}", param_hint="--threshold") from None
    how = Measured(
        threshold=fixed,
        everything=everything,
        labeller=labeller,
        limit=limit,
        template=template,
        chat=chat,
        form=form,
        output=output,
        plot=plot,
    )
    evaluate_prm(prm, data, how)


main.add_command(experiment)

if __name__ == "__main__":
    sys.exit(main())
