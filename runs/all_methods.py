"""Every way of combining samples on every file of recorded sets, as tables.

    python runs/all_methods.py FILE... --output-dir OUT --page docs/results/all-methods.md
    python runs/all_methods.py FILE... --output-dir OUT --page docs/results/all-methods.md \
        --reader embedded --read gsm8k_small8 --read math_l5_small8

Without --reader: the methods that cost nothing, at k samples and at all that a set has, on every question.
Scores and log-probabilities that the samples of a file carry are used.

With --reader: beside the vote, the methods that ask a model, on --questions of each file named by --read:
those whose ids come first by a hash. The cheaper ones first, on all files (--steps), so that a run
cut short has whole tables; the same command goes on where it stopped and asks nothing twice.

Reports are in OUT/votes/FILE and OUT/READER/FILE. With --page, their figures go to all-methods-free.csv and
all-methods-asking.csv beside the page, where they replace those of the same file and reader, and the table of
the page is made of the two CSV files. Its text is written by hand.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sampleset.aggregators._scores import LOGPROBS, sample_score
from sampleset.evaluation.results import Interval, MethodResult
from sampleset.metrics import mcnemar_exact, paired_bootstrap
from sampleset.report.files import evaluation_in, read_report, write_whole
from sampleset.report.markdown import markdown_table
from sampleset.report.wording import percent, points, points_range
from sampleset.storage.files import SUFFIXES, write_rows
from sampleset.storage.sample_sets import SampleFile
from sampleset.storage.store import digest

Row = dict[str, str]

RESAMPLES = 10_000
TABLE_HEADING = "## Ten methods side by side"
MAIN_FILES = {
    "gsm8k_test_qwen05b_reseeded": "0.5B, 400 questions",
    "gsm8k_test_qwen15b_reseeded": "1.5B, 200 questions",
}
READERS = (
    "ssa:model=embedded-ssa",
    "llm_aggregator:mode=select",
    "llm_aggregator:mode=select,vote_weight=1",
    "universal_self_consistency",
    "llm_aggregator:mode=direct",
    "pairwise_knockout",
)
MAIN_METHODS = (
    "majority_vote",
    "best_of_n:by=confidence",
    "weighted_vote:by=confidence",
    "weighted_vote:by=tail",
    *READERS,
)
"""The table of the page: files of the methods that ask no model, and methods."""

FREE = ("first_sample", "majority_vote", "majority_vote:ties=first")
ASKING = (
    READERS,
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
packaged aggregator, for any reader.
"""


def family_of(path: Path) -> str:
    """The file's name without its ending."""
    return next(path.name.removesuffix(end) for end in SUFFIXES if path.name.endswith(end))


def free_methods(path: Path) -> list[str]:
    """The methods without a model that the file's samples allow."""
    samples = [one for stored in SampleFile(path) for one in stored.sample_set.samples]
    names = [*LOGPROBS, *dict.fromkeys(name for one in samples for name in one.scores)]
    methods: list[str] = list(FREE)
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


def rows_of(report: Path) -> Iterator[Row]:
    """One row for each method and k of a report; shares in percent, differences in points."""
    evaluation = evaluation_in(report.parent, read_report(report.parent))
    reader = report.parts[-3]
    for point in evaluation.files[0].points:
        head = {"file": report.parent.name} | ({} if reader == "votes" else {"reader": reader})
        head |= {"k": f"{point.k}", "questions": f"{point.problems}", "subsets": f"{point.subsets:g}"}
        head |= {"one_sample": share(point.sample_accuracy), "pass_at_k": share(point.pass_at_k)}
        head |= {"oracle": share(point.oracle)}
        if reader != "votes":
            head |= {"drawn_tokens": f"{point.sampling.total:.0f}"}
        for method in point.methods:
            row = head | {"method": method.label, "right": share(method.accuracy)}
            row |= span("right", method.interval) | {"vs_vote": "", "vs_vote_low": "", "vs_vote_high": ""}
            if method.p_holm is not None:
                row |= {"vs_vote": share(method.difference)} | span("vs_vote", method.difference_interval)
            row |= {"mended": f"{method.mended}", "spoilt": f"{method.spoilt}"}
            yield row if reader == "votes" else row | spent(method)


