"""`fs-data report`: a version, or two of them compared, as one HTML file."""

from collections.abc import Sequence
from pathlib import Path

import click

from fullstep_data.report.page import page, require_place, write
from fullstep_data.store import open_version
from schemas import InputError


def report(datasets: Sequence[str], out: str, problems: int) -> None:
    """Write the report of the last dataset; with two, of what changed since the first as well."""
    if len(datasets) > 2:
        raise InputError(
            "a report shows one version, or compares two", count=len(datasets), examples=datasets, next_step="name two"
        )
    place = Path(out)
    require_place(place)  # before the work, not after it
    *before, version = (open_version(name) for name in datasets)
    html = page(version, before[0] if before else None, problems)
    write(html, place)
    click.echo(f"{place}: {len(html.encode()) / 1e6:.1f} MB, everything in it; open it in any browser")
