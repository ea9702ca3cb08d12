"""The results of an evaluation, as frozen records of numbers. `report.json` has the same fields.

Rates and accuracies are shares in [0, 1]. Every problem has the same weight: results on several subsets of a
problem's samples are averaged first. A `weight` is therefore a number of problems and need not be whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sampleset.types import DEFAULT_KIND


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
        uncounted: Share of the calls whose tokens were not recorded. They are missing from the sums, except
            for samples, whose tokens are estimated.
        estimated: Whether tokens are estimated from the length of the texts, four characters each.
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
    """Accuracy on the share `coverage` of problems on which the method is most confident.

    Attributes:
        coverage: The share.
        accuracy: Share of right answers.
        most_wrong: Upper bound of the share of wrong ones, at 95 % (Clopper-Pearson), for this threshold
            alone; `sampleset certify` chooses among many, and so promises less. `None` where it was not
            computed: points closer than a twentieth to another.
    """

    coverage: float
    accuracy: float
    most_wrong: float | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far a method's confidence can be trusted.

    Attributes:
        brier: Mean squared difference of confidence and correctness, over answers with a confidence; lower
            is better.
        answered: Share of problems answered with a confidence. Other problems are left out here.
        bins: Reliability curve, ten bins, empty ones left out.
        coverage: Accuracy against coverage, coverage rising to `answered`.
    """

    brier: float
    answered: float
    bins: tuple[Bin, ...]
    coverage: tuple[CoveragePoint, ...]


@dataclass(frozen=True, slots=True)
class MatchedVote:
    """The majority vote with additional samples for the tokens that the method spends.

    Attributes:
        wanted: Samples for the same number of tokens, k included, rounded up in the vote's favour.
        k: Samples of the vote: `wanted`, or as many as all problems of the point have.
        accuracy: Accuracy of the vote over k samples.
        difference: Accuracy of the method minus `accuracy`.
        difference_interval: Paired bootstrap interval of the difference.
        estimated: Whether the tokens of the samples are estimated from the length of the texts.
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
        options: All its options.
        model: The model that it calls, `None` if it calls none.
        accuracy: Share of right answers, mean over subsets and problems.
        interval: Interval of the accuracy, clustered by problem.
        difference: Accuracy minus that of the majority vote on the same subsets.
        difference_interval: Paired bootstrap interval, problems resampled.
        mended: Problems on which it is right on more subsets than the vote.
        spoilt: Problems on which it is right on fewer subsets than the vote.
        p_value: Exact McNemar (sign) test of mended against spoilt, for this comparison alone.
        p_holm: `p_value`, corrected by Holm for all methods compared at this point; `None` for the vote.
        minority_recovery: Share of right answers among subsets where the vote is wrong and some sample is
            right.
        all_wrong_recovery: Share of right answers among subsets where no sample is right.
        harm: Share of wrong answers among subsets where the vote is right.
        abstained: Share without an answer, failures included.
        failed: Share on which it failed (prompt too long, server busy).
        undecided: Share whose grade could not be decided. They count as wrong.
        flips: Share of answers that change if the samples are in another order; `None` if not measured.
        calibration: Calibration of its confidence; `None` if it states none.
        usage: Tokens of the aggregation alone.
        cost: Money per question for sampling and aggregation, by the price file; `None` without one.
        matched: The vote at a matched token budget; `None` if the method spends no tokens.
        flags: Number of answers with each flag.
        evidence: For a method that weighs named features: mean absolute contribution of each feature to the
            lead over the next likeliest candidate, in nats per question.
        identity: Digest of its name and options, by which a certificate knows it.
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
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of the problems of a point.

    Attributes:
        value: The level, the subject, or the number of right samples among the k.
        weight: Number of problems.
        accuracy: Accuracy by method label.
        oracle: Share of problems with a right sample.
    """

    value: str
    weight: float
    accuracy: Mapping[str, float]
    oracle: float


@dataclass(frozen=True, slots=True)
class PointResult:
    """All methods at one k on one file.

    Attributes:
        k: Samples that each method reads.
        problems: Problems with at least k samples, or with fewer because a stopping rule was met.
        left_out: Graded problems with fewer samples.
        subsets: Subsets per problem, on average.
        all_subsets: Whether these are all subsets of size k; otherwise they were drawn by the seed.
        sample_accuracy: Mean accuracy of one sample, over all samples of these problems.
        pass_at_k: Unbiased pass@k from all samples of these problems.
        oracle: Share of the subsets with a right sample: bounds selectors, not synthesisers.
        sampling: Tokens to draw the k samples.
        sampling_cost: Money per question to draw them, `None` without a price file.
        methods: Results in the order of the methods; the majority vote is among them.
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
        unreadable_gold: Ids of problems left out because their gold answer cannot be read, the first 20.
        unreadable_gold_count: Number of all such problems.
        smallest: Samples of the smallest graded set.
        largest: Samples of the largest graded set.
        undecided_samples: Samples whose grade could not be decided. They count as wrong.
        points: One for each requested k that some problem has samples for.
        curve: maj@k and pass@k at every k from 1 (at fewer k beyond 32).
        stopped: Problems whose draws a stopping rule ended early. At a larger k, all their samples are read.
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
    """One problem to read, with the answers of every method on one subset of its samples.

    Attributes:
        file: Name of the file of sample sets.
        id: The problem's id.
        k: Size of the subset: the largest requested k that the problem has samples for.
        shown: Indices of the samples in that subset; the methods read these alone.
        samples: Texts of the samples in the subset.
        sample_answers: Their final answers.
        sample_right: Their grades.
        answers: Answers by method label; `None` abstains.
        right: Grades by method label; `None` if undecided.
        confidences: Confidences by method label, for methods that state one; where the vote answers in a
            method's place, its share.
        texts: Texts by method label, if the method wrote one that is not a sample.
        accuracies: By k (as text) and method label: share of right answers over the subsets of this problem.
        evidence: By method label, for methods that weigh named features: contribution of each feature to the
            answer's lead over the next likeliest, in nats.
        models: Names of the models that drew the samples, without their engines; empty where none is named.
        answer_kind: How answers are compared.
        prompt: Name and version of the prompt that the samples were asked with.
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
    models: tuple[str, ...] = ()
    answer_kind: str = DEFAULT_KIND
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All files, and the mean over them if there are several.

    Attributes:
        files: One result per file.
        macro: One mean for each k that at least two files have.
        comparisons: Methods compared with the vote at each point; Holm's correction is over these.
        subsets: Most subsets per problem and k.
        resamples: Bootstrap samples behind each interval of a difference.
        seed: Seed of subsets, permutations and bootstrap.
        currency: Currency of the costs; `None` without a price file.
    """

    files: tuple[FileResult, ...]
    macro: tuple[MacroPoint, ...]
    comparisons: int
    subsets: int
    resamples: int
    seed: int
    currency: str | None = None
