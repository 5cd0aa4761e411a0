"""What `fs-train experiment` does: a list of recipes over the public pipeline, for each seed and family → tables and a figure.

    experiment("arithmetic", Path("out/study"), study_of("arithmetic", "facts,skill", "5", "default", …))
    experiment("my-recipe.toml", Path("out/mine"), …)       # any recipe, with test sets (cli/experiment_recipe.py)

Layout of the folder:

    study.json                     learning rates, test problems and recipe keys: one study has one search for all
    FAMILY/seed-S/                 a world (cli/experiment_world.py), with a folder per method
    calls/                         what was typed, when, on which machine, and what it cost
    *.parquet, results.png         the tables of all finished parts, written anew at the end

A part that is finished is not looked at again; one that was killed goes on where it stopped.
"""

import gc
import json
import os
import platform
import re
import time
from dataclasses import asdict, dataclass
from dataclasses import replace as replaced
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import polars as pl

from cli.experiment_grades import grade
from cli.experiment_methods import METHODS, RECIPE, Method, chosen
from cli.experiment_recipe import RecipeWorld
from cli.experiment_summary import compared, experiment_summary
from cli.experiment_tables import ANSWERS, FIGURES, GRADED, RESULTS, TRIALS
from cli.experiment_world import World, write_table
from cli.progress import progress
from cli.recipe import load
from cli.render import show
from cli.results import CALLS, write_figure
from cli.results_studies import SETTLED
from fullstep_data.arithmetic import NAMES
from fullstep_data.decoding import Sampled, parse
from fullstep_data.store.disk import replace
from schemas import InputError

BENCH = "arithmetic"
RATES = (2e-5, 6e-5, 2e-4, 6e-4, 2e-3)
PARTS = "*/seed-*/*/results.parquet"
QUICK = (
    "problems.source.size=80",
    "samples.samples=8",
    "prm.epochs=1",
    "policy.epochs=1",
)


@dataclass(frozen=True)
class Study:
    """How much is done. overrides: of the recipe, for all methods. decode: rules that the base model is tested under.
    command: as it was typed. sets: test problems where a recipe is given, at most test_problems of each. prm_sets: labelled steps
    on which PRMs are measured. inject: in how many percent of its occasions the base models have learnt to make one systematic
    mistake more; 0: none. prms: methods whose PRMs decide over the samples of base and recommended. Rates, tests, overrides and
    inject are those of the first call into a folder.
    """

    families: tuple[str, ...]
    seeds: range
    methods: tuple[Method, ...]
    rates: tuple[float, ...] = RATES
    decode: tuple[str, ...] = ("greedy",)
    test_problems: int = 600
    overrides: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    prm_sets: tuple[str, ...] = ()
    inject: int = 0
    prms: tuple[str, ...] = ()
    command: str = ""


def study_of(
    name: str,
    family: str | None,
    seeds: str,
    methods: str,
    rates: str | None,
    decode: str,
    test_problems: int,
    overrides: tuple[str, ...],
    sets: str,
    prm_sets: str,
    *,
    inject: int,
    prms: str,
    quick: bool,
    command: str,
) -> Study:
    """A study of the bench or of a recipe from what was typed. InputError: a family, method, rate or rule that is none, or an
    option of the one with the other.
    """
    families, tests = families_of(name, family), listed(sets)
    if name == BENCH:
        require_of_bench(sets, prm_sets)
    else:
        require_of_recipe(sets, inject, prms, quick=quick)
    tried = rates_of(rates, RATES if name == BENCH else (load(name, overrides).policy.learning_rate,))
    rules = ("greedy", *(rule.name for rule in parse(decode) if rule.name != "greedy"))
    study = Study(
        families=families,
        seeds=seeds_of(seeds),
        methods=methods_of(name, methods),
        rates=tried,
        decode=rules,
        test_problems=test_problems,
        overrides=overrides,
        sets=tests,
        prm_sets=listed(prm_sets),
        inject=inject,
        prms=prms_of(prms, rules),
        command=command,
    )
    if not quick:
        return study
    few = tuple(one for one in study.methods if one.name in ("sft", "dpo", "full-step"))
    return replaced(
        study,
        families=families[:1],
        methods=few,
        rates=tried[2:3] or tried[-1:],
        test_problems=100,
        overrides=(*QUICK, *overrides),
    )


