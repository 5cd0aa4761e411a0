"""OpenRLHF process-reward data (until it dropped PRM training, March 2026): only written.

    {"input": "2 + 2? Step 1: 2 + 2 = 4. ки\\nThe answer is 4 ки", "label": ["+", "-"]}

`input` has a placeholder after each step, which must be one token of the tokenizer; `label` holds a sign or, with `soft`, a
number for each.
"""

from collections.abc import Iterator

from pydantic import Field

from fullstep_data.config import Config
from fullstep_data.formats.group import Format, Group, Left, Record, Writer, bare, hard, missing_labels


class WriteOptions(Config):
    """Options of the export."""

    placeholder: str = Field(default="ки", min_length=1, description="what ends each step, one token of the tokenizer")
    soft: bool = Field(default=False, description="numbers for labels in place of + and -")
    separator: str = Field(default="\n", description="what stands between two steps")


def write(group: Group, options: WriteOptions) -> Iterator[Record | Left]:
    """One record per solution whose steps are all labelled."""
    for solution in group.solutions:
        if missing_labels(solution):
            yield Left("not every step is labelled")
        elif options.placeholder in group.question + solution.text:
            yield Left("the text holds the placeholder")
        else:
            steps, whole = bare(solution.steps, options.separator)
            if not whole or any(step != step.strip() for step in steps):
                yield Left("blanks around steps were not kept", kept=True)
            if not options.soft and any(value not in (0, 1) for value in solution.labels):
                yield Left("soft labels were made hard (value > 0); --set soft=true keeps them", kept=True)
            text = options.separator.join(f"{step.strip()} {options.placeholder}" for step in steps)
            signs = ["+" if hard(value) else "-" for value in solution.labels]
            yield {"input": f"{group.question} {text}", "label": list(solution.labels) if options.soft else signs}


OPENRLHF = Format(
    name="openrlhf",
    about="OpenRLHF: input with a placeholder after each step, label as a list",
    looks_like=lambda record: isinstance(record.get("input"), str) and isinstance(record.get("label"), list),
    writer=Writer(write, WriteOptions, needs=("step_labels",), lost=("gold answers, prompts, scores and pairs have no place",)),
)
