"""One method against another, paired by question: reports of `sampleset evaluate` on the same sample sets.

    python runs/compare_methods.py REPORT METHOD REPORT METHOD [-k 5]

Methods are written as in the reports, or by how the name of one of them begins. Prints both accuracies, the
difference of the first to the second with the 95 % interval of a paired bootstrap over questions, on how many
questions each is the better one, and p by exact McNemar. Reports with commas between them are the same method
trained under several seeds, say: what counts is a question's mean over them. Reports of other questions are
refused, and reports on other subsets of their samples: where one of the vote, weighted vote, best of n and
first sample is right on another share of a question's subsets.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import mean

from sampleset.metrics import mcnemar_exact, paired_bootstrap

RESAMPLES = 10_000
FREE = {"first_sample", "majority_vote", "weighted_vote", "best_of_n"}


def main() -> None:
    """Read both reports, check that they can be compared, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    # Not one argument of four: argparse of Python 3.11 cannot show the names of its parts.
    for name in ("report", "method", "other_report", "other_method"):
        parser.add_argument(name)
    parser.add_argument("-k", default="5")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    method, other_method = arguments.method, arguments.other_method
    ours = mean_accuracies(arguments.report, method, arguments.k)
    theirs = mean_accuracies(arguments.other_report, other_method, arguments.k)
    if ours.keys() != theirs.keys():
        sys.exit(f"{len(ours.keys() ^ theirs.keys())} questions are not the same in both reports.")
    both = {name for key in ours for name in ours[key].keys() & theirs[key].keys() & FREE}
    if not both:
        sys.exit(f"The reports share none of {sorted(FREE)}, by which their samples are compared.")
    if changed := sum(any(ours[key][name] != theirs[key][name] for name in both) for key in ours):
        sys.exit(f"On {changed} questions the samples are not the same in both reports.")
    first = [told[method] for told in ours.values()]
    second = [theirs[key][other_method] for key in ours]
    differences = [one - other for one, other in zip(first, second, strict=True)]
    low, high = paired_bootstrap(differences, RESAMPLES, arguments.seed)
    better, worse = (sum(sign * one > 0 for one in differences) for sign in (1, -1))
    print(
        f"{len(first)} questions, k = {arguments.k}\n"
        f"{100 * sum(first) / len(first):5.1f} %  {method}\n"
        f"{100 * sum(second) / len(second):5.1f} %  {other_method}\n"
        f"{100 * sum(differences) / len(first):+5.1f} points ({100 * low:+.1f} to {100 * high:+.1f}); "
        f"better on {better}, worse on {worse}, p = {mcnemar_exact(better, worse):.3f}"
    )


def mean_accuracies(reports: str, method: str, k: str) -> dict[tuple[str, str], dict[str, float]]:
    """By file and question: share right of the method and of the free ones, its mean over the reports."""
    first, *others = (accuracies(Path(one), method, k) for one in reports.split(","))
    for other in others:
        if other.keys() != first.keys():
            sys.exit(f"{len(first.keys() ^ other.keys())} questions are not the same in all of {reports}.")
    return {
        key: {
            name: mean([share, *(other[key][name] for other in others)])
            for name, share in shares.items()
            if all(name in other[key] for other in others)
        }
        for key, shares in first.items()
    }


def accuracies(report: Path, method: str, k: str) -> dict[tuple[str, str], dict[str, float]]:
    """By file and question: share right of the method, under the name asked for, and of the free ones."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    with (report / "questions.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if k not in row["accuracies"]:
                sys.exit(f"{report} has no k = {k}; it has {', '.join(row['accuracies'])}.")
            shares = row["accuracies"][k]
            names = [method] if method in shares else [name for name in shares if name.startswith(method)]
            if len(names) != 1:
                sys.exit(f"{report} has not one method {method!r}, but {', '.join(map(repr, shares))}.")
            free = {name: share for name, share in shares.items() if name in FREE}
            found[row["file"], row["id"]] = {**free, method: shares[names[0]]}
    return found


if __name__ == "__main__":
    main()
