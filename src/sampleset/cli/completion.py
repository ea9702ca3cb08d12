"""Completion in a shell. typer writes the scripts; the one for zsh gets a piece more."""

from __future__ import annotations

from typer import _completion_shared as shells

_FIRST_TAB = """
if [[ $funcstack[1] == _%(prog_name)s ]]; then
  %(complete_func)s
fi
"""


def complete_from_the_first_tab() -> None:
    """Let zsh complete from the first Tab on.

    At the first Tab zsh loads the file `_sampleset` and calls it. typer's script only registers a function
    then, so that this Tab rings the bell and the second completes.
    """
    scripts: dict[str, str] = getattr(shells, "_completion_scripts", {})
    script = scripts.get("zsh", "")
    if "compdef" in script and "$funcstack" not in script:
        scripts["zsh"] = script + _FIRST_TAB
