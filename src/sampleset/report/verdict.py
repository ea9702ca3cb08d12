"""A report → whether a method is worth its cost: by how much it is better, where, and what to use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from sampleset.evaluation import REFERENCE
from sampleset.evaluation.results import Interval
from sampleset.metrics import (
    MOST_WANTED,
    mcnemar_exact,
    paired_bootstrap,
    questions_to_show,
    rounded_up,
)
from sampleset.report.compare import MethodChange, compare_runs
from sampleset.report.files import question_rows
from sampleset.report.markdown import markdown_table
from sampleset.report.wording import p_value, percent, points, points_range
from sampleset.wording import plural

VERDICT_SCHEMA = 1
_RESAMPLES = 10_000
_HALF = 0.5 + 1e-9


@dataclass(frozen=True, slots=True)
class Lead:
    """One method less another on the same questions.

    Attributes:
        over: Name of the other.
        right: Share of right answers of the other.
        difference: Difference of the shares of right answers.
        interval: Its paired 95 % interval.
        mended: Questions that the method has right and the other has not.
        spoilt: The reverse.
        p_value: Exact McNemar test of the two.
    """

    over: str
    right: float
    difference: float
    interval: Interval
    mended: int
    spoilt: int
    p_value: float

    @property
    def is_shown(self) -> bool:
        """Whether the method is better by an interval clear of zero."""
        return self.interval.low > 0

    @property
    def text(self) -> str:
        """`+5.0 (+2.0…+8.0)`, in points."""
        return f"{points(self.difference)} ({points_range(self.interval)})"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the questions: `lead` is the method's over the vote on these."""

    name: str
    questions: int
    lead: Lead


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a method is recommended.

    Attributes:
        method: Its name.
        k: Samples that each method read.
        questions: Questions of the comparison.
        right: Share of right answers of the method.
        leads: The method less each other one, the vote first.
        free_leads: Each other method less the vote.
        parts: Where it is better or worse than the vote.
        recommended: What to use, by name: the method only if it is shown to be better than the vote, and than
            every method without a cost that is shown to be better than the vote.
        sentence: The verdict in words.
        questions_wanted: Test questions that would show a gain of this size over the vote; `None` where it is
            shown, or where there is no gain.
    """

    method: str
    k: int
    questions: int
    right: float
    leads: tuple[Lead, ...]
    free_leads: tuple[Lead, ...]
    parts: tuple[Part, ...]
    recommended: str
    sentence: str
    questions_wanted: int | None

    @property
    def is_recommended(self) -> bool:
        """Whether the method is."""
        return self.recommended == self.method

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON values."""
        return {"schema": VERDICT_SCHEMA, "is_recommended": self.is_recommended, **asdict(self)}


def verdict_of(report: Path, method: str, free: Mapping[str, str]) -> Verdict:
    """Whether a method of a report is worth its cost.

    Args:
        report: Folder of the report, of one file and one k.
        method: The method's label in the report; its name is the part before the colon.
        free: Name → label of the methods that cost nothing, without the vote.
    """
    name = method.partition(":")[0]
    pairs = [(REFERENCE, method), *((label, method) for label in free.values())]
    pairs += [(REFERENCE, label) for label in free.values()]
    (file,) = compare_runs(report, report, [f"{before}={after}" for before, after in pairs]).files
    changes = {change.label: change for change in file.methods}
    names = {REFERENCE: REFERENCE, **{label: name for name, label in free.items()}}
    leads = tuple(_lead(changes[f"{other} → {method}"], shown_name) for other, shown_name in names.items())
    free_leads = tuple(
        _lead(changes[f"{REFERENCE} → {label}"], shown_name) for shown_name, label in free.items()
    )
    first = changes[f"{REFERENCE} → {method}"]
    recommended = _recommended(name, leads, free_leads)
    over_vote = leads[0]
    interval = over_vote.interval
    wanted = questions_to_show(over_vote.difference, interval.low, interval.high, first.problems)
    wanted = None if over_vote.is_shown else wanted
    return Verdict(
        method=name,
        k=first.k,
        questions=first.problems,
        right=first.accuracy_b,
        leads=leads,
        free_leads=free_leads,
        parts=tuple(_parts(report, method, first.k)),
        recommended=recommended,
        sentence=_sentence(name, leads, free_leads, recommended, first.problems, wanted),
        questions_wanted=wanted,
    )


