"""Every way of combining samples on every file of recorded sets, as one page.

    python runs/all_methods.py FILE... --output-dir OUT --page docs/results/all-methods.md
    python runs/all_methods.py FILE... --output-dir OUT --page docs/results/all-methods.md \
        --reader embedded --read gsm8k_small8 --read math_l5_small8

Without --reader: the methods that cost nothing, at k samples and at all that a set has, on every question.
Scores and log-probabilities that the samples of a file carry are used.

With --reader: beside the vote, the methods that ask a model, on --questions of each file named by --read:
those whose ids come first by a hash. The cheaper ones first, on all files (--steps), so that a run
cut short has whole tables; the same command goes on where it stopped and asks nothing twice.

Reports stand in OUT/votes/FILE and OUT/READER/FILE. The page is made of all reports in OUT, with the number
of questions that each table rests on; its section "What it says" is written by hand, and kept.
"""

from __future__ import annotations

import argparse
import functools
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sampleset.aggregators._scores import LOGPROBS, sample_score
from sampleset.evaluation.results import Evaluation, Interval, MethodResult, PointResult
from sampleset.metrics import mcnemar_exact, paired_bootstrap
from sampleset.report.files import evaluation_in, read_report, write_whole
from sampleset.report.markdown import markdown_table
from sampleset.report.wording import percent, percent_range, points, points_range
from sampleset.storage.files import SUFFIXES, write_rows
from sampleset.storage.sample_sets import SampleFile
from sampleset.storage.store import digest

RESAMPLES = 10_000
FREE = ("first_sample", "majority_vote", "majority_vote:ties=first")
ASKING = (
    (
        "ssa:model=embedded-ssa",
        "llm_aggregator:mode=select",
        "llm_aggregator:mode=select,vote_weight=1",
        "universal_self_consistency",
        "llm_aggregator:mode=direct",
        "pairwise_knockout",
    ),
    (
        "weighted_vote:reward_model=generative_verifier",
        "best_of_n:reward_model=generative_verifier",
        "weighted_vote:reward_model=p_true",
        "weighted_vote:reward_model=p_true,softmax=true,temperature=0.1",
        "best_of_n:reward_model=p_true",
    ),
    (
        "guarded:inner=llm_aggregator[mode=select]",
        "two_stage:inner=llm_aggregator[mode=direct],outer=majority_vote,group=3",
        "generative_self_aggregation:max_tokens=320",
        "rank_then_fuse:top=3,max_tokens=320",
    ),
    ("mixture_of_agents:agents=2,layers=1,max_tokens=320",),
    ("recursive:subset=2,rounds=1,max_tokens=320",),
)
"""Steps of a run, the cheaper ones first; methods that write a solution may write 320 tokens. `ssa` asks the
packaged aggregator, whoever the reader is.
"""


def family_of(path: Path) -> str:
    """The file's name without its ending."""
    return next(path.name.removesuffix(end) for end in SUFFIXES if path.name.endswith(end))


def free_methods(path: Path) -> list[str]:
    """The methods without a model that the file's samples allow."""
    samples = [one for stored in SampleFile(path) for one in stored.sample_set.samples]
    names = [*LOGPROBS, *dict.fromkeys(name for one in samples for name in one.scores)]
    methods = list(FREE)
    for name in names:
        values = [value for one in samples if (value := sample_score(one, name)) is not None]
        if not values:
            continue
        softmax = "" if name in LOGPROBS or min(values) >= 0 else ",softmax=true"
        methods += [f"best_of_n:by={name}", f"weighted_vote:by={name}{softmax}"]
        methods.append(f"weighted_vote:by={name}{softmax},keep=0.5")
    return methods


def chosen(path: Path, questions: int, output: Path) -> Path:
    """A file of the questions whose ids come first by a hash: fewer of them are a part of more."""
    kept = output / f"{family_of(path)}.jsonl.gz"
    sets = list(SampleFile(path))
    order = sorted(range(len(sets)), key=lambda place: digest(sets[place].sample_set.id))
    write_rows(kept, (sets[place].to_row() for place in sorted(order[:questions])))
    return kept


def evaluate(source: Path, methods: Sequence[str], output: Path, *options: str) -> None:
    """`sampleset evaluate`, as anyone would run it."""
    named = [part for method in methods for part in ("--aggregator", method)]
    command = [
        sys.executable,
        "-m",
        "sampleset",
        "evaluate",
        str(source),
        *named,
        "--output-dir",
        str(output),
    ]
    print(output.parent.name, output.name, len(methods), methods[-1], file=sys.stderr, flush=True)
    subprocess.run([*command, "--workers", "1", *options], check=True, stdout=subprocess.DEVNULL)


def ask(path: Path, methods: Sequence[str], options: argparse.Namespace) -> None:
    """The vote and these methods on some questions of a file, by one reader."""
    output = (
        options.output_dir
        / Path(options.reader.removeprefix("transformers:")).name.removesuffix(".gguf")
        / family_of(path)
    )
    output.mkdir(parents=True, exist_ok=True)
    source = chosen(path, options.questions, output)
    asked = ("--aggregator-model", options.reader, "--timeout", "7200", "--max-concurrency", "4")
    evaluate(source, ["majority_vote", *methods], output, "-k", str(options.k), *asked)


