"""Runs command lines of ours, each in a process forked from one that has the imports done: a case costs no start of Python.

forks = Forks(environment(hub, tmp_path, token))
done = forks.run("fs-data push data ann/sums --tag v1", cwd=tmp_path)
pid = forks.start(…); forks.wait()
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """status: exit code, negative for a signal."""

    status: int
    output: str
    errors: str


class Forks:
    """One process to fork from; it runs one command at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.hub_server.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**environment, "PYTHONPATH": str(REPOSITORY)},
        )
        self._written = tempfile.TemporaryDirectory()

    def run(self, line: str, cwd: Path, **environment: str) -> Done:
        self.start(line, cwd, **environment)
        return self.wait()

    def start(self, line: str, cwd: Path, **environment: str) -> int:
        """The process id of the command."""
        wish = {"line": line, "cwd": str(cwd), "environment": environment, "written": self._written.name}
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(wish) + "\n")
        self._server.stdin.flush()
        return int(self._answer())

    def wait(self) -> Done:
        status = int(self._answer())
        texts = [(Path(self._written.name) / name).read_text(encoding="utf-8") for name in ("out", "err")]
        return Done(status, *texts)

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()
        self._written.cleanup()

    def _answer(self) -> str:
        assert self._server.stdout is not None
        answer = self._server.stdout.readline()
        assert answer, "the process to fork from died"
        return answer


def serve() -> None:
    """Fork once per line on the standard input; answer with the process id, then with the status."""
    from cli import hub
    from cli.data import main as fs_data
    from cli.train import main as fs_train

    assert hub
    warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads that wait
    for text in sys.stdin:
        wish = json.loads(text)
        pid = os.fork()
        if pid == 0:
            os.environ |= wish["environment"]
            os.chdir(wish["cwd"])
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(Path(wish["written"]) / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            name, *arguments = shlex.split(wish["line"])
            try:
                {"fs-data": fs_data, "fs-train": fs_train}[name](arguments)
            except SystemExit as stop:
                sys.stdout.flush()
                os._exit(int(stop.code or 0))  # without the teardown of what the parent imported
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
