"""The options `--processes` and `--accelerate-config`: how many processes train, which changes nothing of the result.

@processes_options
def build(..., processes: int, accelerate_config: str | None): build_data(..., Processes(processes, accelerate_config))
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fullstep_train.launch import Launch


@dataclass(frozen=True)
class Processes:
    """As typed."""

    processes: int = 1
    accelerate_config: str | None = None

    def launch(self) -> "Launch | None":
        """How to launch them; None: train in this process."""
        from fullstep_train.launch import Launch  # torch

        if self.processes == 1 and self.accelerate_config is None:
            return None
        return Launch(self.processes, self.accelerate_config)


ALONE = Processes()


def processes_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Both options."""
    count = click.option(
        "--processes", default=1, show_default=True, type=click.IntRange(min=1), help="Train in so many processes: one per GPU."
    )
    config = click.option(
        "--accelerate-config", metavar="NAME|FILE", help="zero2, zero3, fsdp2, or what `accelerate config` wrote."
    )
    return count(config(command))
