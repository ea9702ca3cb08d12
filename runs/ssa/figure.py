"""The study as a picture: what each method has over the majority vote, one panel for each family of sets.

    pip install matplotlib
    python runs/ssa/figure.py --output docs/results/ssa.svg -k 5 "TITLE=REPORT" "TITLE=REPORT,REPORT"...

Reports of `sampleset evaluate` on the same sets share a panel. Dots are differences in points with their
paired 95 % intervals, as in the reports; the dotted line is what a method would gain that picks a right
sample wherever there is one.
"""

import argparse
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sampleset.evaluation.results import MethodResult, PointResult
from sampleset.report.files import evaluation_in, read_report

NAMES = {
    "best_of_n": "best of n",
    "weighted_vote": "weighted vote",
    "embedded-ssa": "embedded-ssa",
    "ssa05b": "SSA-0.5B",
    "smol": "embedded-ssa",
    "qwen05b": "SSA-0.5B",
}
"""By label, by the model's folder, or by run where that is a checkpoint of runs/ssa; others are not shown."""

COLOURS = {"embedded-ssa": "#c2410c", "SSA-0.5B": "#c2410c"}
OTHERS, CEILING = "#475569", "#94a3b8"


def main() -> None:
    """Read the reports and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("panels", nargs="+", metavar="TITLE=REPORT,REPORT")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("-k", type=int, default=5)
    options = parser.parse_args()
    mpl.rcParams.update({"svg.hashsalt": "sampleset", "svg.fonttype": "none", "font.family": "sans-serif"})
    figure = Figure(figsize=(9.5, 2.4), layout="constrained")
    axes = figure.subplots(1, len(options.panels), sharex=True, sharey=True, squeeze=False)[0]
    for own, panel in zip(axes, options.panels, strict=True):
        title, _, reports = panel.partition("=")
        draw(own, title, [point_of(Path(one), options.k) for one in reports.split(",")])
    figure.supxlabel(f"points above the majority vote over {options.k} samples, 95 % intervals", fontsize=9)
    figure.savefig(options.output, metadata={"Date": None})


def draw(axes: Axes, title: str, points: list[PointResult]) -> None:
    """One panel: the methods of all reports, below each other, and the ceiling."""
    found = {name: method for point in points for method in point.methods if (name := name_of(method))}
    shown = {name: found[name] for name in dict.fromkeys(NAMES.values()) if name in found}
    first = points[0]
    vote = next(one.accuracy for one in first.methods if one.label == "majority_vote")
    axes.axvline(0, color=OTHERS, linewidth=0.8)
    axes.axvline(100 * (first.oracle - vote), color=CEILING, linestyle=":", linewidth=1.2)
    for name, method in shown.items():
        low, high = 100 * method.difference_interval.low, 100 * method.difference_interval.high
        colour = COLOURS.get(name, OTHERS)
        axes.plot([low, high], [name, name], color=colour, linewidth=2.2, solid_capstyle="round")
        axes.plot([100 * method.difference], [name], "o", color=colour, markersize=6)
    axes.set_title(f"{title}\nvote {100 * vote:.1f} %, {first.problems:,} questions", fontsize=9)
    axes.annotate(
        "any sample\nright",
        (100 * (first.oracle - vote), 0),
        (-3, 0),
        ha="right",
        va="center",
        textcoords="offset points",
        fontsize=7,
        color=OTHERS,
    )
    axes.tick_params(labelsize=9, length=0)
    axes.margins(y=0.25)
    axes.invert_yaxis()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def name_of(method: MethodResult) -> str | None:
    """How the picture calls a method."""
    model = Path(method.label.partition("model=")[2].removeprefix("openvino:"))
    return NAMES.get(method.label) or NAMES.get(model.name) or NAMES.get(model.parent.name)


def point_of(report: Path, k: int) -> PointResult:
    """What a report says of its one file at k."""
    (file,) = evaluation_in(report, read_report(report)).files
    return next(point for point in file.points if point.k == k)


if __name__ == "__main__":
    main()
