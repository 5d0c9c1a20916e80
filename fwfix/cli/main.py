"""The program: its own options, its commands, and how an error ends it."""

import atexit
import errno
import gc
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from fwfix import __version__
from fwfix.cli import inventory, plan, runs, templates
from fwfix.cli.apply import apply
from fwfix.cli.approve import approve
from fwfix.cli.demo import demo
from fwfix.cli.doctor import doctor
from fwfix.cli.failing import print_failure
from fwfix.cli.maintenance import maintenance
from fwfix.cli.options import Program
from fwfix.cli.recover import recover
from fwfix.cli.rollback import rollback
from fwfix.cli.status import status
from fwfix.cli.verify import verify
from fwfix.errors import FwfixError, InterruptedRunError, RefusedError, UsageError

EXIT_UNEXPECTED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 5
EXIT_INTERRUPTED = 130

# The disk's trouble, which is no bug of ours.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_LEVELS = ("debug", "info", "warning", "error")


class _Program(TyperGroup):
    """The program, which tells where its own options go when they stand behind a command."""

    def invoke(self, ctx: Any) -> object:  # noqa: ANN401 - its module has another name in every version of typer
        """Run the command.

        Raises:
            UsageError: an option of the program stands behind it.
        """
        try:
            return super().invoke(ctx)
        except Exception as error:
            name = getattr(error, "option_name", None)
            option = next((each for each in self.params if name in each.opts), None)
            if option is None:
                raise
            words = ("fwfix", name, option.metavar, ctx.invoked_subcommand, "...")
            raise UsageError(f"{name} goes before the command", next=" ".join(filter(None, words))) from None


app = typer.Typer(
    name="fwfix",
    cls=_Program,
    help="Close exposed printing ports on a fleet of hosts, prove it, and undo it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(plan.app)
app.command()(apply)
app.command()(approve)
app.command()(rollback)
app.command()(verify)
app.command()(status)
app.command()(doctor)
app.command()(maintenance)
app.add_typer(runs.app)
app.add_typer(inventory.app)
app.add_typer(templates.app)
app.command()(demo)
runs.app.command()(recover)


def _print_version(*, value: bool) -> None:
    if value:
        typer.echo(f"fwfix {__version__}")
        raise typer.Exit


@app.callback()
def configure(
    context: typer.Context,
    state_dir: Annotated[
        Path | None,
        typer.Option("--state-dir", metavar="DIR", help="Where the journal is kept.", show_default=False),
    ] = None,
    *,
    no_color: Annotated[bool, typer.Option("--no-color", help="Plain text.")] = False,
    log_level: Annotated[
        str, typer.Option("--log-level", metavar="LEVEL", help=f"One of {', '.join(_LEVELS)}.")
    ] = "warning",
    version: Annotated[  # noqa: ARG001 - the callback prints it
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Close exposed printing ports on a fleet of hosts, prove it, and undo it."""
    if log_level.lower() not in _LEVELS:
        raise typer.BadParameter(f"{log_level!r} is none of {', '.join(_LEVELS)}", param_hint="--log-level")
    logging.basicConfig(
        level=log_level.upper(), stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", force=True
    )
    color = not no_color and not os.environ.get("NO_COLOR")
    context.obj = Program(state_dir=state_dir, color=color, log_level=log_level.lower())


def main() -> NoReturn:
    """Run the program and end it with the contract's exit code."""
    atexit.register(gc.freeze)
    _open_streams()
    try:
        app()
    except FwfixError as error:
        _say(error)
        try:
            print_failure(error, exit_code_of(error))
        except OSError:
            _drop_stdout()  # nobody reads it, and stderr has said it
        sys.exit(exit_code_of(error))
    except KeyboardInterrupt:
        sys.stderr.write("fwfix: interrupted\n")
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        _drop_stdout()  # its reader has gone; there is nobody left to tell
        sys.exit(EXIT_UNEXPECTED)
    except Exception as error:  # the one place where a bug becomes a message
        logging.getLogger("fwfix").debug("unexpected", exc_info=True)
        sys.stderr.write(_unexpected(error))
        sys.exit(EXIT_UNEXPECTED)
    sys.exit(0)


def _open_streams() -> None:
    """Let what somebody closed for us, as cron or `>&-` do, be nowhere: Python has no stream there at all."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - as long as we live


def _drop_stdout() -> None:
    """Let what is left of the output go nowhere, or flushing it would fail once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unexpected(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        where = error.filename or "the output"
        return (
            f"fwfix: cannot write to {where}: {error.strerror}\n"
            "  Make room and run it again; fwfix runs list shows what was done.\n"
        )
    return (
        f"fwfix: unexpected error: {type(error).__name__}: {error}\n"
        "This is a bug in fwfix. Run it again with --log-level debug and report what it prints; "
        "fwfix runs list shows whether a run is unfinished.\n"
    )


def exit_code_of(error: FwfixError) -> int:
    """Return the exit code for an error that ended a command before any host had an outcome."""
    if isinstance(error, RefusedError):
        return EXIT_REFUSED
    if isinstance(error, InterruptedRunError):
        return EXIT_INTERRUPTED
    return EXIT_USAGE


def _say(error: FwfixError) -> None:
    sys.stderr.write(f"fwfix: {error.message}\n")
    if error.next:
        sys.stderr.write(f"  {error.next}\n")
