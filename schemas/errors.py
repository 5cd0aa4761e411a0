"""The one error a user sees: what is wrong, where, how often, examples, and what to do next.

Every layer raises `InputError` for a mistake that the user can mend (a file, a recipe, a model, a folder); `cli` prints it
without a traceback and exits with 2. Anything else that is raised is a fault of fullstep and keeps its traceback.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_EXAMPLES = 5


@dataclass
class InputError(Exception):
    """A user's mistake, told in one piece.

    what: one sentence, naming the rule that was broken. where: file, line, column, table or row id. count: how many rows or
    places are wrong (None where counting makes no sense). examples: some of them, at most five are shown.
    next_step: what to do now.
    """

    what: str
    where: str = ""
    count: int | None = None
    examples: Sequence[object] = field(default_factory=tuple)
    next_step: str = ""

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.count is not None:
            lines.append(f"  count: {self.count}")
        lines.extend(f"  example: {example}" for example in self.examples[:MAX_EXAMPLES])
        if self.next_step:
            lines.append(f"  next: {self.next_step}")
        return "\n".join(lines)


class ContractError(InputError):
    """Rows that break a table's contract (see `schemas.table.Table.violations`)."""
