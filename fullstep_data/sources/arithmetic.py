"""Problems of the bench: endless, fixed by a seed, with the truth of every step known (`fullstep_data.arithmetic`).

    read_arithmetic(ArithmeticSource(family="facts", size=400, seed=0))

Problem i depends on family, seed and i alone: a larger size adds problems, another `first` gives others.
"""

from fullstep_data.arithmetic import SOURCE, item
from fullstep_data.config import ArithmeticSource
from fullstep_data.sources.columns import Candidate


def read_arithmetic(source: ArithmeticSource) -> list[Candidate]:
    """Problems `first` to `first + size - 1`."""
    numbers = range(source.first, source.first + source.size)
    items = [(number, item(source.family, source.seed, number)) for number in numbers]
    return [
        Candidate(
            key=str(number),
            question=made.question,
            answer=made.answer,
            reference_solution=None,
            source=f"{SOURCE}{source.family}",
            source_row=str(number),
        )
        for number, made in items
    ]
