"""The crew alone: workers here are a script of what each says in turn."""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fullstep_data.plan import Planned
from fullstep_data.store import Part, Store, Version
from fullstep_data.workers import crew as crew_module
from fullstep_data.workers.crew import Crew
from fullstep_data.workers.part import Job, Toolbox, make_part
from fullstep_data.workers.worker import Broken, Died, Made, News, Ready, Refused, Ticked
from schemas import InputError
from tests.fullstep_data.workers.test_part import job_in, planned_samples

Said = Callable[[Job, Planned], News]


def done(job: Job, planned: Planned) -> News:
    """The part is made, here and now."""
    return Made(make_part(job, planned, Toolbox().opened, lambda *_: None))


def says(news: News) -> Said:
    return lambda job, planned: news


DEATH = Died("signal 9 (SIGKILL)", ("line",))


@dataclass(eq=False)
class Scripted:
    """A worker. lines: what it says to the parts it gets; then it makes them. given: parts and whether a job came with them."""

    name: str
    lines: deque[Said]
    job: Job | None = None
    says: deque[News] = field(default_factory=lambda: deque([Ready()]))
    given: list[tuple[str, bool]] = field(default_factory=list)

    def give(self, job: Job | None, planned: Planned) -> None:
        self.given.append((planned.key, job is not None))
        self.job = job or self.job
        assert self.job is not None
        news = (self.lines.popleft() if self.lines else done)(self.job, planned)
        self.says.append(news)
        if isinstance(news, Ticked):
            self.says.append(done(self.job, planned))


class Troupe:
    """Workers by script: the n-th that is hired says the n-th list of lines."""

    def __init__(self, *scripts: Iterable[Said | None], limit: int = 2) -> None:
        self.limit = limit
        self._scripts = deque(scripts)
        self.hired: list[Scripted] = []
        self.ended: list[tuple[int, bool]] = []
        self.closed = 0

    def hire(self) -> Scripted:
        lines = list(self._scripts.popleft()) if self._scripts else []
        hand = Scripted(f"worker {len(self.hired)}", deque(line for line in lines if line is not None))
        if None in lines:  # it does not come up
            hand.says = deque()
        self.hired.append(hand)
        return hand

    def news(self, hands: Collection[Scripted], seconds: float) -> list[tuple[Scripted, News]]:
        return [(hand, hand.says.popleft()) for hand in list(hands) if hand.says]

    def standing(self) -> str:
        return "waiting for the bus"

    def end(self, hands: Collection[Scripted], at_once: bool) -> None:
        self.ended.append((len(hands), at_once))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return job_in(Store.create(tmp_path / "out").path)


@pytest.fixture
def planned(dataset: Version) -> list[Planned]:
    return planned_samples(dataset)


def made(troupe: Troupe, job: Job, planned: list[Planned], crew: Crew[Scripted] | None = None) -> tuple[list[Part], list[object]]:
    """All parts, and what was told on the way."""
    told: list[object] = []
    return list((crew or Crew(troupe)).make(job, planned, lambda *words: told.append(words))), told


def test_every_part_is_made_once_by_as_many_workers_as_there_is_work_for(job: Job, planned: list[Planned]):
    troupe = Troupe(limit=3)
    crew = Crew(troupe)
    parts, _ = made(troupe, job, planned[:1], crew)
    assert len(troupe.hired) == 1
    more, _ = made(troupe, job, planned[1:], crew)
    assert len(planned) > 3
    assert len(troupe.hired) == 3
    assert {part.key for part in (*parts, *more)} == {one.key for one in planned}
    assert sum(len(hand.given) for hand in troupe.hired) == len(planned)
    crew.close()
    assert (troupe.ended, troupe.closed) == ([(3, False)], 1)


def test_a_job_goes_to_a_worker_once(job: Job, planned: list[Planned]):
    troupe = Troupe(limit=1)
    crew = Crew(troupe)
    made(troupe, job, planned, crew)
    made(troupe, job, planned[:1], crew)  # another call is another job
    assert [new for _, new in troupe.hired[0].given] == [True, *[False] * (len(planned) - 1), True]


def test_after_a_rest_others_are_hired(job: Job, planned: list[Planned]):
    troupe = Troupe(limit=1)
    crew = Crew(troupe)
    made(troupe, job, planned, crew)
    crew.rest()
    assert troupe.ended == [(1, False)]
    made(troupe, job, planned, crew)
    assert len(troupe.hired) == 2


def test_a_worker_that_dies_loses_its_part_only_and_another_makes_it(job: Job, planned: list[Planned]):
    troupe = Troupe([done, says(DEATH)], limit=1)
    parts, told = made(troupe, job, planned)
    assert [part.key for part in parts] == [one.key for one in planned]  # also in the same order: it comes first again
    assert [key for key, _ in troupe.hired[0].given] == [one.key for one in planned[:2]]
    assert [key for key, _ in troupe.hired[1].given] == [one.key for one in planned[1:]]
    assert any("1 worker died" in str(words) for words in told)


