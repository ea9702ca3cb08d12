"""The best that votes and token confidence do without a model: `python prior.py ROWS.jsonl...`.

Fits the multiples of the log of a candidate's votes and of its mean token log-probability on training rows,
as `sampleset calibrate` fits those of a model, and prints the aggregator that decides by them.
"""

import sys
from pathlib import Path

from sampleset.training.calibration import calibration_of, read_choices


def main() -> None:
    """Fit on all rows that leave a choice; the accuracies beside it are cross-validated by question."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    choices = [one for file in sys.argv[1:] for one in read_choices(Path(file))]
    made = calibration_of(choices, folds=10)
    print(
        f"llm_aggregator:mode=select,score_weight=0,vote_weight={made.prior.votes:.3f},"
        f"confidence_weight={made.prior.confidence:.3f}"
    )
    print(
        f"{made.rows} rows of {made.questions} questions: vote {100 * made.figures['vote'].accuracy:.1f} %, "
        f"votes and confidence {100 * made.figures['prior'].accuracy:.1f} %",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
