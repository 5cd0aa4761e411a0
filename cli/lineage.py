"""What `fs-data lineage` prints: the way back from a pair, as a tree, as a Mermaid graph or as JSON.

show_lineage("out/tiny", "3fab", form="mermaid")
"""

import json
from dataclasses import asdict

import click
from rich.text import Text
from rich.tree import Tree

from cli.render import cell, console
from fullstep_data.lineage import Lineage, lineage
from fullstep_data.store import open_version

FACT_CHARACTERS = 240
MERMAID_CHARACTERS = 60


def show_lineage(dataset: str, pair_id: str | None, form: str) -> None:
    """Print where a pair comes from; form is text, mermaid or json."""
    graph = lineage(open_version(dataset), pair_id)
    match form:
        case "mermaid":
            click.echo(mermaid(graph), nl=False)
        case "json":
            click.echo(json.dumps(asdict(graph), ensure_ascii=False, indent=1))
        case _:
            console().print(tree(graph))


def tree(graph: Lineage) -> Tree:
    """Each node under what was made of it; a node that was shown before is only named."""
    shown: set[str] = set()

    def grow(name: str, label: str, parent: Tree | None) -> Tree:
        node = graph.nodes[name]
        head = Text.assemble(
            (f"{label}: " if label else "", "dim"), (node.title, "bold"), (" (see above)" if name in shown else "", "dim")
        )
        branch = Tree(head) if parent is None else parent.add(head)
        if name in shown:
            return branch
        shown.add(name)
        for word, value in node.facts.items():
            branch.add(Text.assemble((f"{word} ", "dim"), cell(value.replace("\n", " "), FACT_CHARACTERS)))
        for edge in graph.edges:
            if edge.source == name:
                grow(edge.target, edge.label, branch)
        return branch

    return grow("pair", "", None)


def mermaid(graph: Lineage) -> str:
    """The graph in Mermaid's language, for a README, an issue or a notebook; arrows run from what was made to its origin."""
    ids = {name: f"n{number}" for number, name in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for name, node in graph.nodes.items():
        facts = [f"{word}: {cell(value, MERMAID_CHARACTERS)}" for word, value in node.facts.items()]
        text = "<br/>".join(_escaped(line) for line in (node.title, *facts))
        lines.append(f'  {ids[name]}["{text}"]')
    for edge in graph.edges:
        lines.append(f'  {ids[edge.source]} -->|"{_escaped(edge.label)}"| {ids[edge.target]}')
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Text that Mermaid takes as it is: its own marks and HTML's as entities, line breaks as blanks. Behind a backslash stands a
    character without width, for a backslash and an n would break the line.
    """
    marks = {"#": "#35;", "&": "#amp;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "`": "#96;", "\\": "#92;#8288;"}
    return "".join(marks.get(character, character) for character in " ".join(text.split()))
