"""Where a method differs from the vote, over several reports: `python overruled.py METHOD REPORT...`.

Counts the sets on which a method, written as in the reports, is right and the vote wrong, and the other way
round: those whose answer has fewer of the set's samples behind it than the vote's, and those where it has as
many. Then all of them, with p by exact McNemar as if the reports were one. Sets of one subset each.
"""

import json
import sys
from pathlib import Path
from typing import Any

from sampleset.answers import same_answer
from sampleset.metrics import mcnemar_exact


def main() -> None:
    """Read the reports and print the counts."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    method, *reports = sys.argv[1:]
    counts = {"fewer samples": [0, 0], "as many": [0, 0]}
    for report in reports:
        for line in (Path(report) / "questions.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            right, vote_right = (row["right"][name] is True for name in (method, "majority_vote"))
            if right == vote_right:
                continue
            ours, votes = (behind(row, row["answers"][name]) for name in (method, "majority_vote"))
            counts["fewer samples" if ours < votes else "as many"][int(vote_right)] += 1
    for name, (mended, spoilt) in counts.items():
        print(f"{name}: mended {mended}, spoilt {spoilt}")
    mended, spoilt = (sum(one[place] for one in counts.values()) for place in (0, 1))
    print(f"all: mended {mended}, spoilt {spoilt}, p = {mcnemar_exact(mended, spoilt):.4f}")


def behind(row: dict[str, Any], answer: str | None) -> int:
    """How many of the set's samples give an answer; answers of the kind `maths`."""
    given = [one for one in row["sample_answers"] if one is not None]
    return 0 if answer is None else sum(same_answer(one, answer).equal is True for one in given)


if __name__ == "__main__":
    main()
