"""Sentences that a reader needs beside the numbers: how they are made, and what befell this run."""

from __future__ import annotations

from sampleset.evaluation.results import (
    Evaluation,
    FileResult,
    MacroMethod,
    MacroPoint,
    MethodResult,
    PointResult,
)
from sampleset.report.wording import percent
from sampleset.wording import plural

_FLAGS = {
    "failed": "failed on {n} (prompt too long, or server busy), counted as no answer",
    "no_weights": "on {n} no sample has a weight, so this is the plain vote there",
    "weights_missing": "on {n} some samples lack a weight and get the mean of the others",
    "no_scores": "on {n} no sample that states an answer has a score",
    "unreadable_reply": "on {n} a reply could not be read",
    "low_confidence": "withheld, being less sure than asked for, are {n}",
    "no_confidence": "withheld, stating no confidence, are {n}",
    "chose_no_answer": "on {n} it chose a sample without an answer",
    "fallback_vote": "on {n} the majority vote answered in its place",
    "away": "{n} are of sets unlike those it was fitted on",
    "away_kind": "away, the answers being of another kind, are {n}",
    "away_model": "away, being of another model, are {n}",
    "away_prompt": "away, being asked with another prompt, are {n}",
    "away_size": "away, having far fewer or more samples, are {n}",
    "away_style": "away, the samples or questions looking otherwise, are {n}",
    "blind": "{n} rest on weights for sets without token confidences or scores",
    "features_missing": "on {n} a feature that was fitted is not recorded, and the vote answered",
}


_LOUDEST = 5
"""Features of a method that are named."""


def captions(evaluation: Evaluation) -> list[str]:
    """How each kind of number is made, one or two sentences each."""
    return [
        "Right: share of problems right, every problem weighing the same. Its 95 % interval is Wilson's, "
        "widened by the design effect where a problem has several subsets (clustered by problem).",
        "vs vote: accuracy minus the majority vote's on the same subsets, in points, with the 95 % interval "
        f"of a paired bootstrap over problems ({plural(evaluation.resamples, 'resample')}, two made-up "
        "problems among them, since methods that seldom differ would seem surely equal).",
        "mended/spoilt: problems on which a method is right on more, and on fewer, subsets than the vote. "
        "p: exact McNemar, as a sign test over these problems, corrected by Holm for "
        f"{_compared(evaluation)}.",
        "agg. tokens: what the method itself spends per question, beside the samples; ~ is a guess from the "
        "length of the texts, four characters a token; + says that some calls are not counted.",
        "oracle: share of subsets with a right sample. It bounds selectors only: a synthesiser, which may "
        "write an answer that no sample has, can exceed it.",
    ]


def macro_caption(evaluation: Evaluation) -> str:
    """How the mean over files is made."""
    return (
        "Mean over files, every file weighing the same; a file in which a method fell back to the vote "
        "throughout is left out of the method's mean. The 95 % interval of an accuracy is put together "
        "from the files' own; that of a difference is by a bootstrap of the problems within each file "
        f"({plural(evaluation.resamples, 'resample')})."
    )


def macro_notes(macro: MacroPoint) -> list[str]:
    """Which methods' means leave out files, one sentence each."""
    notes = [
        f"{method.label}: mean over {files_of(method, macro)}; in the others it fell back to the vote "
        "throughout. Compare its difference from the vote, not its accuracy, with other methods."
        for method in macro.methods
        if files_of(method, macro)
    ]
    if macro.fallbacks:
        notes.append(f"Left out, being the vote in every file: {', '.join(macro.fallbacks)}.")
    return notes


def files_of(method: MacroMethod, macro: MacroPoint) -> str:
    """`2 of 4 files`, if the method's mean leaves out some, else an empty text."""
    if not method.files or len(method.files) == len(macro.files):
        return ""
    return f"{len(method.files)} of {plural(len(macro.files), 'file')}"


MATCHED_CAPTION = (
    "Matched budget: the vote gets as many more samples as the method's own tokens would have bought, "
    "rounded up in the vote's favour; where the files hold fewer, as many as all problems have."
)


RISK_CAPTION = (
    "Wrong answers in percent of those given, if only the questions of most confidence are answered, and in "
    "brackets the 95 % upper bound (Clopper-Pearson), for each threshold alone. A threshold that is chosen "
    "by looking at several needs a stricter test: `sampleset certify`."
)


