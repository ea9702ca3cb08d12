"""Sums over a file → its results, with intervals and tests. Several files → their mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sampleset.aggregators.base import Aggregator
from sampleset.evaluation.results import (
    CurvePoint,
    FileResult,
    Interval,
    MacroMethod,
    MacroPoint,
    MatchedVote,
    MethodResult,
    PointResult,
    Rate,
    Slice,
    TokenUse,
)
from sampleset.evaluation.scoring import REFERENCE, SampleTokens
from sampleset.evaluation.totals import FileTotals, MethodTotals, PointTotals
from sampleset.metrics import (
    clustered_interval,
    holm,
    macro_bootstrap,
    macro_interval,
    mcnemar_exact,
    paired_bootstrap,
)
from sampleset.models.prices import Prices
from sampleset.specs import identity_of, models_asked, options_of

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Survey:
    """The problems that were left out of a file before it was scored."""

    source: str
    without_gold: int
    unreadable_gold: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileSummary:
    """Turns one file's sums into its result.

    Attributes:
        survey: The problems left out.
        totals: The sums.
        aggregators: The methods by label.
        prices: Prices of tokens; `None` computes no costs.
        seed: Seed of the bootstrap.
    """

    survey: Survey
    totals: FileTotals
    aggregators: Mapping[str, Aggregator]
    prices: Prices | None
    seed: int

    def result(self) -> FileResult:
        """The file's result."""
        sizes = self.totals.sizes
        return FileResult(
            source=self.survey.source,
            problems=self.totals.problems,
            without_gold=self.survey.without_gold,
            unreadable_gold=self.survey.unreadable_gold[:20],
            unreadable_gold_count=len(self.survey.unreadable_gold),
            smallest=min(sizes),
            largest=max(sizes),
            stopped=self.totals.stopped.total(),
            undecided_samples=self.totals.undecided_samples,
            points=tuple(self._point(k, point) for k, point in sorted(self.totals.points.items())),
            curve=tuple(self._curve()),
        )

    def _curve(self) -> list[CurvePoint]:
        points: list[CurvePoint] = []
        # Beyond the size of a stopped set, only contested questions remain, so the curve ends there.
        last = min((n for n, count in self.totals.stopped.items() if count), default=math.inf)
        for k, curve in sorted(self.totals.curve.items()):
            if k > last:
                break
            # Sets of other sizes add points to the curve that few problems have; these are skipped.
            if len(curve.vote) == sum(count for n, count in self.totals.sizes.items() if n >= k):
                points.append(
                    CurvePoint(
                        k=k,
                        problems=len(curve.vote),
                        maj_at_k=_mean(curve.vote),
                        interval=Interval(*clustered_interval(curve.vote)),
                        pass_at_k=_mean(curve.pass_at_k),
                    )
                )
        return points

    def _point(self, k: int, point: PointTotals) -> PointResult:
        methods = [self._method(label, k, point) for label in self.aggregators]
        compared = [method for method in methods if method.label != REFERENCE]
        corrected = dict(
            zip(
                (method.label for method in compared),
                holm([method.p_value for method in compared]),
                strict=True,
            )
        )
        return PointResult(
            k=k,
            problems=point.problems,
            left_out=self.totals.problems - point.problems,
            subsets=point.subsets / point.problems,
            all_subsets=point.all_subsets,
            sample_accuracy=_mean(point.sample_right),
            pass_at_k=_mean(point.pass_at_k),
            oracle=point.oracle / point.problems,
            sampling=_sampling(point),
            sampling_cost=self._sampling_cost(point),
            methods=tuple(replace(method, p_holm=corrected.get(method.label)) for method in methods),
            breakdowns=_breakdowns(point),
        )

    def _method(self, label: str, k: int, point: PointTotals) -> MethodResult:
        sums, vote, problems = point.methods[label], point.methods[REFERENCE], point.problems
        differences = [
            method_right - vote_right for method_right, vote_right in zip(sums.right, vote.right, strict=True)
        ]
        mended = sum(difference > 0 for difference in differences)
        spoilt = sum(difference < 0 for difference in differences)
        usage = TokenUse(
            prompt=sums.prompt_tokens / problems,
            completion=sums.completion_tokens / problems,
            calls=sums.calls / problems,
            uncounted=sums.uncounted / sums.calls if sums.calls else 0.0,
        )
        models = models_asked(self.aggregators[label])
        return MethodResult(
            label=label,
            options=options_of(self.aggregators[label]),
            model=" + ".join(models) or None,
            accuracy=_mean(sums.right),
            interval=Interval(*clustered_interval(sums.right)),
            difference=_mean(differences),
            difference_interval=self._difference_interval(label, differences),
            mended=mended,
            spoilt=spoilt,
            p_value=mcnemar_exact(mended, spoilt),
            p_holm=None,
            minority_recovery=_rate(sums.minority, point.minority),
            all_wrong_recovery=_rate(sums.all_wrong, point.all_wrong),
            harm=_rate(sums.harm, point.vote_right),
            abstained=sums.abstained / problems,
            failed=sums.failed / problems,
            undecided=sums.undecided / problems,
            flips=_rate(sums.flips, sums.reordered) if sums.reordered else None,
            calibration=sums.confidences.summary(problems),
            usage=usage,
            cost=self._cost(point, models, usage),
            matched=self._matched(k, point, sums, usage),
            flags=dict(sorted(sums.flags.items())),
            evidence={name: size / problems for name, size in sums.evidence.items()},
            identity=identity_of(self.aggregators[label]),
        )

    def _difference_interval(self, label: str, differences: Sequence[float]) -> Interval:
        if label == REFERENCE:
            return Interval(0.0, 0.0)
        return Interval(*paired_bootstrap(differences, RESAMPLES, self.seed))

    def _sampling_cost(self, point: PointTotals) -> float | None:
        if self.prices is None:
            return None
        cost, size = 0.0, point.samples / point.problems
        for model, tokens in point.tokens.items():
            price = self.prices.models[model]
            prompt = tokens.prompt / size if price.shared_prompt else tokens.prompt
            cost += price.of(prompt, tokens.completion)
        return cost / point.problems

    def _cost(self, point: PointTotals, models: Sequence[str], usage: TokenUse) -> float | None:
        sampling = self._sampling_cost(point)
        # The tokens of a method that calls several models are not recorded by model.
        if sampling is None or self.prices is None or len(models) > 1:
            return None
        aggregation = sum(self.prices.models[model].of(usage.prompt, usage.completion) for model in models)
        return sampling + aggregation

    def _matched(self, k: int, point: PointTotals, sums: MethodTotals, usage: TokenUse) -> MatchedVote | None:
        sampling = _sampling(point)
        if usage.total == 0 or sampling.total == 0:
            return None
        wanted = k + math.ceil(usage.total / (sampling.total / sampling.calls))
        candidates = [
            (size, shares)
            for size in sorted(self.totals.curve)
            if size >= k and (shares := self.totals.vote_at(size, point.problem_numbers)) is not None
        ]
        size, shares = next((candidate for candidate in candidates if candidate[0] >= wanted), candidates[-1])
        differences = [
            method_right - vote_right for method_right, vote_right in zip(sums.right, shares, strict=True)
        ]
        return MatchedVote(
            wanted=wanted,
            k=size,
            accuracy=_mean(shares),
            difference=_mean(differences),
            difference_interval=Interval(*paired_bootstrap(differences, RESAMPLES, self.seed)),
            estimated=sampling.estimated or usage.uncounted > 0,
        )