def require_of_bench(sets: str, prm_sets: str) -> None:
    """InputError: an option that is for recipes."""
    if sets or prm_sets:
        raise InputError(
            "the bench makes its own test problems and knows the truth of every step",
            where="--sets" if sets else "--prm-sets",
            next_step="leave the option out, or name a recipe in place of `arithmetic`",
        )


def require_of_recipe(sets: str, inject: int, prms: str, *, quick: bool) -> None:
    """InputError: an option that is for the bench, or no test problems."""
    if quick or not listed(sets):
        raise InputError(
            "--quick is a size of the bench" if quick else "a study of a recipe needs test problems",
            where="--quick" if quick else "--sets",
            next_step="make it small with --test and --set, as --set problems.source.limit=50"
            if quick
            else "name sets, files or datasets, as --sets gsm8k,svamp",
        )
    if inject:
        raise InputError(
            "only the bench's base models can be taught a mistake, for only there is known which steps make it",
            where="--inject",
            next_step="leave the option out, or run `fs-train experiment arithmetic`",
        )
    if prms:
        raise InputError(
            "only the bench decides under several PRMs at once",
            where="--prms",
            next_step="decide over stored samples, once per PRM: fs-train eval --samples DIR --prm DIR --decode sc@8,bon@8",
        )


def prms_of(text: str, rules: tuple[str, ...]) -> tuple[str, ...]:
    """Methods whose PRMs decide, by name or group. InputError: one has none of its own, or no rule has samples to decide over."""
    methods = chosen(text)
    without = [one.name for one in methods if not one.has_prm and one.name in listed(text)]
    if without:
        raise InputError(
            "these methods have no PRM of their own",
            where=f"--prms {text}",
            count=len(without),
            examples=without[:5],
            next_step=f"take some of {', '.join(one.name for one in METHODS if one.has_prm)}",
        )
    if methods and not any(isinstance(rule, Sampled) for rule in parse(",".join(rules))):
        raise InputError(
            "PRMs decide over samples, and no rule asks for any",
            where="--decode",
            next_step="name rules, as --decode sc@8,bon@8,wsc@8,hybrid-min@8",
        )
    return tuple(one.name for one in methods if one.has_prm)


