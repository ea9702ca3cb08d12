"""Reward models of Hugging Face's library in this process, on CUDA or a CPU: loading, batches, long samples.

Only safetensors are loaded, and no code that comes with a model. The samples of a call are read in batches of
like length, padded on the right; attention is causal, so that padding changes no score but by rounding.

Samples are untrusted: a space breaks up text that a tokenizer would read as one of its special tokens.
"""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from sampleset.chat import Message
from sampleset.engines.huggingface.model import (
    Loaded,
    ModelFiles,
    attention_plans_avoided,
    context_of,
    find_model,
    import_extra,
    load_model,
)
from sampleset.errors import BackendError, InvalidArgumentError
from sampleset.prompts import question_text
from sampleset.reward_models.base import RewardScore, require_finite
from sampleset.types import Question, Usage

_TEXT_MARKS = ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")
"""Marks of chat templates that are not special tokens."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A sample as a model reads it.

    Attributes:
        tokens: Question, sample and marks.
        positions: Indices of the tokens whose outputs count, in rising order; one per score.
    """

    tokens: list[int]
    positions: list[int]


@dataclass(eq=False)
class LocalRewardModel:
    """The base of the kinds that run in this process. The model loads at the first call.

    A sample whose reading exceeds the context gets no score, flagged `too_long`: cut at either end, it would
    be another solution. A sample without text is flagged `empty`.

    Attributes:
        model: When given: a folder with `config.json`, or a Hub id; then the identity, as of a backend.
        device: `cpu`, `cuda` or `cuda:N`; by default CUDA where there is one.
        dtype: By default bfloat16 on CUDA and float32 on a CPU.
        context_size: Most tokens of a reading; by default, and at most, the model's context.
        batch_tokens: Tokens of a batch, padding included; a longer reading is read by itself.
    """

    kind: ClassVar[str]
    batched: ClassVar[bool] = True
    mark: ClassVar[str | None] = None
    """The text that stands for the end of a step, if the convention has one."""
    reads_gguf: ClassVar[bool] = False
    """Whether the model may be one file; heads of reward models are lost in it."""

    model: str
    device: str | None = None
    dtype: str | None = None
    context_size: int | None = None
    batch_tokens: int = 8192
    _files: ModelFiles = field(init=False, repr=False)
    _loaded: Loaded | None = field(default=None, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _marks: list[str] = field(default_factory=list[str], init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("context_size", "batch_tokens"):
            value: int | None = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidArgumentError(f"{name}={value!r} must be at least 1.")
        self._files = find_model(self.model)
        if self._files.path.is_file() and not self.reads_gguf:
            raise InvalidArgumentError(
                f"{self.model!r} is one file; a reward model is a folder with config.json and safetensors, "
                "or a Hub id."
            )
        self.model = self._files.identity
        self._limit_context(context_of(self._files))

    @property
    def identity(self) -> str:
        """The kind and the model."""
        return f"{self.kind}:{self.model}"

    async def score(self, question: Question, samples: Sequence[str]) -> list[RewardScore]:
        """One score per sample, in order.

        Raises:
            MissingExtraError: torch or transformers is not installed.
            BackendError: The model cannot be loaded, is of another kind, or gives no finite score.
        """
        return await asyncio.to_thread(self._score, question, samples)

    async def aclose(self) -> None:
        """Free the model. A later call loads it again."""
        self._loaded = None

    @abstractmethod
    def architecture(self) -> Any:
        """The class whose `from_pretrained` makes the model."""

    @abstractmethod
    def prepare(self, loaded: Loaded) -> None:
        """Look up the tokens that the convention needs.

        Raises:
            BackendError: The model is not of this kind.
        """

    @abstractmethod
    def read(self, tokenizer: Any, question: str, sample: str) -> Reading | None:
        """How the model reads a sample; `None` if it has too many steps."""

    @abstractmethod
    def outputs(self, model: Any, tokens: Any, mask: Any, positions: Sequence[int]) -> Any:
        """Scores of a batch.

        Args:
            model: The loaded model.
            tokens: (B, T), padded on the right.
            mask: (B, T), 1 where there is a token.
            positions: P indices of tokens, in rising order.

        Returns:
            (B, P).
        """

    def make_score(self, values: Sequence[float], usage: Usage) -> RewardScore:
        """The reward score of the outputs at a reading's positions; by default each is a step's score."""
        return RewardScore(values[-1], tuple(values), usage)

    def _score(self, question: Question, samples: Sequence[str]) -> list[RewardScore]:
        with self._lock:
            loaded = self._loaded = self._loaded or self._load()
            scores, readings = self._readings(loaded, question, samples)
            for batch in self._batches(readings, loaded):
                values = self._values(loaded, [readings[index] for index in batch])
                for index, outputs in zip(batch, values, strict=True):
                    require_finite(outputs, self.model)
                    usage = Usage(prompt_tokens=len(readings[index].tokens), calls=1)
                    scores[index] = self.make_score(outputs, usage)
        return cast("list[RewardScore]", scores)

    def _readings(
        self, loaded: Loaded, question: Question, samples: Sequence[str]
    ) -> tuple[list[RewardScore | None], dict[int, Reading]]:
        """The readings of samples, by index, and the scores of samples that are not read."""
        plain_question = self._plain(question_text(question))
        scores: list[RewardScore | None] = [None] * len(samples)
        readings: dict[int, Reading] = {}
        for index, sample in enumerate(samples):
            text = self._plain(sample.strip())
            if not text:
                scores[index] = RewardScore(None, flag="empty")
                continue
            reading = self.read(loaded.tokenizer, plain_question, text)
            if reading is None or len(reading.tokens) > (self.context_size or len(reading.tokens)):
                scores[index] = RewardScore(None, flag="too_long")
                continue
            readings[index] = reading
        return scores, readings

    def _load(self) -> Loaded:
        loaded = load_model(self._files, self.device, self.dtype, True, self.architecture())
        config = loaded.model.config.get_text_config()
        self._limit_context(getattr(config, "max_position_embeddings", None))
        self._break_up(
            [mark.content for mark in loaded.tokenizer.added_tokens_decoder.values() if mark.special]
        )
        self.prepare(loaded)
        return loaded

    def _break_up(self, special: Sequence[str]) -> None:
        """Note the marks that samples must not hold."""
        self._marks = [mark for mark in (*special, *_TEXT_MARKS, self.mark or "") if len(mark) > 1]

    def _limit_context(self, size: int | None) -> None:
        if size is not None:
            self.context_size = min(self.context_size or size, size)

    def _plain(self, text: str) -> str:
        """The text without lone surrogates; marks that the tokenizer does not read as text are broken up."""
        text = text.encode("utf-8", "replace").decode()
        for mark in self._marks:
            if mark in text:
                text = text.replace(mark, f"{mark[0]} {mark[1:]}")
        return text

    def _batches(self, readings: dict[int, Reading], loaded: Loaded) -> Iterator[list[int]]:
        """Indices of readings that fit a batch together, the longest first."""
        alone = loaded.model.config.get_text_config().pad_token_id is None
        batch: list[int] = []
        for index in sorted(readings, key=lambda index: -len(readings[index].tokens)):
            widest = len(readings[batch[0]].tokens) if batch else 0
            # Where no token stands for padding, some models of transformers take one row only.
            if batch and (alone or widest * (len(batch) + 1) > self.batch_tokens):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _values(self, loaded: Loaded, readings: Sequence[Reading]) -> list[list[float]]:
        """The outputs at each reading's positions. Where memory runs out, half as many are read at once."""
        torch = import_extra("torch")
        try:
            return self._pass(torch, loaded, readings)
        except torch.OutOfMemoryError as error:
            if len(readings) == 1:
                raise BackendError(
                    f"{loaded.device} has too little memory for one sample of {len(readings[0].tokens)} "
                    "tokens. Lower context_size, so that it is left out, or use another device."
                ) from error
        half = len(readings) // 2
        return [*self._values(loaded, readings[:half]), *self._values(loaded, readings[half:])]

    def _pass(self, torch: Any, loaded: Loaded, readings: Sequence[Reading]) -> list[list[float]]:
        width = max(len(reading.tokens) for reading in readings)
        padding = loaded.model.config.get_text_config().pad_token_id or 0
        tokens = [reading.tokens + [padding] * (width - len(reading.tokens)) for reading in readings]
        mask = [[1] * len(reading.tokens) + [0] * (width - len(reading.tokens)) for reading in readings]
        positions = sorted({position for reading in readings for position in reading.positions})
        column = {position: number for number, position in enumerate(positions)}
        with torch.inference_mode(), attention_plans_avoided(loaded.device):
            outputs = self.outputs(
                loaded.model,
                torch.tensor(tokens, device=loaded.device),
                torch.tensor(mask, device=loaded.device),
                positions,
            )
        rows: list[list[float]] = outputs.float().cpu().tolist()
        return [
            [row[column[position]] for position in reading.positions]
            for row, reading in zip(rows, readings, strict=True)
        ]


def rendered(tokenizer: Any, messages: Sequence[Message], opened: bool = False) -> str:
    """The chat as text; `opened` also starts the reply.

    Raises:
        BackendError: The tokenizer has no chat template, or it does not take this chat.
    """
    if tokenizer.chat_template is None:
        raise BackendError(
            "The reward model's tokenizer has no chat template. Is it a reward model of this kind?"
        )
    jinja: Any = import_extra("jinja2")
    try:
        return tokenizer.apply_chat_template(
            [dict(message) for message in messages], tokenize=False, add_generation_prompt=opened
        )
    except jinja.TemplateError as error:
        raise BackendError(f"The reward model's chat template does not take the chat ({error}).") from error


def token_of(tokenizer: Any, text: str, model: str) -> int:
    """The one token that a text is.

    Raises:
        BackendError: It is none, or several.
    """
    tokens: list[int] = tokenizer.encode(text, add_special_tokens=False)
    if len(tokens) != 1 or tokens[0] == tokenizer.unk_token_id:
        raise BackendError(
            f"{text!r} is not one token of {model!r} but {tokens!r}. Is it a reward model of this kind?"
        )
    return tokens[0]


def share_of_first(model: Any, tokens: Any, mask: Any, positions: Sequence[int], pair: Sequence[int]) -> Any:
    """Probability of the first of two next tokens against the second, at each position: (B, P)."""
    columns = tokens.new_tensor(positions)
    logits = model(input_ids=tokens, attention_mask=mask, use_cache=False, logits_to_keep=columns).logits
    return logits[:, :, list(pair)].float().softmax(-1)[..., 0]
