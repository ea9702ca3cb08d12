"""A vote learned from labels on every file of recorded sets, and fitted votes on each other's files: a page.

    python runs/learned_votes.py FILE... --output-dir OUT --pairs --page docs/results/learned-vote.md
    python runs/learned_votes.py FILE... --output-dir OUT --page docs/results/learned-vote.md \
        --reader ssa:model=embedded-ssa --read gsm8k_test_qwen05b_reseeded
    python runs/learned_votes.py FILE... --output-dir OUT --page docs/results/learned-vote.md \
        --reward-model p_true,model=openvino:embedded --read gsm8k_test_qwen05b_reseeded

Every file is fitted as `sampleset fit-vote FILE` does it, on whole sets; where a calculator changes a
sample, once more with `--calculator`. Files whose rows have a column `sample_models` are fitted once more
as a pool, each sample under its model's name. With --pairs every fitted vote is used on every other file:
by its rule, by the look of the sets alone, and without a rule. The pairs are rows of a CSV file beside the
page, which later runs read. With --reader the files named by --read are fitted with that reader's score as
well, and what it read stays in OUT. Nothing is drawn by chance.

The page's section "What it says" is written by hand, and kept.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from sampleset.aggregators.learned_vote import VoteModel, read_vote
from sampleset.answers import Kinds, default_verdict_path, use_verdict_store
from sampleset.commands.fit_vote import FitOptions, fit_vote_file
from sampleset.commands.opening import CallOptions, ModelRef
from sampleset.commands.options import AnswerOptions
from sampleset.commands.run import Run
from sampleset.errors import DataError
from sampleset.report.files import write_whole
from sampleset.report.markdown import markdown_table
from sampleset.settings import save_settings
from sampleset.storage.records import StoredSet
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.fit_vote import CURVE, Use, fit_vote, gain_of, used_on
from sampleset.training.labelled_sets import LabelOptions, Labels, read_labels

PAIR_SETS = 250
"""Sets of a file, its first ones, that the votes of other files are used on."""


class Pool:
    """A file whose column `sample_models` is read as who drew each sample."""

    def __init__(self, sets: SampleFile) -> None:
        self._sets = sets

    def __iter__(self) -> Iterator[StoredSet]:
        """The sets with their samples' models."""
        for stored in self._sets:
            names: Any = stored.row.get("sample_models") or [None] * stored.sample_set.n
            named = [
                replace(sample, model=name)
                for sample, name in zip(stored.sample_set.samples, names, strict=True)
            ]
            yield replace(stored, sample_set=replace(stored.sample_set, samples=tuple(named)))


def labels_of(path: Path, pool: bool = False, calculator: bool = False) -> Labels | str:
    """The labelled sets of a file, or why there are none to fit on."""
    sets = SampleFile(path, kinds=KINDS)
    try:
        return asyncio.run(read_labels([Pool(sets) if pool else sets], LabelOptions(calculator=calculator)))
    except DataError as error:
        return str(error)


def fitted_vote(labels: Labels, name: str, folder: Path) -> VoteModel:
    """The vote fitted on labels, written to a file as well.

    Never read from an earlier run's file: that one may have been fitted on labels by other rules.
    """
    path = folder / f"{name}.json"
    began = time.process_time()
    fit = fit_vote(labels, described={"files": [name]})
    training = {**fit.model.training, "processor_seconds": round(time.process_time() - began, 1)}
    if labels.calculator:
        gained = [one.aided_vote_right - one.vote_right for one in labels.sets]
        over = gain_of([one.question for one in labels.sets], np.array(gained))
        training["aided_over_vote"] = asdict(over)
    save_settings(path, replace(fit.model, training=training).to_json())
    print(name, fit.verdict, file=sys.stderr, flush=True)
    return read_vote(path)[0]


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.1f}"


