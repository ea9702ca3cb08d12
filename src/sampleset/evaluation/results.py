"""What an evaluation found, as frozen records of plain numbers; `report.json` has the same fields.

Rates and accuracies are shares in [0, 1]. Every problem weighs the same: what was found on several subsets
of one problem's samples is averaged first. A `weight` is therefore a number of problems, not always whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of some of the problems.

    Attributes:
        rate: The share, `None` where there is no such problem.
        weight: How many problems it is a share of.
    """

    rate: float | None
    weight: float


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Tokens per question, on average.

    Attributes:
        prompt: Prompt tokens.
        completion: Generated tokens.
        calls: Model calls.
        uncounted: Share of the calls whose tokens were not recorded; they are missing from the sums, but for
            samples, whose tokens are guessed then.
        estimated: Whether the tokens are a guess from the length of the texts, four characters each.
    """

    prompt: float
    completion: float
    calls: float
    uncounted: float = 0.0
    estimated: bool = False

    @property
    def total(self) -> float:
        """Prompt and completion tokens together."""
        return self.prompt + self.completion


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose confidence lies in [low, high): their mean confidence and accuracy."""

    low: float
    high: float
    confidence: float
    accuracy: float
    weight: float


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """Accuracy on the share `coverage` of problems on which the method is most confident."""

    coverage: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far a method's confidence can be trusted.

    Attributes:
        brier: Mean squared difference of confidence and correctness, over answers with a confidence; lower
            is better.
        answered: Share of problems answered with a confidence; the rest is left out here.
        bins: Reliability curve, ten bins, empty ones left out.
        coverage: Accuracy against coverage, coverage rising to `answered`.
    """

    brier: float
    answered: float
    bins: tuple[Bin, ...]
    coverage: tuple[CoveragePoint, ...]


@dataclass(frozen=True, slots=True)
class MatchedVote:
    """The majority vote given as many more samples as the method's own tokens would have bought.

    Attributes:
        wanted: Samples that budget buys, k included, rounded up in the vote's favour.
        k: Samples the vote gets: `wanted`, or as many as all problems of the point have.
        accuracy: Accuracy of the vote over k samples.
        difference: Accuracy of the method minus that.
        difference_interval: Its paired bootstrap interval.
        estimated: Whether the tokens of the samples are a guess from the length of the texts.
    """

    wanted: int
    k: int
    accuracy: float
    difference: float
    difference_interval: Interval
    estimated: bool


@dataclass(frozen=True, slots=True)
class MethodResult:
    """How one method did on one file at one k.

    Attributes:
        label: The method as the user typed it.
        options: Its options in full.
        model: The model it asks, `None` if it asks none.
        accuracy: Share right, mean over subsets and problems.
        interval: Its interval, clustered by problem.
        difference: Accuracy minus that of the majority vote on the same subsets.
        difference_interval: Paired bootstrap interval, problems resampled.
        mended: Problems on which it is right on more subsets than the vote.
        spoilt: Problems on which it is right on fewer subsets than the vote.
        p_value: Exact McNemar (sign) test of mended against spoilt, for this comparison alone.
        p_holm: The same, corrected by Holm for all methods compared at this point; `None` for the vote.
        minority_recovery: Right, of the subsets where the vote is wrong and some sample is right.
        all_wrong_recovery: Right, of the subsets where no sample is right.
        harm: Not right, of the subsets where the vote is right.
        abstained: Share without an answer, failures included.
        failed: Share on which it failed (prompt too long, server busy).
        undecided: Share whose grade could not be decided; they count as not right.
        flips: Answers that change when the samples come in another order; `None` if not measured.
        calibration: Of its confidence; `None` if it states none.
        usage: Tokens of the aggregation alone.
        cost: Money per question for sampling and aggregation, by the price file; `None` without one.
        matched: The vote at a matched token budget; `None` where the method spends no tokens.
        flags: How often each flag was raised, over all its answers.
        evidence: What decided its answers, of a method that weighs named features: mean size of each one's
            part in the lead over the next likeliest candidate, in nats per question.
    """

    label: str
    options: Mapping[str, Any]
    model: str | None
    accuracy: float
    interval: Interval
    difference: float
    difference_interval: Interval
    mended: int
    spoilt: int
    p_value: float
    p_holm: float | None
    minority_recovery: Rate
    all_wrong_recovery: Rate
    harm: Rate
    abstained: float
    failed: float
    undecided: float
    flips: Rate | None
    calibration: Calibration | None
    usage: TokenUse
    cost: float | None
    matched: MatchedVote | None
    flags: Mapping[str, int]
    evidence: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of the problems of a point.

    Attributes:
        value: The level, the subject, or the number of right samples among the k.
        weight: How many problems.
        accuracy: By method label.
        oracle: Share with a right sample.
    """

    value: str
    weight: float
    accuracy: Mapping[str, float]
    oracle: float


