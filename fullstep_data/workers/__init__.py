"""Where the parts of a stage are made: in this process, in processes beside it, or by actors of a Ray cluster.

    run(stages, recipe, store, tools, reporter, where=Workers(count=4))

    place.py        Local | Workers | OnRay
    part.py         makes one part
    worker.py       makes part after part, and says how it goes
    crew.py         gives parts to workers, and replaces one that dies
    processes.py    workers as processes of this machine (process.py is what they run)
    ray_actors.py   workers as actors of a Ray cluster
    code.py         is a cluster's code ours?

Workers write parts as the run itself would, to the same names; only the run commits. So a part is done or not, whoever dies.
"""

from typing import Any

from fullstep_data.workers.crew import Crew
from fullstep_data.workers.place import LOCAL, Local, OnRay, Place, Workers

__all__ = ["LOCAL", "Crew", "Local", "OnRay", "Place", "Workers", "crew_at"]


def crew_at(place: Place) -> Crew[Any] | None:
    """The workers of a place; None: this process. InputError: Ray is not installed or its cluster does not answer."""
    match place:
        case Local():
            return None
        case Workers():
            from fullstep_data.workers.processes import Processes

            return Crew(Processes(place))
        case OnRay():
            from fullstep_data.workers.ray_actors import Actors

            return Crew(Actors(place))
