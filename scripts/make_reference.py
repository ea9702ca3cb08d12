"""Write the reference of the Python API: `python scripts/make_reference.py docs/reference/python-api.md`.

Every name that `sampleset` exports, with its signature and docstring. A test compares the page with the code.
"""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import sampleset

OPENING = """# Python reference

Every name of `from sampleset import ...`, made from the code by `scripts/make_reference.py`.
[In Python](python.md) shows how they go together. All of them are typed; the package carries `py.typed`.
"""
SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Yields):$")


def reference() -> str:
    """The page."""
    known = {name: getattr(sampleset, name) for name in sampleset.__all__}
    kinds = {
        "Functions": [name for name, value in known.items() if inspect.isfunction(value)],
        "Classes": [name for name, value in known.items() if inspect.isclass(value)],
    }
    kinds["Registries"] = [name for name in known if not any(name in names for names in kinds.values())]
    parts = [OPENING]
    for heading, names in kinds.items():
        parts.append(f"## {heading}\n")
        parts += [entry(name, known[name]) for name in sorted(names, key=str.lower)]
    return "\n".join(parts)


def entry(name: str, value: Any) -> str:
    """One name, and of a class the methods that it defines itself."""
    if not callable(value):
        lines = [f"### {name}\n", f"Entries by name: {', '.join(f'`{one}`' for one in value.names())}.\n"]
        return "\n".join(lines)
    parts = [f"### {name}\n", signature(name, value), markdown(inspect.getdoc(value) or "")]
    for method, inner in vars(value).items() if inspect.isclass(value) else ():
        function = inner.__func__ if isinstance(inner, classmethod | staticmethod) else inner
        if method.startswith("_") or not (inspect.isfunction(function) or isinstance(inner, property)):
            continue
        text = inspect.getdoc(inner)
        if isinstance(inner, property):
            parts += [f"#### {name}.{method}\n", markdown(text or "")]
        else:
            parts += [f"#### {name}.{method}\n", signature(method, function), markdown(text or "")]
    return "\n".join(parts)


def signature(name: str, value: Any) -> str:
    """How it is called, with types, in a block."""
    try:
        found = inspect.signature(value)
    except ValueError:
        return ""
    kept = [one for one in found.parameters.values() if one.name not in ("self", "cls")]
    if is_dataclass(value):
        shown = {one.name for one in fields(value) if one.init and not one.name.startswith("_")}
        kept = [one for one in kept if one.name in shown]
    words = [_parameter(one) for one in kept]
    if any(one.kind is inspect.Parameter.KEYWORD_ONLY for one in kept):
        first = next(at for at, one in enumerate(kept) if one.kind is inspect.Parameter.KEYWORD_ONLY)
        if not any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in kept):
            words.insert(first, "*")
    gives = "" if inspect.isclass(value) else f" -> {_type(found.return_annotation)}"
    line = f"{name}({', '.join(words)}){gives}"
    if len(line) > 90 and words:
        inner = "".join(f"    {word},\n" for word in words)
        line = f"{name}(\n{inner}){gives}"
    coroutine = "async " if inspect.iscoroutinefunction(value) else ""
    return f"```python\n{coroutine}{line}\n```\n"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(
        parameter.kind, ""
    )
    typed = f"{stars}{parameter.name}: {_type(parameter.annotation)}"
    if parameter.default is inspect.Parameter.empty:
        return typed
    plain = isinstance(parameter.default, str | int | float | bool | tuple | type(None))
    return f"{typed} = {parameter.default!r}" if plain else f"{typed} = ..."


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def markdown(docstring: str) -> str:
    """A docstring in Google's style as Markdown: its sections as lists."""
    lines: list[str] = []
    in_section = False
    for line in docstring.splitlines():
        if title := SECTION.match(line):
            lines += [f"**{title[1]}**", ""]
            in_section = True
        elif in_section and (item := re.match(r"    (\*{0,2}[\w.]+): (.*)", line)):
            lines.append(f"- `{item[1]}`: {item[2]}")
        elif in_section and line.startswith("    "):
            lines.append(
                f"  {line.strip()}" if lines and lines[-1].startswith(("- ", "  ")) else line.strip()
            )
        else:
            in_section = in_section and not line.strip()
            lines.append(line)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    Path(sys.argv[1]).write_text(reference(), "utf-8")
