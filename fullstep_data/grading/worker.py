r"""A grading worker: answers each JSON line with a JSON line, by math-verify. `pool.py` starts it and kills it when slow.

    {"answer": "2\\sqrt{3}", "gold": "\\sqrt{12}"}  ->  {"correct": true}
    {"gold": "x + 1"}                                 ->  {"parsed": true}

The first line it writes is {"ready": true}. It ends when its standard input does, so no worker stays behind its parent. Imports
nothing of fullstep: only math-verify (0.7 s of CPU), which therefore never enters the parent process.
"""

import json
import logging
import re
import resource
import signal
import sys
from typing import Any

# 9^9^9^9 asks for more memory than there is before any time limit strikes.
MEMORY_BYTES = 2 * 1024**3
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_BARE_SQRT = re.compile(r"(?<![\\A-Za-z])sqrt\(([^()]*)\)")


def delimited(text: str) -> str:
    """The answer as LaTeX in a box, since math-verify reads LaTeX only where something delimits it; a plain number as it is."""
    if _PLAIN_NUMBER.fullmatch(text):
        return text  # read alike, in half the time
    return "\\boxed{" + _BARE_SQRT.sub(r"\\sqrt{\1}", text) + "}"


def tell(reply: dict[str, Any]) -> None:
    """One line to the parent."""
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()


def main(seconds: float) -> None:
    """Works until its standard input ends. seconds: the end of a worker whose parent is no longer there to kill it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    logging.disable(logging.CRITICAL)  # math-verify warns once that its own time limit is off: ours is the kill
    from math_verify import parse, verify
    from sympy import Basic, MatrixBase

    def work(request: dict[str, str]) -> dict[str, Any]:
        gold: Any = parse(delimited(request["gold"]), parsing_timeout=None)  # pyright: ignore[reportArgumentType]: None is "off"
        if "answer" not in request:
            return {"parsed": any(isinstance(item, (Basic, MatrixBase)) for item in gold)}
        answer: Any = parse(delimited(request["answer"]), parsing_timeout=None)  # pyright: ignore[reportArgumentType]: as above
        return {"correct": bool(verify(gold, answer, timeout_seconds=None))}

    tell({"ready": True})
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, seconds)  # unhandled: ends the process, even inside a C call
        try:
            reply = work(json.loads(line))
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"[:500]}
        signal.setitimer(signal.ITIMER_REAL, 0)
        tell(reply)


if __name__ == "__main__":
    main(float(sys.argv[1]))