def _compared(evaluation: Evaluation) -> str:
    if evaluation.comparisons == 1:
        return "1 comparison, which leaves it as it is"
    return f"the {evaluation.comparisons:,} comparisons of a point"


def file_notes(file: FileResult) -> list[str]:
    """What to know of a file before its numbers are read, one sentence each."""
    notes: list[str] = []
    if file.without_gold:
        notes.append(f"Left out, having no gold answer: {plural(file.without_gold, 'problem')}.")
    if file.unreadable_gold_count:
        names = ", ".join(file.unreadable_gold)
        more = " …" if file.unreadable_gold_count > len(file.unreadable_gold) else ""
        notes.append(
            "Left out, the gold answer not being readable: "
            f"{plural(file.unreadable_gold_count, 'problem')} ({names}{more})."
        )
    if file.stopped:
        notes.append(
            f"Left with fewer samples by a stopping rule: {plural(file.stopped, 'problem')}, read whole at "
            "every larger k."
        )
    if file.undecided_samples:
        notes.append(
            f"Samples whose grade could not be decided, counted as not right: {file.undecided_samples:,}."
        )
    return notes


def point_notes(point: PointResult) -> list[str]:
    """Notes on all numbers at one k, one sentence each."""
    notes = [f"{plural(point.problems, 'problem')}, k = {point.k}; {_subsets(point)}."]
    if point.left_out:
        notes.append(f"Left out, having fewer than {point.k} samples: {plural(point.left_out, 'problem')}.")
    use = point.sampling
    if use.calls and use.uncounted > 1 - 1e-9:
        notes.append("The tokens of the samples are not recorded in this file.")
    elif use.calls:
        noun = plural(point.k, "sample")
        note = f"Drawing the {noun} takes {round(use.total):,} tokens per question"
        if use.uncounted:
            note += (
                f"; those of {percent(use.uncounted)} % of them are guessed from the length of their texts"
            )
        notes.append(f"{note}.")
    return notes


def _subsets(point: PointResult) -> str:
    if point.subsets == 1:
        return "every method reads the same samples"
    many = f"{point.subsets:.3g}" if point.subsets % 1 else f"{point.subsets:.0f}"
    choice = "all there are" if point.all_subsets else "drawn by the seed"
    return f"every method reads the same {many} subsets per problem, {choice}"


def method_notes(method: MethodResult, point: PointResult) -> list[str]:
    """Notes on a method's numbers at one k: abstentions, fallbacks, failures."""
    answers = round(point.problems * point.subsets)
    notes = [
        text.format(n=_of(count, answers))
        for flag, text in _FLAGS.items()
        if (count := method.flags.get(flag, 0))
    ]
    if method.evidence:
        loud = sorted(method.evidence.items(), key=lambda pair: -pair[1])[:_LOUDEST]
        sizes = ", ".join(f"{name} {size:.2f}" for name, size in loud)
        notes.append(f"what decided, in nats per question: {sizes}")
    if method.failed and not method.flags.get("failed"):
        notes.append(f"failed on {percent(method.failed)} %, counted as no answer")
    if method.abstained:
        notes.append(f"no answer on {percent(method.abstained)} %, counted as not right")
    if method.undecided:
        notes.append(f"grade not decided on {percent(method.undecided)} %, counted as not right")
    if method.all_wrong_recovery.rate:
        notes.append(
            f"right on {percent(method.all_wrong_recovery.rate)} % of the subsets where no sample is: "
            "it writes answers that no sample has"
        )
    if method.usage.estimated:
        notes.append("its tokens are estimated from the length of the texts")
    if method.usage.uncounted:
        notes.append(f"the tokens of {percent(method.usage.uncounted)} % of its calls are not known")
    if method.matched is not None and method.matched.k < method.matched.wanted:
        notes.append(
            f"its tokens buy the vote {method.matched.wanted:,} samples, "
            f"of which there are {method.matched.k:,}"
        )
    return notes


def _of(count: int, answers: int) -> str:
    if count >= answers > 1:
        return f"all {answers:,} answers"
    return f"{count:,} of {plural(answers, 'answer')}"