def test_a_part_that_ends_two_workers_is_the_end(job: Job, planned: list[Planned]):
    troupe = Troupe([says(DEATH)], [says(DEATH)], limit=1)
    with pytest.raises(InputError, match="2 workers died over one part: signal 9") as caught:
        made(troupe, job, planned)
    assert caught.value.where == f"stage samples, part {planned[0].key}"
    assert list(caught.value.examples) == ["line"]
    assert "memory" in caught.value.next_step


def test_two_workers_may_die_over_two_parts(job: Job, planned: list[Planned]):
    troupe = Troupe([says(DEATH)], [done, says(DEATH)], limit=1)
    parts, _ = made(troupe, job, planned)
    assert len(parts) == len(planned)
    assert len(troupe.hired) == 3


def test_workers_that_never_come_up_are_the_end(job: Job, planned: list[Planned]):
    class Stillborn(Troupe):
        def hire(self) -> Scripted:
            hand = super().hire()
            hand.says = deque([DEATH])
            return hand

    troupe = Stillborn(limit=1)
    with pytest.raises(InputError, match="workers cannot be started: signal 9") as caught:
        made(troupe, job, planned)
    assert len(troupe.hired) == 3
    assert list(caught.value.examples) == ["line"]


def test_waiting_for_workers_is_told_and_ends(job: Job, planned: list[Planned], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crew_module, "START_SECONDS", 0.2)
    told: list[tuple[float, str]] = []
    with pytest.raises(InputError, match=r"no worker has come up in 0.2 seconds") as caught:
        list(Crew(Troupe([None], [None])).make(job, planned, lambda *words: told.append(words)))
    assert told == [(0.0, "waiting for the bus")]
    assert caught.value.examples == ["waiting for the bus"]


def test_one_that_does_not_come_up_holds_nobody_up(job: Job, planned: list[Planned], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crew_module, "START_SECONDS", 0.2)
    troupe = Troupe([None], [])
    parts, _ = made(troupe, job, planned)
    assert len(parts) == len(planned)
    assert [len(hand.given) for hand in troupe.hired] == [0, len(planned)]


def test_progress_is_the_sum_over_the_parts_in_hand(job: Job, planned: list[Planned]):
    troupe = Troupe([says(Ticked(0.5, "40 tokens/s"))], [says(Ticked(0.25))])
    _, told = made(troupe, job, planned[:2])
    # Both are up; half of one part and a quarter of the other; then one is done (1) while a quarter is in hand, then the other.
    assert told == [
        (0.0, "2 workers"),
        (0.75, "2 workers, one at 40 tokens/s"),
        (1.25, "2 workers, one at 40 tokens/s"),
        (1.0, "2 workers, one at 40 tokens/s"),
        (0.0, "2 workers, one at 40 tokens/s"),
    ]


def test_errors_of_workers_are_raised(job: Job, planned: list[Planned]):
    with pytest.raises(InputError, match="the moon is full"):
        made(Troupe([says(Refused(False, {"what": "the moon is full"}))]), job, planned)
    with pytest.raises(RuntimeError, match=r"worker 0.*failed:\nTraceback"):
        made(Troupe([says(Broken("Traceback …"))]), job, planned)


def test_a_part_that_cannot_be_seen_from_here_is_refused(
    job: Job, planned: list[Planned], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(crew_module, "SHARED_SECONDS", 0.2)
    elsewhere = job_in(Store.create(tmp_path / "disk of another machine").path)
    (job.store / "parts" / "samples").mkdir(parents=True)
    troupe = Troupe([lambda job, planned: done(elsewhere, planned)], limit=1)
    with pytest.raises(InputError, match="worker 0 does not see the dataset's folder") as caught:
        made(troupe, job, planned)
    assert "storage that all machines of the cluster share" in caught.value.next_step


def test_a_part_that_shows_up_late_is_waited_for(job: Job, planned: list[Planned], monkeypatch: pytest.MonkeyPatch):
    """As on NFS: the file is there after some looks at its folder."""
    looks: list[Path] = []
    hidden: dict[Path, Path] = {}

    def hide(job: Job, planned: Planned) -> News:
        news = done(job, planned)
        for path in job.store.glob("parts/samples/*.parquet"):
            hidden[path] = path.rename(path.with_suffix(".hidden"))
        return news

    def look(path: Path) -> list[str]:
        looks.append(path)
        if len(looks) == 3:
            for seen, other in hidden.items():
                other.rename(seen)
        return []

    monkeypatch.setattr(crew_module.os, "listdir", look)
    parts, _ = made(Troupe([hide], limit=1), job, planned[:1])
    assert len(parts) == 1
    assert looks == [job.store / "parts" / "samples"] * 3
