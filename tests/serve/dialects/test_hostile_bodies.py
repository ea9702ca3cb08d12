"""Whatever stands in a field of any API, the request is made or refused by name: nothing else is raised."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sampleset.serve.api_errors import ApiError
from sampleset.serve.config import serve_config
from sampleset.serve.dialects.base import Dialect
from sampleset.serve.dialects.completions import Completions
from sampleset.serve.dialects.messages import Messages
from sampleset.serve.dialects.responses import Responses
from sampleset.serve.requests import parse_request

ALIASES = serve_config(
    {"models": {"a": {"upstreams": [{"model": "x", "base_url": "http://127.0.0.1/v1"}]}}}
).models
BODIES: dict[type[Dialect], dict[str, Any]] = {
    Dialect: {"messages": [{"role": "user", "content": "2?"}]},
    Completions: {"prompt": "2?"},
    Responses: {"input": "2?"},
    Messages: {"messages": [{"role": "user", "content": "2?"}]},
}
KINDS = (
    *("text", "message", "function", "function_call", "function_call_output", "image", "input_image"),
    *("tool_use", "tool_result", "json_schema", "tool", "allowed_tools", "any", [], {}, 1, None),
)
ODD: list[Any] = [
    *(
        True,
        0,
        -1,
        1e308,
        10**30,
        "",
        "x",
        "\ud800",
        [],
        [1],
        [None],
        [[]],
        [{}],
        {},
        {"a": None},
        [{"type": 1}],
    ),
    *({"type": kind} for kind in KINDS),
    *([{"type": kind}] for kind in KINDS),
    *([{"role": "user", "content": [{"type": kind}]}] for kind in KINDS),
    *(
        [{"role": "user", "content": odd}]
        for odd in (1, {}, [1], [[]], "\ud800", [{"type": "text", "text": {}}])
    ),
    [{"role": "assistant", "content": [{"type": "tool_use", "input": {"a": "\ud800"}}]}],
    [{"role": [], "content": "a"}],
    {"effort": {}, "format": {"type": {}}, "user_id": []},
    json.loads("[" * 200 + "]" * 200),
]


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        pytest.param(dialect, name, id=f"{dialect.__name__}.{name}")
        for dialect in BODIES
        for name in dialect.parameters
    ],
)
def test_an_odd_value_makes_a_request_or_is_refused(dialect: type[Dialect], name: str):
    refused = 0
    for value in ODD:
        body = {"model": "a", **BODIES[dialect], name: value}
        try:
            parse_request(body, ALIASES, {"a": "majority_vote"}, {"a": False}, dialect)
        except ApiError as error:
            refused += 1
            assert error.status in (400, 404)
            assert len(error.message) < 400
            json.dumps(error.body())
    assert refused or name in ("cache_control", "system", "instructions")
