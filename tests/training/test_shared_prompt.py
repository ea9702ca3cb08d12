from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")

from sampleset.errors import InvalidArgumentError  # noqa: E402
from sampleset.training.branch_attention import NAME  # noqa: E402
from sampleset.training.shared_prompt import branch_logprobs, branch_scores, rows_logprobs  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

PROMPT = [5, 9, 200, 31, 7, 90, 11]
BRANCHES = [[4, 8, 15], [16], [23, 42, 4, 8, 15, 16]]


def tiny(**options: Any) -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=260,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
        **options,
    )
    return transformers.LlamaForCausalLM(config).double()


def alone(model: Any, branch: list[int], temperature: float = 1.0) -> tuple[Any, Any]:
    """Log-probabilities and entropies by a pass of prompt and branch."""
    logits = model(input_ids=torch.tensor([PROMPT + branch])).logits[0, len(PROMPT) - 1 : -1]
    logprobs = torch.log_softmax(logits / temperature, -1)
    return (
        logprobs.gather(1, torch.tensor(branch)[:, None])[:, 0],
        torch.distributions.Categorical(logits=logits / temperature).entropy(),
    )


def gradient(model: Any, loss: Any) -> Any:
    model.zero_grad()
    loss.backward()
    return torch.cat([one.grad.flatten() for one in model.parameters()])


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_values_and_gradients_are_those_of_a_pass_per_branch_at_any_temperature(kind: str):
    model = tiny(attn_implementation=kind)
    weights = [0.3, -1.0, 2.0]
    found = branch_scores(model, PROMPT, BRANCHES, 0.7)
    expected = [alone(model, branch, 0.7) for branch in BRANCHES]
    for (logprobs, entropies), (own, spread) in zip(found, expected, strict=True):
        torch.testing.assert_close(logprobs, own, rtol=1e-5, atol=1e-9)
        torch.testing.assert_close(entropies, spread, rtol=1e-5, atol=1e-9)
    shared, stock = (
        gradient(model, sum(weight * one.sum() for weight, (one, _) in zip(weights, way, strict=True)))
        for way in (found, expected)
    )
    torch.testing.assert_close(shared, stock, rtol=1e-5, atol=1e-6 * float(stock.abs().max()))


def test_the_attention_of_a_shared_prompt_is_that_of_sdpa_for_all_else():
    model = tiny().eval()
    ids, mask = torch.tensor([PROMPT, [0, 0, *PROMPT[:5]]]), torch.ones(2, 7, dtype=torch.long)
    mask[1, :2] = 0
    before = model(input_ids=ids, attention_mask=mask).logits
    branch_logprobs(model, PROMPT, BRANCHES)
    assert model.config._attn_implementation == NAME
    torch.testing.assert_close(model(input_ids=ids, attention_mask=mask).logits, before)


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_rows_of_one_pass_have_the_values_and_gradients_of_rows_alone(kind: str):
    model = tiny(attn_implementation=kind)
    rows = [(PROMPT, BRANCHES), (PROMPT[:3], [[7, 7, 7], [8]]), ([*PROMPT, *PROMPT], [[9]])]
    together = rows_logprobs(model, rows)
    alone = [branch_logprobs(model, prompt, branches) for prompt, branches in rows]
    for found, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)
    one, other = (
        gradient(model, sum((place + 1) * torch.cat(row).sum() for place, row in enumerate(way)))
        for way in (together, alone)
    )
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6 * float(other.abs().max()))


def test_checkpointed_activations_give_the_same_gradient():
    model = tiny().train()
    whole = gradient(model, torch.cat(branch_logprobs(model, PROMPT, BRANCHES)).sum())
    model.gradient_checkpointing_enable({"use_reentrant": False})
    again = gradient(model, torch.cat(branch_logprobs(model, PROMPT, BRANCHES)).sum())
    torch.testing.assert_close(again, whole)


def test_a_window_shorter_than_the_row_is_refused():
    torch.manual_seed(0)
    config = transformers.MistralConfig(
        vocab_size=260, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, sliding_window=8
    )
    model = transformers.MistralForCausalLM(config)
    with pytest.raises(InvalidArgumentError, match=r"max_tokens=8.*grpo\.shared_prompt=false"):
        branch_logprobs(model, PROMPT, BRANCHES)
