"""What one sees while stages run: bars with ETA on a terminal, a plain line every few seconds elsewhere.

    with progress() as reporter:
        run(PIPELINE, recipe, store, tools, reporter)

`reporter` keeps `fullstep_data.runner.Reporter`; `reporter.figures` takes the figures of a training. A part in hand
counts by the fraction that its stage ticks. The ETA is
the time spent on a stage in this run, times the share that is left, over the share done in this run: parts found finished
are no speed.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from cli.figures import LiveTable

PLAIN_SECONDS = 5.0
"""Least time between two lines of a stage where there is no terminal."""
TABLE_SECONDS = 1.0
"""Least time between two rows of a training's figures on a terminal."""

Clock = Callable[[], float]


@dataclass
class Pace:
    """How far one stage is, in parts. done: finished parts, `found` of them before it began; fraction: of the part in hand, the
    sum where workers have several.

    note: what the engine says of itself, as its speed. rejected: records, so far. opening: seconds until its tools were open,
    which are no part of its speed.
    """

    name: str
    total: int
    found: int
    started: float
    done: int = field(init=False)
    moved_at: float = field(init=False)
    fraction: float = 0.0
    note: str = ""
    rejected: int = 0
    opening: float = 0.0

    def __post_init__(self) -> None:
        self.done = self.found
        self.moved_at = self.started

    def move(self, now: float, done: int, fraction: float) -> None:
        self.moved_at, self.done, self.fraction = now, done, fraction

    @property
    def told(self) -> str:
        """As in "412 tokens/s, cache 87 %, 3 rejected"; empty where there is nothing to tell."""
        return ", ".join(filter(None, (self.note, f"{self.rejected:,} rejected" if self.rejected else "")))

    @property
    def position(self) -> float:
        return min(self.done + self.fraction, float(self.total))

    def eta(self, now: float) -> float | None:
        """Seconds until the stage ends, judged at its last move and counted down since; None before anything was done."""
        worked = self.position - self.found
        if worked <= 0:
            return None
        judged = (self.moved_at - self.started - self.opening) * (self.total - self.position) / worked
        return max(0.0, judged - (now - self.moved_at))


class View(Protocol):
    """Where the reporter writes: a bar or plain lines."""

    def begin(self, pace: Pace) -> None: ...

    def moved(self, pace: Pace) -> None: ...

    def figures(self, row: Mapping[str, float]) -> None: ...

    def line(self, text: str) -> None: ...


class ProgressReporter:
    """Keeps the pace of the stage in hand and tells a view about it."""

    def __init__(self, view: View, clock: Clock = time.monotonic) -> None:
        self._view = view
        self._clock = clock
        self._pace: Pace | None = None

    def stage_started(self, name: str, parts_total: int, parts_done: int) -> None:
        self._pace = Pace(name, parts_total, parts_done, self._clock())
        self._view.begin(self._pace)

    def tools_opened(self, name: str, seconds: float) -> None:
        if self._pace is not None:
            self._pace.opening, self._pace.note = self._pace.opening + seconds, ""

    def part_progress(self, name: str, fraction: float, note: str = "") -> None:
        if self._pace is not None:
            self._pace.note = note or self._pace.note
            self._pace.move(self._clock(), self._pace.done, fraction)
            self._view.moved(self._pace)

    def part_done(self, name: str) -> None:
        if self._pace is not None:
            self._pace.move(self._clock(), self._pace.done + 1, max(0.0, self._pace.fraction - 1))  # what else is in hand
            self._view.moved(self._pace)

    def rejected_so_far(self, name: str, records: int) -> None:
        if self._pace is not None:
            self._pace.rejected = records
            self._view.moved(self._pace)

    def figures(self, row: Mapping[str, float]) -> None:
        """One optimiser step of the training in hand."""
        self._view.figures(row)

    def stage_done(self, name: str, rows: int | None, rejected: Mapping[str, int], seconds: float, reused: int) -> None:
        self._view.line(finished_line(name, rows, rejected, seconds, reused))
        self._pace = None


class Eta(ProgressColumn):
    """The column that counts a stage's ETA down between its ticks."""

    def render(self, task: Task) -> Text:
        left = task.fields["pace"].eta(time.monotonic())
        return Text(f"eta {'--' if left is None else duration(left)}")


class Bars:
    """One live bar for the stage in hand; finished stages become lines above it."""

    def __init__(self, bars: Progress, clock: Clock = time.monotonic) -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._table = LiveTable(self._print, clock, TABLE_SECONDS)

    def begin(self, pace: Pace) -> None:
        self._clear()
        parts = f"{pace.done}/{pace.total}"
        self._task = self._bars.add_task(pace.name, total=pace.total, completed=pace.done, parts=parts, pace=pace, note="")

    def moved(self, pace: Pace) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=pace.position, parts=f"{pace.done}/{pace.total}", note=pace.told)

    def figures(self, row: Mapping[str, float]) -> None:
        self._table.add(row)

    def line(self, text: str) -> None:
        self._table.end()
        self._clear()
        self._print(text)

    def _print(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _clear(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None


class Lines:
    """Plain lines, no control characters: at most one every few seconds while a stage runs, one when it is done."""

    def __init__(self, write: Callable[[str], object], clock: Clock = time.monotonic, every: float = PLAIN_SECONDS) -> None:
        self._write = write
        self._clock = clock
        self._every = every
        self._last = clock()
        self._table = LiveTable(lambda text: write(f"{text}\n"), clock, every)

    def begin(self, pace: Pace) -> None:
        self._last = self._clock()

    def moved(self, pace: Pace) -> None:
        now = self._clock()
        if now - self._last < self._every:
            return
        self._last = now
        share = pace.position / pace.total if pace.total else 1.0
        eta = pace.eta(now)
        left = "" if eta is None else f", eta {duration(eta)}"
        note = f", {pace.told}" if pace.told else ""
        self._write(f"{pace.name}: {share:.0%}, part {pace.done}/{pace.total}, {duration(now - pace.started)}{left}{note}\n")

    def figures(self, row: Mapping[str, float]) -> None:
        self._table.add(row)

    def line(self, text: str) -> None:
        self._table.end()
        self._write(f"{text}\n")


@contextmanager
def progress() -> Iterator[ProgressReporter]:
    """A reporter on standard error: bars where that is a terminal, plain lines where it is not."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ProgressReporter(Lines(_write_stderr))
        return
    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>4.0f}%  part {task.fields[parts]}"),
        TimeElapsedColumn(),
        Eta(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield ProgressReporter(Bars(bars))


def finished_line(name: str, rows: int | None, rejected: Mapping[str, int], seconds: float, reused: int) -> str:
    """What is left on the screen of a finished stage. rows: None of a model."""
    parts = [f"{name:<18} {'':>7}     " if rows is None else f"{name:<18} {rows:>7,} rows", f"{duration(seconds):>7}"]
    if reused:
        parts.append(f"{reused} {'part' if reused == 1 else 'parts'} reused")
    if rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(rejected.items(), key=lambda item: -item[1]))
        parts.append(f"rejected: {reasons}")
    return "  ".join(parts).rstrip()


def duration(seconds: float) -> str:
    """Seconds as people read them: 0.4s, 12s, 3m05s, 1h02m."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"


def _write_stderr(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
