"""Words are told while they are written: those of the aggregator, and of the samples to who watches them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from sampleset import aggregators
from sampleset.aggregators.base import AGGREGATORS
from sampleset.serve.voice import so_far, told_apart
from support.plugins import install_plugin
from support.running import Upstream, alias, call, running
from support.speaker import Speaker

QUESTION: Any = [{"role": "user", "content": "What is 2 + 2?"}]


@contextmanager
def streamed(url: str, **own: Any) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of a streamed request, as they come."""
    body = {"model": "careful", "messages": QUESTION, "stream": True, "seed": 0, "sampleset": own}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=20) as reply:
        yield (json.loads(line[6:]) for line in reply.iter_lines() if line.startswith("data: {"))


def said(events: Sequence[dict[str, Any]], field: str) -> str:
    return "".join(event["choices"][0]["delta"].get(field) or "" for event in events)


def until(events: Iterator[dict[str, Any]], field: str, text: str) -> list[dict[str, Any]]:
    """The events until the field says so much."""
    seen: list[dict[str, Any]] = []
    for event in events:
        seen.append(event)
        if said(seen, field) == text:
            return seen
    raise AssertionError(f"{field} never became {text!r}: {said(seen, field)!r}")


def test_the_thought_of_an_aggregator_comes_while_it_thinks():
    thinks = ["<think>\nThree is", None, " wrong.</think>\n<ans", "wer>4</answer>"]
    with Upstream() as upstream, Speaker(lambda request: thinks) as reader:
        upstream.says = lambda request: rf"So \boxed{{{3 + request['seed'] % 2}}}"
        own = alias(upstream, k=2, aggregator="llm_aggregator", aggregator_model=reader.model)
        with running({"careful": own}) as server, streamed(server.url) as events:
            before = until(events, "reasoning_content", "Three is")
            assert said(before, "content") == ""
            reader.go.set()
            after = list(events)
    everything = [*before, *after]
    assert said(everything, "reasoning_content") == "Three is wrong."
    assert said(everything, "content") == r"So \boxed{4}"
    assert after[-1]["choices"][0]["sampleset"]["answer"] == "4"


@pytest.mark.parametrize(
    ("cap", "told", "answer"),
    [
        pytest.param(20_000, "Three is wrong.", "4", id="room for all"),
        pytest.param(700, "", "3", id="room for the samples"),
    ],
)
def test_an_aggregator_tells_what_it_writes_under_a_cap(cap: int, told: str, answer: str):
    thinks = ["<think>Three is wrong.</think><answer>4</answer>"]
    with Upstream() as upstream, Speaker(lambda request: thinks) as reader:
        upstream.says = lambda request: rf"So \boxed{{{4 if request['seed'] == 2 else 3}}}"
        settings = {"k": 3, "max_tokens": 50, "max_total_tokens": cap, "aggregator": "llm_aggregator"}
        own = alias(upstream, aggregator_model=reader.model, **settings)
        with running({"careful": own}) as server, streamed(server.url, progress="words") as events:
            everything = list(events)
    assert said(everything, "reasoning_content") == told
    last = everything[-1]["choices"][0]["sampleset"]
    assert (last["answer"], "cap_reached" in last["flags"]) == (answer, not told)
    assert [one["stream"] for one in reader.requests] == [True] * bool(told)


