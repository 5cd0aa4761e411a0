"""Problems of the bench: endless, fixed by a seed, with the truth of every step known (`fullstep_data.arithmetic`).

    read_arithmetic(ArithmeticSource(family="facts", size=400, seed=0))

Problem i depends on family, seed and i alone: a larger size adds problems, another `first` gives others.
"""

from itertools import count, islice

from fullstep_data.arithmetic import SOURCE, item, operations
from fullstep_data.config import ArithmeticSource
from fullstep_data.sources.columns import Candidate


def read_arithmetic(source: ArithmeticSource) -> list[Candidate]:
    """`size` problems from number `first` on: those of `operations` operations, or all."""
    numbered = ((number, item(source.family, source.seed, number)) for number in count(source.first))
    wanted = (one for one in numbered if source.operations in (None, operations(one[1].question)))
    items = islice(wanted, source.size)
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
