"""A published study again: its aggregators trained and tested on the same draws, and its tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from sampleset.commands.fit import go_on
from sampleset.commands.fit_options import DrawOptions, SizeOptions
from sampleset.commands.fit_questions import FitQuestions, name_of
from sampleset.commands.fit_stages import DROP_END, MENTIONS, Fit
from sampleset.commands.opening import CallOptions
from sampleset.commands.options import MODEL, ApiKey, BaseUrl, DataDir, argument, option, saved_settings
from sampleset.commands.run import Run, print_json
from sampleset.commands.sample import DatasetOptions
from sampleset.datasets.base import read_dataset
from sampleset.errors import InputNotFoundError, UnknownNameError
from sampleset.evaluation import REFERENCE
from sampleset.evaluation.results import Evaluation, Interval, MethodResult
from sampleset.report.files import evaluation_in, read_report, write_whole
from sampleset.report.markdown import markdown_table
from sampleset.report.wording import percent, points, points_range
from sampleset.storage.files import write_rows
from sampleset.storage.records import problem_to_row
from sampleset.training.reproduction import SSA, Study, Variant, costs_of

EXAMPLE = "sampleset reproduce ssa --scale paper --dry-run"

STUDIES = {"ssa": SSA}


def reproduce(
    study: Annotated[str, argument("ssa: Qi et al. 2025, arXiv 2506.09014.")],
    calls: CallOptions,
    run: Run,
    scale: Annotated[str, option("--scale", help="tiny (recorded draws, a CPU) or paper (GPUs).")] = "tiny",
    draws: Annotated[
        Path, option("--draws", help="Of tiny: folder of the recorded draws, data/draws of the repository.")
    ] = Path("data/draws"),
    model: Annotated[
        str, option("--model", help="Of paper: the model that draws, Qwen2.5-7B-Instruct say.", panel=MODEL)
    ] = "Qwen/Qwen2.5-7B-Instruct",
    base: Annotated[
        str | None, option("--base", help="Train this model in the place of the study's.", panel=MODEL)
    ] = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    data_dir: DataDir = None,
    output_dir: Annotated[
        Path, option("--output-dir", help="A folder for each aggregator, and the tables.")
    ] = Path("runs/reproduce"),
    dry_run: Annotated[
        bool, option("--dry-run", help="Print what would be drawn and trained, and its cost.")
    ] = False,
) -> None:
    """Train and test the aggregators of a study, and print its tables. Goes on where it stopped."""
    if study not in STUDIES:
        raise UnknownNameError("study", study, STUDIES)
    if scale not in STUDIES[study]:
        raise UnknownNameError("scale", scale, STUDIES[study])
    chosen = STUDIES[study][scale]
    if base is not None:
        chosen = replace(chosen, variants=tuple(replace(variant, base=base) for variant in chosen.variants))
    drawing = DrawOptions()
    if chosen.draws is not None:
        drawing = DrawOptions(model=model, base_url=base_url, api_key=api_key, **chosen.draws)
    elif not draws.is_dir():
        raise InputNotFoundError(
            f"No folder {str(draws)!r} with recorded draws. Name data/draws of a clone of the repository."
        )
    dataset = DatasetOptions(data_dir=data_dir)
    if dry_run:
        with TemporaryDirectory() as folder:
            plan = _Work(chosen, drawing, draws, Path(folder), dataset, calls, run).plan()
        if run.as_json:
            print_json(plan)
        else:
            print("\n".join(_plan_lines(plan)))
        return
    work = _Work(chosen, drawing, draws, output_dir, dataset, calls, run)
    for number, variant in enumerate(chosen.variants, 1):
        run.note(f"aggregator {number}/{len(chosen.variants)}: {variant.name}")
        fit = work.fit(variant)
        pipeline = fit.pipeline()
        fit.require_possible(pipeline)
        go_on(fit, pipeline, None)
    tables = _tables(chosen, output_dir)
    write_whole(output_dir / "tables.md", tables)
    if run.as_json:
        print_json({"folder": str(output_dir), "tables": tables})
    else:
        print(tables, end="")
        first = output_dir / chosen.variants[0].name
        run.next("report", first / "report")


class _Work:
    """The fits of a study. The first one draws; the others take its sets."""

    def __init__(
        self,
        study: Study,
        drawing: DrawOptions,
        draws: Path,
        output: Path,
        dataset: DatasetOptions,
        calls: CallOptions,
        run: Run,
    ) -> None:
        self._study, self._drawing, self._draws = study, drawing, draws
        self._output, self._dataset, self._calls, self._run = output, dataset, calls, run

    def fit(self, variant: Variant) -> Fit:
        """The fit of a variant."""
        study, is_first = self._study, variant == self._study.variants[0]
        folder, first = self._output / variant.name, self._output / study.variants[0].name
        if is_first:
            questions, test, also = self._train(), self._source(study.test), [*map(self._source, study.also)]
        else:
            parts = [first / f"sets_{name}.jsonl.gz" for name in ("train", "test", *map(name_of, study.also))]
            questions, test, *also = map(str, parts)
        size = SizeOptions(
            scale=study.scale,
            k=study.k,
            samples=study.samples,
            test=test,
            also=also,
            test_k=study.test_k,
            test_drop_end_tokens=list(study.drop_end_tokens),
            max_reply_tokens=variant.max_reply_tokens,
            test_limit=study.test_limit,
            method=variant.method,
            think=variant.think,
            recipe=list(variant.recipe),
        )
        drawing = self._drawing if is_first else DrawOptions()
        dataset = replace(self._dataset, limit=study.limit)
        settings = saved_settings(
            "fit",
            size,
            drawing,
            dataset,
            self._calls,
            questions=questions,
            base=variant.base,
            output_dir=folder,
        )
        asked = FitQuestions(questions, size, dataset, drawing.model is None, self._run)
        return Fit(asked, variant.base, folder, size, drawing, dataset, self._calls, self._run, settings)

    def plan(self) -> list[dict[str, Any]]:
        """What each variant takes."""
        first = self.fit(self._study.variants[0]).plan()
        plans: list[dict[str, Any]] = []
        for variant in self._study.variants:
            draws = first["draws"] if variant == self._study.variants[0] else 0
            costs = costs_of(self._study, variant, draws, first["most_rows"], first["readings"])
            plans.append(
                {
                    "variant": variant.name,
                    "base": variant.base,
                    "train_questions": first["train_questions"],
                    "draws": draws,
                    "most_rows": first["most_rows"],
                    "readings": first["readings"],
                    "tokens": dict(costs.tokens),
                    "h100_hours": {name: round(hours, 2) for name, hours in costs.hours.items()},
                }
            )
        return plans

    def _train(self) -> str:
        """The train questions as one source."""
        if len(self._study.train) == 1:
            return self._source(self._study.train[0])
        path = self._output / "questions.jsonl"
        problems = (
            problem
            for ref in self._study.train
            for problem in read_dataset(ref, data_dir=self._dataset.data_dir).problems
        )
        write_rows(path, map(problem_to_row, problems))
        return str(path)

    def _source(self, ref: str) -> str:
        return ref if self._study.draws is not None else str(self._draws / ref)


def _plan_lines(plan: list[dict[str, Any]]) -> list[str]:
    """The plan for the terminal."""
    lines = [
        f"{plan[0]['train_questions']:,} train questions, {plan[0]['draws']:,} samples to draw once, up to "
        f"{plan[0]['most_rows']:,} rows, {plan[0]['readings']:,} sets to read for each aggregator",
        "",
        f"{'aggregator':<20}{'base':<22}{'million tokens':>15}{'hours of an H100':>18}",
    ]
    for entry in plan:
        tokens, hours = sum(entry["tokens"].values()) / 1e6, sum(entry["h100_hours"].values())
        lines.append(f"{entry['variant']:<20}{entry['base']:<22}{tokens:>15,.1f}{hours:>18,.1f}")
    total = sum(hours for entry in plan for hours in entry["h100_hours"].values())
    return [
        *lines,
        f"{'all':<42}{'':>15}{total:>18,.1f}",
        "",
        "Hours are a lower bound, computed from 4e14 operations a second; writing is slower.",
    ]


def _tables(study: Study, output: Path) -> str:
    """The tables of a study as Markdown; equal results give equal bytes."""
    main_rows: list[tuple[str, ...]] = []
    vote_right = 0.0
    for variant in study.variants:
        verdict: dict[str, Any] = json.loads((output / variant.name / "verdict.json").read_bytes())
        by_rival = {lead["over"]: lead for lead in verdict["leads"]}
        vote, learned = by_rival[REFERENCE], by_rival["learned_vote"]
        vote_right = vote["right"]
        main_rows.append(
            (
                variant.name,
                percent(verdict["right"]),
                *_difference(vote),
                *_difference(learned),
                f"{vote['mended']}/{vote['spoilt']}",
                verdict["recommended"],
            )
        )
    evaluations = {
        variant.name: _evaluation(output / variant.name / "report_also") for variant in study.variants
    }
    further_rows: list[tuple[str, ...]] = []
    first = evaluations[study.variants[0].name]
    for file_number, file in enumerate(first.files):
        for point_number, point in enumerate(file.points):
            vote = next(method for method in point.methods if method.label == REFERENCE)
            row = [
                file.source.removeprefix("sets_"),
                f"{point.k}",
                f"{point.problems}",
                percent(vote.accuracy),
            ]
            for evaluation in evaluations.values():
                # The trained aggregator is the last of the methods.
                row.append(_gain(evaluation.files[file_number].points[point_number].methods[-1]))
            further_rows.append((*row, percent(point.oracle)))
    return "\n\n".join(
        [
            "# SSA, reproduced",
            f"Right in percent on the test questions, k = {study.k}; the vote has {percent(vote_right)}. "
            "Differences are in points, paired by question, with their 95 % interval.",
            markdown_table(
                ("aggregator", "right %", "less the vote", "interval", "less the learned vote", "interval",
                 "mended/spoilt", "to use"),
                main_rows,
            ),
            "## By k, other samples and other questions",
            "Each aggregator less the vote. It has learned from sets of the smallest k.",
            markdown_table(
                ("samples", "k", "questions", "vote %", *evaluations, "oracle %"), further_rows
            ),
            "## Samples cut off at the end",
            f"Each aggregator less the vote on the test questions, k = {study.k}, by the tokens at the end "
            "of each sample that are hidden from it. The vote counts whole samples. A sample mentions its "
            "answer if what is shown of it has the answer anywhere.",
            markdown_table(
                ("hidden", "samples that mention their answer %", *evaluations), _cut_rows(study, output)
            ),
        ]
    ) + "\n"  # fmt: skip


def _difference(lead: dict[str, Any]) -> tuple[str, str]:
    interval = Interval(**lead["interval"])
    return points(lead["difference"]), points_range(interval)


def _cut_rows(study: Study, output: Path) -> list[tuple[str, ...]]:
    """The rows of the table of cut samples, by the tokens that are hidden."""
    folders = [output / variant.name for variant in study.variants]
    mentioned: dict[str, float | None] = json.loads((folders[0] / MENTIONS).read_bytes())
    gains = [[_gain(method) for method in _uncut_and_cut(folder)] for folder in folders]
    return [
        (tokens, "–" if share is None else percent(share), *by_variant)
        for (tokens, share), *by_variant in zip(mentioned.items(), *gains, strict=True)
    ]


def _uncut_and_cut(folder: Path) -> list[MethodResult]:
    """The aggregator on whole test samples, and on cut ones, by the tokens that are hidden."""
    whole, cut = (_evaluation(folder / report).files[0].points[0].methods for report in ("report", DROP_END))
    return [whole[-1], *cut[1:]]  # the vote is the first method, the aggregator the last


def _evaluation(report: Path) -> Evaluation:
    return evaluation_in(report, read_report(report))


def _gain(method: MethodResult) -> str:
    """A method less the vote, with its interval."""
    return f"{points(method.difference)} ({points_range(method.difference_interval)})"
