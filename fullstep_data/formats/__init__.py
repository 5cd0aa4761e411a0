"""Everybody's formats: files into tables (`fs-data import`) and tables into files (`fs-data export`).

    import_files(FORMATS["math-shepherd"], ["train.jsonl"], folder, {})   importing.py, by to_tables.py: groups to rows
    export(FORMATS["trl-stepwise"], version, path, {})                    exporting.py, by from_tables.py: rows to groups

A format is one module: records to groups (`group.py`) and back, pure. `FORMATS` lists them; a new one is a module and a line.
"""

from fullstep_data.formats.distilabel import DISTILABEL
from fullstep_data.formats.full_step_dpo import FULL_STEP_DPO
from fullstep_data.formats.group import Format
from fullstep_data.formats.math_shepherd import MATH_SHEPHERD
from fullstep_data.formats.math_step_dpo import MATH_STEP_DPO
from fullstep_data.formats.openr import OPENR
from fullstep_data.formats.openrlhf import OPENRLHF
from fullstep_data.formats.prm800k import PRM800K
from fullstep_data.formats.prmbench import PRMBENCH
from fullstep_data.formats.processbench import PROCESSBENCH
from fullstep_data.formats.rlhflow import RLHFLOW
from fullstep_data.formats.trl_preference import TRL_PREFERENCE
from fullstep_data.formats.trl_stepwise import TRL_STEPWISE

FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        TRL_PREFERENCE,
        TRL_STEPWISE,
        MATH_SHEPHERD,
        PRM800K,
        MATH_STEP_DPO,
        FULL_STEP_DPO,
        RLHFLOW,
        PROCESSBENCH,
        PRMBENCH,
        OPENR,
        DISTILABEL,
        OPENRLHF,
    )
}

__all__ = ["FORMATS", "Format"]
