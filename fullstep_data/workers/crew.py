"""The workers of a run: gives parts out, takes them in, and loses at most the part in hand of a worker that dies.

    crew = Crew(Processes(Workers(count=4)))
    for part in crew.make(job, missing, tell): ...       # in the order in which they are done
    crew.close()                                         # or crew.close(at_once=True), which drops what is in hand

Who the workers are is a `Hands`: local processes (`processes`) or actors of a Ray cluster (`ray_actors`).
"""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from fullstep_data.plan import Planned
from fullstep_data.store import Part, StoredFile
from fullstep_data.store.storage import shown, storage_of
from fullstep_data.store.version import part_path
from fullstep_data.workers.part import Job
from fullstep_data.workers.worker import Broken, Died, Made, News, Ready, Refused, Ticked
from schemas import InputError

START_SECONDS = 600.0
"""How long all workers may be on their way up."""
SHARED_SECONDS = 60.0
"""How long a file that another machine wrote may take to show up here (NFS keeps for up to a minute that there is none)."""
WAIT_SECONDS = 0.5
_TRIES = 2
_STARTS = 3

Tell = Callable[[float, str], None]
"""tell(fraction, note): the sum over the parts in hand, each 0 to 1."""


class Hand(Protocol):
    """One worker, as the run sees it. name: for messages."""

    @property
    def name(self) -> str: ...

    def give(self, job: Job | None, planned: Planned) -> None:
        """Hand it a part; job: of this part, None where it is that of the part before."""
        ...


H = TypeVar("H", bound=Hand)


class Hands(Protocol[H]):
    """A kind of workers."""

    @property
    def limit(self) -> int:
        """Most workers at a time, now."""
        ...

    def hire(self) -> H:
        """Start one; its first news is Ready."""
        ...

    def news(self, hands: Collection[H], seconds: float) -> Sequence[tuple[H, News]]:
        """What workers have said; waits up to so many seconds for the first word."""
        ...

    def standing(self) -> str:
        """What workers are waiting for that do not come up."""
        ...

    def end(self, hands: Collection[H], at_once: bool) -> None:
        """End them; at_once: dropping the parts in hand, else they are idle."""
        ...

    def close(self) -> None:
        """Let go of whatever they shared."""
        ...


@dataclass
class _Post:
    """What is known of a worker."""

    ready: bool = False
    job: Job | None = None
    planned: Planned | None = None
    fraction: float = 0.0


