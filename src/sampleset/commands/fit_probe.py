"""Fit a linear probe on a small model's hidden states at the end of labelled samples."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from sampleset import __version__
from sampleset.aggregators.base import tally
from sampleset.answers import default_verdict_path, use_verdict_store
from sampleset.commands.options import (
    MODEL,
    AnswerOptions,
    SetOptions,
    VerdictFile,
    argument,
    option,
    require_json,
    saved_settings,
)
from sampleset.commands.run import Run, print_json, run_async
from sampleset.datasets.base import GOLD_REMEDY, has_readable_gold, question_key
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.grading.grade import grade
from sampleset.reward_models.probe import HiddenStates, ProbeWeights, sample_key
from sampleset.settings import save_settings
from sampleset.storage.files import JsonlLog
from sampleset.storage.records import StoredSet
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.fit_probe import ProbedSamples
from sampleset.training.fit_probe import fit_probe as fitted
from sampleset.wording import plural

EXAMPLE = "sampleset fit-probe store --model embedded --output probe.json"


def fit_probe(
    samples: Annotated[list[Path], argument("Stores or files of sample sets, with gold answers.")],
    model: Annotated[
        str, option("--model", help="A small model's folder, .gguf file or Hub id, or embedded.", panel=MODEL)
    ],
    sets: SetOptions,
    answers: AnswerOptions,
    run: Run,
    output: Annotated[Path, option("--output", help="The probe, a .json file.")] = Path("probe.json"),
    folds: Annotated[int, option("--folds", help="Of the cross-validation, by question.")] = 10,
    device: Annotated[
        str | None, option("--device", help="cpu, cuda or cuda:N; by default CUDA where there is one.")
    ] = None,
    dtype: Annotated[
        str | None, option("--dtype", help="By default bfloat16 on CUDA and float32 on a CPU.")
    ] = None,
    verdicts: VerdictFile = None,
) -> None:
    """Fit a verifier head on labelled sets: a probe of a small model's hidden states. Resumes."""
    require_json(output)
    if folds < 2:
        raise InvalidArgumentError(f"--folds {folds} must be at least 2.")
    settings = saved_settings(
        "fit-probe", sets, answers, samples=samples, model=model, output=output, folds=folds, device=device,
        dtype=dtype, verdicts=verdicts,
    )  # fmt: skip
    use_verdict_store(verdicts or default_verdict_path())
    files = [sets.sample_file(path, answers, run.note) for path in samples]
    states = HiddenStates(model, device=device, dtype=dtype)
    probe = run_async(fit_probe_file(files, states, output, run, folds, sets.keep_thinking))
    save_settings(output.with_suffix(".config.json"), settings)
    summary = {**probe.training, "model": probe.model, "layers": list(probe.layers), "output": str(output)}
    if run.as_json:
        print_json(summary)
        return
    run.print_summary(summary)
    run.next(
        "evaluate", *samples, "--aggregator", f"best_of_n:reward_model=probe[file={output}],model={model}"
    )


async def fit_probe_file(
    files: Sequence[SampleFile],
    states: HiddenStates,
    output: Path,
    run: Run,
    folds: int,
    keep_thinking: bool,
) -> ProbeWeights:
    """Read the states, fit the probe and write it. States are kept beside it, in `OUTPUT.states.jsonl`.

    Raises:
        DataError: The sets have no labels, or too few.
        BackendError: The model cannot be loaded.
    """
    reader = _StateReader(states, JsonlLog(output.with_suffix(".states.jsonl")))
    probed: list[ProbedSamples] = []
    read = 0
    try:
        with run.status_line() as show:
            for stored in (stored for file in files for stored in file):
                read += 1
                samples = await _probed(stored, reader, keep_thinking)
                if samples is not None:
                    probed.append(samples)
                show(f"{plural(read, 'set')} read")
            if not probed:
                raise DataError(
                    f"None of the {read} sample sets has a gold answer that can be read. {GOLD_REMEDY}"
                )
            show(f"fitting on {plural(sum(len(samples.keys) for samples in probed), 'sample')}")
            fit = await asyncio.to_thread(fitted, probed, folds)
    finally:
        await states.aclose()
    score_by_key = {
        key: float(score)
        for samples, scores in zip(probed, fit.scores, strict=True)
        for key, score in zip(samples.keys, scores, strict=True)
    }
    probe = ProbeWeights(
        model=states.model.partition(":")[2] or states.model,
        layers=reader.layers,
        weights=tuple(fit.weights.tolist()),
        bias=fit.bias,
        seen=score_by_key,
        training={
            "sampleset": __version__,
            "files": [file.name for file in files],
            "samples": len(score_by_key),
            "questions": len({samples.question for samples in probed}),
            "questions_with_right_and_wrong": fit.questions,
            "folds": folds,
            "auc": round(fit.auc, 4),
        },
    )
    save_settings(output, probe.to_json())
    return probe


def _packed(vector: Sequence[float]) -> str:
    """States in half precision, as text."""
    most = float(np.finfo(np.float16).max)
    return base64.b64encode(np.clip(vector, -most, most).astype(np.float16).tobytes()).decode()


class _StateReader:
    """Hidden states of samples, kept in a log as they are read."""

    def __init__(self, states: HiddenStates, log: JsonlLog) -> None:
        self._states, self._log = states, log
        self._known: dict[str, Any] = {}
        self.layers: tuple[int, ...] = ()
        for _, row in log.new_rows():
            if row["model"] == states.model:
                self._known[row["key"]] = row["states"]
                self.layers = tuple(row["layers"])

    async def read(self, question: Any, texts: Sequence[str], keys: Sequence[str]) -> list[Any]:
        """States of these samples, `None` for one that is empty or too long."""
        unknown = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        if unknown:
            vectors = await asyncio.to_thread(self._states.vectors, question, list(unknown.values()))
            self.layers = self._states.read_layers
            rows: list[dict[str, Any]] = []
            for key, vector in zip(unknown, vectors, strict=True):
                self._known[key] = packed = None if vector is None else _packed(vector)
                source = {"model": self._states.model, "layers": list(self.layers)}
                rows.append({"key": key, **source, "states": packed})
            self._log.append(rows)
        packed_states = [self._known[key] for key in keys]
        return [
            None if state is None else np.frombuffer(base64.b64decode(state), np.float16).astype(np.float64)
            for state in packed_states
        ]


async def _probed(stored: StoredSet, reader: _StateReader, keep_thinking: bool) -> ProbedSamples | None:
    """The samples with an answer of a labelled set; `None` if there are none."""
    problem = stored.problem
    if problem.answer is None or not has_readable_gold(problem):
        return None
    sample_set = stored.sample_set if keep_thinking else stored.sample_set.without_thinking()
    counted = await tally(sample_set)
    texts: dict[str, tuple[str, bool]] = {}
    for candidate in counted.candidates:
        right = (await grade(candidate.answer, problem)).correct is True
        for index in candidate.indices:
            text = sample_set.samples[index].text
            texts[sample_key(sample_set.question, text)] = (text, right)
    vectors = await reader.read(sample_set.question, [text for text, _ in texts.values()], list(texts))
    rows = [
        (key, vector, right)
        for (key, (_, right)), vector in zip(texts.items(), vectors, strict=True)
        if vector is not None
    ]
    if not rows:
        return None
    keys, states, rights = zip(*rows, strict=True)
    return ProbedSamples(
        question_key(problem.question.text), np.array(states), np.array(rights, dtype=np.bool_), keys
    )
