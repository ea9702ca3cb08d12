# pyright: reportMissingImports=false
"""Other people's clients of each API, as they are: plain, streamed, asynchronous, with tools and with errors.

OpenAI's own are tried in `test_openai_sdk.py` and `dialects/`, LangChain and `llm` in `test_clients.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from support.garbage import collect_quietly
from support.running import Running, Upstream, call, local_alias, running
from support.stub_server import Reply

pytestmark = pytest.mark.filterwarnings("ignore")

LONG = "word " * 100 + "\\boxed{4}"


class City(BaseModel):
    """What structured replies hold."""

    name: str
    people: int


@pytest.fixture(autouse=True)
def left_connections() -> Iterator[None]:
    yield
    collect_quietly()


class TestAnthropic:
    """The package `anthropic`."""

    @pytest.fixture
    def client(self, server: Running) -> Any:
        anthropic = pytest.importorskip("anthropic")
        return anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0)

    ASKED: dict[str, Any] = {  # noqa: RUF012 - a constant
        "model": "careful",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "2 + 2?"}],
    }

    def test_asks(self, client: Any, upstream: Upstream):
        reply = client.messages.create(**self.ASKED, system="Be brief.", extra_body={"sampleset": {"k": 2}})
        assert [block.text for block in reply.content] == ["\\boxed{4}"]
        assert (reply.stop_reason, reply.usage.output_tokens) == ("end_turn", 10)
        assert len(upstream.requests) == 2
        assert upstream.requests[0]["messages"][0] == {"role": "system", "content": "Be brief."}

    def test_streams(self, client: Any, upstream: Upstream):
        upstream.says = lambda request: LONG
        with client.messages.stream(**self.ASKED) as stream:
            assert "".join(stream.text_stream) == LONG
            final = stream.get_final_message()
        assert final.content[0].text == LONG
        assert (final.usage.input_tokens, final.usage.output_tokens) == (30, 15)
        events = [event.type for event in client.messages.create(**self.ASKED, stream=True)]
        assert (events[0], events[-1]) == ("message_start", "message_stop")

    async def test_streams_asynchronously(self, server: Running):
        anthropic = pytest.importorskip("anthropic")
        client = anthropic.AsyncAnthropic(base_url=server.url, api_key="none")
        async with client, client.messages.stream(**self.ASKED) as stream:
            assert (await stream.get_final_message()).content[0].text == "\\boxed{4}"

    def test_calls_tools(self, client: Any, upstream: Upstream):
        upstream.says = lambda request: call("weather", '{"city": "Oslo"}')
        tools = [{"name": "weather", "input_schema": {"type": "object"}}]
        plain = client.messages.create(**self.ASKED, tools=tools)
        with client.messages.stream(**self.ASKED, tools=tools) as stream:
            streamed = stream.get_final_message()
        for reply in (plain, streamed):
            assert [(block.name, block.input) for block in reply.content] == [("weather", {"city": "Oslo"})]
            assert reply.stop_reason == "tool_use"

    def test_raises_what_the_server_says(self, client: Any, upstream: Upstream):
        anthropic = pytest.importorskip("anthropic")
        with pytest.raises(anthropic.NotFoundError, match="This server has: careful"):
            client.messages.create(**{**self.ASKED, "model": "other"})
        with pytest.raises(anthropic.NotFoundError, match="count_tokens"):
            client.messages.count_tokens(model="careful", messages=self.ASKED["messages"])
        upstream.says = lambda request: Reply(401, {"error": {"message": "no"}})
        with pytest.raises(anthropic.APIStatusError, match="refuses the server's key"):
            list(client.messages.create(**self.ASKED, stream=True))


class TestPydanticAI:
    """Agents of pydantic-ai, by each of the APIs."""

    @pytest.fixture(params=["chat", "responses", "anthropic"])
    def model(self, request: pytest.FixtureRequest, server: Running) -> Any:
        pytest.importorskip("pydantic_ai")
        if request.param == "anthropic":
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            provider: Any = AnthropicProvider(base_url=server.url, api_key="none")
            return AnthropicModel("careful", provider=provider)
        from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
        from pydantic_ai.providers.openai import OpenAIProvider

        kind: Any = OpenAIChatModel if request.param == "chat" else OpenAIResponsesModel
        return kind("careful", provider=OpenAIProvider(base_url=server.base_url, api_key="none"))

    async def test_asks_and_streams(self, model: Any, upstream: Upstream):
        from pydantic_ai import Agent

        agent = Agent(model, instructions="Be brief.")
        reply = await agent.run("2 + 2?")
        assert (reply.output, reply.usage.output_tokens) == ("\\boxed{4}", 15)
        assert [one["role"] for one in upstream.requests[0]["messages"]] == ["system", "user"]
        upstream.says = lambda request: LONG
        async with agent.run_stream("2 + 2?") as stream:
            assert await stream.get_output() == LONG

    async def test_calls_a_tool_and_goes_on(self, model: Any, upstream: Upstream):
        from pydantic_ai import Agent

        agent = Agent(model)

        @agent.tool_plain
        def weather(city: str) -> str:
            """The weather in a city."""
            return f"rain in {city}"

        def says(request: dict[str, Any]) -> Any:
            told = [one["content"] for one in request["messages"] if one["role"] == "tool"]
            return f"It is {told[0]}." if told else call("weather", '{"city": "Oslo"}')

        upstream.says = says
        reply = await agent.run("How is it in Oslo?")
        assert reply.output == "It is rain in Oslo."

    async def test_reads_structured_output(self, model: Any, upstream: Upstream):
        from pydantic_ai import Agent

        def says(request: dict[str, Any]) -> Any:
            (tool,) = request["tools"]
            return call(tool["function"]["name"], '{"name": "Oslo", "people": 700000}')

        upstream.says = says
        reply = await Agent(model, output_type=City).run("Which city?")
        assert reply.output == City(name="Oslo", people=700000)


class TestInstructor:
    """Records by instructor."""

    @pytest.mark.parametrize("mode", ["TOOLS", "JSON", "JSON_SCHEMA", "RESPONSES_TOOLS"])
    def test_reads_a_record(self, server: Running, upstream: Upstream, mode: str):
        instructor = pytest.importorskip("instructor")
        record = '{"name": "Oslo", "people": 700000}'
        upstream.says = lambda request: (
            call(request["tools"][0]["function"]["name"], record) if request.get("tools") else record
        )
        import openai

        client = instructor.from_openai(
            openai.OpenAI(base_url=server.base_url, api_key="none"), mode=instructor.Mode[mode]
        )
        found = client.chat.completions.create(
            model="careful", response_model=City, messages=[{"role": "user", "content": "Which city?"}]
        )
        assert found.model_dump() == {"name": "Oslo", "people": 700000}


class TestLiteLLM:
    """The three APIs and text completions by litellm."""

    @pytest.fixture
    def litellm(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        return pytest.importorskip("litellm")

    def test_asks_for_chat_completions(self, litellm: Any, server: Running, upstream: Upstream):
        upstream.says = lambda request: LONG
        asked = {
            "model": "openai/careful",
            "api_base": server.base_url,
            "api_key": "none",
            "messages": [{"role": "user", "content": "2 + 2?"}],
        }
        assert litellm.completion(**asked).choices[0].message.content == LONG
        chunks = litellm.completion(**asked, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == LONG
        reply = asyncio.run(litellm.acompletion(**asked))
        assert reply.choices[0].message.content == LONG

    def test_asks_for_text_completions(self, litellm: Any, server: Running):
        asked = {"model": "text-completion-openai/careful", "api_base": server.base_url, "api_key": "none"}
        assert litellm.text_completion(prompt="2 + 2?", **asked).choices[0].text == "\\boxed{4}"

    def test_asks_for_responses(self, litellm: Any, server: Running):
        asked = {"model": "openai/careful", "api_base": server.base_url, "api_key": "none", "input": "2?"}
        assert litellm.responses(**asked).output[0].content[0].text == "\\boxed{4}"
        events = [event.type for event in litellm.responses(**asked, stream=True)]
        assert events[-1] == "response.completed"

    def test_asks_for_messages(self, litellm: Any, server: Running):
        asked = {
            "model": "anthropic/careful",
            "api_base": server.url,
            "api_key": "none",
            "messages": [{"role": "user", "content": "2 + 2?"}],
        }
        assert litellm.completion(**asked).choices[0].message.content == "\\boxed{4}"
        chunks = litellm.completion(**asked, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "\\boxed{4}"


@pytest.mark.parametrize("is_chat", [True, False], ids=["chat", "text"])
def test_llama_index_completes(server: Running, upstream: Upstream, is_chat: bool):
    openai_like = pytest.importorskip("llama_index.llms.openai_like")
    upstream.says = lambda request: LONG
    model = openai_like.OpenAILike(
        model="careful", api_base=server.base_url, api_key="none", is_chat_model=is_chat, max_tokens=50
    )
    assert model.complete("2 + 2?").text == LONG
    assert "".join(part.delta or "" for part in model.stream_complete("2 + 2?")) == LONG


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
async def test_inspect_ai_sends_all_it_has_to_a_model_that_leaves_some_aside(tmp_path: Path, responses: bool):
    pytest.importorskip("inspect_ai")
    from inspect_ai import model as inspect_model

    left = ["frequency_penalty", "presence_penalty", "logprobs", "top_logprobs", "reasoning_effort"]
    with running({"local": local_alias(tmp_path, "2 + 2?", ignore=left)}) as server:
        model = inspect_model.get_model(
            "openai-api/local/local", base_url=server.base_url, api_key="none", responses_api=responses
        )
        own = {"seed": 7, "stop_seqs": ["END"], "frequency_penalty": 0.5} if not responses else {}
        config = inspect_model.GenerateConfig(
            **own, presence_penalty=0.5, logprobs=True, top_logprobs=2, reasoning_effort="low", max_tokens=50
        )
        reply = await model.generate("2 + 2?", config=config)
    assert reply.completion == "So it is \\boxed{4}."


TASK = r"""
task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\n\n"], max_gen_toks: 50}
filter_list:
  - name: boxed
    filter: [{function: regex, regex_pattern: "boxed.(-?[0-9]+)"}, {function: take_first}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""


@pytest.mark.parametrize(
    ("kind", "path"),
    [("local-chat-completions", "chat/completions"), ("local-completions", "completions")],
)
def test_lm_eval_scores_the_vote(
    server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, path: str
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.tasks import TaskManager

    (tmp_path / "q.jsonl").write_text(
        '{"question": "1+3?", "answer": "4"}\n{"question": "2+2?", "answer": "4"}\n'
    )
    (tmp_path / "sums.yaml").write_text(TASK.replace("FILE", str(tmp_path / "q.jsonl")))
    found = lm_eval.simple_evaluate(
        model=kind,
        model_args={
            "model": "careful",
            "base_url": f"{server.base_url}/{path}",
            "tokenizer_backend": None,
            "tokenized_requests": False,
        },
        tasks=["sums"],
        task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        apply_chat_template=kind == "local-chat-completions",
    )
    assert found["results"]["sums"]["exact_match,boxed"] == 1.0