def interval(gain: Any) -> str:
    """A difference in points with its interval."""
    difference, low, high = (
        (gain[name] for name in ("difference", "low", "high"))
        if isinstance(gain, dict)
        else (gain.difference, gain.low, gain.high)
    )
    return f"{100 * difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def family_table(models: dict[str, VoteModel], pools: dict[str, VoteModel]) -> str:
    """All files, one a row."""
    rows: list[tuple[str, ...]] = []
    for name, model in models.items():
        told = model.training
        right, gains = told["right"], told["gains"]
        least, most = model.home.sizes
        confidence = percent(right["votes_and_confidence"]) if "votes_and_confidence" in right else "-"
        over = interval(gains["votes_and_confidence"]) if "votes_and_confidence" in gains else "-"
        pool = interval(pools[name].training["gains"]["vote"]) if name in pools else "-"
        rows.append(
            (
                name,
                f"{told['questions']:,}",
                f"{least}" if least == most else f"{least}-{most}",
                percent(right["vote"]),
                confidence,
                percent(right["learned"]),
                interval(gains["vote"]),
                over,
                pool,
                percent(right["oracle"]),
            )
        )
    heads = ("file", "questions", "k", "vote", "votes and confidence", "learned", "over the vote")
    return markdown_table((*heads, "over votes and confidence", "as a pool, over the vote", "oracle"), rows)


def calculator_table(calculating: dict[str, VoteModel]) -> str:
    """The files in which a calculator changes a sample: the vote and the learned vote with it."""
    rows: list[tuple[str, ...]] = []
    for name, model in calculating.items():
        right, gains = model.training["right"], model.training["gains"]
        aided = interval(model.training["aided_over_vote"])
        rows.append(
            (
                name,
                percent(right["vote"]),
                percent(right["aided_vote"]),
                aided,
                percent(right["learned"]),
                interval(gains["vote"]),
                interval(gains["aided_vote"]),
                percent(right["oracle"]),
            )
        )
    heads = ("file", "vote", "vote with it", "over the vote", "learned vote with it", "over the vote")
    return markdown_table((*heads, "over the vote with it", "oracle with it"), rows)


def curve_table(models: dict[str, VoteModel]) -> str:
    """The gain over the vote by the number of labels."""
    rows: list[tuple[str, ...]] = []
    for name, model in models.items():
        curve = {point["labels"]: point["gain"] for point in model.training["curve"]}
        at = [f"{100 * curve[size]['difference']:+.1f}" if size in curve else "-" for size in CURVE]
        every = f"{100 * model.training['gains']['vote']['difference']:+.1f}"
        rows.append((name, *at, f"{every} ({model.training['questions'] * 9 // 10:,})"))
    return markdown_table(("file", *map(str, CURVE), "nine tenths of the file"), rows)


def loud_table(models: dict[str, VoteModel]) -> str:
    """The three features that speak loudest in each file."""
    rows = [
        (
            name,
            f"{model.vote_weight:.2f}",
            ", ".join(
                f"`{one.name}` {one.weight * one.spread:+.2f}"
                for one in sorted(model.features, key=lambda one: -abs(one.weight * one.spread))[:4]
            ),
        )
        for name, model in models.items()
    ]
    return markdown_table(("file", "weight of log votes", "loudest features"), rows)


def unused(labels: Labels) -> Use:
    """What a vote gains on sets that are all away."""
    questions = [one.question for one in labels.sets]
    return Use(gain_of(questions, np.zeros(len(questions))), 1.0)


def pairs(models: dict[str, VoteModel], labels: dict[str, Labels]) -> dict[str, dict[str, dict[str, Use]]]:
    """Every fitted vote on every other file: by the rule, by look alone, and anywhere."""
    found: dict[str, dict[str, dict[str, Use]]] = {}
    parts = {name: replace(one, sets=one.sets[:PAIR_SETS]) for name, one in labels.items()}
    drawn_by = {
        name: frozenset[str]().union(*(one.models for one in part.sets)) for name, part in parts.items()
    }
    for home, model in models.items():
        unnamed = replace(model, home=replace(model.home, models=()))
        anywhere = replace(model, home=replace(model.home, models=(), sizes=(1, 10_000), limit=float("inf")))
        for other, part in parts.items():
            if other == home:
                continue
            look = used_on(unnamed, part)
            known = not model.home.models or drawn_by[other] <= set(model.home.models)
            found.setdefault(home, {})[other] = {
                # Of a file whose every model is known, names change nothing; of another, all is away.
                "rule": look if known else unused(part),
                "look": look,
                "none": used_on(anywhere, part),
            }
            if not known:
                assert all(not one.groups or not one.models <= set(model.home.models) for one in part.sets), (
                    f"{home} on {other}: some sets are at home by their model"
                )
        print(f"pairs of {home}", file=sys.stderr, flush=True)
    return found


