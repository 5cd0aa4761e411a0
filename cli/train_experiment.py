"""The command of fs-train that compares methods: on the bench, or on a recipe.

    fs-train experiment arithmetic --quick --out out/quick

`cli.train` puts it into the group; as there, the function holds its options and one call.
"""

import shlex
import sys
from pathlib import Path

import click

from cli.command import Command


@click.command(
    "experiment",
    cls=Command,
    examples=(
        "fs-train experiment arithmetic --quick --out out/quick",
        "fs-train experiment tiny --sets builtin:sums.jsonl --methods dpo --set problems.source.limit=36 --out out/mine",
    ),
)
@click.argument("name", metavar="arithmetic|RECIPE")
@click.option("--out", required=True, metavar="DIR", help="Folder of the study: datasets, runs, answers, tables.")
@click.option("--seeds", default="1", show_default=True, metavar="N|A-B", help="How many, from 0, or which: a pipeline each.")
@click.option("--family", metavar="NAME,…", help="Families of problems of the bench. [default: facts,skill]")
@click.option("--methods", default="default", show_default=True, metavar="NAME,…", help="Methods, or groups such as gamma.")
@click.option(
    "--rates",
    metavar="RATE,…",
    help="Learning rates tried for every method. [default: 2e-5,6e-5,2e-4,6e-4,2e-3; of a recipe its own]",
)
@click.option(
    "--decode", default="greedy", show_default=True, metavar="RULE,…", help="Rules that base and recommended are tested under."
)
@click.option(
    "--test",
    "test_problems",
    default=600,
    show_default=True,
    type=click.IntRange(min=1),
    help="Test problems; of --sets and --prm-sets at most so many each.",
)
@click.option(
    "--sets",
    default="",
    metavar="SET,…",
    help="Of a recipe: test sets, files or datasets, as `fs-train eval` takes; each is told apart.",
)
@click.option(
    "--prm-sets",
    default="",
    metavar="DATA,…",
    help="Of a recipe: labelled steps that PRMs are measured on as well, as `fs-train eval-prm` takes (processbench, a dataset).",
)
@click.option(
    "--inject",
    default=0,
    show_default=True,
    metavar="PERCENT",
    type=click.IntRange(0, 100),
    help="Teach the bench's base models one systematic mistake more, made in so many percent of its occasions.",
)
@click.option(
    "--prms",
    default="",
    metavar="NAME,…",
    help="Of the bench: methods or groups (labels, prm) whose PRMs decide by --decode over the samples of base and recommended.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe for all methods.")
@click.option("--quick", is_flag=True, help="A minute's worth: one family, a small dataset, three methods, one learning rate.")
def experiment(
    name: str,
    out: str,
    seeds: str,
    family: str | None,
    methods: str,
    rates: str | None,
    decode: str,
    test_problems: int,
    sets: str,
    prm_sets: str,
    inject: int,
    prms: str,
    overrides: tuple[str, ...],
    quick: bool,
) -> None:
    """Compare methods: every method, every seed, the same search; on a bench whose truth is known, or on a recipe of yours.

    Of the bench each seed makes its own problems, base model, samples and PRM; learning rates are chosen on validation
    problems and the test problems are answered once. Parts that are finished are kept: run the same command again after
    an interruption, or with more seeds, families, methods or rules; the folder keeps rates, tests and --set of its first
    call. Tables are Parquet files in DIR; `python -m cli.results DIR` writes the page.

    --inject 90 asks whether PRM and policies flag a mistake that the base model makes nearly always, or learn it: PRM AUC
    and flagged share at its steps and at other false ones, and how often each policy's answers make it.

    --prms labels,prm decides over the same samples under PRMs of graded quality, which are built where they are missing:
    whether a rule is worth its PRM, and whether `hybrid`, calibrated on validation problems, falls below Self-Consistency.

    Of a recipe, a seed is one of samples and trainings. Its held-out problems choose the learning rate, --sets test it, and
    sets of another domain show what carries over. The sweep of gamma: --methods dpo,full-step,gamma; labels of N rollouts:
    --methods full-step,labels; other pairs: --methods full-step,selection.
    """
    from cli.experiment import experiment as run_experiment
    from cli.experiment import study_of

    command = shlex.join(["fs-train", *sys.argv[1:]])
    study = study_of(
        name,
        family,
        seeds,
        methods,
        rates,
        decode,
        test_problems,
        overrides,
        sets,
        prm_sets,
        inject=inject,
        prms=prms,
        quick=quick,
        command=command,
    )
    run_experiment(name, Path(out), study)
