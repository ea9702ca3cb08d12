"""The server, as a file or the options describe it."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from sampleset.commands.options import MODEL, RUN, SAMPLES, aggregator_option, option
from sampleset.errors import InvalidArgumentError

SERVER = "Server"

EXAMPLE = "sampleset serve --model embedded --port 8700"


def serve(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", help="What to serve: serve.yaml, see docs/reference/serve.md.", rich_help_panel=RUN
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        option("--model", help="Serve this model under its name, without a file; repeatable.", panel=MODEL),
    ] = None,
    base_url: Annotated[
        str | None, option("--base-url", help="OpenAI-compatible server of --model, up to /v1.", panel=MODEL)
    ] = None,
    samples: Annotated[
        int | None,
        option("-k", "--samples", help="Samples of one answer of --model; 5 by default.", panel=SAMPLES),
    ] = None,
    aggregator: Annotated[
        str | None,
        aggregator_option("How --model's samples become one answer."),
    ] = None,
    host: Annotated[
        str | None, option("--host", help="Address to bind; 127.0.0.1 by default.", panel=SERVER)
    ] = None,
    port: Annotated[
        int | None, option("--port", help="Port to bind; 8700 by default, 0 takes a free one.", panel=SERVER)
    ] = None,
    api_keys_file: Annotated[
        Path | None, option("--api-keys-file", help="Keys clients may use, one a line.", panel=SERVER)
    ] = None,
    keep_runs: Annotated[
        int | None,
        option("--keep-runs", help="Keep so many runs in memory, for links that replay them.", panel=SERVER),
    ] = None,
    quiet: Annotated[
        bool, option("--quiet", "-q", help="Print no addresses and no line a request.", panel=RUN)
    ] = False,
) -> None:
    """Serve an OpenAI-compatible endpoint whose answers are made of k samples, and a page to watch it."""
    from sampleset.serve import load

    server, settings = load()
    if (config is None) == (not model):
        raise InvalidArgumentError("Give --config serve.yaml, or --model REF (say, embedded).")
    where, values = "the options", dict[str, Any]()
    if config is not None:
        if base_url or samples is not None or aggregator:
            raise InvalidArgumentError(
                "--base-url, -k and --aggregator go with --model; the file says them itself."
            )
        where, values = str(config), settings.read_serve_config(config)
    else:
        key_env = "OPENAI_API_KEY" if os.environ.get("OPENAI_API_KEY") else None
        overrides = {"k": samples, "aggregator": aggregator}
        values["models"] = {
            name: settings.default_alias(name, base_url, key_env if base_url else None)
            | {key: value for key, value in overrides.items() if value is not None}
            for name in model or ()
        }
    flags = {
        "host": host,
        "port": port,
        "api_keys_file": str(api_keys_file) if api_keys_file else None,
        "keep_runs": keep_runs,
    }
    values |= {name: value for name, value in flags.items() if value is not None}
    # Requests leave few cycles behind, and to look for them at Python's pace takes an eighth of a request.
    gc.set_threshold(10_000, 20, 20)
    server.run(settings.serve_config(values, where), quiet=quiet)
