"""The command line: parses the options, runs the command and prints its error, if any.

The list of commands is in `menu`, the commands themselves are in `commands`.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
import warnings
from io import TextIOWrapper
from typing import Annotated, Any

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
    _prepare_surroundings()
    complete_from_the_first_tab()
    try:
        app(prog_name="sampleset")  # by which shells complete it, also after `python -m`
    except SampleSetError as error:
        print(f"error: {_visible(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:  # a full disk, a folder that may not be written to
        print(f"error: {_reason(error)}", file=sys.stderr)
        sys.exit(1)


def _prepare_surroundings() -> None:
    """Open closed streams, take any character, drop a width of 0, and set the form of warnings."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed; the next file that is opened would take its number
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    # Neither a character the terminal cannot show nor half of one on stdin must end the command.
    escape, take_in = "backslashreplace", "surrogateescape"
    for stream, errors in ((sys.stdin, take_in), (sys.stdout, escape), (sys.stderr, escape)):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=errors)
    if not os.environ.get("COLUMNS", "1").strip("0"):
        del os.environ["COLUMNS"]  # of a terminal that does not know its width
    plain = warnings.formatwarning

    def formatted(message: Warning | str, category: type[Warning], *where: Any) -> str:
        """A warning of this package without the line of its source."""
        is_own = category.__module__.startswith("sampleset.")
        return f"warning: {message}\n" if is_own else plain(message, category, *where)

    warnings.formatwarning = formatted


def _visible(text: str) -> str:
    """The text with control characters, which a server or a file may put into an error, written out."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1]
        for character in text
    )


def _reason(error: OSError) -> str:
    if error.strerror is None:
        return str(error)
    remedy = ""
    if error.errno == errno.ENOENT and error.filename is None:
        return f"{error.strerror}. Is the current folder gone? Change to another."
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG):
        remedy = " Name another file or folder."
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = " Give a file or folder that you may read and write."
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = " Make room, and run the same command again to go on."
    elif error.errno == errno.EFBIG:
        remedy = " Raise the limit of a file's size (ulimit -f), and run the same command again to go on."
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
