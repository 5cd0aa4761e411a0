"""Real worker processes: the same bytes, tools opened once, and whoever dies, only the part in hand is lost."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from fullstep_data.runner import Interrupted, QuietReporter
from fullstep_data.store import Store
from fullstep_data.workers import LOCAL, Workers
from fullstep_data.workers.processes import environment
from schemas import InputError
from tests.fullstep_data.small_chain import STAGES, Recipe, calls
from tests.fullstep_data.workers.chain import Noting, alive, alone, append, changed, dying, pids, refusing, run_at, wait_until
from tests.kill import content, finished

TWO = Workers(count=2)
REPOSITORY = Path(__file__).parents[3]


class Telling(QuietReporter):
    """Keeps what it is told. press_at: sends Ctrl-C to this process when so many parts of a stage are done."""

    def __init__(self, press_at: int | None = None) -> None:
        self.notes: list[str] = []
        self.fractions: list[float] = []
        self._left = press_at

    def part_progress(self, name: str, fraction: float, note: str = "") -> None:
        self.notes.append(note)
        self.fractions.append(fraction)

    def part_done(self, name: str) -> None:
        if name == "samples" and self._left is not None:
            self._left -= 1
            if self._left == 0:
                signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run in one process leaves."""
    folder = tmp_path_factory.mktemp("few") / "dataset"
    run_at(folder, LOCAL, Recipe())
    return folder


def test_two_processes_leave_the_bytes_of_one_and_open_a_tool_once_each(tmp_path: Path, built: Path):
    log, opened, telling = tmp_path / "calls", tmp_path / "opened", Telling()
    recipe = Recipe(log=str(log))
    stages = changed("prm", alone, opened, stages=STAGES)  # where a model is trained, nobody holds memory
    run_at(tmp_path / "two", TWO, recipe, stages, telling, generator=Noting(str(opened), together=2))
    assert content(tmp_path / "two") == content(built)
    workers = Counter(pids(opened))
    assert list(workers.values()) == [1, 1]
    assert os.getpid() not in workers
    assert not any(alive(pid) for pid in workers)
    assert set(Counter(calls(log)).values()) == {1}
    assert "starting workers" in telling.notes
    assert "2 workers" in telling.notes
    before = len(calls(log))
    run_at(tmp_path / "two", TWO, recipe, STAGES, generator=Noting(str(opened)))
    assert len(calls(log)) == before
    assert len(pids(opened)) == 2, "nothing is missing, so nobody is started"


def test_a_killed_worker_loses_its_part_in_hand_and_no_other(tmp_path: Path, few: Path):
    marks, log = tmp_path / "marks", tmp_path / "calls"
    recipe = Recipe(log=str(log))
    telling = Telling()
    stages = changed("solutions", dying, 1, marks)
    run_at(tmp_path / "killed", TWO, recipe, stages=stages, reporter=telling)
    assert content(tmp_path / "killed") == content(few)
    assert len(pids(marks)) == 1
    assert set(Counter(calls(log)).values()) == {1}, "the death came before its call was noted, so every call is there once"
    assert any("1 worker died" in note for note in telling.notes)


def test_a_part_that_kills_every_worker_is_one_clear_error_with_its_last_words(tmp_path: Path):
    marks = tmp_path / "marks"
    with pytest.raises(InputError, match=r"2 workers died over one part: signal 9 \(SIGKILL\)") as caught:
        run_at(tmp_path / "d", Workers(count=1), Recipe(), stages=changed("solutions", dying, 9, marks))
    assert caught.value.where.startswith("stage solutions, part ")
    assert list(caught.value.examples) == ["about to die"]
    assert "finished parts are kept" in caught.value.next_step
    assert not any(map(alive, pids(marks)))
    assert any("samples" in name for name in finished(tmp_path / "d"))


def test_an_error_in_a_worker_is_the_error_of_the_run_and_ends_them_all(tmp_path: Path):
    opened = tmp_path / "opened"
    with pytest.raises(InputError, match="the moon is full"):
        run_at(tmp_path, TWO, Recipe(), stages=changed("solutions", refusing), generator=Noting(str(opened), together=2))
    assert pids(opened)
    assert not any(map(alive, pids(opened)))
    assert Store.open(tmp_path).numbers() == []


