"""A worker process: reads jobs and parts from a socket, makes them, says how it goes. `processes.py` starts it as a script.

It ends when its socket does, also in the midst of a part: no worker outlives its run, whatever ends that one.
"""

import os
import pickle
import signal
import sys
import threading
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import FrameType
from typing import Any

ORPHANED = 4
"""Exit code where the run is gone."""


def main(descriptor: int) -> None:
    """Work until the socket says None or ends."""
    os.set_inheritable(descriptor, False)
    connection = Connection(descriptor)
    signal.signal(signal.SIGTERM, _leave)
    sys.path[:] = connection.recv()
    from fullstep_data.workers.worker import Broken, Ready, Worker

    inbox: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    worker = Worker()
    try:
        connection.send(Ready())
        while (message := _taken(inbox)) is not None:
            job, planned = message
            if job is not None:
                worker.begin(job)
            connection.send(worker.make(planned, connection.send))
    except BrokenPipeError:
        os._exit(ORPHANED)
    except Exception as error:  # what was sent cannot be read here: a module is missing
        connection.send(Broken(f"{type(error).__name__}: {error}"))
    finally:
        worker.close()


def _listen(connection: Connection, inbox: "SimpleQueue[bytes]") -> None:
    """Takes in what is sent, in a thread of its own: the end of the socket must be noticed in the midst of a part."""
    try:
        while True:
            inbox.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(ORPHANED)


def _taken(inbox: "SimpleQueue[bytes]") -> Any:
    return pickle.loads(inbox.get())


def _leave(number: int, frame: FrameType | None) -> None:
    """SIGTERM: drop the part in hand, close what is open."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    main(int(sys.argv[1]))
