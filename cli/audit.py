"""What `fs-data audit` prints: problems that stand in evaluation sets, problems that stand twice, sources and licence.

show_audit("out/tiny", ("gsm8k",), as_json=False)
"""

import json
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.text import Text

from cli.render import cell, console, counted, plain_table, section
from fullstep_data.audit import Match, audit
from fullstep_data.config import OVERLAPS
from fullstep_data.overlap import read_set
from fullstep_data.store import open_version

SHOWN = 3
QUESTION_CHARACTERS = 100


def show_audit(dataset: str, against: Sequence[str], as_json: bool) -> int:
    """Print what was found, and give the exit code: 1 where training problems stand in an evaluation set or the test split."""
    version = open_version(dataset)
    found = audit(version, [read_set(text) for text in against])
    leaked = int(bool(found.leaks or found.between_splits))
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False, indent=1))
        return leaked
    out = console()
    out.print(
        Text(f"{version.place}, version {version.number}: {counted(found.problems, 'problem')}", style="bold"), soft_wrap=True
    )
    for name, size in found.sets.items():
        matches = [match for match in found.leaks if match.place == name]
        out.print(section(f"Training problems in {name} ({counted(size, 'question')})", *_told(matches)))
    if not against:
        out.print(Text("\nno evaluation set was looked into: name some, as --against gsm8k", style="dim"))
    if found.leaks:
        out.print(Text("a build leaves them out where the recipe names the sets in problems.audit.against", style="dim"))
    out.print(section("Test problems in the training split", *_told(found.between_splits)))
    out.print(section("Training problems that repeat another", *_told(found.repeated)))
    view = plain_table("source", "train", "test", right=("train", "test"))
    for name, splits in found.sources.items():
        view.add_row(name, f"{splits['train']:,}", f"{splits['test']:,}")
    known = f"licence, as the authors state it: {found.licence}"
    out.print(section("Sources", view, Text(known if found.licence else "licence: not known; look it up before you publish")))
    return leaked


def _told(matches: Sequence[Match]) -> list[Text]:
    """How many of each kind, and the first few."""
    if not matches:
        return [Text("none")]
    lines: list[Text] = []
    for kind in OVERLAPS:
        of_kind = [match for match in matches if match.kind == kind]
        if of_kind:
            lines.append(Text(f"{kind}: {len(of_kind):,}", style="yellow bold"))
        for match in of_kind[:SHOWN]:
            lines.append(Text(f"  {match.problem_id}  {_one_line(match.question)}"))
            if match.question != match.other:
                lines.append(Text(f"  {match.similarity:>20.0%}  {_one_line(match.other)}", style="dim"))
    return lines


def _one_line(text: str) -> str:
    return cell(" ".join(text.split()), QUESTION_CHARACTERS)
