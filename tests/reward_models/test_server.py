"""The server's client against transcripts: replies in the shapes of vLLM 0.10 to 0.18."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sampleset.errors import (
    AuthenticationError,
    BackendError,
    BackendUnreachableError,
    InvalidArgumentError,
    TransientBackendError,
)
from sampleset.reward_models.base import RewardScore
from sampleset.reward_models.server import ServerRewardModel
from sampleset.types import Question, Usage

QUESTION = Question("q", "What is 3 + 4?")
USAGE = {"prompt_tokens": 21, "total_tokens": 21, "completion_tokens": 0, "prompt_tokens_details": None}
Answer = Callable[[str, dict[str, Any]], tuple[int, object]]


class Scorer:
    """A server that answers by a function of path and body, and remembers both."""

    def __init__(self) -> None:
        self.answer: Answer = lambda path, body: (500, {})
        self.asked: list[tuple[str, dict[str, Any]]] = []
        scorer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                scorer.asked.append((self.path, body))
                status, reply = scorer.answer(self.path, body)
                data = reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Retry-After", "0")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def scorer() -> Iterator[Scorer]:
    one = Scorer()
    yield one
    one.close()


async def scored(scorer: Scorer, samples: list[str], **options: Any) -> list[RewardScore]:
    model = ServerRewardModel("rm", base_url=f"{scorer.url}/v1", **options)
    try:
        return await model.score(QUESTION, samples)
    finally:
        await model.aclose()


def pooled(data: object) -> tuple[int, object]:
    one = {"index": 0, "object": "pooling", "data": data}
    return 200, {
        "id": "pool-1",
        "object": "list",
        "created": 1,
        "model": "rm",
        "data": [one],
        "usage": USAGE,
    }


async def test_an_outcome_model_is_asked_by_chat(scorer: Scorer):
    scorer.answer = lambda path, body: pooled([-2.5])
    (score,) = await scored(scorer, ["7"])
    assert score == RewardScore(-2.5, usage=Usage(prompt_tokens=21, calls=1))
    assert scorer.asked == [
        (
            "/pooling",
            {
                "model": "rm",
                "messages": [
                    {"role": "user", "content": "What is 3 + 4?"},
                    {"role": "assistant", "content": "7"},
                ],
                "add_generation_prompt": False,
            },
        )
    ]


async def test_of_a_model_that_scores_every_token_the_last_counts(scorer: Scorer):
    scorer.answer = lambda path, body: pooled([[0.5], [1.5], [3.0]])
    (score,) = await scored(scorer, ["7"])
    assert (score.value, score.steps) == (3.0, ())


async def test_a_qwen_prm_is_sent_tags_and_its_second_label_counts(scorer: Scorer):
    scorer.answer = lambda path, body: pooled([[0.25, 0.75], [0.9, 0.1]])
    (score,) = await scored(scorer, ["a<extra_0>\n\nb"], layout="qwen_prm")
    assert score.steps == (0.75, 0.1)
    assert score.value == 0.1
    system, _, solution = scorer.asked[0][1]["messages"]
    assert system["content"] == "Please reason step by step, and put your final answer within \\boxed{}."
    assert solution["content"] == "a< extra_0><extra_0>b<extra_0>"


async def test_a_math_shepherd_is_sent_text_and_its_first_sign_counts(scorer: Scorer):
    scorer.answer = lambda path, body: pooled([[0.75, 0.25], [0.1, 0.9]])
    (score,) = await scored(scorer, ["a\nb"], layout="math_shepherd")
    assert score.steps == (0.75, 0.1)
    assert scorer.asked[0][1]["input"] == "What is 3 + 4? Step 1: a ки\nStep 2: b ки"


async def test_a_classifier_gives_its_one_probability_or_its_second(scorer: Scorer):
    def answer(path: str, body: dict[str, Any]) -> tuple[int, object]:
        probs = [0.875] if "7" in str(body) else [0.4, 0.6]
        data = [{"index": 0, "label": "LABEL_0", "probs": probs, "num_classes": len(probs)}]
        return 200, {"id": "classify-1", "object": "list", "model": "rm", "data": data, "usage": USAGE}

    scorer.answer = answer
    scores = await scored(scorer, ["7", "8"], endpoint="classify", use_activation=False)
    assert [score.value for score in scores] == [0.875, 0.6]
    assert {path for path, _ in scorer.asked} == {"/classify"}
    assert scorer.asked[0][1]["use_activation"] is False


async def test_pairs_are_scored_in_one_call(scorer: Scorer):
    def answer(path: str, body: dict[str, Any]) -> tuple[int, object]:
        data = [{"index": place, "object": "score", "score": place + 0.5} for place in (1, 0)]
        return 200, {"id": "score-1", "object": "list", "model": "rm", "data": data, "usage": USAGE}

    scorer.answer = answer
    scores = await scored(scorer, ["7", " ", "8"], endpoint="score")
    assert [score.value for score in scores] == [0.5, None, 1.5]
    assert sum((score.usage for score in scores), Usage()) == Usage(prompt_tokens=21, calls=1)
    assert scorer.asked == [("/score", {"model": "rm", "text_1": "What is 3 + 4?", "text_2": ["7", "8"]})]


async def test_a_sample_too_long_is_flagged(scorer: Scorer):
    said = {"message": "This model's maximum context length is 4096 tokens. ...", "type": "BadRequestError"}

    def answer(path: str, body: dict[str, Any]) -> tuple[int, object]:
        if "long" in str(body):
            return 400, {"error": said}
        if path == "/score":
            return 200, {"data": [{"index": 0, "score": 1.0}], "usage": USAGE}
        return pooled([1.0])

    scorer.answer = answer
    expected = [("too_long", None), (None, 1.0)]
    for endpoint in ("pooling", "score"):
        scores = await scored(scorer, ["long", "7"], endpoint=endpoint)
        assert [(score.flag, score.value) for score in scores] == expected


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        pytest.param((401, {"error": {"message": "no"}}), AuthenticationError, "OPENAI_API_KEY", id="key"),
        pytest.param((404, {"detail": "Not Found"}), BackendError, "endpoint 'pooling'", id="no endpoint"),
        pytest.param(pooled([0.1] * 8), BackendError, "a row of 8 numbers", id="hidden states"),
        pytest.param(pooled([[0.1, "x"]]), BackendError, "where a number belongs", id="no number"),
        pytest.param(pooled([]), BackendError, "0 rows", id="nothing"),
        pytest.param((200, '{"data": [{"data": [NaN]}]}'), BackendError, "where a number belongs", id="nan"),
        pytest.param((200, "[]"), TransientBackendError, "other than a JSON object", id="no object"),
        pytest.param((503, "busy"), TransientBackendError, "503: busy", id="busy"),
    ],
)
async def test_a_reply_of_another_shape_is_an_error(
    scorer: Scorer, reply: tuple[int, object], error: type[Exception], says: str
):
    scorer.answer = lambda path, body: reply
    with pytest.raises(error, match=says):
        await scored(scorer, ["7"], max_retries=0)


async def test_the_number_of_rows_must_be_that_of_steps(scorer: Scorer):
    scorer.answer = lambda path, body: pooled([[0.1, 0.9]])
    with pytest.raises(BackendError, match="1 row for 2 steps"):
        await scored(scorer, ["a\nb"], layout="qwen_prm")


async def test_a_busy_server_is_asked_again(scorer: Scorer):
    scorer.answer = lambda path, body: (503, "busy") if len(scorer.asked) == 1 else pooled([1.0])
    (score,) = await scored(scorer, ["7"])
    assert score.value == 1.0
    assert len(scorer.asked) == 2


async def test_nobody_at_the_address_is_said(scorer: Scorer):
    scorer.close()
    with pytest.raises(BackendUnreachableError, match="Is the server running"):
        await scored(scorer, ["7"])


def test_what_makes_no_sense_is_refused_before_anyone_is_asked():
    with pytest.raises(InvalidArgumentError, match=r"server\[base_url="):
        ServerRewardModel("rm")
    with pytest.raises(InvalidArgumentError, match="Use endpoint=pooling"):
        ServerRewardModel("rm", base_url="http://localhost:1", endpoint="classify", layout="qwen_prm")
