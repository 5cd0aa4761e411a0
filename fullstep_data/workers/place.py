"""Where parts are made, typed: in this process, in processes beside it, or on the machines of a Ray cluster.

    run(stages, recipe, store, tools, reporter, where=Workers(count=4))

It decides nothing of the result: keys, rows and files are those of a build in one process.
"""

from typing import Literal

from pydantic import Field

from fullstep_data.engine_config import Config


class Local(Config):
    """In this process, one part after the other."""

    kind: Literal["local"] = "local"


class Workers(Config):
    """In processes on this machine. gpus: those of this machine, by CUDA's names, to be shared out among them."""

    kind: Literal["workers"] = "workers"
    count: int = Field(ge=1)
    gpus: tuple[str, ...] = ()


class OnRay(Config):
    """In actors of a Ray cluster (extra `ray`), which must see this machine's folders.

    address: HOST:PORT or ray://HOST:PORT; None: the cluster of RAY_ADDRESS or of this machine, else one that lasts as long as the
    run. count: of actors; None: one per GPU, or per CPU but one where there is no GPU.
    """

    kind: Literal["ray"] = "ray"
    address: str | None = None
    count: int | None = Field(default=None, ge=1)


Place = Local | Workers | OnRay

LOCAL = Local()
