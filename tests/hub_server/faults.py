"""What goes wrong at one request of a client, once or from then on.

Fault("before")     the connection ends before the request is looked at
Fault("middle")     half of a request's body is read, or half of an answer's body sent, and the connection ends
Fault("after")      the request is carried out, and the connection ends without an answer
Fault(503)          answered with this status, not carried out
Fault("garbled")    answered with a page of something that stands in between (200, HTML), not carried out
Fault("kill", kill=lambda: os.kill(pid, SIGKILL), carried_out=True)     the client dies while it waits for the answer
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """kind: see above. at: number of the request it hits, from 0, or part of method and path. lasting: all from there on."""

    kind: str | int
    at: int | str = 0
    lasting: bool = False
    kill: Callable[[], None] | None = None
    carried_out: bool = False

    def hits(self, number: int, line: str) -> bool:
        if isinstance(self.at, str):
            return self.at in line
        return number >= self.at if self.lasting else number == self.at
