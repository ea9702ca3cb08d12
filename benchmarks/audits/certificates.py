"""Whether certified thresholds keep their promise: many splits of recorded sets.

    python benchmarks/audits/certificates.py FOLDER [--splits 1000]

FOLDER holds files of sample sets with gold answers. For each file and aggregator, every split takes a random
half as labelled questions, certifies a threshold (`sampleset.risk`) at the file's risk, and looks at the
other half.

- `refused`: splits in which no threshold was accepted;
- `broken`: splits in which more than the risk of the answers given in the other half are wrong. The other
  half is a sample, too, so that a promise that holds looks broken now and then;
- `truly`: the same with labelled questions drawn from the whole file with replacement, and the risk measured
  on the whole file, which then is the distribution: at most 5 in 100 are promised;
- `coverage`: share of the other half that is answered, on average over all splits, refused ones as 0.

The risk of a file is the smallest of 2, 5, 10, 20 and 30 % that is below the aggregator's error and accepted
on the whole file. Then the alarm: `same` is the share of 200 splits in which the confidences of the other
half, in random order, raise it (at most 1 in 100 are promised), `other file` that with those of the next one.
`shuffled` is the share of 200 certifications on shuffled labels that accept a threshold of too high a risk.

The second table asks what another confidence is worth. `learned_vote` is fitted on four fifths of a file and
answers the last, in turn, so that no question is answered by what its own label taught. Then both are split,
certified and looked at as above, by the probability that the learned vote states, and by the share of the
plain vote: at the smallest risk that is accepted for either on the whole file, and at the next larger one.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from sampleset.aggregators.base import Aggregator
from sampleset.aggregators.confident import stated_confidence
from sampleset.errors import DataError
from sampleset.grading.grade import grade
from sampleset.risk.certificate import SAME
from sampleset.risk.drift import DriftAlarm
from sampleset.risk.thresholds import certified_threshold
from sampleset.settings import save_settings
from sampleset.specs import build
from sampleset.storage.records import StoredSet
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.fit_vote import fit_vote
from sampleset.training.labelled_sets import LabelOptions, read_labels

FILES = (
    "gsm8k_small8",
    "gsm8k_davinci12",
    "math_l5_small8",
    "math500_small10",
    "mmlu_pro_mix8",
    "crux_open8",
)
RISKS = (0.02, 0.05, 0.1, 0.2, 0.3)
ALARMS = 200
FOLDS = 5

Labelled = tuple[np.ndarray, np.ndarray]


async def labelled(stored_sets: Iterable[StoredSet], method: Aggregator) -> Labelled:
    """Confidence and correctness of the answer to each question; -1 where none is given."""
    confidences, right = list[float](), list[bool]()
    for stored in stored_sets:
        answer = await method.aggregate(stored.sample_set.without_thinking())
        confidence = None if answer.answer is None else stated_confidence(answer)
        confidences.append(-1.0 if confidence is None else confidence)
        right.append((await grade(answer.answer, stored.problem)).correct is True)
    return np.array(confidences), np.array(right)


def threshold_of(confidences: np.ndarray, right: np.ndarray, risk: float) -> float | None:
    """The certified threshold; `None` where there is none."""
    listed = [None if value < 0 else float(value) for value in confidences]
    try:
        return certified_threshold(listed, right.tolist(), risk).point.threshold
    except DataError:
        return None


def risk_above(threshold: float, confidences: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Share of wrong answers among those above, and the share of questions above."""
    is_answered = (confidences > threshold + SAME) & (confidences >= 0)
    risk = float((~right[is_answered]).mean()) if is_answered.any() else 0.0
    return risk, float(is_answered.mean())


def line(name: str, data: Labelled, other: Labelled, risk: float, splits: int) -> str:
    """One row of the table."""
    confidences, right = data
    generator = np.random.default_rng(0)
    count, half = len(right), len(right) // 2
    refused = broken = truly = 0
    coverage = 0.0
    for _ in range(splits):
        order = generator.permutation(count)
        first, second = order[:half], order[half:]
        threshold = threshold_of(confidences[first], right[first], risk)
        if threshold is None:
            refused += 1
        else:
            wrong, share = risk_above(threshold, confidences[second], right[second])
            broken += wrong > risk
            coverage += share
        drawn = generator.integers(0, count, half)
        threshold = threshold_of(confidences[drawn], right[drawn], risk)
        truly += threshold is not None and risk_above(threshold, confidences, right)[0] > risk
    same = alarms(confidences, confidences, half, generator)
    moved = alarms(confidences, other[0], half, generator)
    shuffled = 0
    for _ in range(ALARMS):
        mixed = generator.permutation(right)
        threshold = threshold_of(confidences, mixed, risk)
        shuffled += threshold is not None and risk_above(threshold, confidences, right)[0] > risk
    return (
        f"{name:34} {count:5} {risk:5.0%} {1 - right.mean():6.1%} {refused / splits:8.1%}"
        f" {broken / splits:7.1%} {truly / splits:6.1%} {coverage / splits:9.1%} {same:6.1%} {moved:11.1%}"
        f" {shuffled / ALARMS:9.1%}"
    )


