"""One build at a time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fullstep_data.store.lock import build_lock
from schemas import InputError

_HOLD = """
import sys, time
from pathlib import Path
from fullstep_data.store.lock import build_lock
with build_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

_HOLD_AND_FORK = """
import os, sys, time
from pathlib import Path
from fullstep_data.store.lock import build_lock
with build_lock(Path(sys.argv[1])):
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(60)
"""


def _start(program: str, path: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)


def test_a_second_build_is_told_who_holds_the_folder_and_gets_it_once_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "build.lock"
    with _start(_HOLD, path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match=f"process {other.pid}") as caught, build_lock(path):
            pass
        assert caught.value.where == str(tmp_path)
        assert caught.value.next_step
        other.kill()
        other.wait()
        with build_lock(path):
            assert path.read_text() == f"{os.getpid()}\n"


def test_a_worker_that_outlives_a_killed_build_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "build.lock"
    with _start(_HOLD_AND_FORK, path) as other:
        assert other.stdout is not None
        worker = int(other.stdout.readline())
        try:
            other.kill()
            other.wait()
            os.kill(worker, 0)  # it lives
            time.sleep(0.05)
            with build_lock(path):
                pass
        finally:
            os.kill(worker, signal.SIGKILL)


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), build_lock(tmp_path / "build.lock"):
        raise ZeroDivisionError
    with build_lock(tmp_path / "build.lock"):
        pass