def test_ctrl_c_keeps_what_is_done_ends_the_workers_and_says_how_to_go_on(tmp_path: Path, few: Path):
    opened = tmp_path / "opened"
    with pytest.raises(Interrupted) as caught:
        run_at(tmp_path / "d", TWO, Recipe(pause=0.1), reporter=Telling(press_at=2), generator=Noting(str(opened), together=2))
    assert "run the same command again to go on: 2 of 6 parts of stage samples are done" in caught.value.next_step
    assert not any(map(alive, pids(opened)))
    assert not list((tmp_path / "d").rglob("*.tmp"))
    before = finished(tmp_path / "d")
    run_at(tmp_path / "d", LOCAL, Recipe())
    assert before <= finished(tmp_path / "d")
    assert content(tmp_path / "d") == content(few)


def slowly(folder: str, log: str, opened: str) -> None:
    """A run that another process is to kill."""
    run_at(Path(folder), TWO, Recipe(log=log, pause=0.5), generator=Noting(opened))


def test_kill_9_of_the_run_leaves_no_worker_behind_and_the_next_run_goes_on(tmp_path: Path, few: Path):
    log, opened = tmp_path / "calls", tmp_path / "opened"
    script = f"import sys; from {__name__} import slowly; slowly(*sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "d"), str(log), str(opened)], env=environment) as run:
        wait_until(lambda: len(calls(log)) >= 3)
        run.kill()
    wait_until(lambda: not any(map(alive, pids(opened))), seconds=10)
    noted, before = calls(log), finished(tmp_path / "d")
    assert before
    run_at(tmp_path / "d", LOCAL, Recipe(log=str(log)))
    assert content(tmp_path / "d") == content(few)
    again = (Counter(calls(log)) - Counter(noted)).elements()
    assert sum(line.startswith("samples") for line in again) == 6 - sum("parts/samples" in name for name in before)


def test_a_worker_that_is_killed_while_idle_is_replaced(tmp_path: Path, few: Path):
    opened = tmp_path / "opened"

    class Killing(Telling):
        def stage_done(self, name: str, *rest: object) -> None:
            if name == "samples":
                for pid in pids(opened):
                    os.kill(pid, signal.SIGKILL)

    run_at(tmp_path / "d", TWO, Recipe(), reporter=Killing(), generator=Noting(str(opened)))
    assert content(tmp_path / "d") == content(few)


def test_workers_share_threads_and_gpus():
    one = environment(Workers(count=1), 0, {"PATH": "/bin"})
    assert one["OMP_NUM_THREADS"] == str(os.cpu_count())
    assert "CUDA_VISIBLE_DEVICES" not in one
    many = environment(Workers(count=1000), 0, {"OMP_NUM_THREADS": "3"})
    assert (many["OMP_NUM_THREADS"], many["POLARS_MAX_THREADS"]) == ("3", "1")

    def seen(count: int, *gpus: str) -> list[str]:
        return [environment(Workers(count=count, gpus=gpus), number, {})["CUDA_VISIBLE_DEVICES"] for number in range(count)]

    assert seen(2, "0", "1", "2", "3") == ["0,1", "2,3"]
    assert seen(4, "4", "5", "6", "7") == ["4", "5", "6", "7"]
    assert seen(3, "0", "1") == ["0", "1", "0"]


def _seeing(function: object, log: Path, *given: object) -> object:
    append(log, os.environ["CUDA_VISIBLE_DEVICES"])
    return function(*given)  # type: ignore[operator]


def test_the_environment_reaches_the_worker(tmp_path: Path):
    stages = changed("samples", _seeing, tmp_path / "seen")[:2]
    run_at(tmp_path / "d", Workers(count=1, gpus=("6", "7")), Recipe(problems=2, samples=1), stages=stages)
    assert (tmp_path / "seen").read_text() == "6,7\n"