def spent(method: MethodResult) -> Row:
    """What a method that asks a model spends a question, and the vote over as many tokens."""
    fell = sum(count for flag, count in method.flags.items() if flag == "fallback_vote")
    row = {"fell_back": f"{fell}", "calls": f"{method.usage.calls:.1f}"}
    row |= {"prompt_tokens": f"{method.usage.prompt:.0f}", "written_tokens": f"{method.usage.completion:.0f}"}
    names = ("vote_k", "vote_k_wanted", "vote_right", "vs_that_vote", "vs_that_vote_low", "vs_that_vote_high")
    row |= dict.fromkeys(names, "")
    if (vote := method.matched) is not None:
        row |= {"vote_k": f"{vote.k}", "vote_k_wanted": f"{vote.wanted}", "vote_right": share(vote.accuracy)}
        row |= {"vs_that_vote": share(vote.difference)} | span("vs_that_vote", vote.difference_interval)
    return row


def share(value: float | None) -> str:
    """In percent or points, with one decimal."""
    return "" if value is None else f"{100 * value:.1f}".replace("-0.0", "0.0")


def span(name: str, interval: Interval) -> Row:
    """The two ends of an interval as columns."""
    return {f"{name}_low": share(interval.low), f"{name}_high": share(interval.high)}


def update(table: Path, reports: Sequence[Path]) -> list[Row]:
    """The rows of a CSV file; those of the reports replace former ones of the same file and reader."""
    fresh = [row for report in reports for row in rows_of(report)]
    sources = {(row["file"], row.get("reader")) for row in fresh}
    rows: list[Row] = []
    if table.exists():
        with table.open(encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if (row["file"], row.get("reader")) not in sources]
    rows = sorted([*rows, *fresh], key=lambda row: (row["file"], row.get("reader", ""), int(row["k"])))
    if rows:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(table, text.getvalue())
    return rows


def page(text: str, free: Sequence[Row], asking: Sequence[Row]) -> str:
    """The page with the table under its heading made anew."""
    votes = [row for row in asking if row["method"] == "majority_vote"]
    read = f"{len(votes)} files, {sum(int(row['questions']) for row in votes)} questions"
    table = markdown_table(
        ("method", *(MAIN_FILES.values()), read, "mended / spoilt", "p, alone"),
        [
            (f"`{name}`", *(_cell(free, file, name) for file in MAIN_FILES), *_together(asking, name))
            for name in MAIN_METHODS
        ],
    )
    old = rf"({TABLE_HEADING}\n.*?\n\n)\|.*?(?=\n\n)"
    made, count = re.subn(old, lambda match: match[1] + table.strip(), text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"The page has no table under {TABLE_HEADING!r}.")
    return made


def _cell(free: Sequence[Row], file: str, method: str) -> str:
    row = next((row for row in free if (row["file"], row["method"]) == (file, method)), None)
    if row is None:
        return ""
    if not row["vs_vote"]:
        return row["right"]
    signs = (f"{float(row[name]):+.1f}" for name in ("vs_vote", "vs_vote_low", "vs_vote_high"))
    gain, low, high = (one.replace("-", "−").replace("+0.0", "0.0") for one in signs)
    return f"{row['right']}, {gain} ({low}…{high})"


def _together(asking: Sequence[Row], method: str) -> tuple[str, ...]:
    """Over all files that were read, each with one subset a question: right, mended and spoilt, p."""
    rows = [row for row in asking if row["method"] == method]
    if not rows:
        return "", "", ""
    questions, mended, spoilt = (
        sum(int(row[name]) for row in rows) for name in ("questions", "mended", "spoilt")
    )
    right = sum(round(float(row["right"]) * int(row["questions"]) / 100) for row in rows) / questions
    if method == "majority_vote":
        return percent(right), "", ""
    differences = [1.0] * mended + [-1.0] * spoilt
    differences += [0.0] * (questions - len(differences))
    interval = Interval(*paired_bootstrap(differences, RESAMPLES, seed=0))
    gain = f"{percent(right)}, {points(sum(differences) / questions)} ({points_range(interval)})"
    return gain, f"{mended} / {spoilt}", f"{mcnemar_exact(mended, spoilt):.3f}"


def main() -> None:
    """Ask, and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="*")
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
        reports = sorted(options.output_dir.glob("*/*/report.json"))
        free = update(
            options.page.with_name("all-methods-free.csv"),
            [one for one in reports if one.parts[-3] == "votes"],
        )
        asking = update(
            options.page.with_name("all-methods-asking.csv"),
            [one for one in reports if one.parts[-3] != "votes"],
        )
        write_whole(options.page, page(options.page.read_text(encoding="utf-8"), free, asking))


if __name__ == "__main__":
    main()
