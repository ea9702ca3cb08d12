"""Write the JSON schemas of recipes, `serve.yaml`, pools and settings, for editors.

    python scripts/make_schemas.py docs/schemas

A test compares the files with what this makes. The first line of a YAML file names its schema to an editor:
`# yaml-language-server: $schema=PATH/recipe.json`.
"""

import inspect
import json
import re
import sys
from inspect import signature
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from typer.models import ParameterInfo

from sampleset.cli.menu import COMMANDS, command_function
from sampleset.cli.parameters import spread_out
from sampleset.sampling.members import Member
from sampleset.serve.config import AliasConfig, ServeConfig
from sampleset.training.recipe import GrpoOptions, LoraOptions, Recipe

RECORDS = (Recipe, LoraOptions, GrpoOptions, ServeConfig, AliasConfig, Member)


def schemas() -> dict[str, dict[str, Any]]:
    """The schemas by file name."""
    server = _schema(ServeConfig, "serve.yaml of sampleset")
    alias = server["$defs"]["AliasConfig"]["properties"]
    alias["aggregator_model"]["anyOf"].append({"type": "string"})
    pool = _schema(Member, "A pool of sampleset")
    member = {name: value for name, value in pool.items() if name not in ("$schema", "title")}
    listed = {"type": "array", "items": member, "minItems": 1}
    return {
        "settings.json": _settings_schema(),
        "recipe.json": _schema(Recipe, "A training recipe of sampleset"),
        "serve.json": server,
        "pool.json": {
            "$schema": pool["$schema"],
            "title": pool["title"],
            "anyOf": [listed, {"type": "object", "properties": {"pool": listed}, "required": ["pool"]}],
        },
    }


def _schema(kind: type[Any], title: str) -> dict[str, Any]:
    made = TypeAdapter(kind).json_schema()
    parts = {**made.get("$defs", {}), kind.__name__: made}
    for record in RECORDS:
        if (part := parts.get(record.__name__)) is not None:
            part["additionalProperties"] = False
            part["description"] = (inspect.getdoc(record) or "").split("\n\n")[0].replace("\n", " ")
            for name, says in _attributes(record).items():
                part["properties"][name]["description"] = says
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": title}


def _settings_schema() -> dict[str, Any]:
    """What `--config` reads: options of all commands, and a section for each."""
    options: dict[str, Any] = {}
    sections: dict[str, Any] = {}
    for name, entry in COMMANDS.items():
        own: dict[str, Any] = {}
        for parameter in signature(spread_out(command_function(name, entry))).parameters.values():
            if parameter.name in ("config", "set_"):
                continue
            made = TypeAdapter(parameter.annotation).json_schema()
            hints = getattr(parameter.annotation, "__metadata__", ())
            says = next((one.help for one in hints if isinstance(one, ParameterInfo)), None)
            own[parameter.name] = made | ({"description": says} if says else {})
        options |= own
        sections[name] = {"type": "object", "properties": own, "additionalProperties": False}
    schema = "https://json-schema.org/draft/2020-12/schema"
    # An option of several commands may differ between them: its type is checked in a command's section only.
    common = {name: {key: value for key, value in made.items() if key == "description"}
              for name, made in options.items()}  # fmt: skip
    return {"$schema": schema, "title": "Settings of sampleset, for --config", "type": "object",
            "properties": common | sections}  # fmt: skip


def _attributes(kind: type[Any]) -> dict[str, str]:
    """What the docstring says of each attribute."""
    _, _, section = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", section, re.MULTILINE | re.DOTALL)
    return {name: re.sub(r"\s+", " ", says).strip() for name, says in found}


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        (folder / name).write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