def macro_points(
    files: Sequence[FileResult], totals: Mapping[str, FileTotals], labels: Sequence[str], seed: int
) -> tuple[MacroPoint, ...]:
    """The mean over files at each k that several of them have."""
    points: list[MacroPoint] = []
    for k in sorted({point.k for file in files for point in file.points}):
        file_points = [(file.source, point) for file in files for point in file.points if point.k == k]
        if len(file_points) < 2:
            continue
        sums = {source: totals[source].points[k] for source, _ in file_points}
        active = {label: [source for source in sums if not _is_vote(label, sums[source])] for label in labels}
        points.append(
            MacroPoint(
                k=k,
                files=tuple(source for source, _ in file_points),
                pass_at_k=_mean([point.pass_at_k for _, point in file_points]),
                methods=tuple(
                    _macro_method(label, {source: sums[source] for source in sources}, seed)
                    for label, sources in active.items()
                    if sources
                ),
                fallbacks=tuple(label for label, sources in active.items() if not sources),
            )
        )
    return tuple(points)


def _is_vote(label: str, point: PointTotals) -> bool:
    """Whether the method fell back to the vote wherever there was something to decide."""
    sums = point.methods[label]
    return sums.fallbacks > 0 and sums.contested == 0


def _macro_method(label: str, points: Mapping[str, PointTotals], seed: int) -> MacroMethod:
    shares = [list(point.methods[label].right) for point in points.values()]
    votes = [list(point.methods[REFERENCE].right) for point in points.values()]
    differences = [
        [method_right - vote_right for method_right, vote_right in zip(file_shares, file_votes, strict=True)]
        for file_shares, file_votes in zip(shares, votes, strict=True)
    ]
    same = label == REFERENCE
    return MacroMethod(
        label=label,
        accuracy=_mean([_mean(file_shares) for file_shares in shares]),
        interval=Interval(*macro_interval(shares)),
        difference=_mean([_mean(file_differences) for file_differences in differences]),
        difference_interval=Interval(0.0, 0.0)
        if same
        else Interval(*macro_bootstrap(differences, RESAMPLES, seed)),
        files=tuple(points),
    )


def _sampling(point: PointTotals) -> TokenUse:
    total, size = SampleTokens(), point.samples / point.problems
    for tokens in point.tokens.values():
        total = total.plus(tokens, 1 / point.problems)
    return TokenUse(
        total.prompt,
        total.completion,
        calls=size,
        uncounted=total.guessed / size,
        estimated=total.guessed > 0,
    )


def _breakdowns(point: PointTotals) -> dict[str, tuple[Slice, ...]]:
    slices: dict[str, list[Slice]] = {}
    for key in sorted(point.weights, key=_natural):
        kind, value = key
        weight = point.weights[key]
        accuracy = {label: method.slices.get(key, 0.0) / weight for label, method in point.methods.items()}
        slices.setdefault(kind, []).append(Slice(value, weight, accuracy, point.oracles[key] / weight))
    return {kind: tuple(listed) for kind, listed in slices.items()}


def _natural(key: tuple[str, str]) -> tuple[str, float, str]:
    kind, value = key
    return (kind, float(value) if value.isdecimal() else math.inf, value)


def _rate(hits: float, weight: float) -> Rate:
    return Rate(hits / weight if weight > 0 else None, weight)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
