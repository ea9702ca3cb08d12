"""Tell whether a method is worth more than the vote, from feedback or from labelled sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.commands.opening import CallOptions, ReaderOptions, opened_methods, refuse_absent_scores
from sampleset.commands.options import (
    AnswerOptions,
    SetOptions,
    aggregator_option,
    argument,
    option,
)
from sampleset.commands.run import Run, print_json, run_async
from sampleset.datasets.base import GOLD_REMEDY
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.evaluation import AnswerLog
from sampleset.grading.grade import grade
from sampleset.risk.worth import WorthIt, count_row, worth_fields
from sampleset.storage.files import JsonlLog
from sampleset.storage.records import StoredSet
from sampleset.storage.sample_sets import SampleFile

EXAMPLE = "sampleset worth store --aggregator auto -k 5"


def worth(
    source: Annotated[Path, argument("A server's feedback file, or sample sets with gold answers.")],
    reader: ReaderOptions,
    sets: SetOptions,
    answers: AnswerOptions,
    calls: CallOptions,
    run: Run,
    aggregator: Annotated[
        str,
        aggregator_option("Of sets: the method, as auto:file=auto.json."),
    ] = "auto",
    k: Annotated[
        int | None, option("-k", "--k", help="Of sets: samples the method reads; the vote may read more.")
    ] = None,
) -> None:
    """Tell whether a method is better than the vote so far: yes, no, or not known."""
    if not source.exists():
        raise InvalidArgumentError(f"There is no {str(source)!r}. Give a feedback file, or sample sets.")
    if _is_feedback(source):
        tests = dict[str, WorthIt]()
        for _, row in JsonlLog(source).new_rows():
            count_row(tests, row, str(source))
        results = {model: {"against": "the vote over the same samples"} | worth_fields(test)
                   for model, test in tests.items()}  # fmt: skip
    else:
        file = sets.sample_file(source, answers, run.note)
        results = {
            aggregator: run_async(
                worth_of_sets(
                    file, answers, aggregator, k, reader, calls, run, keep_thinking=sets.keep_thinking
                )
            )
        }
    if run.as_json:
        print_json(results)
        return
    for name, fields in results.items():
        print(
            f"{name}: worth it so far: {fields['verdict']}. Against {fields['against']}: {fields['better']} "
            f"better, {fields['worse']} worse, {fields['alike']} alike."
        )
    if aggregator in results:
        run.next("evaluate", source, "--aggregator", aggregator)


async def worth_of_sets(
    sets: SampleFile,
    answers: AnswerOptions,
    spec: str,
    k: int | None,
    reader: ReaderOptions,
    calls: CallOptions,
    run: Run,
    *,
    keep_thinking: bool,
) -> dict[str, Any]:
    """The test of a method against the vote that costs as much, on sets in the order of the file.

    The vote reads the first samples that together take no more tokens than the method did on that set with
    its samples, and at least as many as the method reads.

    Raises:
        DataError: No set has a gold answer, or the method fails on one.
    """
    test, extra, tokens = WorthIt(), 0, 0
    async with opened_methods(
        [spec], reader.model_ref(), calls.patience, calls.max_concurrency, None, run.note
    ) as (methods, judge):
        refuse_absent_scores(methods, [sets])
        log = AnswerLog(None, reader.context_size)
        for stored in sets.with_kinds(answers.kinds(judge)):
            if stored.problem.answer is None:
                continue
            whole = stored.sample_set if keep_thinking else stored.sample_set.without_thinking()
            read = whole.subset(range(whole.n if k is None else min(k, whole.n)))
            answer = await log.answer_or_raise(methods[spec], read, spec)
            count = _at_same_spend(stored, read.n, answer.usage.total_tokens)
            vote = await MajorityVote().aggregate(whole.subset(range(count)))
            test.add(await _is_right(answer.answer, stored), await _is_right(vote.answer, stored))
            extra += count - read.n
            tokens += answer.usage.total_tokens
    total = test.better + test.worse + test.alike
    if not total:
        raise DataError(f"{sets.path}: no set has a gold answer. {GOLD_REMEDY}")
    return {
        "against": "the vote at the same spend",
        **worth_fields(test),
        "mean_tokens_beyond_samples": tokens / total,
        "mean_further_samples_of_the_vote": extra / total,
    }


def _at_same_spend(stored: StoredSet, read: int, tokens: int) -> int:
    """How many samples the vote reads for what the method cost."""
    count = read
    for sample in stored.sample_set.samples[read:]:
        tokens -= (sample.prompt_tokens or 0) + (sample.completion_tokens or 0)
        if tokens < 0 or sample.completion_tokens is None:
            break
        count += 1
    return count


async def _is_right(answer: str | None, stored: StoredSet) -> bool:
    return (await grade(answer, stored.problem)).correct is True


def _is_feedback(source: Path) -> bool:
    """Whether the first row of a file is feedback."""
    if not source.is_file() or source.suffix != ".jsonl":
        return False
    with open(source, "rb") as file:
        try:
            first: object = json.loads(file.readline(100_000) or b"{}")
        except ValueError:
            return False
    return isinstance(first, dict) and "vote_right" in first
