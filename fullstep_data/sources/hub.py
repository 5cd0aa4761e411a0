"""Reading a data set on the Hugging Face Hub (or a folder in the same form) through `datasets`.

    read_hub(HubSource(name="openai/gsm8k", config="main", preset="gsm8k"))  ->  ("openai/gsm8k/main", [Row(1, {…}), …])

Set `revision` to a commit to get the same rows for ever.
"""

from pathlib import Path

from fullstep_data.config import HubSource
from fullstep_data.sources.files import Row
from schemas import InputError


def read_hub(source: HubSource) -> tuple[str, list[Row]]:
    """The source's name for tables and its first `limit` rows (streamed then, so that no more is downloaded)."""
    from datasets import load_dataset  # a second of imports that only this source needs

    where = "/".join(filter(None, (source.name, source.config, source.hub_split)))
    try:
        if source.limit is None:
            loaded = load_dataset(source.name, source.config, split=source.hub_split, revision=source.revision)
        else:
            stream = load_dataset(source.name, source.config, split=source.hub_split, revision=source.revision, streaming=True)
            loaded = stream.take(source.limit)
        rows = [Row(number, dict(values)) for number, values in enumerate(loaded, start=1)]
    except Exception as error:  # the Hub's client raises many kinds: no network, no such name, config, split or revision
        what = f"the data set cannot be loaded: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"
        next_step = (
            "check name, config, hub_split and revision, and the network; `hf auth login` for private data sets; where there is "
            'no network, name a file of the same rows (kind = "file"; NAME=FILE for an evaluation set)'
        )
        raise InputError(what, where=where, next_step=next_step) from error
    if not rows:
        raise InputError("the data set holds no rows", where=where, next_step="choose another hub_split")
    name = Path(source.name).name if Path(source.name).exists() else source.name
    return "/".join(filter(None, (name, source.config))), rows
