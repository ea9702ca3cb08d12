"""A verifier head fitted on your labels: a linear probe on the hidden states of a small model, untrained
otherwise, at a sample's end (Alain and Bengio 2016, arXiv 1610.01644; as a verifier of solutions Zhang et al.
2025, arXiv 2504.05419).

Convention: the chat of the question as `user` and the solution as `assistant`; the hidden states of the last
token after some layers, one after the other, times the weights in the file. `sampleset fit-probe` writes it.
A sample that was fitted on has the score of a probe fitted without its question. A model fitted on these
scores, and every figure on the same sets, is therefore honest.

Cost: one forward pass per sample, Q + L tokens (question and sample); none for a sample that was fitted on.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from sampleset.chat import Message
from sampleset.engines.huggingface.model import Loaded, import_extra
from sampleset.errors import (
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    UnsupportedByBackendError,
)
from sampleset.models.engine import OPENVINO, fastest_engine
from sampleset.reward_models._local import LocalRewardModel, Reading, rendered
from sampleset.reward_models.base import REWARD_MODELS, RewardScore
from sampleset.settings import SavedKind, read_saved
from sampleset.types import Question, Usage

if TYPE_CHECKING:
    # Every list of reward models imports this module.
    import numpy as np
    from numpy.typing import NDArray

PROBE_SCHEMA = 1
_SAVED = SavedKind("probe", PROBE_SCHEMA, "Fit the probe again: sampleset fit-probe SETS", "probe")
LAYERS = 4
"""Layers whose states are read, evenly spaced, the last one among them."""


@dataclass(frozen=True, slots=True)
class ProbeWeights:
    """A fitted probe, as it stands in its file.

    Attributes:
        model: Name and digest of the model whose states are read, without the engine.
        layers: Numbers of the layers, from 1.
        weights: One per number of the states of these layers.
        bias: Added to the product.
        seen: Scores of the samples fitted on, by `sample_key`, from probes that had not seen their question.
        training: The data it was fitted on, and how well it separates right from wrong.
    """

    model: str
    layers: tuple[int, ...]
    weights: tuple[float, ...]
    bias: float
    seen: Mapping[str, float] = field(default_factory=dict[str, float])
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_json(self) -> dict[str, Any]:
        """The probe as it stands in its file."""
        return {
            "schema": PROBE_SCHEMA,
            "kind": "probe",
            "model": self.model,
            "layers": list(self.layers),
            "weights": list(self.weights),
            "bias": self.bias,
            "seen": dict(self.seen),
            "training": dict(self.training),
        }


def sample_key(question: Question, sample: str) -> str:
    """The key of a sample in a probe's file."""
    content = f"{question.text}\0{sample}".encode("utf-8", "replace")
    return hashlib.sha256(content).hexdigest()[:16]


def read_probe(path: Path) -> tuple[ProbeWeights, str]:
    """The probe in a file, and a digest of it.

    Raises:
        InputNotFoundError: There is no such file.
        DataError: It is no probe, or of another version.
    """
    if not path.is_file():
        raise InputNotFoundError(f"No probe {str(path)!r}. Make one: sampleset fit-probe SETS --model REF.")
    return read_saved(path, _SAVED, _probe_of)


def _probe_of(values: Any) -> ProbeWeights:
    probe = ProbeWeights(
        str(values["model"]),
        tuple(int(value) for value in values["layers"]),
        tuple(float(value) for value in values["weights"]),
        float(values["bias"]),
        {str(key): float(score) for key, score in values["seen"].items()},
        values["training"],
    )
    if not all(math.isfinite(value) for value in (*probe.weights, probe.bias, *probe.seen.values())):
        raise ValueError("a number is not finite")
    return probe


def spaced_layers(layers: int) -> tuple[int, ...]:
    """Numbers of at most `LAYERS` layers out of so many, from 1, evenly spaced, the last one among them."""
    steps = min(LAYERS, layers)
    return tuple(sorted({round(layers * (step + 1) / steps) for step in range(steps)}))


