"""The command line: parses the options, runs the command and prints its error, if any.

The list of commands is in `menu`, the commands themselves are in `commands`.
"""

from __future__ import annotations

import errno
import gc
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from sampleset import __version__
from sampleset.cli.completion import complete_from_the_first_tab
from sampleset.cli.menu import Menu
from sampleset.errors import SampleSetError

app = typer.Typer(
    cls=Menu,
    help="Learn to reason across parallel samples: draw K solutions, read them together, give one answer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line. An error of the package prints one line and sets the exit code."""
    gc.disable()  # until a command is called: what is imported is no garbage
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a character the terminal cannot show must not end the command
            stream.reconfigure(errors="backslashreplace")
    complete_from_the_first_tab()
    try:
        app(prog_name="sampleset")  # by which shells complete it, also after `python -m`
    except SampleSetError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:  # a full disk, a folder that may not be written to
        print(f"error: {_reason(error)}", file=sys.stderr)
        sys.exit(1)


def _reason(error: OSError) -> str:
    if error.strerror is None:
        return str(error)
    remedy = ""
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG):
        remedy = " Name another file or folder."
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = " Give a file or folder that you may read and write."
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = " Make room, and run the same command again to go on."
    elif error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        remedy = (
            " This file system has no locks, by which processes share a store. Name a folder on another one, "
            "a disk of this machine say."
        )
    where = "" if error.filename is None else f"{error.filename}: "
    return f"{where}{error.strerror}.{remedy}"


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Learn to reason across parallel samples: draw K solutions, read them together, give one answer."""
    if version:
        print(__version__)
        raise typer.Exit
