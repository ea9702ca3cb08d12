"""Two reports → what changed between them, problem by problem."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sampleset.errors import DataError, InvalidArgumentError
from sampleset.evaluation.results import Evaluation, Interval
from sampleset.metrics import mcnemar_exact, paired_bootstrap
from sampleset.report.files import evaluation_in, question_rows, read_report

_FIRST = 20
"""Ids listed of the problems that changed."""
_EQUAL = 1e-9
"""Shares that differ by less are the same share, written to JSON and back."""
_MISSING = "(not set)"


@dataclass(frozen=True, slots=True)
class MethodChange:
    """One method at one k, in A and in B, over the problems that both have.

    Attributes:
        accuracy_a: Share right in A, mean over the common problems.
        accuracy_b: The same in B.
        difference: B minus A.
        interval: Its paired bootstrap interval, problems resampled.
        mended: Problems that B has right on more subsets than A.
        spoilt: Problems that B has right on fewer.
        p_value: Exact McNemar (sign) test of the two, for this comparison alone.
        mended_ids: The first 20 of them.
        spoilt_ids: The first 20 of them.
    """

    k: int
    label: str
    problems: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    interval: Interval
    mended: int
    spoilt: int
    p_value: float
    mended_ids: tuple[str, ...]
    spoilt_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file of sample sets in both runs.

    Attributes:
        source_a: Its name in A.
        source_b: Its name in B.
        common: Problems that both have, by id and text.
        only_a: Problems of A alone.
        only_b: Problems of B alone.
        other_text: Ids that both have, but with another question; they are left out.
        other_gold: Common problems whose gold answer was changed; they are compared.
        methods: By k, then in A's order of methods; only what both runs have, and the pairs asked for.
    """

    source_a: str
    source_b: str
    common: int
    only_a: int
    only_b: int
    other_text: int
    other_gold: int
    methods: tuple[MethodChange, ...]


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A setting that the runs do not share."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs: files, methods and values of k that both have, and what they do not share.

    Attributes:
        notes: What to know before the numbers are read.
        settings: Settings that differ.
        resamples: Bootstrap samples behind each interval.
        seed: Seed of the bootstrap, A's.
    """

    a: str
    b: str
    files: tuple[FileChange, ...]
    settings: tuple[SettingChange, ...]
    notes: tuple[str, ...]
    resamples: int
    seed: int


@dataclass(frozen=True, slots=True)
class _Problem:
    text: bytes
    gold: str
    accuracies: Mapping[str, Mapping[str, float]]


def compare_runs(a: Path, b: Path, pairs: Sequence[str] = ()) -> Comparison:
    """What changed from report A to report B.

    Files are matched by name; where each run has exactly one, these are compared whatever their names.
    Methods are matched by label, and besides as `pairs` say.

    Args:
        a: Folder of the first report.
        b: Folder of the second.
        pairs: `X=Y` compares method X of A with method Y of B.

    Raises:
        InputNotFoundError: A folder is not a report's.
        DataError: A report cannot be read, or the runs share no problem.
        InvalidArgumentError: A pair names a method that is not there.
    """
    reports = read_report(a), read_report(b)
    runs = evaluation_in(a, reports[0]), evaluation_in(b, reports[1])
    problems = [_problems(a)]
    problems.append(problems[0] if a == b else _problems(b))
    sources, notes = _pairs(*runs)
    wanted = [_method_pair(pair, *runs) for pair in pairs]
    resamples, seed = max(1, runs[0].resamples), runs[0].seed
    files: list[FileChange] = []
    with_lone_methods: set[str] = set()
    for source_a, source_b in sources:
        labels = _labels(runs[0], source_a), _labels(runs[1], source_b)
        methods = dict.fromkeys([*((label, label) for label in labels[0] if label in labels[1]), *wanted])
        here = problems[0].get(source_a, {}), problems[1].get(source_b, {})
        files.append(_file_change(source_a, source_b, here, list(methods), (resamples, seed)))
        for name, mine, theirs in (("A", *labels), ("B", *reversed(labels))):
            paired = {pair[0 if name == "A" else 1] for pair in wanted}
            if lone := [label for label in mine if label not in theirs and label not in paired]:
                notes.append(f"{source_a}: only {name} has {', '.join(lone)}.")
                with_lone_methods.add(name)
    if not any(file.common for file in files):
        raise DataError(
            f"{a} and {b} share no problem: no id stands in both with the same question. "
            "Compare runs over the same problems."
        )
    if len(with_lone_methods) > 1:
        notes.append("--pair X=Y compares method X of A with method Y of B.")
    if not any(change.mended or change.spoilt for file in files for change in file.methods):
        notes.append(
            "Nothing differs: every method that is compared is right on the same problems in A and in B."
        )
    settings = tuple(_setting_changes(*reports, *runs))
    return Comparison(str(a), str(b), tuple(files), settings, tuple(notes), resamples, seed)


def _method_pair(text: str, a: Evaluation, b: Evaluation) -> tuple[str, str]:
    """The labels of `X=Y`; a label may hold an equals sign, too."""
    names = [
        list(dict.fromkeys(label for file in run.files for label in _labels(run, file.source)))
        for run in (a, b)
    ]
    parts = text.split("=")
    for cut in range(1, len(parts)):
        pair = "=".join(parts[:cut]), "=".join(parts[cut:])
        if pair[0] in names[0] and pair[1] in names[1]:
            return pair
    raise InvalidArgumentError(
        f"--pair {text!r} must be X=Y, X a method of A ({', '.join(names[0])}) and Y one of B "
        f"({', '.join(names[1])})."
    )


def _pairs(a: Evaluation, b: Evaluation) -> tuple[list[tuple[str, str]], list[str]]:
    """Names of the files to compare, and notes on the others."""
    names_a, names_b = [file.source for file in a.files], [file.source for file in b.files]
    if len(names_a) == len(names_b) == 1 and names_a != names_b:
        opening = (
            f"The files have different names, {names_a[0]} and {names_b[0]}; as each run has one, they are "
        )
        return [(names_a[0], names_b[0])], [f"{opening}compared."]
    shared = [name for name in names_a if name in names_b]
    if not shared:
        raise DataError(
            f"The runs share no file: A has {', '.join(names_a) or 'none'}, B has "
            f"{', '.join(names_b) or 'none'}. Files are matched by name where a run has several."
        )
    notes: list[str] = []
    for run, names in (("A", names_a), ("B", names_b)):
        if lone := [name for name in names if name not in shared]:
            notes.append(f"Only {run} has the files {', '.join(lone)}.")
    return [(name, name) for name in shared], notes


def _problems(folder: Path) -> dict[str, dict[str, _Problem]]:
    """By file and id, only the compared fields of each question, so that large runs fit into memory."""
    problems: dict[str, dict[str, _Problem]] = {}
    for row in question_rows(folder / "questions.jsonl"):
        text = hashlib.blake2b(str(row["question"]).encode("utf-8", "replace"), digest_size=12).digest()
        problems.setdefault(row["file"], {})[row["id"]] = _Problem(
            text, str(row.get("gold")), row["accuracies"]
        )
    return problems


def _labels(run: Evaluation, source: str) -> list[str]:
    points = [point for file in run.files if file.source == source for point in file.points]
    return list(dict.fromkeys(method.label for point in points for method in point.methods))


def _file_change(
    source_a: str,
    source_b: str,
    problems: tuple[dict[str, _Problem], dict[str, _Problem]],
    methods: Sequence[tuple[str, str]],
    bootstrap: tuple[int, int],
) -> FileChange:
    in_a, in_b = problems
    both = [identity for identity in in_a if identity in in_b]
    common = [identity for identity in both if in_a[identity].text == in_b[identity].text]
    pairs = {identity: (in_a[identity].accuracies, in_b[identity].accuracies) for identity in common}
    ks = sorted({int(k) for mine, theirs in pairs.values() for k in mine if k in theirs})
    changes: list[MethodChange] = []
    for k in ks:
        for before, after in methods:
            shares = {
                identity: (mine[str(k)][before], theirs[str(k)][after])
                for identity, (mine, theirs) in pairs.items()
                if before in mine.get(str(k), {}) and after in theirs.get(str(k), {})
            }
            if shares:
                label = before if before == after else f"{before} → {after}"
                changes.append(_method_change(k, label, shares, bootstrap))
    return FileChange(
        source_a=source_a,
        source_b=source_b,
        common=len(common),
        only_a=len(in_a) - len(both),
        only_b=len(in_b) - len(both),
        other_text=len(both) - len(common),
        other_gold=sum(in_a[identity].gold != in_b[identity].gold for identity in common),
        methods=tuple(changes),
    )


def _method_change(
    k: int, label: str, shares: Mapping[str, tuple[float, float]], bootstrap: tuple[int, int]
) -> MethodChange:
    differences = {identity: after - before for identity, (before, after) in shares.items()}
    mended = [identity for identity, change in differences.items() if change > _EQUAL]
    spoilt = [identity for identity, change in differences.items() if change < -_EQUAL]
    count = len(shares)
    return MethodChange(
        k=k,
        label=label,
        problems=count,
        accuracy_a=sum(before for before, _ in shares.values()) / count,
        accuracy_b=sum(after for _, after in shares.values()) / count,
        difference=sum(differences.values()) / count,
        interval=Interval(*paired_bootstrap(list(differences.values()), *bootstrap)),
        mended=len(mended),
        spoilt=len(spoilt),
        p_value=mcnemar_exact(len(mended), len(spoilt)),
        mended_ids=tuple(mended[:_FIRST]),
        spoilt_ids=tuple(spoilt[:_FIRST]),
    )


def _setting_changes(
    report_a: Mapping[str, Any], report_b: Mapping[str, Any], a: Evaluation, b: Evaluation
) -> Iterator[SettingChange]:
    described = [_described(report_a, a), _described(report_b, b)]
    for name in dict.fromkeys([*described[0], *described[1]]):
        mine, theirs = (settings.get(name, _MISSING) for settings in described)
        if mine != theirs:
            yield SettingChange(name, mine, theirs)


def _described(report: Mapping[str, Any], run: Evaluation) -> dict[str, Any]:
    """The settings of a run and the data it read."""
    settings: Mapping[str, Any] = report.get("settings") or {}
    return {
        "files": [file.source for file in run.files],
        "k": sorted({point.k for file in run.files for point in file.points}),
        "problems": [file.problems for file in run.files],
        "without gold": [file.without_gold for file in run.files],
        "unreadable gold": [file.unreadable_gold_count for file in run.files],
        "subsets": run.subsets,
        "seed": run.seed,
        "resamples": run.resamples,
        "version": report.get("version"),
        # `output_dir` always differs, and the rest of these stand above.
        **{name: value for name, value in settings.items() if name not in _TOLD},
    }


_TOLD = {"output_dir", "k", "seed", "version", "subsets", "resamples"}
