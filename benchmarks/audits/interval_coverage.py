"""How often the 95 % intervals hold the truth, by simulation.

    python benchmarks/audits/interval_coverage.py --runs 4000

Problems are drawn from a population; each has its own chance to be answered right (beta-distributed, so
that a problem's samples are correlated, up to nearly always alike), and its share is the mean over
`subsets` answers. The truth is the population's mean. For differences, the method has the same answer as
the vote but on a share of the problems, where one of the two is right.
"""

import argparse
from itertools import product

import numpy as np

from sampleset.metrics import clustered_interval, macro_bootstrap, macro_interval, paired_bootstrap

Generator = np.random.Generator


def main() -> None:
    """Print a table of coverages, in percent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="simulated evaluations per row")
    parser.add_argument("--seed", type=int, default=0)
    runs, seed = parser.parse_args().runs, parser.parse_args().seed
    generator = np.random.default_rng(seed)
    worst = [100.0, 0.0]

    def show(kind: str, setting: str, hits: int) -> None:
        coverage = 100 * hits / runs
        worst[0], worst[1] = min(worst[0], coverage), max(worst[1], coverage)
        print(f"{kind:<12}{setting:<58}{coverage:6.1f}", flush=True)

    print(f"{'interval':<12}{'setting':<58}{'%':>6}")
    for problems in (5, 10, 50, 200, 660):
        for mean, correlation, subsets in product((0.1, 0.5, 0.9), (0.2, 0.9, 0.99), (1, 20)):
            drawn = (shares(generator, problems, mean, correlation, subsets) for _ in range(runs))
            hits = sum(holds(clustered_interval(one), mean) for one in drawn)
            setting = f"{problems} problems, mean {mean}, correlation {correlation}, {subsets} subsets"
            show("accuracy", setting, hits)
    for problems in (50, 200, 660):
        for (gain, loss), subsets in product(((0.02, 0.02), (0.05, 0.01), (0.1, 0.1), (0.25, 0.05)), (1, 20)):
            paired = (differences(generator, problems, gain, loss, subsets) for _ in range(runs))
            hits = sum(holds(paired_bootstrap(one, 1000, run), gain - loss) for run, one in enumerate(paired))
            show("difference", f"{problems} problems, gain {gain}, loss {loss}, {subsets} subsets", hits)
    sizes, changes = (42, 151, 357, 660), ((0.05, 0.01), (0.02, 0.02), (0.10, 0.03), (0.10, 0.10))
    truth = float(np.mean([gain - loss for gain, loss in changes]))
    hits = 0
    for run in range(runs):
        files = [differences(generator, size, *one, 20) for size, one in zip(sizes, changes, strict=True)]
        hits += holds(macro_bootstrap(files, 1000, run), truth)
    show("macro", f"difference over files of {sizes} problems", hits)
    means = (0.3, 0.6, 0.9, 0.95)
    hits = 0
    for _ in range(runs):
        files = [shares(generator, size, mean, 0.9, 20) for size, mean in zip(sizes, means, strict=True)]
        hits += holds(macro_interval(files), float(np.mean(means)))
    show("macro", f"accuracy over files of {sizes} problems", hits)
    error = 196 * (0.95 * 0.05 / runs) ** 0.5
    print(f"lowest {worst[0]:.1f}, highest {worst[1]:.1f} (error of the simulation about {error:.1f})")


def holds(interval: tuple[float, float], truth: float) -> bool:
    """Whether the truth lies within."""
    return interval[0] <= truth <= interval[1]


def shares(generator: Generator, problems: int, mean: float, correlation: float, subsets: int) -> list[float]:
    """Per problem, how often `subsets` answers of one chance are right."""
    scale = 1 / correlation - 1
    chances = generator.beta(mean * scale, (1 - mean) * scale, problems)
    return (generator.binomial(subsets, chances) / subsets).tolist()


def differences(generator: Generator, problems: int, gain: float, loss: float, subsets: int) -> list[float]:
    """Per problem, mean difference: on some problems the method gains on most subsets, on some it loses."""
    kind = generator.choice(3, problems, p=(gain / 0.9, loss / 0.9, 1 - (gain + loss) / 0.9))
    size = generator.binomial(subsets, 0.9, problems) / subsets
    return np.where(kind == 0, size, np.where(kind == 1, -size, 0.0)).tolist()


if __name__ == "__main__":
    main()
