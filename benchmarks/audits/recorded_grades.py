"""Compare our answers and grades with recorded ones and with those of math-verify alone.

    python benchmarks/audits/recorded_grades.py FOLDER [--out FILE.jsonl] [--keep FOLDER] [--only NAME]

FOLDER holds files of sample sets (`*.jsonl` or `*.jsonl.gz`; one question a line with `samples`,
`preds`, `correct` and `answer`). The table counts samples by file, and `--out` takes one row for
each sample on which the three disagree: another answer than the recorded one, another grade than
the recorded one, or another grade than math-verify's.

math-verify alone is `verify(parse("$gold$"), parse(sample))` on the whole sample, as its README
has it: default settings, its own time limit, in the main thread. It has no words, letters or
dates to read, so samples whose gold answer is one are counted for it and not listed. Its grades
take minutes; `--keep` stores them, a file for each set, for the next run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from sampleset.answers import canonical, count_choices, extract_answer, matches_gold, same_answer
from sampleset.answers.maths.forms.canonical import read

COLUMNS = [
    ("samples", "samples"),
    ("found", "answer found"),
    ("recorded found", "recorded found"),
    ("other answer", "other answer"),
    ("right", "ours right"),
    ("recorded right", "recorded right"),
    ("stricter", "ours wrong, recorded right"),
    ("laxer", "ours right, recorded wrong"),
    ("undecided", "ours undecided"),
    ("math-verify right", "math-verify right"),
    ("stricter than math-verify", "ours wrong, math-verify right"),
    ("laxer than math-verify", "ours right, math-verify wrong"),
    ("listed", "listed"),
]
_NOT_MATHS = ("letter", "words", "date")


def records(path: Path) -> Iterator[dict[str, Any]]:
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as lines
    ):
        for line in lines:
            if line.strip():
                yield json.loads(line)


def graded_by_math_verify(path: Path, kept: Path | None) -> list[list[bool]]:
    """Grades of all samples of a file, question by question."""
    if kept and kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))
    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    grades: list[list[bool]] = []
    for row in records(path):
        gold = parse(f"${row['answer']}$")
        grades.append([bool(verify(gold, parse(text))) for text in row["samples"]])
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(grades), encoding="utf-8")
    return grades


def same_or_both_missing(answer: str | None, pred: str | None) -> bool:
    if answer is None or pred is None:
        return answer is pred
    return canonical(answer) == canonical(pred) or same_answer(answer, pred).equal is True


def audit(path: Path, theirs: list[list[bool]], out: TextIO | None) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row, verified in zip(records(path), theirs, strict=True):
        gold, choices = row["answer"], count_choices(row["question"])
        maths = choices is None and read(gold).kind not in _NOT_MATHS
        for place, text in enumerate(row["samples"]):
            pred, recorded = row["preds"][place], bool(row["correct"][place])
            found = extract_answer(text, choices=choices)
            verdict = matches_gold(found.text, gold) if found else None
            right = verdict.equal if verdict else False
            same = same_or_both_missing(found.text if found else None, pred)
            counts["samples"] += 1
            counts["found"] += found is not None
            counts["recorded found"] += pred is not None
            counts["other answer"] += not same
            counts["right"] += right is True
            counts["recorded right"] += recorded
            counts["stricter"] += right is False and recorded
            counts["laxer"] += right is True and not recorded
            counts["undecided"] += right is None
            counts["math-verify right"] += verified[place]
            counts["stricter than math-verify"] += right is False and verified[place]
            counts["laxer than math-verify"] += right is True and not verified[place]
            if same and right is recorded and (right is verified[place] or not maths):
                continue
            counts["listed"] += 1
            if out:
                listed = {
                    "file": path.name.removesuffix(".gz").removesuffix(".jsonl"),
                    "id": row["id"],
                    "sample": place,
                    "answer": found.text if found else None,
                    "pred": pred,
                    "gold": gold,
                    "grade": right,
                    "recorded": recorded,
                    "math_verify": verified[place],
                    "answer_rule": found.rule if found else None,
                    "grade_rule": verdict.rule if verdict else None,
                    "end": text[-300:],
                }
                out.write(json.dumps(listed, ensure_ascii=False) + "\n")
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, help="one JSON object for each disagreement")
    parser.add_argument("--keep", type=Path, help="folder for math-verify's grades")
    parser.add_argument("--only", default="", help="files whose name holds this")
    options = parser.parse_args()
    paths = sorted([*options.folder.glob("*.jsonl"), *options.folder.glob("*.jsonl.gz")])
    paths = [path for path in paths if options.only in path.name]
    if not paths:
        parser.error(f"{options.folder} holds no *.jsonl or *.jsonl.gz of that name")
    out = options.out.open("w", encoding="utf-8") if options.out else None
    print("| file | " + " | ".join(title for _, title in COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|", flush=True)
    total: Counter[str] = Counter()
    for path in paths:
        kept = options.keep / f"{path.name}.math_verify.json" if options.keep else None
        counts = audit(path, graded_by_math_verify(path, kept), out)
        total += counts
        print(f"| {path.name} | " + " | ".join(str(counts[name]) for name, _ in COLUMNS) + " |", flush=True)
    print("| all | " + " | ".join(str(total[name]) for name, _ in COLUMNS) + " |")
    if out:
        out.close()


if __name__ == "__main__":
    main()
