"""Everybody's formats: files into tables (`fs-data import`) and tables into files (`fs-data export`).

    import_files(FORMATS["math-shepherd"], ["train.jsonl"], folder, {})   importing.py, by to_tables.py: groups to rows
    export(FORMATS["trl-stepwise"], version, path, {})                    exporting.py, by from_tables.py: rows to groups

A format is one module: records to groups (`group.py`) and back, pure. `FORMATS` lists them; a new one is a module and a line.
"""

from fullstep_data.formats.group import Format
from fullstep_data.formats.math_shepherd import MATH_SHEPHERD
from fullstep_data.formats.trl_stepwise import TRL_STEPWISE

FORMATS: dict[str, Format] = {form.name: form for form in (TRL_STEPWISE, MATH_SHEPHERD)}

__all__ = ["FORMATS", "Format"]
