"""What `fs-train experiment` does: a list of recipes over the public pipeline, for each seed and family → tables and a figure.

    experiment("arithmetic", Path("out/study"), study_of("facts,skill", "5", "default", …))

Layout of the folder:

    study.json                     learning rates, test problems and recipe keys: one study has one search for all
    FAMILY/seed-S/                 a world (cli/experiment_world.py), with a folder per method
    calls/                         what was typed, when, on which machine, and what it cost
    *.parquet, results.png         the tables of all finished parts, written anew at the end

A part that is finished is not looked at again; one that was killed goes on where it stopped.
"""

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
from typing import cast

import polars as pl

from cli.experiment_methods import Method, chosen
from cli.experiment_summary import compared, experiment_summary
from cli.experiment_tables import ANSWERS, FIGURES, RESULTS, TRIALS
from cli.experiment_world import World, write_table
from cli.progress import progress
from cli.render import show
from cli.results import CALLS, write_figure
from fullstep_data.arithmetic import NAMES, FamilyName
from fullstep_data.decoding import parse
from fullstep_data.store.disk import replace
from schemas import InputError

RATES = (2e-5, 6e-5, 2e-4, 6e-4, 2e-3)
SETTLED = "study.json"
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
    command: as it was typed. Rates, test problems and overrides are those of the first call into a folder.
    """

    families: tuple[FamilyName, ...]
    seeds: range
    methods: tuple[Method, ...]
    rates: tuple[float, ...] = RATES
    decode: tuple[str, ...] = ("greedy",)
    test_problems: int = 600
    overrides: tuple[str, ...] = ()
    command: str = ""


def study_of(
    family: str,
    seeds: str,
    methods: str,
    rates: str,
    decode: str,
    test_problems: int,
    overrides: tuple[str, ...],
    *,
    quick: bool,
    command: str,
) -> Study:
    """A study from what was typed. InputError: a family, method, rate or rule that is none."""
    families = tuple(dict.fromkeys(part.strip() for part in family.split(",")))
    unknown = [one for one in families if one not in NAMES]
    if unknown:
        raise InputError(f"there is no family {unknown[0]!r}", where="--family", next_step=f"families: {', '.join(NAMES)}")
    try:
        tried = tuple(sorted({float(rate) for rate in rates.split(",")}))
    except ValueError:
        raise InputError("a learning rate is a number", where=f"--rates {rates}", next_step="write it as 1e-4,3e-4") from None
    rules = ("greedy", *(rule.name for rule in parse(decode) if rule.name != "greedy"))
    study = Study(
        families=cast("tuple[FamilyName, ...]", families),
        seeds=seeds_of(seeds),
        methods=tuple(chosen(methods)),
        rates=tried,
        decode=rules,
        test_problems=test_problems,
        overrides=overrides,
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
    with progress() as reporter:
        for seed in study.seeds:
            for family in study.families:
                world = World(name, out / family / f"seed-{seed}", family, seed, study, reporter)
                for part in (None, *study.methods):
                    world.do(part)
                    _record(out, begun, study.command)
    tables = collect(out)
    write_figure(compared(tables["results"], tables["answers"]), out / "results.png")
    show(experiment_summary(tables, out))


def settle(out: Path, name: str, study: Study) -> None:
    """Keep how a study searches and tests, or see that this call does it alike. InputError: it does not, so that within one study
    no method is searched for longer than another, nor the test problems answered twice.
    """
    kept = asdict(study)
    wanted = {"recipe": name} | {key: kept[key] for key in ("rates", "test_problems", "overrides")}
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
    others = [f"{key}: {before.get(key)}, now {value}" for key, value in wanted.items() if before.get(key) != value]
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
    for table in (RESULTS, TRIALS, ANSWERS, FIGURES):
        files = [part / f"{table.name}.parquet" for part in done]
        frames = [pl.read_parquet(file) for file in files if file.is_file()]
        found[table.name] = table.check(pl.concat([table.empty(), *frames]), table.name)
        write_table(out, table, found[table.name])
    return found