def pair_rows(found: dict[str, dict[str, dict[str, Use]]]) -> list[dict[str, str | float]]:
    """A row for each pair and way: shares, not points."""
    return [
        {
            "fitted on": home,
            "used on": other,
            "way": way,
            "away": round(use.away, 4),
            "over the vote": round(use.gain.difference, 4),
            "low": round(use.gain.low, 4),
            "high": round(use.gain.high, 4),
        }
        for home, others in found.items()
        for other, uses in others.items()
        for way, use in uses.items()
    ]


WAYS = {
    "none": "no rule: weights used anywhere their features are recorded",
    "look": "by kind, size and look of the sets, models' names unknown",
    "rule": "the rule as it is, models' names known",
}


def pair_section(rows: Sequence[dict[str, str]], name: str) -> str:
    """Counts over all pairs, and the pairs that a rule leaves below the vote."""
    counts, harmed = list[tuple[str, ...]](), list[tuple[str, ...]]()
    for way, label in WAYS.items():
        uses = [row for row in rows if row["way"] == way]
        below = [row for row in uses if float(row["high"]) < 0]
        worst = min(uses, key=lambda row: float(row["over the vote"]))
        above = sum(float(row["low"]) > 0 for row in uses)
        counts.append((label, f"{len(uses)}", f"{len(below)}", f"{above}", interval(gain_in(worst))))
        if way != "none":
            harmed += [(row["fitted on"], row["used on"], way, interval(gain_in(row))) for row in below]
    heads = ("use on another file", "pairs", "significantly below the vote", "above it", "worst pair")
    table = markdown_table(("fitted on", "used on", "way", "over the vote"), harmed)
    return f"{markdown_table(heads, counts)}\n\n{PAIRS_NOTE.format(name=name)}\n\n{table}"


def gain_in(row: dict[str, str]) -> dict[str, float]:
    """The gain of a row of the pairs' file."""
    return {
        "difference": float(row["over the vote"]), "low": float(row["low"]), "high": float(row["high"]),
    }  # fmt: skip


def readers_table(found: dict[str, dict[str, VoteModel]]) -> str:
    """Readers in place, beside what the features alone give."""
    rows = []
    for name, by_reader in found.items():
        for reader, model in by_reader.items():
            told = model.training
            own = next((one for one in model.features if one.name in ("reader", "reward_model")), None)
            rows.append(
                (
                    name,
                    f"`{reader}`",
                    percent(told["right"]["vote"]),
                    percent(told["right"].get("features", told["right"]["vote"])),
                    percent(told["right"]["learned"]),
                    interval(told["gains"]["vote"]),
                    interval(told["gains"]["features"]) if "features" in told["gains"] else "-",
                    "-" if own is None else f"{own.weight * own.spread:+.2f}",
                )
            )
    heads = ("file", "reader or reward model", "vote", "features", "with it", "over the vote")
    return markdown_table((*heads, "over the features", "its weight per deviation"), rows)


def findings(page: Path) -> str:
    """The sections of a page before "Every file": they are written by hand, and kept."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    found = re.search(r"^## What it says\n.*?(?=^## Every file|\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group().strip() if found else ""


def read_in_place(paths: Sequence[Path], option: str, spec: str, folder: Path, model: ModelRef) -> None:
    """Fit the files with a reader or a reward model, by itself and on top of the features."""
    for path in paths:
        name = SampleFile(path).name
        label = re.sub(r"\W+", "-", spec).strip("-")
        output = folder / "readers" / f"{name}.{label}.json"
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.exists():
            continue
        fit = asyncio.run(
            fit_vote_file(
                [SampleFile(path)],
                AnswerOptions(run_code="sandbox"),
                output,
                FitOptions(**{option: spec}, calculator=True),
                False,
                model,
                CallOptions(max_concurrency=4),
                Run(),
            )
        )
        training = {**fit.model.training, "spec": spec, "file": name}
        save_settings(output, replace(fit.model, training=training).to_json())


KINDS = Kinds(run_code="sandbox")
OPENING = """# A vote learned from labels

