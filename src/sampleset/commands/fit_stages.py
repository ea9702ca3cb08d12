"""The stages of `sampleset fit`. Each is made of what a command of its own does, and leaves its files.

questions   train and test questions, which share none
draws       samples of both (sampleset sample)
vote        a learned vote, to compare with (sampleset fit-vote)
rows        training rows (sampleset train-data)
train       the training run, or two (sampleset train)
export      the aggregator's folder (sampleset export)
calibrate   its multiples, on train questions held back (sampleset calibrate)
evaluate    all methods on the test questions (sampleset evaluate)
verdict     whether it is worth its cost
also        the same methods at other k and on other questions, if asked for
drop_end    the aggregator on test samples without their last tokens, if asked for
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import comb
from pathlib import Path
from typing import Any

from sampleset.aggregators.base import prompt_budget
from sampleset.commands.calibrate import calibrated
from sampleset.commands.evaluate import MethodOptions, evaluate_files
from sampleset.commands.fit_options import DrawOptions, SizeOptions
from sampleset.commands.fit_questions import FitQuestions
from sampleset.commands.fit_vote import FitOptions, fit_vote_file
from sampleset.commands.opening import CallOptions, ModelRef, opened
from sampleset.commands.options import SetOptions, saved_settings
from sampleset.commands.run import Run, run_async
from sampleset.commands.sample import DatasetOptions, sample_dataset
from sampleset.commands.train import trained
from sampleset.commands.train_data import make_rows
from sampleset.datasets.base import question_key
from sampleset.engines.checkpoint import read_record, read_trained_on, write_record
from sampleset.engines.huggingface.model import ADAPTER_CONFIG, find_model, import_extra
from sampleset.errors import (
    ContextOverflowError,
    DataError,
    InvalidArgumentError,
    SamplingError,
)
from sampleset.evaluation import REFERENCE
from sampleset.evaluation.mentions import mention_share
from sampleset.report.files import evaluation_in, read_report, write_whole
from sampleset.report.verdict import Verdict, verdict_markdown, verdict_of
from sampleset.settings import save_settings
from sampleset.storage.files import write_rows
from sampleset.storage.records import problem_to_row
from sampleset.storage.rows import read_rows
from sampleset.storage.sample_sets import SampleFile
from sampleset.storage.store import digest
from sampleset.training.calibration import LEAST_ROWS, read_choices
from sampleset.training.data.build import HELD_BACK, DataOptions, excluded_keys
from sampleset.training.data.rows import question_digest
from sampleset.training.data.summary import beside, save_summary, summary_lines
from sampleset.training.data.targets import TargetOptions
from sampleset.training.export.export import ExportFormat, export_checkpoint
from sampleset.training.export.model_card import model_card
from sampleset.training.pipeline import Pipeline, Stage, Summary
from sampleset.training.recipe import Method, Recipe, recipe_of
from sampleset.training.scales import WAYS, Scale, recipe_settings
from sampleset.types import Mode

DROP_END, MENTIONS = "report_drop_end", "mentions.json"
"""Files of the stage `drop_end`: its report, and how many samples still mention their answer."""

_FOLDS = 10
_MOST_FAILED = 0.05
_MORE = "Give more questions; what was drawn is kept."
_OF_DRAWS = ("model", "temperature", "top_p", "top_k", "max_tokens", "prompt")
_QUESTION_TOKENS = 400
_BYTES_OF_TOKEN = 8


@dataclass(frozen=True)
class Fit:
    """The stages of one fit. Their files are in `output`."""

    questions: FitQuestions
    base: str
    output: Path
    size: SizeOptions
    draws: DrawOptions
    dataset: DatasetOptions
    calls: CallOptions
    run: Run
    settings: Mapping[str, Any]

    @property
    def aggregator(self) -> Path:
        """Folder of the exported aggregator."""
        return self.output / "aggregator"

    @property
    def specs(self) -> dict[str, str]:
        """The methods that are compared with the vote, by name."""
        aided = ("calculator", "calculator:inner=weighted_vote") if self.size.calculator else ()
        return {
            "weighted_vote": "weighted_vote",
            **{spec: spec for spec in aided},
            "learned_vote": f"learned_vote:file={self.output / 'vote.json'}",
            "ssa": f"ssa:model={self.aggregator}"
            + (f",max_tokens={self.size.max_reply_tokens}" if self.size.max_reply_tokens else ""),
        }

    @property
    def dropping(self) -> dict[int, str]:
        """The aggregator on samples without their last tokens, by their number."""
        return {tokens: f"{self.specs['ssa']},drop_end_tokens={tokens}" for tokens in self.size.dropped}

    @cached_property
    def scale(self) -> Scale:
        """The sizes."""
        return self.size.resolved

    def pipeline(self) -> Pipeline:
        """The stages, with what is done of them.

        Raises:
            InvalidArgumentError: The folder holds another fit.
        """
        settings, size, scale, parts = self.settings, self.size, self.scale, self.questions.parts
        asked = [[(problem.question.text, problem.answer) for problem in part] for part in parts.values()]
        questions = {"questions": digest(asked), "answer_kind": settings["answer_kind"], "seed": size.seed}
        drawn = {name: settings[name] for name in _OF_DRAWS}
        drawn |= {"k": scale.k, "samples": {part: self._n(part) for part in parts}}
        if self.draws.model is None:
            drawn["sets"] = {name: _content(Path(ref)) for name, ref in self.questions.sources.items()}
        rows = {"base": self.base, "method": size.method, "think": size.think, "end": scale.keep_end_tokens}
        # Only where it is set, so that folders of older versions go on.
        aided = {"calculator": True} if size.calculator else {}
        recipe = {"scale": size.scale, "recipe": size.overrides}
        dropped = {"drop_end_tokens": list(size.dropped)}
        reply = {"max_reply_tokens": size.max_reply_tokens} if size.max_reply_tokens else {}
        stages = [
            Stage("questions", [f"questions_{part}.jsonl" for part in parts], self._split, questions),
            Stage("draws", [f"sets_{part}.jsonl.gz" for part in parts], self._draw, drawn),
            Stage("vote", ("vote.json",), self._fit_vote, aided),
            Stage("rows", ("rows.jsonl", "rows.held_back.jsonl"), self._make_rows, rows | aided),
            *(
                Stage(
                    f"train_{run}",
                    (f"train_{run}/checkpoint",),
                    partial(self._train, run),
                    recipe,
                    binds=True,
                )
                for run in self._runs
            ),
            Stage("export", ("aggregator",), self._export),
            Stage("calibrate", (), self._calibrate),
            Stage("evaluate", ("report/report.json",), self._evaluate, reply),
            Stage("verdict", ("verdict.json", "verdict.md"), self._judge),
            Stage("also", ("report_also/report.json",), self._evaluate_also, {"ks": list(self.size.test_ks)}),
            Stage("drop_end", (f"{DROP_END}/report.json", MENTIONS), self._evaluate_dropped, dropped),
        ]
        without = set[str]() if WAYS[size.method].selects else {"calibrate"}
        without |= set[str]() if self._reads_more else {"also"}
        without |= set[str]() if size.dropped else {"drop_end"}
        return Pipeline(self.output, [stage for stage in stages if stage.name not in without])

    def require_possible(self, pipeline: Pipeline) -> None:
        """Refuse what later stages would refuse, before a token is spent.

        Raises:
            InvalidArgumentError: The folder's name cannot stand in a spec, or the recipe is not possible.
            MissingExtraError: torch or another package for training is not installed.
            InputNotFoundError: There is no such base model.
            ContextOverflowError: The samples do not fit the context of the base.
            DataError: The base was trained on a test question, or the disk is too small.
        """
        if set(str(self.output)) & set(",[]"):
            raise InvalidArgumentError(
                f"--output-dir {str(self.output)!r} must have no comma or bracket in it."
            )
        for name in self._runs:
            self._recipe(name, rows=1)
        if all(pipeline.is_done(f"train_{name}") for name in self._runs):
            return
        import_extra("torch")
        import_extra("peft")
        files = find_model(self.base)
        if files.path.is_file():
            import_extra("gguf")
        before = read_trained_on(files.path) or frozenset()
        # What is calibrated on must be new to the base, too.
        parts = self.questions.parts
        clear = [*parts["test"], *(parts["train"] if WAYS[self.size.method].selects else ())]
        if known := [problem.id for problem in clear if question_digest(problem.question.text) in before]:
            raise DataError(
                f"The base {self.base!r} was trained on {len(known)} of the questions, {known[0]!r} for one. "
                "Take others, or start from a base that was not."
            )
        if not pipeline.is_done("draws"):
            self._require_disk()
        if not pipeline.is_done("rows"):
            run_async(self._require_context())

    def _require_disk(self) -> None:
        there = next(
            parent for parent in (self.output.absolute(), *self.output.absolute().parents) if parent.exists()
        )
        wanted, free = self.plan()["most_tokens"] * _BYTES_OF_TOKEN, shutil.disk_usage(there).free
        if wanted > free:
            raise DataError(
                f"The samples may take {wanted / 1e9:.1f} GB, and {str(there)!r} has {free / 1e9:.1f} GB "
                "free. Make room, or lower -n or --max-tokens."
            )

    async def _require_context(self) -> None:
        async with opened(ModelRef(self.base)) as backend:
            reply = self.size.max_reply_tokens or (512 if self._mode == "think" else 64)
            room = prompt_budget(backend, None, reply)
            wanted = self.scale.samples * self.scale.keep_end_tokens + _QUESTION_TOKENS
            if wanted > room:
                raise ContextOverflowError(
                    f"{self.scale.samples} samples of {self.scale.keep_end_tokens} tokens and a question "
                    f"take about {wanted} tokens, and {self.base!r} has room for {room}. Lower -n or "
                    "--keep-end-tokens, or take another base."
                )

    def plan(self) -> dict[str, Any]:
        """How much is drawn, trained and read."""
        counts = self.questions.counts
        draws = sum(count * self._n(part) for part, count in counts.items())
        draws *= self.draws.model is not None
        ks = range(self.scale.k, self.scale.samples + 1)
        subsets = min(self.scale.subsets, sum(comb(self.scale.samples, k) for k in ks))
        most_rows = round(counts["train"] * (1 - self.scale.held_back)) * subsets
        readings = counts["test"] * (1 + len(self.size.dropped))
        if self._reads_more:
            readings += len(self.size.test_ks) * sum(counts[part] for part in self.questions.tests)
        return {
            "train_questions": counts["train"],
            "test_questions": counts["test"],
            "draws": draws,
            "most_tokens": draws * self.draws.max_tokens,
            "most_rows": most_rows,
            "steps": {name: self._recipe(name, most_rows).steps for name in self._runs},
            "readings": counts["test"] * (1 + len(self.size.dropped))
            + (
                len(self.size.test_ks) * sum(counts[part] for part in self.questions.tests)
                if self._reads_more
                else 0
            ),
        }

    @property
    def _reads_more(self) -> bool:
        return len(self.questions.tests) > 1 or len(self.size.test_ks) > 1

    def _n(self, part: str) -> int:
        """Samples drawn for each question of a part."""
        return self.scale.samples if part == "train" else max(self.size.test_ks)

    @property
    def _runs(self) -> tuple[Method, ...]:
        return WAYS[self.size.method].runs

    @property
    def _mode(self) -> Mode:
        return WAYS[self.size.method].mode(self.size.think)

    def _sets(self, part: str) -> SampleFile:
        return SetOptions().sample_file(self.output / f"sets_{part}.jsonl.gz", self.dataset, self.run.note)

    def _split(self) -> Summary:
        for part, problems in self.questions.parts.items():
            write_rows(self.output / f"questions_{part}.jsonl", map(problem_to_row, problems))
        return self.questions.counts

    def _draw(self) -> Summary:
        counts: dict[str, Any] = {}
        for part, ref in self.questions.sources.items():
            sets = self.questions.recorded(ref) if self.draws.model is None else self._drawn(part)
            wanted = self.questions.keys(part)
            rows = (
                stored.to_row() for stored in sets if question_key(stored.problem.question.text) in wanted
            )
            counts[part] = write_rows(self.output / f"sets_{part}.jsonl.gz", rows)
        return counts

    def _drawn(self, part: str) -> SampleFile:
        """The store of a part's draws, after the missing ones were drawn.

        Raises:
            SamplingError: Too many draws failed.
        """
        n, count = self._n(part), self.questions.counts[part]
        store = self.output / f"draws_{part}"
        questions = self.output / f"questions_{part}.jsonl"
        drawing = self.draws.drawing(n, self.size.seed, self.calls)
        dataset = DatasetOptions(answer_kind=self.dataset.answer_kind, run_code=self.dataset.run_code)
        settings = saved_settings(
            "sample", drawing, dataset, dataset=questions, output_dir=store, engine="local"
        )
        self.run.note(f"drawing {n} samples for each of {count} {part} questions")
        summary = run_async(
            sample_dataset(str(questions), store, drawing.drawing(), dataset, None, settings, self.run)
        )
        if summary["failed"] > _MOST_FAILED * n * count:
            raise SamplingError(
                f"{summary['failed']} draws of the {part} questions failed ({summary['reasons']}). Run the "
                "same command again to draw them."
            )
        return SampleFile(store, summary["configuration"])

    def _fit_vote(self) -> Summary:
        fit = run_async(
            fit_vote_file(
                [self._sets("train")],
                self.dataset,
                self.output / "vote.json",
                FitOptions(k=str(self.scale.k), calculator=self.size.calculator),
                False,
                ModelRef(),
                self.calls,
                self.run,
            )
        )
        return {"right": dict(fit.right), "verdict": fit.verdict}

    def _make_rows(self) -> Summary:
        """Training rows.

        Raises:
            DataError: There are too few to train on, or too few held back to calibrate on.
        """
        selects = WAYS[self.size.method].selects
        options = DataOptions(
            ks=tuple(range(self.scale.k, self.scale.samples + 1)),
            subsets=self.scale.subsets,
            easy=1.0,
            unanimous=0.0 if selects else 0.05,
            all_wrong=0.0 if selects else 0.1,
            mode=self._mode,
            keep_end_tokens=self.scale.keep_end_tokens,
            calculator=self.size.calculator,
            held_back=self.scale.held_back,
            seed=self.size.seed,
        )
        targets = None
        if "sft" in self._runs:
            targets = TargetOptions(kind="sample" if self.size.think else "answer", seed=self.size.seed)
        rows = self.output / "rows.jsonl"
        summary = run_async(
            make_rows(
                rows,
                [self._sets("train")],
                options,
                targets,
                self.questions.keys("test") | excluded_keys(self.size.exclude or [], self.dataset.data_dir),
                ModelRef(self.base),
                None,
                self.calls,
                self.run,
            )
        )
        save_summary(rows, summary)
        if not summary["rows"]:
            raise DataError("\n".join(["No rows to train on.", *summary_lines(summary), _MORE]))
        if selects:
            choices = read_choices(beside(rows, HELD_BACK))
            questions = len({choice.question for choice in choices})
            if len(choices) < LEAST_ROWS or questions < _FOLDS:
                raise DataError(
                    f"{len(choices)} rows of {questions} held-back questions leave a choice with a right "
                    f"answer; {LEAST_ROWS} rows of {_FOLDS} questions are needed to calibrate. {_MORE}"
                )
        for name in self._runs:
            save_settings(
                self.output / f"train_{name}.json", self._recipe(name, summary["rows"]).settings(name)
            )
        return {
            "rows": summary["rows"],
            "held_back": summary["held_back_rows"],
            "vote_right": summary["vote_right"],
        }

    def _recipe(self, method: Method, rows: int) -> Recipe:
        """The recipe of a training run."""
        folder, first = self.output.absolute(), method == self._runs[0]
        files = {
            "model": self.base if first else str(folder / f"train_{self._runs[0]}" / "checkpoint"),
            "rows": str(folder / "rows.jsonl"),
            "output_dir": str(folder / f"train_{method}"),
        }
        settings = recipe_settings(method, self.scale, rows, files, self.size.seed, [self.size.overrides])
        return recipe_of(settings, f"--scale {self.size.scale} with --recipe")

    def _train(self, method: Method) -> Summary:
        rows = sum(1 for _ in read_rows(self.output / "rows.jsonl"))
        summary = trained(method, self._recipe(method, rows), self.dataset.kinds(), self.run)
        return {"steps": summary.steps}

    def _export(self) -> Summary:
        shutil.rmtree(self.aggregator, ignore_errors=True)
        checkpoint = self.output / f"train_{self._runs[-1]}" / "checkpoint"
        format: ExportFormat = "merged"
        if find_model(self.base).path.is_file():
            format = "gguf-adapter" if (checkpoint / ADAPTER_CONFIG).is_file() else "gguf"
        made = export_checkpoint(checkpoint, self.aggregator, format)
        return {"format": made.format, "files": dict(made.files)}

    def _calibrate(self) -> Summary:
        """The multiples of the exported aggregator. What was calibrated before a kill is left as it is."""
        record = read_record(self.aggregator)
        if record is None or "calibration" not in record.others:
            held_back = beside(self.output / "rows.jsonl", HELD_BACK)
            run_async(calibrated(str(self.aggregator), held_back, _FOLDS, self.run))
            record = read_record(self.aggregator)
        assert record is not None
        weights = ("score_weight", "vote_weight", "confidence_weight")
        return {name: getattr(record, name) for name in weights} | {
            "gains": record.others["calibration"]["gains"]
        }

    def _evaluate(self) -> Summary:
        """All methods on the test sets.

        Raises:
            DataError: The aggregator was trained on a test question.
        """
        return self._measure("report", ["test"], [self.scale.k], self.specs.values())

    def _evaluate_also(self) -> Summary:
        """All methods on all test questions, at every k."""
        return self._measure("report_also", self.questions.tests, self.size.test_ks, self.specs.values())

    def _evaluate_dropped(self) -> Summary:
        """The aggregator on the test sets without the last tokens of their samples."""
        save_settings(self.output / MENTIONS, run_async(self._mentions()))
        return self._measure(DROP_END, ["test"], [self.scale.k], self.dropping.values())

    async def _mentions(self) -> dict[str, float | None]:
        """Share of test samples that mention their answer, by the tokens that are not shown."""
        record = read_record(self.aggregator)
        assert record is not None
        sample_sets = [stored.sample_set for stored in self._sets("test")]
        async with opened(ModelRef(str(self.aggregator))) as backend:
            return {
                f"{tokens}": await mention_share(sample_sets, backend, tokens or None, record.keep_end_tokens)
                for tokens in (0, *self.size.dropped)
            }

    def _measure(self, name: str, parts: Sequence[str], ks: Sequence[int], specs: Iterable[str]) -> Summary:
        files, report = [self._sets(part) for part in parts], self.output / name
        learned = read_trained_on(self.aggregator) or frozenset()
        tests = {question_digest(stored.problem.question.text) for file in files for stored in file}
        if learned & tests:
            raise DataError(f"The aggregator was trained on {len(learned & tests)} of the test questions.")
        methods = MethodOptions(aggregator=[REFERENCE, *specs], k=",".join(map(str, ks)), seed=self.size.seed)
        settings = saved_settings(
            "evaluate", methods, samples=[file.path for file in files], output_dir=report
        )
        evaluation = run_async(
            evaluate_files(
                files,
                self.dataset,
                methods.aggregators,
                methods.options(False, self.calls.max_concurrency),
                ModelRef(),
                self.calls,
                None,
                report,
                settings,
                self.run,
            )
        )
        return {file.source: file.problems for file in evaluation.files}

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the aggregator is worth its cost, by the report."""
        report = self.output / "report"
        methods = evaluation_in(report, read_report(report)).files[0].points[0].methods
        # The labels hold the folder's path at that time; it may have been moved. The vote is the first.
        labels = dict(zip(self.specs, (method.label for method in methods[1:]), strict=True))
        reader = labels.pop("ssa")
        return verdict_of(report, reader, labels)

    def _judge(self) -> Summary:
        """Write the verdict, and put it on the aggregator's card."""
        verdict = self.verdict
        save_settings(self.output / "verdict.json", verdict.to_json())
        write_whole(
            self.output / "verdict.md", f"# Is the aggregator worth it?\n\n{verdict_markdown(verdict)}\n"
        )
        record = read_record(self.aggregator)
        assert record is not None
        changed = replace(record, others={**record.others, "verdict": verdict.to_json()})
        write_record(self.aggregator, changed)
        write_whole(self.aggregator / "README.md", model_card(changed.to_json()))
        return {"is_recommended": verdict.is_recommended, "recommended": verdict.recommended}


def _content(path: Path) -> str | int:
    """A digest of a file; of a store, which only grows, the size of its files."""
    if path.is_file():
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return sum(file.stat().st_size for file in path.glob("*.jsonl"))
