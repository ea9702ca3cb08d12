"""Right judgements by kind of case: ours beside math-verify and, where installed, lm-eval's grader.

    python benchmarks/audits/answers_by_kind.py [FILE ...] [--lm-eval FOLDER] [--detail]

FILE holds cases as in tests/answers/cases, which are the default: a gold answer, a prediction (an answer, or
a whole reply) and whether it is to be graded right. All graders judge the same rows in one run, each as its
README shows it:

- ours: of a reply `extract_answer`, then `matches_gold`.
- math-verify: `verify(parse("$gold$"), parse(prediction))`; an answer is put between dollar signs.
- lm-eval: `is_equiv` of `hendrycks_math` on the answer itself (replies are not for it). Its `minerva_math`
  grades by math-verify.

Multiple choice is left out of the columns of others, which read no letters. A row where no answer is to be
read is right if the grader says nothing is right.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

CASES = Path(__file__).parents[2] / "tests" / "answers" / "cases"
Row = dict[str, Any]
Grade = Callable[[Row], "bool | None"]


def ours() -> Grade:
    from sampleset.answers import extract_answer, matches_gold

    def grade(row: Row) -> bool | None:
        answer: str | None = row["prediction"]
        if row["form"] == "reply":
            found = extract_answer(row["prediction"], choices=row.get("choices"))
            answer = found.text if found else None
        return answer is not None and ("gold" not in row or matches_gold(answer, row["gold"]).equal is True)

    return grade


def math_verify() -> Grade:
    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)

    def grade(row: Row) -> bool | None:
        if row.get("choices"):
            return None
        prediction = row["prediction"] if row["form"] == "reply" else f"${row['prediction']}$"
        if "gold" not in row:
            return bool(parse(prediction))
        return bool(verify(parse(f"${row['gold']}$"), parse(prediction)))

    return grade


def hendrycks() -> Grade:
    from lm_eval.tasks.hendrycks_math.utils import is_equiv

    return lambda row: bool(is_equiv(row["prediction"], row["gold"])) if row["form"] == "answer" else None


GRADERS = {"ours": ours, "math-verify": math_verify, "hendrycks_math": hendrycks}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="*", default=sorted(CASES.glob("*.jsonl")))
    parser.add_argument("--lm-eval", metavar="FOLDER", help="where pip has put lm-eval")
    parser.add_argument("--detail", action="store_true", help="list every row that ours judges wrong")
    arguments = parser.parse_args()
    if arguments.lm_eval:
        sys.path.append(arguments.lm_eval)
    graders: dict[str, Grade] = {}
    for name, make in GRADERS.items():
        try:
            graders[name] = make()
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    lines = [line for file in arguments.files for line in file.read_text(encoding="utf-8").splitlines()]
    rows: list[Row] = [json.loads(line) for line in lines]
    judged: dict[str, Counter[str]] = defaultdict(Counter)
    right: dict[str, Counter[str]] = defaultdict(Counter)
    accepted: Counter[str] = Counter()
    for row in rows:
        wanted = row["right"] is True
        for name, grade in graders.items():
            try:
                grade_given = grade(row)
            except Exception:  # Others' graders raise what they like; that is no right judgement.
                grade_given = not wanted
            if grade_given is None:
                continue
            for kind in (row["kind"], "all"):
                judged[name][kind] += 1
                right[name][kind] += grade_given is wanted
            accepted[name] += grade_given and not wanted
            if arguments.detail and name == "ours" and grade_given is not wanted:
                print(json.dumps(row, ensure_ascii=False), file=sys.stderr)
    print(f"| kind | {' | '.join(graders)} |\n|---|{'---:|' * len(graders)}")
    for kind in [*sorted({row["kind"] for row in rows}), "all"]:
        shares = (
            f"{right[name][kind]}/{judged[name][kind]}" if judged[name][kind] else "" for name in graders
        )
        print(f"| {kind} | {' | '.join(shares)} |")
    print(f"| wrong answers accepted | {' | '.join(str(accepted[name]) for name in graders)} |")


if __name__ == "__main__":
    main()