@dataclass(eq=False)
class HiddenStates(LocalRewardModel):
    """A causal model whose hidden states at a sample's end are read; it gives no score by itself.

    A GGUF model runs on OpenVINO where that is the fastest engine and neither device nor dtype is given, and
    on transformers otherwise. The states differ by rounding.
    """

    kind: ClassVar[str] = "hidden_states"
    reads_gguf: ClassVar[bool] = True

    batch_tokens: int = 2048
    _fast: Any = field(default=None, init=False, repr=False)
    """The `StatesModel`, once it is loaded; `None` on transformers."""

    def architecture(self) -> Any:
        """A causal language model."""
        return import_extra("transformers").AutoModelForCausalLM

    def prepare(self, loaded: Loaded) -> None:
        """Nothing is looked up."""

    def read(self, tokenizer: Any, question: str, sample: str) -> Reading | None:
        """The chat, read at its last token."""
        chat: list[Message] = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": sample},
        ]
        tokens: list[int]
        if self._fast is not None:
            tokens = tokenizer.chat(chat)
        else:
            tokens = tokenizer.encode(rendered(tokenizer, chat), add_special_tokens=False)
        return Reading(tokens, [len(tokens) - 1])

    def layers(self, loaded: Loaded) -> tuple[int, ...]:
        """The layers that are read."""
        if self._fast is not None:
            return self._fast.layers
        return spaced_layers(loaded.model.config.get_text_config().num_hidden_layers)

    def outputs(self, model: Any, tokens: Any, mask: Any, positions: Sequence[int]) -> Any:
        """The states of the layers that are read, one after the other: (B, P, layers · width)."""
        torch = import_extra("torch")
        loaded = self._loaded
        assert loaded is not None
        states = model(
            input_ids=tokens,
            attention_mask=mask,
            use_cache=False,
            output_hidden_states=True,
            logits_to_keep=1,
        ).hidden_states
        return torch.cat([states[layer][:, list(positions)].float() for layer in self.layers(loaded)], dim=-1)

    def vectors(self, question: Question, samples: Sequence[str]) -> list[tuple[float, ...] | None]:
        """The states at the end of each sample; `None` for one that is empty or too long.

        Raises:
            MissingExtraError: torch or transformers is not installed.
            BackendError: The model cannot be loaded.
        """
        with self._lock:
            loaded = self._loaded = self._loaded or self._load()
            _, readings = self._readings(loaded, question, samples)
            vectors: list[tuple[float, ...] | None] = [None] * len(samples)
            for batch in self._batches(readings, loaded):
                for index, states in zip(
                    batch, self._states(loaded, [readings[index] for index in batch]), strict=True
                ):
                    vectors[index] = tuple(states.tolist())
        return vectors

    async def aclose(self) -> None:
        """Free the model. A later call loads it again."""
        await super().aclose()
        self._fast = None

    @property
    def read_layers(self) -> tuple[int, ...]:
        """The layers that were read, once some sample was."""
        return () if self._loaded is None else self.layers(self._loaded)

    def _load(self) -> Loaded:
        if not (self._files.path.is_file() and self.device is None and self.dtype is None):
            return super()._load()
        if fastest_engine() != OPENVINO:
            return super()._load()
        from sampleset.engines.openvino.cache import converted, group_in
        from sampleset.engines.openvino.states import StatesModel
        from sampleset.engines.openvino.text import Tokenizer
        from sampleset.engines.openvino.weights import read_gguf

        content = read_gguf(self._files.path)
        try:
            folder = converted(content)
        except UnsupportedByBackendError:
            return super()._load()
        tokenizer = Tokenizer(folder)
        self._limit_context(content.setting("context_length"))
        self._break_up(tokenizer.marks())
        self._fast = StatesModel(folder, spaced_layers, group_in(folder))
        return Loaded(self._fast, tokenizer, "cpu")

    def _batches(self, readings: dict[int, Reading], loaded: Loaded) -> Iterator[list[int]]:
        if self._fast is not None:
            return iter([list(readings)] if readings else [])
        return super()._batches(readings, loaded)

    def _states(self, loaded: Loaded, readings: Sequence[Reading]) -> list[NDArray[np.float32]]:
        """The states at the end of each reading, (layers · width,)."""
        if self._fast is not None:
            return self._fast.at_ends([reading.tokens for reading in readings])
        import numpy as np

        values = cast("list[list[list[float]]]", super()._values(loaded, readings))
        return [np.array(states[0], np.float32) for states in values]


@REWARD_MODELS.register("probe")
@dataclass(eq=False)
class Probe(HiddenStates):
    """A linear probe of a small model's hidden states, fitted on your labels (`sampleset fit-probe`)."""

    kind: ClassVar[str] = "probe"

    file: str = ""
    _probe: ProbeWeights = field(init=False, repr=False)
    _digest: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.file:
            raise InvalidArgumentError("A probe is a file: probe[file=PROBE.json]. Make one by fit-probe.")
        self._probe, self._digest = read_probe(Path(self.file))
        super().__post_init__()
        model = self.model.partition(":")[2] or self.model
        if model != self._probe.model:
            raise InvalidArgumentError(
                f"{self.file!r} was fitted on the states of {self._probe.model!r}, not of {model!r}. "
                "Name that model, or fit the probe again."
            )

    @property
    def identity(self) -> str:
        """The kind, the file's digest and the model."""
        return f"{self.kind}[{self._digest}]:{self.model}"

    def _score(self, question: Question, samples: Sequence[str]) -> list[RewardScore]:
        stored_scores = [self._probe.seen.get(sample_key(question, sample)) for sample in samples]
        unseen = [sample for sample, score in zip(samples, stored_scores, strict=True) if score is None]
        fresh = iter(super()._score(question, unseen) if unseen else ())
        return [next(fresh) if score is None else RewardScore(score) for score in stored_scores]

    def _values(self, loaded: Loaded, readings: Sequence[Reading]) -> list[list[float]]:
        """One score for each reading."""
        import numpy as np

        weights = np.array(self._probe.weights)
        scores: list[list[float]] = []
        for states in self._states(loaded, readings):
            if len(states) != len(weights):
                raise DataError(
                    f"{self.file!r} holds {len(weights)} weights, the model gives {len(states)} numbers. "
                    "Fit the probe again."
                )
            scores.append([float(states @ weights) + self._probe.bias])
        return scores

    def make_score(self, values: Sequence[float], usage: Usage) -> RewardScore:
        """The product, without steps."""
        return RewardScore(values[-1], usage=usage)
