"""Where problems come from: `read(source)` gives the records of any source in one shape, nothing dropped and nothing judged yet.

    read(FileSource(path="builtin:sums.jsonl"))  ->  [Candidate(key="1", question="What is …?", answer="6", …), …]

files.py reads JSONL, CSV and Parquet; hub.py the Hugging Face Hub; reasoning_gym.py and arithmetic.py make problems; presets.py
knows the columns of well-known data sets; given.py reads solutions that were sampled elsewhere. The stage `problems` decides what
is kept.
"""

from fullstep_data.config import ArithmeticSource, FileSource, HubSource, Source
from fullstep_data.sources.arithmetic import read_arithmetic
from fullstep_data.sources.columns import Candidate, candidates
from fullstep_data.sources.files import read_file, shown_name
from fullstep_data.sources.hub import read_hub
from fullstep_data.sources.reasoning_gym import read_reasoning_gym

__all__ = ["Candidate", "read"]


def read(source: Source) -> list[Candidate]:
    """Every record of `source`, in its order. InputError where the source cannot be read as it is described."""
    if isinstance(source, FileSource):
        rows = read_file(source.path, source.limit)
        name = shown_name(source.path)
        unique_ids = not source.repeated_questions
        return candidates(rows, source.columns, source.preset, name=name, where=source.path, unique_ids=unique_ids)
    if isinstance(source, HubSource):
        name, rows = read_hub(source)
        return candidates(rows, source.columns, source.preset, name=name, where=f"{source.name} on the Hub")
    return read_arithmetic(source) if isinstance(source, ArithmeticSource) else read_reasoning_gym(source)