def sizes(path: Path, k: int) -> str:
    """k, and the size of the file's smallest set."""
    smallest = min(one.sample_set.n for one in SampleFile(path))
    return ",".join(map(str, sorted({min(k, smallest), smallest})))


def findings(page: Path) -> str:
    """The section "What it says" of a page that is there: it is written by hand, and kept."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    found = re.search(r"^## What it says\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group().strip() if found else ""


def page(folder: Path, said: str) -> str:
    """The page of all reports in a folder, and what is said of them."""
    free = sorted((folder / "votes").glob("*/report.json"))
    asking = [one for one in sorted(folder.glob("*/*/report.json")) if one.parts[-3] != "votes"]
    parts = [OPENING, *([said] if said else []), *_summary(free, asking)]
    parts += ["## Methods that ask no model", FREE_NOTE]
    for report in free:
        found = _evaluation(report.parent)
        for point in found.files[0].points:
            parts += [_heading(report.parent.name, point), _free_table(point)]
    parts += ["## Methods that ask a model", ASKING_NOTE] if asking else []
    for report in asking:
        found = _evaluation(report.parent)
        for point in found.files[0].points:
            reader = report.parts[-3]
            parts += [_heading(f"{report.parent.name}, read by {reader}", point), _asking_table(point)]
    return "\n\n".join(parts) + "\n"


def _summary(free: Sequence[Path], asking: Sequence[Path]) -> list[str]:
    """Of each file the vote and the best of either sort of method."""
    heads = ("file", "k", "questions", "one sample", "vote", "best without a model", "pass@k")
    rows: list[tuple[str, ...]] = []
    for report in free:
        point = _evaluation(report.parent).files[0].points[-1]
        rows.append((*_named(report, point), _best(point, FREE), percent(point.pass_at_k)))
    parts = ["## In short", SUMMARY_NOTE, markdown_table(heads, rows)] if rows else []
    rows = []
    for report in asking:
        point = _evaluation(report.parent).files[0].points[-1]
        trained = next((one for one in point.methods if one.label.startswith("ssa:")), None)
        packaged = "-" if trained is None else " ".join(list(_shared(trained))[1:3])
        row = (packaged, _best(point, [*FREE, trained.label if trained else ""]), percent(point.oracle))
        rows.append((*_named(report, point), report.parts[-3], *row))
    heads = (*heads[:5], "reader", "`embedded-ssa`", "best that asks the reader", "oracle")
    return [*parts, markdown_table(heads, rows), *_together(asking)] if rows else parts


def _together(asking: Sequence[Path]) -> list[str]:
    """The methods that were read on several files, over all their questions, each with one subset."""
    points_of: dict[str, list[tuple[PointResult, MethodResult]]] = {}
    for report in asking:
        point = _evaluation(report.parent).files[0].points[-1]
        for method in point.methods:
            points_of.setdefault(method.label, []).append((point, method))
    rows: list[tuple[str, ...]] = []
    for label, found in points_of.items():
        if label == "majority_vote" or len(found) < 2:
            continue
        questions = sum(point.problems for point, _ in found)
        mended, spoilt = (sum(getattr(one, name) for _, one in found) for name in ("mended", "spoilt"))
        differences = [1.0] * mended + [-1.0] * spoilt
        differences += [0.0] * (questions - len(differences))
        interval = paired_bootstrap(differences, RESAMPLES, seed=0)
        right = sum(one.accuracy * point.problems for point, one in found) / questions
        gain = f"{points(sum(differences) / questions)} ({points_range(Interval(*interval))})"
        counts = f"{mended} / {spoilt}", f"{mcnemar_exact(mended, spoilt):.3f}"
        rows.append((f"`{label}`", f"{len(found)}", f"{questions}", percent(right), gain, *counts))
    heads = ("method", "files", "questions", "right %", "vs vote", "mended / spoilt", "p, alone")
    return [TOGETHER_NOTE, markdown_table(heads, rows)] if rows else []


def _named(report: Path, point: PointResult) -> tuple[str, ...]:
    vote = next(one for one in point.methods if one.label == "majority_vote")
    questions, single = f"{point.problems:,}", percent(point.sample_accuracy)
    return report.parent.name, f"{point.k}", questions, single, percent(vote.accuracy)


def _best(point: PointResult, without: Sequence[str]) -> str:
    """The best method but for some: its name, its accuracy, and its difference from the vote."""
    left = [one for one in point.methods if one.label not in (*without, "majority_vote")]
    if not left:
        return "-"
    best = max(left, key=lambda one: one.accuracy)
    name, right, against = list(_shared(best))[:3]
    return f"{name} {right.split(' (')[0]}, {against}"


@functools.cache
def _evaluation(folder: Path) -> Evaluation:
    return evaluation_in(folder, read_report(folder))


def _heading(name: str, point: PointResult) -> str:
    subsets = f"{point.subsets:g} subset{'s' if point.subsets != 1 else ''} each"
    return (
        f"### {name}, k = {point.k}\n\n{point.problems:,} questions, {subsets}; one sample "
        f"{percent(point.sample_accuracy)}, pass@{point.k} {percent(point.pass_at_k)}, "
        f"oracle on these subsets {percent(point.oracle)}."
    )


def _shared(method: MethodResult) -> Iterator[str]:
    yield f"`{method.label}`"
    yield f"{percent(method.accuracy)} ({percent_range(method.interval)})"
    if method.p_holm is None:
        yield "-"
    else:
        yield f"{points(method.difference)} ({points_range(method.difference_interval)})"
    yield f"{method.mended} / {method.spoilt}"


def _free_table(point: PointResult) -> str:
    return markdown_table(
        ("method", "right %", "vs vote", "mended / spoilt"), map(tuple, map(_shared, point.methods))
    )


def _asking_table(point: PointResult) -> str:
    drawn = point.sampling.total
    rows: list[tuple[str, ...]] = []
    for method in point.methods:
        fell = sum(count for flag, count in method.flags.items() if flag == "fallback_vote")
        matched = method.matched
        same = (
            "-"
            if matched is None
            else (
                f"{matched.k} of {matched.wanted}: {percent(matched.accuracy)}, {points(matched.difference)} "
                f"({points_range(matched.difference_interval)})"
            )
        )
        used = f"{method.usage.calls:.1f} / {method.usage.prompt:,.0f} / {method.usage.completion:,.0f}"
        rows.append((*_shared(method), f"{fell}", used, same))
    heads = (
        "method",
        "right %",
        "vs vote, same samples",
        "mended / spoilt",
        "fell back",
        "calls / prompt / written",
    )
    table = markdown_table((*heads, "the vote over as many tokens"), rows)
    guessed = "about " if point.sampling.estimated else ""
    return f"Drawing the {point.k} samples takes {guessed}{drawn:,.0f} tokens a question.\n\n{table}"


OPENING = """# Every method on the same sets