Made by `runs/learned_votes.py`, whose opening lines say how. [You have labels](../guides/you-have-labels.md)
says how to fit one. All figures are in percent of the questions, or points; brackets hold 95 % intervals by a
paired bootstrap over questions. A file's own figures are cross-validated by question, in ten folds: the
weights, and the strength of their penalty, come from the other nine. Ties of the vote are counted by their
mean, so that breaking them well is a gain and breaking them by chance is none."""

FAMILIES_NOTE = """`votes and confidence` is the same model with the mean token log-probability as its only
feature. `as a pool` says what is gained where each sample tells which model wrote it; the recorded files hide
that from aggregators, and the learned vote of the other columns does not know it."""

CALCULATOR_NOTE = """Samples count for what they calculate, where that is another number than they state
([how](../reference/aggregators.md#samples-that-miscalculate)); the vote is that over what they state. Files
in which that changes no sample are left out. The oracle is right where a sample states or calculates the
answer."""

CURVE_NOTE = """The gain over the vote, in points, of weights fitted on so many labelled questions, on the
fold that is left out. A curve is noisy: its points rest on the same questions, and differ by less than the
intervals above."""

LOUD_NOTE = """Weights in nats per standard deviation of the feature within a set; of the votes per unit of
their log."""

PAIRS_NOTE = """Each fitted vote is used on the first 250 sets of every other file; every pair is in
[{name}]({name}). The pairs that a rule leaves below the vote:"""

READERS_NOTE = """A reader's score of every candidate (`reader`), or a reward model's of every sample, as one
more feature, its multiple fitted on the file's own labels, with a calculator throughout; `features` are the
same folds without it, and the vote is that over what samples state."""


def page_of(
    models: dict[str, VoteModel],
    pools: dict[str, VoteModel],
    refused: dict[str, str],
    used_elsewhere: str,
    readers: dict[str, dict[str, VoteModel]],
    calculating: dict[str, VoteModel],
    said: str,
) -> str:
    """The whole page."""
    parts = [OPENING, *([said] if said else [])]
    parts += ["## Every file", FAMILIES_NOTE, family_table(models, pools)]
    if refused:
        parts.append("Not fitted: " + " ".join(f"`{name}`: {why}" for name, why in refused.items()))
    if calculating:
        parts += ["## With a calculator", CALCULATOR_NOTE, calculator_table(calculating)]
    parts += ["## By the number of labels", CURVE_NOTE, curve_table(models)]
    parts += ["## What speaks", LOUD_NOTE, loud_table(models)]
    if used_elsewhere:
        parts += ["## Away from home", used_elsewhere]
    if readers:
        parts += ["## Readers in place", READERS_NOTE, readers_table(readers)]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Fit, use, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--pairs", action="store_true", help="use every fitted vote on every other file")
    parser.add_argument("--reader", help="an aggregator's spec, as ssa:model=embedded-ssa")
    parser.add_argument("--reward-model", help="as p_true,model=embedded")
    parser.add_argument("--read", action="append", default=[], help="name of a file to read; repeatable")
    options = parser.parse_args()
    folder: Path = options.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    use_verdict_store(default_verdict_path())
    labels: dict[str, Labels] = {}
    models: dict[str, VoteModel] = {}
    pools: dict[str, VoteModel] = {}
    calculating: dict[str, VoteModel] = {}
    refused: dict[str, str] = {}
    for path in options.files:
        name = SampleFile(path).name
        read = labels_of(path)
        if isinstance(read, str):
            refused[name] = read
            continue
        labels[name] = read
        models[name] = fitted_vote(read, name, folder)
        if any("--calculator" in note for note in read.notes):
            told = labels_of(path, calculator=True)
            assert not isinstance(told, str)
            calculating[name] = fitted_vote(told, f"{name}.calculator", folder)
        if any("sample_models" in note for note in read.notes):
            named = labels_of(path, pool=True)
            assert not isinstance(named, str)
            pools[name] = fitted_vote(named, f"{name}.pool", folder)
    chosen = [path for path in options.files if SampleFile(path).name in options.read]
    for option in ("reader", "reward_model"):
        if spec := getattr(options, option):
            read_in_place(chosen, option, spec, folder, ModelRef())
    readers: dict[str, dict[str, VoteModel]] = {}
    for path in sorted((folder / "readers").glob("*.json")):
        model = read_vote(path)[0]
        readers.setdefault(model.training["file"], {})[model.training["spec"]] = model
    table = (
        folder / "pairs.csv"
        if options.page is None
        else options.page.with_name(f"{options.page.stem}-away.csv")
    )
    if options.pairs:
        rows = pair_rows(pairs(models, labels))
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if options.page:
        elsewhere = ""
        if table.exists():
            with table.open(encoding="utf-8", newline="") as file:
                elsewhere = pair_section(list(csv.DictReader(file)), table.name)
        write_whole(
            options.page,
            page_of(models, pools, refused, elsewhere, readers, calculating, findings(options.page)),
        )


if __name__ == "__main__":
    main()