def verdict_lines(verdict: Verdict) -> list[str]:
    """The verdict for the terminal."""
    width = max(16, *(len(lead.over) + 1 for lead in verdict.leads))
    lines = [f"{verdict.method} on {plural(verdict.questions, 'test question')}, k = {verdict.k}:"]
    lines += [
        f"  less {lead.over:<{width}}{lead.text:<22}mended {lead.mended}, spoilt {lead.spoilt}, "
        f"p {p_value(lead.p_value)}"
        for lead in verdict.leads
    ]
    lines += [
        f"  {part.name} ({plural(part.questions, 'question')}): {part.lead.text}" for part in verdict.parts
    ]
    return [*lines, "", verdict.sentence]


def verdict_markdown(verdict: Verdict) -> str:
    """The verdict as Markdown, without a heading."""
    headings = ("over", "its right %", "difference", "95 % interval", "mended/spoilt", "p (alone)")
    rows = [
        (
            lead.over,
            percent(lead.right),
            points(lead.difference),
            points_range(lead.interval),
            f"{lead.mended}/{lead.spoilt}",
            p_value(lead.p_value),
        )
        for lead in verdict.leads
    ]
    where = [
        (part.name, f"{part.questions:,}", points(part.lead.difference), points_range(part.lead.interval),
         f"{part.lead.mended}/{part.lead.spoilt}")
        for part in verdict.parts
    ]  # fmt: skip
    return "\n\n".join(
        [
            verdict.sentence,
            f"{plural(verdict.questions, 'test question')}, k = {verdict.k}; `{verdict.method}` has "
            f"{percent(verdict.right)} % right. Differences are paired by question.",
            markdown_table(headings, rows),
            markdown_table(
                ("where", "questions", f"over {REFERENCE}", "95 % interval", "mended/spoilt"), where
            ),
        ]
    )


def _lead(change: MethodChange, over: str) -> Lead:
    return Lead(
        over,
        change.accuracy_a,
        change.difference,
        change.interval,
        change.mended,
        change.spoilt,
        change.p_value,
    )


def _recommended(name: str, leads: Sequence[Lead], free_leads: Sequence[Lead]) -> str:
    """The method if it is shown to be better than the vote and than what is free and better than the vote."""
    better_free = [lead for lead in free_leads if lead.is_shown]
    beaten = {lead.over for lead in leads if lead.is_shown}
    if REFERENCE in beaten and all(lead.over in beaten for lead in better_free):
        return name
    return max(better_free, key=lambda lead: lead.difference).over if better_free else REFERENCE


def _sentence(
    name: str,
    leads: Sequence[Lead],
    free_leads: Sequence[Lead],
    recommended: str,
    questions: int,
    wanted: int | None,
) -> str:
    vote = leads[0]
    gain = f"{vote.text} points over the vote"
    if recommended == name:
        also = [lead.over for lead in leads[1:] if lead.is_shown]
        more = f" It is above {' and '.join(also)} as well." if also else ""
        return f"Use {name}: {gain}, by an interval clear of zero.{more}"
    if vote.is_shown:
        rival = next(lead for lead in leads if lead.over == recommended)
        return (
            f"{name} is not recommended: {gain}, but {recommended} asks no model and is above the vote, too; "
            f"{name} has {rival.text} over it, which is not clear of zero. Use {recommended}."
        )
    if vote.interval.high < 0:
        reason = f"{gain}: it is worse"
    else:
        reason = f"{gain}, which is not clear of zero"
        if wanted is not None and questions < wanted <= MOST_WANTED * questions:
            reason += f". About {rounded_up(wanted):,} test questions would show a gain of this size"
    instead = next((lead for lead in free_leads if lead.over == recommended), None)
    other = f"Use {recommended}" + (f", which has {instead.text}" if instead else "")
    return f"{name} is not recommended: {reason}. {other}."


def _parts(report: Path, method: str, k: int) -> Iterator[Part]:
    """The lead over the vote where the vote has a majority of the samples, and where it has none."""
    shares: dict[str, list[tuple[float, float]]] = {
        "the vote has no majority": [],
        "the vote has a majority": [],
    }
    for row in question_rows(report / "questions.jsonl"):
        right = row["accuracies"][str(k)]
        share = row.get("confidences", {}).get(REFERENCE, 0.0)
        name = "the vote has a majority" if share > _HALF else "the vote has no majority"
        shares[name].append((right[REFERENCE], right[method]))
    for name, pairs in shares.items():
        if not pairs:
            continue
        differences = [after - before for before, after in pairs]
        mended, spoilt = sum(change > 0 for change in differences), sum(change < 0 for change in differences)
        yield Part(
            name,
            len(pairs),
            Lead(
                REFERENCE,
                fmean(before for before, _ in pairs),
                fmean(differences),
                Interval(*paired_bootstrap(differences, _RESAMPLES, seed=0)),
                mended,
                spoilt,
                mcnemar_exact(mended, spoilt),
            ),
        )
