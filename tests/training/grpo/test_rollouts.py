from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from sampleset.engines.huggingface import decoder  # noqa: E402
from sampleset.training.grpo.rollouts import Drawing, Rollout, roll_out, rollout_of  # noqa: E402
from sampleset.training.policy import Policy, start_policy  # noqa: E402
from sampleset.training.recipe import Recipe  # noqa: E402
from support.tiny_model import save_tiny_model  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    model = save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    return start_policy(Recipe(model=str(model), rows="", output_dir="", threads=1, device="cpu", lora=None))


def tokens(policy: Policy, text: str) -> tuple[int, ...]:
    return tuple(policy.texts.continuation(text))


def test_a_rollout_depends_on_its_seed_and_not_on_its_company(policy: Policy):
    drawings = [
        Drawing(tokens(policy, "short"), ("a", "b", "c")),
        Drawing(tokens(policy, "a prompt of another length"), ("d",)),
        Drawing(tokens(policy, "short"), ("e",)),
    ]
    together = roll_out(policy, drawings, 1.0, 20)
    alone = [
        [
            one
            for seed in drawing.seeds
            for one in roll_out(policy, [Drawing(drawing.prompt, (seed,))], 1.0, 20)[0]
        ]
        for drawing in drawings
    ]
    assert together == alone
    assert len({one.tokens for group in together for one in group}) == 5


def test_a_prompt_is_read_once_for_all_its_rollouts(policy: Policy, monkeypatch: pytest.MonkeyPatch):
    read, seen = decoder.read, list[int]()

    def counted(model: Any, prompts: Any, device: Any) -> Any:
        seen.extend(len(prompt) for prompt in prompts)
        return read(model, prompts, device)

    monkeypatch.setattr(decoder, "read", counted)
    prompt = tokens(policy, "seven apples")
    found = roll_out(policy, [Drawing(prompt, tuple("abcdefgh"))], 1.0, 5)
    assert seen == [len(prompt)]
    assert [len(one.tokens) <= 5 for one in found[0]] == [True] * 8


def test_temperature_zero_takes_the_likeliest_token(policy: Policy):
    prompt = tokens(policy, "seven apples")
    ((one, other),) = roll_out(policy, [Drawing(prompt, ("a", "b"))], 0.0, 4)
    assert one == other
    logits = policy.model(input_ids=torch.tensor([prompt])).logits[0, -1]
    assert one.tokens[0] == int(logits.argmax())


def test_a_rollout_ends_at_the_stop_text_or_the_end_of_text_and_keeps_them(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
):
    end = policy.tokenizer.eos_token_id
    written = {0: [*tokens(policy, "7</answer> and so on")], 1: [*tokens(policy, "I give up"), end, end]}
    step = iter(range(100))

    def scripted(logits: Any, *_: Any) -> tuple[list[int], list[float]]:
        place = next(step)
        return [written[row][place] if place < len(written[row]) else 0 for row in range(2)], [0.0, 0.0]

    monkeypatch.setattr(decoder, "JOIN_SHARE", 0.5)  # nobody leaves
    monkeypatch.setattr(decoder, "choose", scripted)
    ((first, second),) = roll_out(policy, [Drawing(tokens(policy, "?"), ("a", "b"))], 1.0, 50)
    assert first == Rollout(tokens(policy, "7</answer>"), "7</answer>", truncated=False)
    assert second == Rollout((*tokens(policy, "I give up"), end), "I give up", truncated=False)


@pytest.mark.parametrize(
    ("text", "ended", "limit", "graded", "truncated"),
    [
        pytest.param("7</answer>", False, 99, "7</answer>", False, id="closed"),
        pytest.param("7", False, 99, "7</answer>", False, id="the engine took the stop text off"),
        pytest.param("7", True, 99, "7", False, id="ended without closing"),
        pytest.param("7", False, 1, "7", True, id="cut"),
        pytest.param("7</answer>", False, 10, "7</answer>", False, id="closed at the limit"),
    ],
)
def test_the_stop_text_is_put_back_where_it_was_taken_off(
    policy: Policy, text: str, ended: bool, limit: int, graded: str, truncated: bool
):
    end = policy.tokenizer.eos_token_id
    written = [*tokens(policy, text), *([end] if ended else [])]
    found = rollout_of(written, policy.texts, {end}, limit)
    assert (found.text, found.truncated) == (graded, truncated)
    assert found.tokens == tuple(written)
