"""The grader with real math-verify workers: verdicts, time limit, crashes, threads, and nothing left running."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fullstep_data.config import SolutionsConfig
from fullstep_data.grading import GRADER_VERSION, Grader, GraderTool, Verdict
from fullstep_data.grading.pool import Pool
from schemas.solutions import GRADE_PATHS

ENDLESS = ("9^{9^{9}}", "3")  # math-verify works out 9**387420489 digit by digit: minutes, in one C call that no signal ends


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(timeout_seconds=30, workers=1) as opened:
        yield opened


def test_text_and_numbers_start_no_process() -> None:
    with Grader() as fresh:
        assert fresh.grade([("18", "18"), (None, "18"), ("19", "18"), ("she sells 18", "18")]) == [
            Verdict(correct=True, path="exact"),
            Verdict(correct=False, path="no-answer"),
            Verdict(correct=False, path="rational"),
            Verdict(correct=False, path="exact"),
        ]
        assert fresh._pool._workers == []


@pytest.mark.parametrize(
    ("answer", "gold", "correct"),
    [
        (r"\sqrt{12}", r"2\sqrt{3}", True),
        ("2sqrt(3)", r"2\sqrt{3}", True),  # plain sqrt is read as the root, not as s·q·r·t
        ("1 + x", "x + 1", True),
        ("x + 2", "x + 1", False),
        ("2, 1", r"\{1, 2\}", True),
        ("6 = 2*3", "6", True),  # math-verify: yes this way …
        ("6", "6 = 2*3", True),  # … and no this way; asked for the result 2*3 it says yes both ways
        ("x = 5", "y = 5", False),
        ("5 or 6", "5", False),
        ("24xyz", "24", False),
        (r"\pi", "3.14", False),
        (r"\frac{3\pi}{2} \text{ inches}", r"\frac{3\pi}{2}", True),
        ("}{", "5", False),
    ],
)
def test_the_rest_is_asked_of_math_verify(grader: Grader, answer: str, gold: str, correct: bool) -> None:
    assert grader.grade([(answer, gold)]) == [Verdict(correct, "math-verify")]


def test_order_is_kept_and_equal_pairs_are_asked_once(grader: Grader, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    ask = grader._pool.ask
    monkeypatch.setattr(grader._pool, "ask", lambda requests: (asked.append(len(requests)), ask(requests))[1])
    pairs = [("y + 1", "1 + y"), ("7", "8"), ("y + 1", "1 + y"), ("y + 2", "1 + y")]
    assert [verdict.correct for verdict in grader.grade(pairs)] == [True, False, True, False]
    grader.grade(pairs)
    assert asked == [2]


def test_a_slow_comparison_is_ended_and_the_others_are_graded() -> None:
    with Grader(timeout_seconds=5, workers=2) as fresh:
        fresh.grade([("a + b", "b + a")])  # the worker is up
        started = time.monotonic()
        verdicts = fresh.grade([("p + q", "q + p"), ENDLESS, ("p + r", "r + p")])
        assert time.monotonic() - started < 60
        assert verdicts == [
            Verdict(correct=True, path="math-verify"),
            Verdict(correct=None, path="timeout"),
            Verdict(correct=True, path="math-verify"),
        ]


def test_a_worker_that_dies_leaves_the_pair_open(grader: Grader) -> None:
    grader.grade([("x + 31", "31 + x")])
    (worker,) = grader._pool._workers
    killer = threading.Timer(0.5, os.kill, (worker.process.pid, signal.SIGKILL))
    killer.start()
    verdicts = grader.grade([ENDLESS, ("x + 32", "32 + x")])
    killer.join()
    assert verdicts == [Verdict(correct=None, path="error"), Verdict(correct=True, path="math-verify")]


def test_a_worker_that_died_while_idle_costs_no_pair(grader: Grader) -> None:
    grader.grade([("x + 36", "36 + x")])
    (worker,) = grader._pool._workers
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    assert grader.grade([("x + 37", "37 + x")]) == [Verdict(correct=True, path="math-verify")]


def test_it_works_off_the_main_thread(grader: Grader) -> None:
    found: list[Verdict] = []
    thread = threading.Thread(target=lambda: found.extend(grader.grade([("x + 33", "33 + x")])))
    thread.start()
    thread.join()
    assert found == [Verdict(correct=True, path="math-verify")]


def test_ctrl_c_does_not_reach_the_workers(grader: Grader) -> None:
    grader.grade([("x + 34", "34 + x")])
    (worker,) = grader._pool._workers
    assert os.getpgid(worker.process.pid) != os.getpgid(0)
    os.kill(worker.process.pid, signal.SIGINT)
    assert grader.grade([("x + 35", "35 + x")]) == [Verdict(correct=True, path="math-verify")]
    assert grader._pool._workers == [worker]


@pytest.mark.parametrize("last", ["sys.stdin.read()", f"g.grade([{ENDLESS!r}])"], ids=["idle", "at work"])
def test_no_worker_outlives_a_killed_parent(last: str) -> None:
    code = (
        "import sys; from fullstep_data.grading import Grader; g = Grader(5.0, workers=1); g.grade([('a + b', 'b + a')]);"
        f"print(g._pool._workers[0].process.pid, flush=True); {last}"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    time.sleep(0.2)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 30
    while is_running(worker):
        assert time.monotonic() < deadline, f"worker {worker} is still there"
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended, but whoever adopted it has not asked for its status yet


def test_closing_ends_the_workers_and_a_closed_pool_can_start_again() -> None:
    pool = Pool(workers=1, timeout_seconds=30)
    request = {"answer": "x + 1", "gold": "1 + x"}
    assert pool.ask([request]) == [{"correct": True}]
    process = pool._workers[0].process
    pool.close()
    assert process.returncode is not None
    assert pool.ask([request]) == [{"correct": True}]
    pool.close()


def test_gold_answers_that_can_be_graded_against(grader: Grader) -> None:
    golds = ["18", "x^2 - 3x", "?", "", r"\emptyset", "x^2 - 3x", "See above, please"]
    assert grader.parseable(golds) == [True, True, False, False, True, True, False]


def test_surrogates_and_control_characters_are_graded(grader: Grader) -> None:
    (verdict,) = grader.grade([("\ud800 + \x00", "x")])
    assert verdict.path in GRADE_PATHS
    assert verdict.correct is not True


def test_the_tool_opens_a_grader_with_the_recipe_s_settings() -> None:
    tool = GraderTool(SolutionsConfig(timeout_seconds=2, workers=1))
    with tool.open({}) as opened:
        assert tool.identity({}) == opened.identity == GRADER_VERSION == "fullstep-1+math-verify-0.9.0"
