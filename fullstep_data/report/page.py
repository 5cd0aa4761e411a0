"""A report: one HTML file that shows a version, with everything it needs inside. It asks no network for anything.

    html = page(open_version("data"))                                   # one version
    html = page(open_version("data@2"), before=open_version("data@1"))  # and what changed since another
    write(html, Path("report.html"))

Charts count every row. The problems to leaf through are a sample above a limit, and the page says so. Two walls keep texts of
the data from acting: Jinja and the page's script write them as text, and the page's own policy (CSP) runs two scripts, known by
their hashes, and lets no request out.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fullstep_data.query import connect
from fullstep_data.report.browse import Book, browse
from fullstep_data.report.compare import Changes, compare
from fullstep_data.report.queries import facts, score_of
from fullstep_data.report.words import figures, lead, notes, settings
from fullstep_data.stats import MEMORY
from fullstep_data.store import Store, Version
from fullstep_data.store.disk import possible, replace
from fullstep_data.store.history import history
from schemas import InputError

PROBLEMS = 1000
"""Most problems that a page holds to leaf through."""

TEMPLATES = Path(__file__).parent / "template"
ENDINGS = (".html", ".htm")


def page(version: Version, before: Version | None = None, problems: int = PROBLEMS) -> str:
    """The report as HTML. before: a version to compare with; problems: most of them that can be leafed through.

    InputError: Altair is not installed; a part of a version is missing or damaged.
    """
    try:
        from fullstep_data.report.charts import PALETTES, charts, style
    except ImportError as error:
        raise not_installed(error) from error
    with connect(version, memory=MEMORY) as connection:
        found = facts(connection, score_of(version))
        book = browse(connection, problems)
    changes = compare(before, version, [row["id"] for row in book.index]) if before else None
    frames = {**found, **({"rewards_changed": changes.rewards, "drift": changes.drift} if changes else {})}
    data = {
        "charts": charts(frames),
        "styles": {look: style(look) for look in PALETTES},
        "palettes": PALETTES,
        "problems": [_problem(row, changes) for row in book.index],
    }
    scripts = [vega(), (TEMPLATES / "page.js").read_text(encoding="utf-8")]
    template = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("page.html.j2")
    return template.render(
        policy=_policy(scripts),
        scripts=[Markup(script) for script in scripts],
        css=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        palettes=PALETTES,
        data=in_script(data),
        details=packed(book.details),
        **_overview(version, found),
        **_sampled(book),
        figures=figures(frames),
        numbers={name: _numbers(frame) for name, frame in frames.items()},
        changes=None if changes is None else _told(changes),
    )


def write(html: str, path: Path) -> None:
    """Write a report. InputError: see `require_place`; the disk is full or the folder cannot be written."""
    require_place(path)
    replace(path, html.encode("utf-8"))


def require_place(path: Path) -> None:
    """InputError where no report can be written: another kind of file by its name, a folder, or a folder that is not there."""
    if path.suffix.lower() not in ENDINGS:
        raise InputError("a report is an HTML file", where=str(path), next_step=f"name it {path.name or 'report'}.html")
    with possible(path):
        if path.is_dir():
            raise InputError("the report would take the place of a folder", where=str(path), next_step="name another file")
        if not path.parent.is_dir():
            step = f"make it: mkdir -p '{path.parent}'"
            raise InputError("the folder for the report is not there", where=str(path.parent), next_step=step)


@cache
def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, out of the package vl-convert-python. Takes some seconds."""
    try:
        from vl_convert import javascript_bundle
    except ImportError as error:
        raise not_installed(error) from error
    return (
        javascript_bundle("window.vegaEmbed = vegaEmbed;")
        .replace("\r", "")
        .replace("</script", "<\\/script")
        .replace("<!--", "<\\!--")
    )


def in_script(data: Any) -> Markup:
    """JSON that can stand in a <script> element: no `<`, `>` or `&`, whatever the texts in it are."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def packed(data: Any) -> str:
    """JSON, gzipped, in base64: texts of solutions repeat themselves, and shrink to a tenth."""
    raw = json.dumps(data, separators=(",", ":"), allow_nan=False).encode()
    return base64.b64encode(gzip.compress(raw, mtime=0)).decode()


def not_installed(error: ImportError) -> InputError:
    """What to tell where a package of the extra `report` is missing."""
    package = {"vl_convert": "vl-convert-python"}.get(error.name or "", error.name)
    return InputError(f"a report needs the package {package}", next_step='pip install "fullstep[report]"')


def _policy(scripts: list[str]) -> str:
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    inside = "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {hashes}; {inside}"


def _overview(version: Version, found: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    recipe: Any = version.manifest.recipe
    entry = next((one for one in history(Store.open(version.path)) if one.number == version.number), None)
    record = version.manifest.tables
    return {
        "name": version.path.resolve().name,
        "number": version.number,
        "tags": entry.tags if entry else (),
        "created": (entry.created or "").split("T")[0] if entry else "",
        "recipe": recipe if isinstance(recipe, Mapping) else {},
        "settings": settings(recipe),
        "recipe_text": json.dumps(recipe, indent=2, ensure_ascii=False),
        "lead": lead(found),
        "notes": notes({name: table.rows for name, table in version.tables.items()}, found),
        "tables": [
            {"name": name, "rows": table.rows, "dropped": sum(record[name].rejected.values())}
            for name, table in version.tables.items()
            if name != "rejects"
        ],
        "rejects": found["rejects"].to_dicts(),
        "predictions": found["predictions"].to_dicts(),
    }


def _sampled(book: Book) -> dict[str, Any]:
    splits = sorted({row["split"] for row in book.index})
    return {"shown": len(book.index), "total": book.total, "cut": book.cut, "splits": splits}


def _problem(row: Mapping[str, Any], changes: Changes | None) -> dict[str, Any]:
    return {**row, **({"fate": changes.fates.get(row["id"], "none")} if changes else {})}


def _numbers(frame: pl.DataFrame) -> dict[str, Any]:
    """A frame as the table of numbers under its chart."""
    rounded = frame.with_columns(pl.selectors.float().round(4))
    return {"columns": frame.columns, "rows": rounded.rows()}


def _told(changes: Changes) -> dict[str, Any]:
    plain = {name: value for name, value in asdict(changes).items() if not isinstance(value, pl.DataFrame)}
    return {**plain, "tables": changes.tables.to_dicts(), "examples": changes.examples.to_dicts()}
