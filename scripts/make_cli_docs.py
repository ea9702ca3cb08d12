"""Write docs/reference/cli.md from the `--help` pages.

    python scripts/make_cli_docs.py docs/reference/cli.md

A test compares the file with what this makes.
"""

import os
import sys
from pathlib import Path

from typer.testing import CliRunner

from sampleset.cli.main import app
from sampleset.cli.menu import COMMANDS

COMPLETION = """Your shell completes commands, options, and names of aggregators, datasets and reward models:

```
sampleset --install-completion     # for the shell that you run it in: bash, zsh, fish or PowerShell
sampleset --show-completion        # prints what that adds
```

bash reads it from `~/.bashrc`, zsh from `~/.zshrc` and `~/.zfunc`, fish from `~/.config/fish/completions`. It
works in shells that you open afterwards, from the first Tab on.

Progress goes to stderr, as a bar on a terminal and as a line every ten seconds elsewhere. So does the command
to go on with (`next: ...`). `--quiet` leaves out both.
"""


def help_pages() -> str:
    """All `--help` pages as one Markdown text."""
    os.environ.update(COLUMNS="100", TERMINAL_WIDTH="100", NO_COLOR="1", TERM="dumb")
    made = "Made from the `--help` pages by `python scripts/make_cli_docs.py docs/reference/cli.md`."
    parts = [f"# Command line\n\n{made}\n", COMPLETION]
    for command in COMMANDS:
        page = CliRunner().invoke(app, [command, "--help"], prog_name="sampleset").output
        lines = "\n".join(line.rstrip() for line in page.strip("\n").splitlines())
        parts.append(f"## sampleset {command}\n\n```\n{lines}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    Path(sys.argv[1]).write_text(help_pages(), encoding="utf-8")
