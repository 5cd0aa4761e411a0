"""The live table of a training: one row of figures per optimiser step, as it is logged.

    table = LiveTable(print, time.monotonic, every=1.0)
    table.add(row)              # "  step      loss    margin …", "     1    0.6931    0.0000 …"
    table.end()

Which columns there are depends on the rows so far: a PRM's have a loss and no margins, and now and then a validation AUC.
"""

from collections.abc import Callable, Mapping, Sequence

COLUMNS = {
    "step": "step",
    "loss": "loss",
    "rewards/margins": "margin",
    "rewards/accuracies": "won",
    "logps/chosen": "chosen",
    "logps/rejected": "rejected",
    "log_ratio/token": "ratio/token",
    "validation/auc": "val. AUC",
    "grad_norm": "grad norm",
    "learning_rate": "rate",
}
"""Names in the trainer's log, which are TRL's where it has the figure, and here. chosen, rejected: log pi in nats; ratio/token:
log pi - log pi_ref per token; margin and won: as in the summary at the end.
"""
MEASURED = "validation/auc"
"""A figure that few rows have; they are all shown."""
WIDTH = 12


class LiveTable:
    """Rows of a training's figures as they come: the first, then at most one every few seconds, those with a measurement, and the
    last.
    """

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float], every: float) -> None:
        self._write = write
        self._clock = clock
        self._every = every
        self._columns: list[str] = []
        self._written = 0.0
        self._held: Mapping[str, float] | None = None

    def add(self, row: Mapping[str, float]) -> None:
        now = self._clock()
        columns = [name for name in COLUMNS if name in row or name in self._columns]
        if columns != self._columns:
            self._columns = columns
            self._write(header(columns))
        elif now - self._written < self._every and MEASURED not in row:
            self._held = row
            return
        self._written, self._held = now, None
        self._write(line(columns, row))

    def end(self) -> None:
        if self._held is not None:
            self._write(line(self._columns, self._held))
        self._held, self._columns = None, []


def header(columns: Sequence[str]) -> str:
    """The names over the figures."""
    return "".join(f"{COLUMNS[name]:>{_width(name)}}" for name in columns)


def line(columns: Sequence[str], row: Mapping[str, float]) -> str:
    """The figures of one optimiser step; a column that it has none for is left open."""
    return "".join(f"{figure(name, row[name]) if name in row else '':>{_width(name)}}" for name in columns)


def _width(name: str) -> int:
    return 6 if name == "step" else WIDTH


def figure(name: str, value: float) -> str:
    """A figure of the log as it is read; what rounds to nothing has no sign."""
    match name:
        case "step":
            return f"{value:,.0f}"
        case "rewards/accuracies":
            return f"{value:.0%}"
        case "logps/chosen" | "logps/rejected":
            return f"{value:.1f}"
        case "learning_rate":
            return f"{value:.2g}"
        case _:
            return f"{value:z.4f}"
