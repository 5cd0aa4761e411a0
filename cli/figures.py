"""The live table of a training: one row of figures per optimiser step, as it is logged.

    table = LiveTable(print, time.monotonic, every=1.0)
    table.add(row)              # "  step      loss    margin …", "     1    0.6931    0.0000 …"
    table.end()

Which columns there are depends on the row: a PRM's has a loss and no margins.
"""

from collections.abc import Callable, Mapping

COLUMNS = {
    "step": "step",
    "loss": "loss",
    "rewards/margins": "margin",
    "rewards/accuracies": "won",
    "logps/chosen": "chosen",
    "logps/rejected": "rejected",
    "log_ratio/token": "ratio/token",
    "grad_norm": "grad norm",
    "learning_rate": "rate",
}
"""Names in the trainer's log, which are TRL's where it has the figure, and here. chosen, rejected: log pi in nats; ratio/token:
log pi - log pi_ref per token; margin and won: as in the summary at the end.
"""
WIDTH = 12


class LiveTable:
    """Rows of a training's figures as they come: the first, then at most one every few seconds, and the last."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float], every: float) -> None:
        self._write = write
        self._clock = clock
        self._every = every
        self._columns: str | None = None
        self._written = 0.0
        self._held: Mapping[str, float] | None = None

    def add(self, row: Mapping[str, float]) -> None:
        now, columns = self._clock(), header(row)
        if columns != self._columns:
            self._columns = columns
            self._write(columns)
        elif now - self._written < self._every:
            self._held = row
            return
        self._written, self._held = now, None
        self._write(line(row))

    def end(self) -> None:
        if self._held is not None:
            self._write(line(self._held))
        self._held = self._columns = None


def header(row: Mapping[str, float]) -> str:
    """The names over the figures of rows like this one."""
    return "".join(f"{title:>{_width(name)}}" for name, title in COLUMNS.items() if name in row)


def line(row: Mapping[str, float]) -> str:
    """The figures of one optimiser step."""
    return "".join(f"{_text(name, row[name]):>{_width(name)}}" for name in COLUMNS if name in row)


def _width(name: str) -> int:
    return 6 if name == "step" else WIDTH


def _text(name: str, value: float) -> str:
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
            return f"{value:.4f}"
