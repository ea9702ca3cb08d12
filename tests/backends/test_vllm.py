"""Against the stand-in; `benchmarks/speed/vllm_server.py` asks a real vLLM."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampleset.aggregators.llm_aggregator import LLMAggregator
from sampleset.aggregators.ssa import SampleSetAggregator
from sampleset.backends.base import ScoringBackend, record_of
from sampleset.backends.openai import OpenAIBackend
from sampleset.backends.vllm import MOST_TOKENS, VllmBackend, pieces_of, requests_of, steps_of
from sampleset.chat import Message, SamplingParams
from sampleset.engines.checkpoint import CheckpointRecord, write_record
from sampleset.errors import BackendError, ContextOverflowError, InvalidArgumentError, TransientBackendError
from sampleset.models.opening import ready_backend
from sampleset.prompts import AGGREGATION_PROMPT
from sampleset.specs import build
from sampleset.types import Question, Sample, SampleSet
from support.stub_server import Reply, StubServer, error_reply
from support.vllm_stub import VllmStub, logprob, rendered

CHAT: list[Message] = [
    {"role": "user", "content": "What is 6 times 7?"},
    {"role": "assistant", "content": "<answer>"},
]
TEXTS = ["42</answer>", "4</answer>", "", "13</answer>"]
RECORD = CheckpointRecord("base@0", "select", AGGREGATION_PROMPT, score_weight=1.0, vote_weight=0.5)


def expected(prompt: str, text: str) -> float:
    tokens = [ord(character) for character in prompt + text]
    return math.fsum(logprob(tokens[:place], tokens[place]) for place in range(len(prompt), len(tokens)))


@pytest.fixture
def server() -> Iterator[VllmStub]:
    with VllmStub() as stub:
        yield stub


async def opened(server: StubServer) -> VllmBackend:
    backend = await ready_backend("stub-model", server.base_url)
    assert isinstance(backend, VllmBackend)
    return backend


async def test_a_server_that_says_it_is_vllm_scores_and_others_do_not(server: VllmStub) -> None:
    backend = await opened(server)
    assert isinstance(backend, ScoringBackend)
    assert (backend.context_size, backend.continues_assistant) == (4096, True)
    await backend.aclose()
    with StubServer(owned_by="organization") as other:
        plain = await ready_backend("stub-model", other.base_url)
        assert type(plain) is OpenAIBackend
        await plain.aclose()  # pyright: ignore[reportGeneralTypeIssues]
        named = VllmBackend("stub-model", other.base_url)
        with pytest.raises(BackendError, match="'organization', not vLLM"):
            await named.check()
        await named.aclose()


@pytest.mark.parametrize("knows_tokens", [True, False])
async def test_texts_are_scored_by_their_tokens_after_the_prompt(knows_tokens: bool) -> None:
    with VllmStub(knows_tokens=knows_tokens) as server:
        backend = await opened(server)
        for _ in range(2):
            found = await backend.score(CHAT, TEXTS)
            prompt = rendered(CHAT)
            assert [one.logprob for one in found] == pytest.approx([expected(prompt, one) for one in TEXTS])
            assert [one.tokens for one in found] == [len(one) for one in TEXTS]
            assert {one.prompt_tokens for one in found} == {len(prompt)}
        await backend.aclose()
    asked = ["logprob_token_ids" in one for one in server.completions]
    assert asked == ([True, True] if knows_tokens else [True, False, False])


async def test_one_request_reads_every_beginning_once_and_draws_unfiltered(server: VllmStub) -> None:
    backend = await opened(server)
    await backend.score(CHAT, ["42", "43", "5"])
    (request,) = server.completions
    prompt = [ord(one) for one in rendered(CHAT)]
    assert request["prompt"] == [prompt, [*prompt, ord("4")]]
    assert request["logprob_token_ids"] == [ord(one) for one in "2345"]
    assert (request["temperature"], request["top_p"], request["top_k"], request["max_tokens"]) == (
        1,
        1,
        -1,
        1,
    )
    await backend.aclose()


async def test_draws_ask_for_no_alternatives_which_nobody_reads(server: VllmStub) -> None:
    backend = await opened(server)
    (drawn,) = await backend.generate(CHAT[:1], SamplingParams(), [0])
    assert drawn.logprobs is not None
    assert (server.requests[-1]["logprobs"], server.requests[-1]["top_logprobs"]) == (True, 0)
    await backend.aclose()


async def test_a_server_that_refuses_the_field_is_asked_the_other_way(server: VllmStub) -> None:
    backend = await opened(server)
    server.refusal = error_reply(400, "logprob_token_ids is not supported")
    with pytest.raises(BackendError, match="logprob_token_ids"):
        await backend.score(CHAT, TEXTS)
    server.refusal = None
    assert await backend.score(CHAT, ["4"])
    assert "prompt_logprobs" in server.completions[-1]
    await backend.aclose()


async def test_a_server_that_tells_no_logprobs_is_refused_with_what_to_do() -> None:
    with VllmStub(knows_tokens=False, knows_prompts=False) as server:
        backend = await opened(server)
        with pytest.raises(BackendError, match="Use mode=direct"):
            await backend.score(CHAT, TEXTS)
        await backend.aclose()


async def test_a_damaged_reply_is_worth_another_try(server: VllmStub) -> None:
    backend = await opened(server)
    for reply in (Reply(200, '{"choices": ['), Reply(200, {"choices": []})):
        server.refusal = reply
        with pytest.raises(TransientBackendError):
            await backend.score(CHAT, TEXTS)
    await backend.aclose()


async def test_a_prompt_beyond_the_context_is_an_overflow(server: VllmStub) -> None:
    backend = await opened(server)
    server.refusal = error_reply(400, "This model's maximum context length is 4096 tokens.")
    with pytest.raises(ContextOverflowError):
        await backend.score(CHAT, TEXTS)
    await backend.aclose()


def test_requests_hold_every_step_once_and_few_tokens() -> None:
    texts = [[1, token, 7] for token in range(300)]
    steps = [step for text in texts for step in steps_of(text)]
    requests = requests_of(steps)
    assert [step for one in requests for step in one] == list(dict.fromkeys(steps))
    assert all(len({token for _, token in one}) <= MOST_TOKENS for one in requests)


@pytest.mark.parametrize(
    ("written", "pieces"),
    [
        pytest.param(
            ["Let", "Ġthem", "Ċ", "Ã©", "ðŁ", "İī"], ["Let", " them", "\n", "é", "", "🎉"], id="bytes"
        ),
        pytest.param(["▁Let", "▁them", "<0x0A>", "é"], [" Let", " them", "\n", "é"], id="SentencePiece"),
    ],
)
def test_tokens_are_read_by_their_names(written: list[str], pieces: list[str]) -> None:
    assert pieces_of(written) == pieces


async def test_a_text_is_cut_into_the_servers_tokens(server: VllmStub) -> None:
    backend = await opened(server)
    assert await backend.tokenize("a b\nc") == ["a", " ", "b", "\n", "c"]
    assert "".join(await backend.tokenize("Ġ is a letter")) == "Ġ is a letter"
    await backend.aclose()


SET = SampleSet(
    Question("q", "What is 6 times 7?"),
    tuple(Sample(index, f"So \\boxed{{{answer}}}.") for index, answer in enumerate((13, 13, 42))),
)


async def test_the_answers_of_a_set_are_selected_among(server: VllmStub) -> None:
    backend = await opened(server)
    answer = await LLMAggregator(backend, mode="select").aggregate(SET)
    prompt_end = max(TEXTS, key=lambda text: expected("", text) if text.startswith(("13", "42")) else -99.0)
    assert answer.answer == prompt_end.removesuffix("</answer>")
    assert answer.usage.calls == 1
    await backend.aclose()


async def test_a_trained_aggregator_is_asked_by_the_record_in_the_served_folder(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    with VllmStub(folder=str(tmp_path)) as server:
        backend = await opened(server)
        assert record_of(backend) == RECORD
        assert (await SampleSetAggregator(backend).aggregate(SET)).usage.calls == 1
        await backend.aclose()


async def test_the_record_may_lie_elsewhere(server: VllmStub, tmp_path: Path) -> None:
    backend = await opened(server)
    with pytest.raises(InvalidArgumentError, match="record=FOLDER"):
        build("ssa", backend)
    with pytest.raises(InvalidArgumentError, match=r"no folder with a sampleset\.json"):
        build(f"ssa:record={tmp_path}", backend)
    write_record(tmp_path, RECORD)
    assert (await build(f"ssa:record={tmp_path}", backend).aggregate(SET)).usage.calls == 1
    await backend.aclose()
