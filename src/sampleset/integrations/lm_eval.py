"""lm-evaluation-harness: a model whose every reply is made of k samples.

    python -m sampleset.integrations.lm_eval run --model sampleset \
        --model_args model=gpt-4o-mini,k=5,aggregator=majority_vote --tasks gsm8k_cot_zeroshot

It generates; tasks that compare likelihoods of options are refused.
"""

from __future__ import annotations

import json
from typing import Any

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from sampleset.errors import UnsupportedByBackendError
from sampleset.integrations.base import answer_in_background, reply_text

_NO_LIKELIHOODS = "The model sampleset draws texts and knows no likelihoods. Use a generate_until task."


@register_model("sampleset")
class SampledLM(LM):
    """lm-eval's model `sampleset`.

    Args:
        model: As `open_backend` takes it.
        k: Samples for each request.
        aggregator: A name with options.
        base_url: Address of the server.
        answer_kind: How answers are compared.
        temperature: Of the samples, where the task asks for greedy decoding, as most do.
        max_gen_toks: Most tokens of a sample, where the task does not say.
    """

    tokenizer_name = "sampleset"

    def __init__(
        self,
        model: str = "embedded",
        k: int = 5,
        aggregator: str = "majority_vote",
        base_url: str | None = None,
        answer_kind: str | None = None,
        temperature: float = 0.8,
        max_gen_toks: int = 512,
        **ignored: Any,
    ) -> None:
        super().__init__()
        self._options: dict[str, Any] = {
            "model": model,
            "k": k,
            "aggregator": aggregator,
            "base_url": base_url,
            "answer_kind": answer_kind,
        }
        self._temperature = temperature
        self._max_tokens = max_gen_toks

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The chosen text of each request, several requests in work at once."""
        futures = [self._answer(*request.args) for request in requests]
        return [reply_text(future.result()) for future in futures]

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Refused."""
        raise UnsupportedByBackendError(_NO_LIKELIHOODS)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Refused."""
        raise UnsupportedByBackendError(_NO_LIKELIHOODS)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The chat as JSON: the server applies its own template."""
        return json.dumps(chat_history)

    def _answer(self, context: str, settings: dict[str, Any]) -> Any:
        until = settings.get("until") or []
        temperature = float(settings.get("temperature") or 0)
        return answer_in_background(
            _chat(context),
            params={
                "temperature": temperature or self._temperature,
                "top_p": settings.get("top_p"),
                "max_tokens": settings.get("max_gen_toks") or self._max_tokens,
                "stop": tuple([until] if isinstance(until, str) else until),
            },
            **self._options,
        )


def _chat(context: str) -> list[dict[str, str]]:
    if context.startswith('[{"role": '):
        return json.loads(context)
    return [{"role": "user", "content": context}]


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