@dataclass(frozen=True, slots=True)
class PointResult:
    """All methods at one k on one file.

    Attributes:
        k: Samples each method reads.
        problems: Problems with at least k samples, or with fewer because a stopping rule was met.
        left_out: Graded problems with fewer.
        subsets: Subsets per problem, on average.
        all_subsets: Whether these are all there are; else they were drawn by the seed.
        sample_accuracy: Mean accuracy of one sample, over all samples of these problems.
        pass_at_k: Unbiased pass@k from all samples of these problems.
        oracle: Share of the subsets with a right sample: bounds selectors, not synthesisers.
        sampling: Tokens to draw the k samples.
        sampling_cost: Money per question to draw them, `None` without a price file.
        methods: In the order asked for; the majority vote is among them.
        breakdowns: Slices by `level`, `subject` and `right_samples`.
    """

    k: int
    problems: int
    left_out: int
    subsets: float
    all_subsets: bool
    sample_accuracy: float
    pass_at_k: float
    oracle: float
    sampling: TokenUse
    sampling_cost: float | None
    methods: tuple[MethodResult, ...]
    breakdowns: Mapping[str, tuple[Slice, ...]]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The vote and the oracle at one k, over the problems with at least as many samples."""

    k: int
    problems: int
    maj_at_k: float
    interval: Interval
    pass_at_k: float


@dataclass(frozen=True, slots=True)
class FileResult:
    """All methods on one file of sample sets.

    Attributes:
        source: The file's name.
        problems: Problems graded.
        without_gold: Problems left out because they have no gold answer.
        unreadable_gold: Ids of problems left out because their gold answer cannot be read, first 20.
        unreadable_gold_count: How many there are.
        smallest: Samples of the smallest set graded.
        largest: Samples of the largest.
        undecided_samples: Samples whose grade could not be decided; they count as not right.
        points: One per k asked for and possible.
        curve: maj@k and pass@k at every k from 1 (thinned out beyond 32).
        stopped: Problems whose sets a stopping rule left with fewer; they are read whole at every larger k.
    """

    source: str
    problems: int
    without_gold: int
    unreadable_gold: tuple[str, ...]
    unreadable_gold_count: int
    smallest: int
    largest: int
    undecided_samples: int
    points: tuple[PointResult, ...]
    curve: tuple[CurvePoint, ...]
    stopped: int = 0


@dataclass(frozen=True, slots=True)
class MacroMethod:
    """One method's mean over files.

    The interval of the accuracy is put together from the files' own; that of the difference is by a bootstrap
    of the problems within each file.

    Attributes:
        label: The method as the user typed it.
        accuracy: Mean over `files`.
        interval: Its interval.
        difference: Mean over `files` of accuracy minus that of the majority vote.
        difference_interval: Its interval.
        files: The files it is a mean over: not those in which the method fell back to the vote throughout.
    """

    label: str
    accuracy: float
    interval: Interval
    difference: float
    difference_interval: Interval
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MacroPoint:
    """Mean over files at one k, every file weighing the same.

    Attributes:
        k: Samples each method reads.
        files: The files that have this k.
        pass_at_k: Mean over them of pass@k.
        methods: The methods that did more than fall back to the vote in at least one file.
        fallbacks: Labels of the other methods, which are the vote in every file.
    """

    k: int
    files: tuple[str, ...]
    pass_at_k: float
    methods: tuple[MacroMethod, ...]
    fallbacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """One problem to read, with what every method made of one subset of its samples.

    Attributes:
        file: Name of the file of sample sets.
        id: The problem's id.
        k: Size of the subset: the largest k asked for that the problem has samples for.
        shown: Places of the samples in that subset; the methods read these alone.
        samples: Texts of the samples in the subset.
        sample_answers: Their final answers.
        sample_right: Their grades.
        answers: By method label; `None` abstains.
        right: By method label; `None` where the grade could not be decided.
        confidences: By method label, where the method states one.
        texts: By method label: what the method wrote, where that is not one of the samples.
        accuracies: By k (as text) and method label: share right over the subsets of this problem.
        evidence: By method label, of a method that weighs named features: what spoke for its answer against
            the next likeliest, in nats.
    """

    file: str
    id: str
    question: str
    gold: str
    level: str | None
    subject: str | None
    k: int
    shown: tuple[int, ...]
    samples: tuple[str, ...]
    sample_answers: tuple[str | None, ...]
    sample_right: tuple[bool | None, ...]
    answers: Mapping[str, str | None]
    right: Mapping[str, bool | None]
    confidences: Mapping[str, float]
    texts: Mapping[str, str]
    accuracies: Mapping[str, Mapping[str, float]]
    evidence: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All files, and the mean over them where there are several.

    Attributes:
        files: In the order given.
        macro: One per k that at least two files have.
        comparisons: Methods compared with the vote at each point; Holm's correction is over these.
        subsets: Most subsets per problem and k.
        resamples: Bootstrap samples behind each interval of a difference.
        seed: Seed of subsets, permutations and bootstrap.
        currency: Of the costs; `None` without a price file.
    """

    files: tuple[FileResult, ...]
    macro: tuple[MacroPoint, ...]
    comparisons: int
    subsets: int
    resamples: int
    seed: int
    currency: str | None = None
