"""How every command of ours behaves: examples at the head of its help, one clear block for a user's mistake, a known exit code.

    @app.command("show", cls=Command, examples=("fs-data show out/tiny", "fs-data show out/tiny pairs"))

Exit codes: 0 done, 1 `check` or `audit` found something, 2 a user's mistake, 130 interrupted (Ctrl-C or SIGTERM). A fault of
fullstep keeps its traceback.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

import click

USAGE_ERROR = 2
DATASET = "DIR[@VERSION]"
"""How help names a dataset."""
ASKED = f"{DATASET}|hf://OWNER/NAME[@TAG]"
"""The same, where one on the Hub is asked in place too."""
INTERRUPTED = 130


class Command(click.Command):
    """A command whose help opens with `examples`: two runnable ones, between the usage line and everything else."""

    def __init__(self, *args: Any, examples: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
        super().format_help_text(ctx, formatter)


class App(Command, click.Group):
    """`fs-data` or `fs-train`: a group of commands that turns errors into blocks and signals into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which one uses them, which is that of the file."""
        return list(self.commands)

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run a command line and leave the process (SystemExit) with one of the module's exit codes."""
        extra = {"prog_name": self.name, **extra, "standalone_mode": False}
        try:
            with _sigterm_as_interrupt():
                result = super().main(*args, **extra)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            _show("interrupted\n  next: run the same command again; finished parts are kept and not computed twice")
            sys.exit(INTERRUPTED)
        except Exception as error:
            sys.exit(_show_input_error(error))
        sys.exit(result if isinstance(result, int) else 0)


def _show_input_error(error: Exception) -> int:
    """Print a user's mistake and give the exit code; any other exception goes on with its traceback."""
    from schemas.errors import InputError  # late: pulls in polars, and --help has no need of it

    if not isinstance(error, InputError):
        raise error
    from fullstep_data.runner import Interrupted

    if isinstance(error, Interrupted):
        _show(str(error))
        return INTERRUPTED
    _show(f"{click.style('error', fg='red', bold=True)}: {error}")
    return USAGE_ERROR


def _show(message: str) -> None:
    click.echo(message, err=True)


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """While a command runs, SIGTERM (a batch system, `docker stop`) ends it the way Ctrl-C does: parts kept, message shown."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