class Crew(Generic[H]):
    """Workers that stay from stage to stage."""

    def __init__(self, hands: Hands[H]) -> None:
        self._hands = hands
        self._posts: dict[H, _Post] = {}
        self._deaths = 0
        self._failed_starts = 0
        self._note = ""

    def make(self, job: Job, parts: Sequence[Planned], tell: Tell) -> Iterator[Part]:
        """Make parts of one stage. InputError: the stage refuses its input, no worker comes up, two died over one part.

        RuntimeError: a fault in a worker, with its traceback.
        """
        job = job.portable()
        waiting, losses = deque(parts), Counter[str]()
        told, alone_since, self._note = (-1.0, ""), time.monotonic(), ""
        while waiting or self._busy():
            self._hire(len(waiting) + self._busy())
            self._give_out(job, waiting)
            for hand, news in self._hands.news(self._posts, WAIT_SECONDS):
                planned = self._posts[hand].planned
                part = self._heard(hand, news)
                if isinstance(news, Died) and planned is not None:
                    losses[planned.key] += 1
                    _require_another_try(job, planned, losses[planned.key], news)
                    waiting.appendleft(planned)
                if part is not None:
                    _require_there(job, part, hand.name)
                    tell(1.0 + self._in_hand(), self._told())
                    yield part
            if any(post.ready for post in self._posts.values()):
                alone_since = time.monotonic()
            self._require_patience(alone_since)
            if told != (now := (self._in_hand(), self._told())):
                tell(*now)
                told = now

    def rest(self) -> None:
        """End all workers, who are idle; later parts get new ones. So a model that is trained now has the memory."""
        self._hands.end(list(self._posts), at_once=False)
        self._posts.clear()

    def close(self, at_once: bool = False) -> None:
        """End all workers for good."""
        self._hands.end(list(self._posts), at_once)
        self._posts.clear()
        self._hands.close()

    def _busy(self) -> int:
        return sum(post.planned is not None for post in self._posts.values())

    def _in_hand(self) -> float:
        return sum(post.fraction for post in self._posts.values())

    def _hire(self, wanted: int) -> None:
        for _ in range(len(self._posts), min(wanted, self._hands.limit)):
            self._posts[self._hands.hire()] = _Post()

    def _give_out(self, job: Job, waiting: deque[Planned]) -> None:
        for hand, post in self._posts.items():
            if waiting and post.ready and post.planned is None:
                post.planned = waiting.popleft()
                hand.give(None if post.job is job else job, post.planned)
                post.job = job

    def _heard(self, hand: H, news: News) -> Part | None:
        """Take a word in; the part where it says that one is made."""
        post = self._posts[hand]
        match news:
            case Ready():
                post.ready = True
                self._failed_starts = 0
            case Ticked():
                post.fraction, self._note = news.fraction, news.note or self._note
            case Made():
                post.planned, post.fraction = None, 0.0
                return news.part
            case Refused():
                raise news.error()
            case Broken():
                raise RuntimeError(f"a worker ({hand.name}) failed:\n{news.trace}")
            case Died():
                del self._posts[hand]
                self._deaths += 1
                self._failed_starts += not post.ready
                if self._failed_starts >= _STARTS:
                    raise InputError(
                        f"workers cannot be started: {news.told}",
                        where=hand.name,
                        examples=news.lines,
                        next_step="mend what they say; without --workers and --on the command runs in one process",
                    )
        return None

    def _told(self) -> str:
        """What stands beside the bar: the latest of one worker, and what went wrong."""
        up = sum(post.ready for post in self._posts.values())
        if self._posts and not up:
            return self._hands.standing()
        note = f"one at {self._note}" if self._note and up > 1 else self._note
        return ", ".join(filter(None, (_counted(up), f"{_counted(self._deaths)} died" if self._deaths else "", note)))

    def _require_patience(self, alone_since: float) -> None:
        if self._posts and time.monotonic() - alone_since > START_SECONDS:
            raise InputError(
                f"no worker has come up in {START_SECONDS:g} seconds",
                examples=[self._hands.standing()],
                next_step="run the same command again when there is room, or without --on; finished parts are kept",
            )


def _counted(workers: int) -> str:
    return f"{workers} {'worker' if workers == 1 else 'workers'}"


def _require_another_try(job: Job, planned: Planned, losses: int, death: Died) -> None:
    if losses < _TRIES:
        return
    raise InputError(
        f"{losses} workers died over one part: {death.told}",
        where=f"stage {job.stage.name}, part {planned.key}",
        count=losses,
        examples=death.lines,
        next_step="signal 9 is mostly the system short of memory: try fewer --workers or smaller batches (engine.batch_size) and "
        "the same command again; finished parts are kept",
    )


def not_shared(path: Path, name: str = "") -> InputError:
    """What to tell where a worker (name) and the run do not see the same folder."""
    return InputError(
        f"{name or 'a worker'} does not see the dataset's folder of this run",
        where=shown(path),
        next_step="name a folder (--out) on storage that all machines of the cluster share under one path",
    )


def _require_there(job: Job, part: Part, name: str) -> None:
    """InputError where the file that a worker wrote cannot be seen from here: then its folder is not ours."""
    path: Path = part_path(job.store, job.stage.table, part.key)
    if storage_of(path).far:
        return  # what a worker has put into a bucket is there for all
    until = time.monotonic() + SHARED_SECONDS
    while not path.exists():
        if time.monotonic() > until:
            raise not_shared(path, name)
        os.listdir(path.parent)  # noqa: PTH208  # opening the folder is what makes NFS ask anew
        time.sleep(0.1)
    StoredFile(path, part.rows, part.sha256, part.bytes).require_size()
