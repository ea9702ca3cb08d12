"""promptfoo: the results of `promptfoo eval --output FILE`, as JSON or JSONL.

Scores and verdicts of its assertions know the gold answer and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from sampleset.storage.column_names import PROMPT_COLUMNS
from sampleset.storage.foreign._chats import is_list, is_mapping
from sampleset.storage.foreign._completions import failure, flattened_sets
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source, answer_texts, first_text, gold_of
from sampleset.storage.records import Row

_EQUAL = ("equals", "contains", "icontains", "starts-with", "similar", "factuality")
"""Assertions whose value is the right answer, the plainest first."""

_VARIABLE = re.compile(r"\{\{-?\s*(\w+)\s*-?\}\}")


@FORMATS.register("promptfoo")
class Promptfoo:
    """Results with `vars`, `prompt` and `response`, in a document or one a row."""

    title: ClassVar[str] = "promptfoo results"
    general: ClassVar[bool] = False

    def recognises(self, source: Source) -> bool:
        """Whether the first row is a document of results, or a result."""
        columns = {name for result in _results(source.first)[:1] for name in result}
        return {"vars", "prompt"} <= columns and bool({"response", "error"} & columns)

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a question: what the test's variables ask, else the prompt as it was sent."""
        yield from flattened_sets(source, lambda row: map(_completion, _results(row)))


def _results(row: Row) -> list[Row]:
    """The results in a row: it may be the whole document, of which versions nest them."""
    inner = row.get("results")
    nested = inner.get("results") if is_mapping(inner) else inner
    return [result for result in nested if is_mapping(result)] if is_list(nested) else [row]


def _completion(result: Row) -> dict[str, Any]:
    variables: Row = result["vars"] if is_mapping(result.get("vars")) else {}
    prompt, response, provider = (result.get(name) for name in ("prompt", "response", "provider"))
    raw = prompt.get("raw") if is_mapping(prompt) else prompt
    output = response.get("output") if is_mapping(response) else response
    model = provider.get("id") if is_mapping(provider) else provider
    gold = _gold(result, variables)
    return {
        "question": first_text(variables, PROMPT_COLUMNS) or raw,
        **({} if gold is None else {"answer": gold}),
        **({"model": model} if isinstance(model, str) else {}),
        **(failure(result.get("error")) if output is None else {"output": str(output)}),
    }


def _gold(result: Row, variables: Row) -> str | None:
    """The right answer: a variable that is named so, or what an assertion compares with."""
    if (named := gold_of(variables)) is not None:
        return named
    test = result.get("testCase")
    asserted = test.get("assert") if is_mapping(test) else None
    checks = [check for check in asserted if is_mapping(check)] if is_list(asserted) else []
    for kind in _EQUAL:
        for check in checks:
            answers = answer_texts(check.get("value")) if check.get("type") == kind else []
            if answers:
                return _VARIABLE.sub(lambda match: str(variables.get(match[1], match[0])), answers[0])
    return None
