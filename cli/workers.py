"""The options `--workers` and `--on`: where the parts of a dataset are made, which changes nothing of the result.

@workers_options
def build(..., parts: Parts): build_data(..., parts)
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fullstep_data.workers import Place

RAY = "ray"


@dataclass(frozen=True)
class Parts:
    """As typed."""

    workers: int | None = None
    on: str = "local"

    def place(self) -> "Place":
        """Where parts are made. InputError: Ray is not installed, or nothing listens at its address."""
        from fullstep_data.workers import LOCAL, OnRay, Workers

        if self.on == "local":
            return LOCAL if self.workers is None else Workers(count=self.workers, gpus=_gpus())
        from fullstep_data.workers.ray_actors import require_ray

        place = OnRay(address=self.on.removeprefix(RAY).removeprefix(":") or None, count=self.workers)
        require_ray(place)
        return place


HERE = Parts()


def workers_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Both options, as the argument `parts`."""

    @wraps(command)
    def call(*arguments: Any, workers: int | None, on: str, **options: Any) -> Any:
        return command(*arguments, parts=Parts(workers, on), **options)

    count = click.option(
        "--workers", metavar="N", type=click.IntRange(min=1), help="Make parts in so many processes; on Ray: at most so many."
    )
    where = click.option(
        "--on",
        default="local",
        show_default=True,
        metavar="local|ray[:ADDRESS]",
        callback=_known,
        help="Make parts on this machine, or on a Ray cluster (extra `ray`) that shares its folders.",
    )
    return count(where(call))


def _known(ctx: click.Context, parameter: click.Parameter, text: str) -> str:
    if text in ("local", RAY) or (text.startswith(f"{RAY}:") and text != f"{RAY}:"):
        return text
    raise click.BadParameter(f"local, ray or ray:ADDRESS is wanted, found {text!r}")


def _gpus() -> tuple[str, ...]:
    """The GPUs of this machine by CUDA's names; none where there is one at most, which all workers share."""
    import torch

    number = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = tuple(visible.split(",")[:number]) if visible else tuple(map(str, range(number)))
    return names if len(names) > 1 else ()
