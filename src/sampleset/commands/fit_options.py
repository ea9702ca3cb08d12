"""The options of `sampleset fit`: sizes, training and test, and who draws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from sampleset.commands.opening import CallOptions, DrawingOptions
from sampleset.commands.options import (
    MODEL,
    SAMPLES,
    ApiKey,
    BaseUrl,
    ContextSize,
    MaxTokens,
    Omit,
    OptionGroup,
    Prompt,
    Seed,
    Temperature,
    TopK,
    TopP,
    option,
)
from sampleset.errors import (
    InvalidArgumentError,
    UnknownNameError,
)
from sampleset.evaluation import parse_sizes
from sampleset.settings import parse_overrides
from sampleset.training.scales import SCALES, WAYS, Scale

_TRAINING, _TESTING = "Training", "Test"


@dataclass(frozen=True, kw_only=True)
class SizeOptions(OptionGroup):
    """How much is drawn, how it is trained and tested."""

    scale: Annotated[
        str, option("--scale", help="tiny (a try), laptop, gpu or cluster: sizes what follows.")
    ] = "laptop"
    k: Annotated[
        int | None, option("-k", "--k", help="Samples that the aggregator reads.", panel=SAMPLES)
    ] = None
    samples: Annotated[
        int | None, option("-n", "--samples", help="Samples drawn per train question.", panel=SAMPLES)
    ] = None
    test: Annotated[
        str | None,
        option(
            "--test",
            help="Test questions: a dataset, or a file as QUESTIONS is. By default a share of QUESTIONS.",
            panel=_TESTING,
        ),
    ] = None
    test_share: Annotated[
        float, option("--test-share", help="Share of QUESTIONS held back for the test.", panel=_TESTING)
    ] = 0.3
    test_limit: Annotated[
        int | None, option("--test-limit", help="Only the first so many of --test.", panel=_TESTING)
    ] = None
    test_k: Annotated[
        str | None,
        option("--test-k", help="Also test at these k, as 5,10,20; so many are drawn.", panel=_TESTING),
    ] = None
    also: Annotated[
        list[str] | None,
        option("--also", help="Other questions to test on, given as --test is; repeatable.", panel=_TESTING),
    ] = None
    test_drop_end_tokens: Annotated[
        list[int] | None,
        option(
            "--test-drop-end-tokens",
            help="Also test it on samples without so many tokens at their end; repeatable.",
            panel=_TESTING,
        ),
    ] = None
    max_reply_tokens: Annotated[
        int | None,
        option(
            "--max-reply-tokens",
            help="Most tokens it writes in the test; by default 512 with --think, else 64.",
            panel=_TESTING,
        ),
    ] = None
    exclude: Annotated[
        list[str] | None,
        option(
            "--exclude", help="More questions not to train on, as in train-data; repeatable.", panel=_TRAINING
        ),
    ] = None
    method: Annotated[str, option("--method", help=f"{', '.join(WAYS)}.", panel=_TRAINING)] = "select"
    think: Annotated[
        bool, option("--think", help="Of sft and grpo: reason before the answer.", panel=_TRAINING)
    ] = False
    keep_end_tokens: Annotated[
        int | None,
        option("--keep-end-tokens", help="Tokens that the aggregator sees of each sample.", panel=_TRAINING),
    ] = None
    calculator: Annotated[
        bool,
        option(
            "--calculator",
            help="Samples count for what they calculate, in training and in use.",
            panel=_TRAINING,
        ),
    ] = False
    recipe: Annotated[
        list[str] | None,
        option(
            "--recipe", help="KEY=VALUE of the recipe, as steps=100 or lora.r=8; repeatable.", panel=_TRAINING
        ),
    ] = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise UnknownNameError("scale", self.scale, SCALES)
        if self.method not in WAYS:
            raise UnknownNameError("training method", self.method, WAYS)
        for name, value in (
            *(("--test-drop-end-tokens", tokens) for tokens in self.test_drop_end_tokens or ()),
            ("--max-reply-tokens", self.max_reply_tokens),
        ):
            if value is not None and value < 1:
                raise InvalidArgumentError(f"{name} {value} must be at least 1.")
        if not 0 < self.test_share < 1:
            raise InvalidArgumentError(f"--test-share {self.test_share} must be between 0 and 1.")
        if self.resolved.k < 2:
            raise InvalidArgumentError(f"-k {self.resolved.k}: an aggregator reads 2 samples or more.")
        if self.resolved.samples < self.resolved.k:
            raise InvalidArgumentError(
                f"-n {self.resolved.samples} samples are fewer than the {self.resolved.k} of -k. Draw more."
            )

    @property
    def resolved(self) -> Scale:
        """The scale, with the sizes that were named."""
        scale = SCALES[self.scale]
        k = scale.k if self.k is None else self.k
        return replace(
            scale,
            k=k,
            samples=max(scale.samples, k) if self.samples is None else self.samples,
            keep_end_tokens=scale.keep_end_tokens if self.keep_end_tokens is None else self.keep_end_tokens,
        )

    @property
    def test_ks(self) -> tuple[int, ...]:
        """The k that are tested, `k` among them."""
        return tuple(sorted({self.resolved.k, *(parse_sizes(self.test_k) if self.test_k else ())}))

    @property
    def dropped(self) -> tuple[int, ...]:
        """Tokens at the end of each sample that are not shown in further tests, rising."""
        return tuple(sorted(set(self.test_drop_end_tokens or ())))

    @property
    def overrides(self) -> dict[str, Any]:
        """The keys of the recipe that were named."""
        return parse_overrides(self.recipe or [], "--recipe")


@dataclass(frozen=True, kw_only=True)
class DrawOptions(OptionGroup):
    """Who draws, and how."""

    model: Annotated[
        str | None,
        option(
            "--model",
            help="Model that draws the samples, as in `sampleset sample`; none where QUESTIONS holds them.",
            panel=MODEL,
        ),
    ] = None
    base_url: BaseUrl = None
    api_key: ApiKey = None
    context_size: ContextSize = None
    omit: Omit = None
    temperature: Temperature = 0.8
    top_p: TopP = 1.0
    top_k: TopK = None
    max_tokens: MaxTokens = 512
    prompt: Prompt = None

    def drawing(self, samples: int, seed: int, calls: CallOptions) -> DrawingOptions:
        """The options of `sampleset sample`."""
        values = {name: value for name, value in vars(self).items() if name != "model"}
        return DrawingOptions(model=self.model or "", samples=samples, seed=seed, **values, **vars(calls))
