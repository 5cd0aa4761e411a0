"""A picture of a version for its dataset card: the rewards of its steps by label, as a PNG.

picture = rewards_image(open_version("data"))      # None where nothing was scored
"""

from fullstep_data.query import connect
from fullstep_data.report.page import not_installed
from fullstep_data.report.queries import facts, score_of
from fullstep_data.store import Version

WIDTH = 640
"""Pixels of the drawing, axes included; the picture has twice as many each way, for fine screens."""


def rewards_image(version: Version) -> bytes | None:
    """The chart `rewards` of a report in its light look, on paper of its own: cards are read on dark pages too.

    InputError: the extra `report` is not installed; a part of the version is missing or damaged.
    """
    try:
        from vl_convert import vegalite_to_png

        from fullstep_data.report.charts import PALETTES, charts, painted, style
    except ImportError as error:
        raise not_installed(error) from error

    with connect(version) as connection:
        found = facts(connection, score_of(version))
    specification = charts({"rewards": found["rewards"]})["rewards"]
    if specification is None:
        return None
    look = {**style("light"), "background": PALETTES["light"]["paper"], "padding": 20}
    return vegalite_to_png({**painted(specification, "light"), "width": WIDTH, "config": look}, scale=2)