def test_the_plain_reply_holds_what_the_stream_tells():
    thinks = ["<think>Three is wrong.</think><answer>4</answer>"]
    with Upstream() as upstream, Speaker(lambda request: thinks) as reader:
        upstream.says = lambda request: rf"So \boxed{{{3 + request['seed'] % 2}}}"
        own = alias(upstream, k=2, aggregator="llm_aggregator", aggregator_model=reader.model)
        with running({"careful": own}) as server:
            body = {"model": "careful", "messages": QUESTION, "seed": 0}
            reply = httpx.post(f"{server.base_url}/chat/completions", json=body).json()
    message = reply["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == (r"So \boxed{4}", "Three is wrong.")
    assert reply["usage"] == reply["usage"] | {"prompt_tokens": 30, "completion_tokens": 15}


def test_a_stream_leaves_nothing_of_the_message_out():
    cited = {"url": "http://localhost/sums", "title": "Sums", "start_index": 0, "end_index": 2}
    message = {
        "content": r"So \boxed{4}",
        "reasoning": "Two and two.",
        "annotations": [{"type": "url_citation", "url_citation": cited}],
    }
    with (
        Upstream(says=lambda request: message) as upstream,
        running({"careful": alias(upstream, k=2)}) as server,
        openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
        client.chat.completions.stream(model="careful", messages=QUESTION) as stream,
    ):
        plain = client.chat.completions.create(model="careful", messages=QUESTION).choices[0].message
        streamed = stream.get_final_completion().choices[0].message
    for one in (plain, streamed):
        assert {name: one.to_dict()[name] for name in message} == message


@pytest.mark.parametrize(
    ("aggregator", "calls"),
    [("generative_self_aggregation", 1), ("rank_then_fuse", 1), ("mixture_of_agents:agents=2", 3)],
)
def test_a_new_solution_comes_while_it_is_written(aggregator: str, calls: int):
    with Upstream() as upstream, Speaker(lambda request: ["Both are", None, r" wrong: \boxed{5}"]) as reader:
        upstream.says = lambda request: rf"So \boxed{{{3 + request['seed'] % 2}}}"
        own = alias(upstream, k=2, aggregator=aggregator, aggregator_model=reader.model)
        if calls > 1:
            reader.go.set()
        with running({"careful": own}) as server, streamed(server.url) as events:
            before = until(events, "content", "Both are")
            reader.go.set()
            everything = [*before, *events]
    assert said(everything, "content") == r"Both are wrong: \boxed{5}"
    assert said(everything, "reasoning_content") == ""
    assert len(reader.requests) == calls
    assert everything[-1]["choices"][0]["sampleset"]["flags"] == ["new_answer"]


PLUGIN = '''
from dataclasses import dataclass
from typing import ClassVar

from sampleset.aggregators.base import Writing, tally
from sampleset.backends.base import Backend
from sampleset.chat import SamplingParams
from sampleset.types import Answer, SampleSet


@dataclass(frozen=True)
class Retold:
    """Return the answer that a model gives after it has retold the question."""

    backend: Backend
    name: ClassVar[str] = "retold"

    @property
    def writing(self) -> Writing:
        return Writing("solution", call=1)

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        told = ""
        for _ in range(2):
            messages = [{"role": "user", "content": sample_set.question.text + told}]
            (reply,) = await self.backend.generate(messages, SamplingParams(), [0])
            told = reply.text
        counted = await tally(sample_set)
        return Answer(sample_set.id, self.name, "5", told, candidates=counted.candidates)
'''


def heard(aggregator: str) -> list[dict[str, Any]]:
    """The events of a request under this aggregator, whose second call is held after its first words."""
    replies = iter([["Two plus two?"], ["It makes", None, r" \boxed{5}"]])
    with Upstream() as upstream, Speaker(lambda request: next(replies)) as reader:
        upstream.says = lambda request: r"So \boxed{4}"
        own = alias(upstream, k=2, aggregator=aggregator, aggregator_model=reader.model)
        with running({"careful": own}) as server, streamed(server.url) as events:
            before = until(events, "content", "It makes")
            reader.go.set()
            return [*before, *events]


def test_a_plugin_from_another_package_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    points = "[sampleset.aggregators]\nretold = retelling:Retold\n"
    install_plugin(monkeypatch, tmp_path, "retelling", PLUGIN, points)
    monkeypatch.setattr(AGGREGATORS, "_entries", {**AGGREGATORS._entries})
    assert said(heard("retold"), "content").startswith(r"It makes \boxed{5}")


def test_a_new_aggregator_in_a_file_of_the_package_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = PLUGIN.replace("import Writing", "import AGGREGATORS, Writing")
    source = source.replace(
        "@dataclass(frozen=True)", '@AGGREGATORS.register("retold")\n@dataclass(frozen=True)'
    )
    (tmp_path / "retold.py").write_text(source)
    monkeypatch.setattr(aggregators, "__path__", [*aggregators.__path__, str(tmp_path)])
    monkeypatch.setattr(AGGREGATORS, "_entries", {**AGGREGATORS._entries})
    try:
        assert said(heard("retold"), "content").startswith(r"It makes \boxed{5}")
    finally:
        sys.modules.pop("sampleset.aggregators.retold", None)


def test_words_that_were_of_no_use_are_followed_by_the_vote():
    with Upstream() as upstream, Speaker(lambda request: ["I cannot say."]) as reader:
        upstream.says = lambda request: r"So \boxed{4}"
        own = alias(upstream, k=2, aggregator="rank_then_fuse", aggregator_model=reader.model)
        with running({"careful": own}) as server, streamed(server.url) as events:
            everything = list(events)
    assert said(everything, "content") == "I cannot say.\n\nSo \\boxed{4}"
    assert "fallback_vote" in everything[-1]["choices"][0]["sampleset"]["flags"]


def test_an_aggregator_that_breaks_off_is_asked_again_and_says_nothing_twice():
    tries = iter([["<think>Three", ValueError()], ["<think>Four is right.</think><answer>4</answer>"]])
    with Upstream() as upstream, Speaker(lambda request: next(tries)) as reader:
        upstream.says = lambda request: rf"So \boxed{{{3 + request['seed'] % 2}}}"
        own = alias(upstream, k=2, aggregator="llm_aggregator", aggregator_model=reader.model)
        with running({"careful": own}) as server, streamed(server.url) as events:
            everything = list(events)
    assert said(everything, "reasoning_content") == "Three\n\nFour is right."
    assert said(everything, "content") == r"So \boxed{4}"


def test_an_aggregator_whose_server_does_not_stream_is_read_whole():
    thinks = ["<think>Three is wrong.</think><answer>4</answer>"]
    with Upstream() as upstream, Speaker(lambda request: thinks, streams=False) as reader:
        upstream.says = lambda request: rf"So \boxed{{{3 + request['seed'] % 2}}}"
        own = alias(upstream, k=2, aggregator="llm_aggregator", aggregator_model=reader.model)
        with running({"careful": own}) as server:
            for _ in range(2):
                with streamed(server.url) as events:
                    everything = list(events)
    assert said(everything, "reasoning_content") == "Three is wrong."
    # What came in one piece is read as it is: nothing is paid twice.
    assert [one["stream"] for one in reader.requests] == [True, True]


def test_who_asks_for_words_sees_the_samples_being_written():
    with Speaker(lambda request: [f"Sample {request['seed']}", None, r" says \boxed{4}"]) as upstream:
        own = {"upstreams": [upstream.model], "k": 2}
        with running({"careful": own}) as server, streamed(server.url, progress="words") as events:
            heard: dict[str, str] = {}
            for event in events:
                for index, text in event.get("sampleset", {}).get("texts", {}).items():
                    heard[index] = heard.get(index, "") + text
                if heard == {"0": "Sample 0", "1": "Sample 1"}:
                    break
            upstream.go.set()
            rest = list(events)
    assert heard == {"0": "Sample 0", "1": "Sample 1"}
    samples = [event["sampleset"] for event in rest if event.get("sampleset", {}).get("event") == "sample"]
    assert sorted(one["text"] for one in samples) == [f"Sample {seed} says \\boxed{{4}}" for seed in (0, 1)]
    assert [one["completion_tokens"] for one in samples] == [5, 5]
    votes = [event["sampleset"] for event in rest if event.get("sampleset", {}).get("event") == "vote"]
    assert votes[-1]["answers"] == {"0": "4", "1": "4"}


def test_who_does_not_ask_for_words_has_no_stream_upstream():
    with Speaker(lambda request: [r"\boxed{4}"]) as upstream:
        own = {"upstreams": [upstream.model], "k": 2}
        with running({"careful": own}) as server, streamed(server.url, progress=True) as events:
            everything = list(events)
    assert said(everything, "content") == r"\boxed{4}"
    assert [one["stream"] for one in upstream.requests] == [False, False]


def test_a_sample_that_breaks_off_is_drawn_again():
    tries = iter([["So", ValueError()], [r"So \boxed{4}"]])
    with Speaker(lambda request: next(tries)) as upstream:
        own = {"upstreams": [upstream.model], "k": 1}
        with running({"careful": own}) as server, streamed(server.url, progress="words") as events:
            everything = list(events)
    told = [event["sampleset"] for event in everything if event.get("sampleset", {}).get("event")]
    assert [one["indices"] for one in told if one["event"] == "retry"] == [[0]]
    assert said(everything, "content") == r"So \boxed{4}"


def test_tool_calls_are_put_together_from_their_pieces():
    first = call("weather", '{"city"')["tool_calls"][0]
    pieces = [
        {"content": None, "tool_calls": [{"index": 0, **first}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ': "Oslo"}'}}]},
    ]
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    own = {"sampleset": {"progress": "words"}}
    with Speaker(lambda request: pieces) as upstream:
        models = {"careful": {"upstreams": [upstream.model], "k": 2}}
        with (
            running(models) as server,
            openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
            client.chat.completions.stream(
                model="careful", messages=QUESTION, tools=tools, extra_body=own
            ) as stream,
        ):
            message = stream.get_final_completion().choices[0].message
    (made,) = message.tool_calls  # pyright: ignore[reportGeneralTypeIssues]
    assert (made.function.name, made.function.arguments) == ("weather", '{"city": "Oslo"}')


