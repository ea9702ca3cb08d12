"""Compare our majority vote with a plain string vote, and our grades with the recorded ones.

    python benchmarks/audits/vote_vs_strings.py FOLDER [--list CLASS] [--only NAME]

FOLDER holds files `*.jsonl.gz` with `samples`, `preds`, `correct` and `answer` for each question. Both votes
count the same extracted answers and give ties to the earliest; winners are graded by `matches_gold`. Where
ours is wrong and the string vote right ("vote WORSE"), either votes for one wrong answer, written in
two ways, were counted together, or a right and a wrong answer were merged ("merge FALSE"); only
the second is a mistake, and its count must be 0. "split" counts sets with the right answer in
two groups. `--list` prints the cases of one class: vote, merge, split, found (no recorded
answer), laxer, missed (another answer was read), stricter, undecided.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import Counter
from pathlib import Path

from sampleset.answers import count_choices, extract_answer, group_answers, matches_gold


def string_vote(answers: list[str | None]) -> str | None:
    """The most frequent text, the earliest of the most frequent."""
    counts = Counter(answer.strip() for answer in answers if answer is not None)
    return max(counts, key=counts.__getitem__) if counts else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--list", default="")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    worse = merged = 0
    files = sorted(options.folder.glob("*.jsonl.gz"))
    if not files:
        parser.error(f"{options.folder} holds no *.jsonl.gz")
    print(f"{'file':<34}{'sets':>6}  {'ours':>7}  {'strings':>7}  {'merged falsely':>7}")
    for path in files:
        if options.only not in path.name:
            continue
        counts: Counter[str] = Counter()
        cases: list[str] = []

        def note(kind: str, *shown: object, counts: Counter[str] = counts, cases: list[str] = cases) -> None:
            counts[kind] += 1
            if options.list and kind.startswith(options.list):
                cases.append(f"  {kind}: " + " | ".join(str(part) for part in shown))

        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        for row in rows:
            gold, choices = row["answer"], count_choices(row["question"])
            found = [extract_answer(text, choices=choices) for text in row["samples"]]
            answers = [one.text if one else None for one in found]
            for one, text, pred, correct in zip(
                found, row["samples"], row["preds"], row["correct"], strict=True
            ):
                counts["samples"] += 1
                verdict = matches_gold(one.text, gold) if one else None
                right = verdict.equal if verdict else False
                counts["right"] += right is True
                counts["recorded right"] += correct
                tail = repr(text[-150:])
                if verdict and verdict.equal is None:
                    note("undecided", row["id"], gold, one, verdict.rule)
                elif right and not correct:
                    note("found" if pred is None else "laxer", row["id"], gold, pred, one, verdict, tail)
                elif correct and not right:
                    regraded = matches_gold(pred, gold).equal if pred else None
                    note("missed" if regraded else "stricter", row["id"], gold, pred, one, verdict, tail)
            grouping = group_answers(answers)
            ours = (
                max(grouping.groups, key=lambda group: len(group.indices)).answer if grouping.groups else None
            )
            plain = string_vote(answers)
            ours_right = bool(ours and matches_gold(ours, gold).equal)
            plain_right = bool(plain and matches_gold(plain, gold).equal)
            counts["ours right"] += ours_right
            counts["strings right"] += plain_right
            right_groups = 0
            for group in grouping.groups:
                grades = {
                    texts: matches_gold(texts, gold).equal for i in group.indices if (texts := answers[i])
                }
                right_groups += any(grades.values())
                if len(set(grades.values())) > 1:
                    note("merge FALSE", row["id"], gold, grades)
            if right_groups > 1:
                shown = [group.answer for group in grouping.groups if matches_gold(group.answer, gold).equal]
                note("split", row["id"], gold, shown)
            for name in grouping.notes:
                counts[f"note {name}"] += 1
            if ours_right != plain_right:
                note("vote better" if ours_right else "vote WORSE", row["id"], gold, ours, plain, answers)
                worse += plain_right
        merged += counts["merge FALSE"]
        shown = "  ".join(f"{counts[name]:>7}" for name in ("ours right", "strings right", "merge FALSE"))
        print(f"{path.name:<34}{len(rows):>6}  {shown}", flush=True)
        print("".join(f"{case}\n" for case in cases), end="")
    print("sets where the string vote is right and ours is wrong:", worse)
    print("groups that hold right and wrong answers:", merged)


if __name__ == "__main__":
    main()
