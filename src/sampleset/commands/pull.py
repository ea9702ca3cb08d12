"""Fetch a trained aggregator into the cache."""

from __future__ import annotations

from typing import Annotated

from sampleset.commands.options import argument, option
from sampleset.commands.run import Output, print_json
from sampleset.models.pulled import pull as pulled

EXAMPLE = "sampleset pull https://example.org/ssa-1.5b.tar.gz --digest sha256:..."


def pull(
    source: Annotated[str, argument("A folder, the address of a .tar.gz or .zip, or a Hub id OWNER/NAME.")],
    run: Output,
    digest: Annotated[
        str | None, option("--digest", help="The digest that its files must have, sha256:...")
    ] = None,
) -> None:
    """Fetch a trained aggregator into the cache by its digest, and say how to use it."""
    with run.status_line() as show:
        model = pulled(source, digest, show)
    if run.as_json:
        base = model.record.base_model
        print_json({"folder": str(model.folder), "digest": model.digest, "base_model": base})
        return
    print(model.folder)
    run.note(f"digest: {model.digest}")
    run.note(f"trained on: {model.record.base_model}")
    run.next("answer", "What is 17 + 25?", "--aggregator", "ssa", "--aggregator-model", model.folder)