def test_universal_self_consistency_answers_with_the_sample_it_names():
    reply = ["The most consistent response is Response 1"]
    with Upstream() as upstream, Speaker(lambda request: reply) as reader:
        upstream.says = lambda request: rf"So \boxed{{{3 + request['seed'] % 2}}}"
        own = alias(upstream, k=2, aggregator="universal_self_consistency", aggregator_model=reader.model)
        with running({"careful": own}) as server, streamed(server.url) as events:
            everything = list(events)
    answer = everything[-1]["choices"][0]["sampleset"]["answer"]
    assert said(everything, "content") == rf"So \boxed{{{answer}}}"


@pytest.mark.parametrize("thinks", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "<think>\nOne, two.</think>\n<answer>4</answer>",
        "<thinking is hard> 1 < 2 </a b",
        "One.\n\n<answer>4</answer>",
        "No tags: <1>. ",
        "<think>a</think>b</think>c",
    ],
)
def test_what_was_told_is_never_taken_back(text: str, thinks: bool):
    thought, words = told_apart(text, thinks)
    before = ("", "")
    for end in range(len(text) + 1):
        now = so_far(text[:end], thinks)
        assert all(new.startswith(old) for new, old in zip(now, before, strict=True)), text[:end]
        before = now
    assert thought.startswith(before[0])
    assert words.startswith(before[1])


def test_the_thought_stands_apart_from_the_answer():
    assert told_apart("<think>\nHm.</think>\n<answer>4</answer>", True) == ("Hm.", "4")
    assert told_apart("Hm. <answer>4</answer>", True) == ("Hm.", "4")
    assert told_apart("<think>Hm.</think>So 4.", False) == ("Hm.", "So 4.")
    assert told_apart("So 4.", False) == ("", "So 4.")