Made by `runs/all_methods.py`, whose opening lines say how. Where the recorded sets come from stands in
[Votes on recorded sets](recorded-sets.md), what a method does in [Aggregators](../aggregators.md), and
how a figure is made in [Evaluation](../evaluation.md). In percent of the questions; brackets hold 95 %
intervals. Each table compares methods on the very same subsets of the samples. The oracle, the share of
these subsets that hold a right sample, is the ceiling for methods that select; pass@k estimates it from all
samples of a file."""

SUMMARY_NOTE = """The best method of many is picked on the very questions that it is shown on, which flatters
it. In the first table the methods that ask no model, at all samples of a set, but for `first_sample` and the
vote; there are some only where samples carry scores or log-probabilities. In the second those that ask one.
In brackets the 95 % interval of the difference from the vote, in points."""

TOGETHER_NOTE = """The methods that were read on more than one of these files, over all their questions, each
counted once: intervals and p (exact McNemar, of one method alone) take the files as they are."""

FREE_NOTE = """On all questions of each file. They draw nothing, so the same number of samples is the same
number of tokens. `by=confidence`, `window`, `tail` and `bottom` stand where the samples' log-probabilities
were recorded, `by=..._scores` where a reward model's scores were. `keep=0.5` lets the better half vote; the
best tenth of so few samples is one sample, `best_of_n`."""

ASKING_NOTE = """On those questions of a file whose ids come first by a hash, as many as each table says: with
so few, intervals are wide, and a difference whose interval holds 0 is none. The readers are small untrained
models, chosen because they run here; they say nothing of large ones. `fell back`: questions on which the
reader's reply could not be used and the vote answered. `calls / prompt / written`: what the method spends a
question. The last column gives the vote the same tokens: k of the samples that the method's tokens would buy
besides its own, as far as the file has them, its accuracy, and the method's less the vote's."""


def main() -> None:
    """Ask, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--reader", help="the model to ask: embedded, or a .gguf file")
    parser.add_argument("--read", action="append", default=[], help="name of a file to ask about; repeatable")
    parser.add_argument("--questions", type=int, default=30)
    parser.add_argument("--steps", type=int, default=len(ASKING), help="how many steps of the asking methods")
    parser.add_argument("-k", type=int, default=5)
    options = parser.parse_args()
    if options.reader is None:
        for path in options.files:
            output = options.output_dir / "votes" / family_of(path)
            evaluate(path, free_methods(path), output, "-k", sizes(path, options.k))
    else:
        read = [path for path in options.files if family_of(path) in options.read]
        for count in range(1, options.steps + 1):
            for path in read:
                ask(path, [method for step in ASKING[:count] for method in step], options)
    if options.page:
        write_whole(options.page, page(options.output_dir, findings(options.page)))


if __name__ == "__main__":
    main()