def alarms(certified: np.ndarray, stream: np.ndarray, half: int, generator: np.random.Generator) -> float:
    """Share of streams that raise the alarm of a random half."""
    raised = 0
    for seed in range(ALARMS):
        order = generator.permutation(len(certified))
        reference = certified[order[:half]]
        fresh = certified[order[half:]] if stream is certified else generator.permutation(stream)
        alarm = DriftAlarm(reference[reference >= 0].tolist(), seed=seed)
        raised += any([alarm.add(float(value)) for value in fresh if value >= 0])
    return raised / ALARMS


def usual_risk(confidences: np.ndarray, right: np.ndarray) -> float | None:
    """The smallest risk below the vote's error at which the whole file is accepted."""
    error = float((~right).mean())
    usable = (risk for risk in RISKS if risk < error and threshold_of(confidences, right, risk) is not None)
    return next(usable, None)


async def tables(folder: Path, names: Sequence[str], aggregators: Sequence[str], splits: int) -> None:
    print(
        f"{'file, aggregator':34} {'n':>5} {'risk':>5} {'error':>6} {'refused':>8} {'broken':>7} {'truly':>6}"
        f" {'coverage':>9} {'same':>6} {'other file':>11} {'shuffled':>9}"
    )
    for aggregator in aggregators:
        method = build(aggregator)
        data = {name: await labelled(SampleFile(folder / f"{name}.jsonl.gz"), method) for name in names}
        for index, name in enumerate(names):
            risk = usual_risk(*data[name])
            if risk is None:
                print(f"{name}, {aggregator}: no risk below the error can be promised")
                continue
            other = data[names[(index + 1) % len(names)]]
            print(line(f"{name}, {aggregator}", data[name], other, risk, splits), flush=True)


async def beside(folder: Path, names: Sequence[str], splits: int) -> None:
    """Print what the confidence of a learned vote answers beside the vote's share, at the same risk."""
    print(
        f"{'file':18} {'n':>5} {'risk':>5}   {'vote: error':>11} {'refused':>8} {'truly':>6} {'coverage':>9}"
        f"   {'learned: error':>14} {'refused':>8} {'truly':>6} {'coverage':>9}"
    )
    for name in names:
        stored_sets = list(SampleFile(folder / f"{name}.jsonl.gz"))
        fold = np.random.default_rng(1).permutation(len(stored_sets)) % FOLDS
        vote = await labelled(stored_sets, build("majority_vote"))
        learned = np.zeros(len(fold)), np.zeros(len(fold), bool)
        for number in range(FOLDS):
            others = [stored for at, stored in zip(fold, stored_sets, strict=True) if at != number]
            answered = [stored for at, stored in zip(fold, stored_sets, strict=True) if at == number]
            fit = fit_vote(await read_labels([others], LabelOptions()), folds=2)
            with tempfile.TemporaryDirectory() as place:
                file = Path(place) / "vote.json"
                save_settings(file, fit.model.to_json())
                method = build(f"learned_vote:file={file}")
            for whole, part in zip(learned, await labelled(answered, method), strict=True):
                whole[fold == number] = part
        risks = [risk for data in (vote, learned) if (risk := usual_risk(*data)) is not None]
        least = min(risks, default=1.0)
        for risk in [risk for risk in RISKS if risk >= least and risk < 1 - vote[1].mean()][:2]:
            cells = [splits_at(*data, risk, splits) for data in (vote, learned)]
            print(f"{name:18} {len(fold):5} {risk:5.0%}   {cells[0]}      {cells[1]}", flush=True)


def splits_at(confidences: np.ndarray, right: np.ndarray, risk: float, splits: int) -> str:
    """Error, refused splits, truly broken promises and coverage of one method."""
    generator = np.random.default_rng(0)
    count, half = len(right), len(right) // 2
    refused = truly = 0
    coverage = 0.0
    for _ in range(splits):
        order = generator.permutation(count)
        threshold = threshold_of(confidences[order[:half]], right[order[:half]], risk)
        refused += threshold is None
        if threshold is not None:
            coverage += risk_above(threshold, confidences[order[half:]], right[order[half:]])[1]
        drawn = generator.integers(0, count, half)
        threshold = threshold_of(confidences[drawn], right[drawn], risk)
        truly += threshold is not None and risk_above(threshold, confidences, right)[0] > risk
    error, share = 1 - right.mean(), coverage / splits
    return f"{error:11.1%} {refused / splits:8.1%} {truly / splits:6.1%} {share:9.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--files", nargs="+", default=FILES, metavar="NAME")
    parser.add_argument("--aggregators", nargs="+", default=("majority_vote",), metavar="SPEC")
    parser.add_argument("--splits", type=int, default=1000)
    arguments = parser.parse_args()
    asyncio.run(tables(arguments.folder, arguments.files, arguments.aggregators, arguments.splits))
    print()
    asyncio.run(beside(arguments.folder, arguments.files, arguments.splits))


if __name__ == "__main__":
    main()