def listed(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated list, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def families_of(name: str, family: str | None) -> tuple[str, ...]:
    """Families of the bench; of a recipe its name alone. InputError: there is none of that name, or it is a recipe's."""
    if name != BENCH:
        if family is not None:
            raise InputError("a recipe has no families", where="--family", next_step="leave the option out")
        return (Path(name).stem,)
    families = listed(family if family is not None else ",".join(NAMES))
    unknown = [one for one in families if one not in NAMES]
    if unknown or not families:
        shown = unknown[0] if unknown else ""
        raise InputError(f"there is no family {shown!r}", where="--family", next_step=f"families: {', '.join(NAMES)}")
    return families


def rates_of(text: str | None, default: tuple[float, ...]) -> tuple[float, ...]:
    """Learning rates, from the smallest. InputError: one is no number."""
    if text is None:
        return default
    try:
        return tuple(sorted({float(rate) for rate in text.split(",")}))
    except ValueError:
        raise InputError("a learning rate is a number", where=f"--rates {text}", next_step="write it as 1e-4,3e-4") from None


def methods_of(name: str, text: str) -> tuple[Method, ...]:
    """Methods by name or group. A recipe can do without those of the bench in a group. InputError: such a one is named."""
    methods = tuple(chosen(text))
    if name == BENCH:
        return methods
    named = [one.name for one in methods if one.of_bench and one.name in listed(text)]
    if named or all(one.of_bench for one in methods):
        raise InputError(
            "these methods need problems of the bench, whose truth is known",
            where=f"--methods {text}",
            count=len(named) or len(methods),
            examples=named[:5] or [one.name for one in methods[:5]],
            next_step="leave them out, or run `fs-train experiment arithmetic`",
        )
    return tuple(one for one in methods if not one.of_bench)


def seeds_of(text: str) -> range:
    """`5`: seeds 0 to 4; `3-7`: seeds 3 to 7. InputError: neither."""
    read = re.fullmatch(r"(?:(\d+)-)?(\d+)", text.strip())
    seeds = range(0) if read is None else range(int(read[1] or 0), int(read[2]) + (1 if read[1] else 0))
    if not seeds:
        raise InputError("these are no seeds", where=f"--seeds {text}", next_step="write how many, as 5, or which, as 3-7")
    return seeds


def experiment(name: str, out: Path, study: Study) -> None:
    """Do what is missing, seed by seed so that a part of the study is a study, and write the tables of all that is finished."""
    begun = datetime.now(UTC)
    settle(out, name, study)
    gc.freeze()  # accelerate collects garbage before each training, and half a million objects of imports are never any
    try:
        with progress() as reporter:
            for seed in study.seeds:
                for family in study.families:
                    kind = World if name == BENCH else RecipeWorld
                    world = kind(name, out / family / f"seed-{seed}", family, seed, study, reporter)
                    for part in (None, *study.methods):
                        world.do(part)
                        if study.prms and (part is None or part.name == RECIPE):
                            grade(world, study.prms, part)
                        _record(out, begun, study.command)
    finally:
        gc.unfreeze()  # else nanobind, at the end of the process, takes what was frozen for leaked and says so
    tables = collect(out)
    write_figure(compared(tables["results"], tables["answers"]), out / "results.png")
    show(experiment_summary(tables, out))


def settle(out: Path, name: str, study: Study) -> None:
    """Keep how a study searches and tests, or see that this call does it alike. InputError: it does not, so that within one study
    no method is searched for longer than another, nor the test problems answered twice.
    """
    kept = asdict(study)
    tests = [key for key in ("sets", "prm_sets", "inject") if kept[key]]
    wanted = {"recipe": name} | {key: kept[key] for key in ("rates", "test_problems", "overrides", *tests)}
    wanted["tables"] = {table.name: table.version for table in (RESULTS, TRIALS, ANSWERS, FIGURES)}
    wanted = json.loads(json.dumps(wanted))
    file = out / SETTLED
    if not file.is_file():
        if any(out.glob(PARTS)):
            step = "use another --out: those results stay as they are"
            raise InputError("the folder holds results of an older fullstep", where=str(out), next_step=step)
        out.mkdir(parents=True, exist_ok=True)
        replace(file, json.dumps(wanted, indent=1).encode())
        return
    before = json.loads(file.read_bytes())
    keys = [key for key in {**before, **wanted} if before.get(key) != wanted.get(key)]
    others = [f"{key}: {before.get(key)}, now {wanted.get(key)}" for key in keys]
    if others:
        raise InputError(
            "a study has one search for all its methods, and this folder was begun with another",
            where=str(file),
            count=len(others),
            examples=others,
            next_step="leave these options as they were (seeds, families, methods and rules may be added), or use another --out",
        )


def _record(out: Path, begun: datetime, command: str) -> None:
    """What this call is and has cost so far, in a file of its own: calls may be killed, and several may work side by side."""
    call = {
        "command": command,
        "date": begun.date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("fullstep", "torch", "transformers")},
        "cpu_seconds": round(time.process_time()),
    }
    (out / CALLS).mkdir(exist_ok=True)
    replace(out / CALLS / f"{begun:%Y%m%d-%H%M%S}-{os.getpid()}.json", json.dumps(call, indent=1).encode())


def collect(out: Path) -> dict[str, pl.DataFrame]:
    """The tables of all finished parts, by name; written beside the parts."""
    done = [marker.parent for marker in sorted(out.glob(PARTS))]
    found: dict[str, pl.DataFrame] = {}
    for table in (RESULTS, TRIALS, ANSWERS, FIGURES, GRADED):
        files = [part / f"{table.name}.parquet" for part in done]
        frames = [pl.read_parquet(file) for file in files if file.is_file()]
        found[table.name] = table.check(pl.concat([table.empty(), *frames]), table.name)
        write_table(out, table, found[table.name])
    return found
