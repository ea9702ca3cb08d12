"""Learn from labelled sets which method answers which sets, for the aggregator `auto`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from sampleset.aggregators.auto import Auto, Rules
from sampleset.aggregators.learned_vote import reader_identity
from sampleset.answers import default_verdict_path, use_verdict_store
from sampleset.commands.opening import (
    CallOptions,
    ModelRef,
    ReaderOptions,
    opened_methods,
    refuse_absent_scores,
)
from sampleset.commands.options import (
    AnswerOptions,
    SetOptions,
    VerdictFile,
    aggregator_option,
    argument,
    option,
    require_json,
    saved_settings,
)
from sampleset.commands.run import Run, print_json, run_async
from sampleset.datasets.base import question_key
from sampleset.errors import InvalidArgumentError
from sampleset.evaluation import AnswerLog
from sampleset.grading.grade import grade
from sampleset.settings import save_settings
from sampleset.storage.records import StoredSet
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.fit_auto import LabelledSet, fitted_rules
from sampleset.wording import plural

EXAMPLE = "sampleset fit-auto store --aggregator auto:reader=ssa[model=embedded-ssa] --output auto.json"


def fit_auto(
    samples: Annotated[list[Path], argument("Stores or files of sample sets, with gold answers.")],
    reader: ReaderOptions,
    sets: SetOptions,
    answers: AnswerOptions,
    calls: CallOptions,
    run: Run,
    aggregator: Annotated[
        str,
        aggregator_option("The methods to choose from, as auto:reader=ssa,fusion=rank_then_fuse[model=REF]."),
    ] = "auto",
    k: Annotated[
        int | None, option("-k", "--k", help="Samples read per question; all of each set by default.")
    ] = None,
    verdicts: VerdictFile = None,
    output: Annotated[Path, option("--output", help="The rules, a .json file.")] = Path("auto.json"),
) -> None:
    """Learn from labelled sets when a vote is enough and when a dearer method pays, for auto."""
    require_json(output)
    if k is not None and k < 1:
        raise InvalidArgumentError(f"k={k} must be at least 1.")
    settings = saved_settings(
        "fit-auto", reader, sets, answers, calls, samples=samples, aggregator=aggregator, k=k,
        verdicts=verdicts, output=output,
    )  # fmt: skip
    use_verdict_store(verdicts or default_verdict_path())
    files = [sets.sample_file(path, answers, run.note) for path in samples]
    rules = run_async(
        fit_auto_files(
            files, answers, aggregator, k, reader.model_ref(), calls, output, run,
            keep_thinking=sets.keep_thinking,
        )
    )  # fmt: skip
    save_settings(output, rules.to_json())
    save_settings(output.with_suffix(".config.json"), settings)
    if run.as_json:
        print_json(rules.to_json())
        return
    print("\n".join(rule_lines(rules)))
    spec = f"{aggregator}{',' if ':' in aggregator else ':'}file={output}"
    run.next("aggregate", "OTHER_SETS", "--aggregator", spec)


async def fit_auto_files(
    files: Sequence[SampleFile],
    answers: AnswerOptions,
    spec: str,
    k: int | None,
    aggregator_model: ModelRef,
    calls: CallOptions,
    output: Path,
    run: Run,
    *,
    keep_thinking: bool,
) -> Rules:
    """Have each method answer the labelled sets, and learn the rules. `OUTPUT.asked` stores the answers of
    models. Of several sets on one question the first counts.

    Raises:
        InvalidArgumentError: The aggregator is not `auto`, or has rules already.
        DataError: There are too few labels.
    """
    async with opened_methods(
        [spec], aggregator_model, calls.patience, calls.max_concurrency, None, run.note
    ) as (methods, judge):
        auto = methods[spec]
        if not isinstance(auto, Auto) or auto.file is not None:
            raise InvalidArgumentError(f"{spec!r} must be auto:OPTIONS, without file=.")
        refuse_absent_scores(methods, files)
        log = AnswerLog.beside(output, auto, aggregator_model.context_size)
        labelled: list[LabelledSet] = []
        questions, unlabelled = set[str](), 0
        with run.status_line() as show:
            for stored in (one for file in files for one in file.with_kinds(answers.kinds(judge))):
                key = question_key(stored.problem.question.text)
                unlabelled += stored.problem.answer is None
                if stored.problem.answer is None or key in questions:
                    continue
                questions.add(key)
                row = await labelled_set(stored, auto, log, k, keep_thinking=keep_thinking)
                labelled += [] if row is None else [row]
                show(f"{plural(len(questions), 'set')} read")
    if unlabelled:
        run.note(f"note: left out: {plural(unlabelled, 'set')} without gold")
    return Rules(
        fitted_rules(labelled),
        {
            name: None if (part := getattr(auto, name)) is None else reader_identity(part)
            for name in ("reader", "fusion")
        },
        {"files": [file.name for file in files], "questions": len(labelled), "k": k},
    )


async def labelled_set(
    stored: StoredSet, auto: Auto, log: AnswerLog, k: int | None, *, keep_thinking: bool = False
) -> LabelledSet | None:
    """What the methods of `auto` make of one set with gold; `None` where no sample states an answer.

    Raises:
        DataError: A method fails on the set.
    """
    sample_set = stored.sample_set if keep_thinking else stored.sample_set.without_thinking()
    if k is not None and k < sample_set.n:
        sample_set = sample_set.subset(range(k))
    right: dict[str, bool] = {}
    tokens: dict[str, float] = {}
    signs = await auto.signs(sample_set)
    if signs is None:
        return None
    for name, method in auto.methods.items():
        answer = await log.answer_or_raise(method, sample_set, name)
        right[name] = (await grade(answer.answer, stored.problem)).correct is True
        tokens[name] = float(answer.usage.total_tokens)
    kind = sample_set.question.answer_kind.partition(":")[0]
    return LabelledSet(kind, signs.share, signs.agrees, right, tokens)


def rule_lines(rules: Rules) -> list[str]:
    """The rules for the terminal."""
    names = list(dict.fromkeys(name for rule in rules.rules for name in rule.right))
    lines = [
        f"{rules.training['questions']} labelled questions",
        "",
        f"{'kind':<8}{'share':<12}{'confidence':<12}{'questions':>9}  {'takes':<10}"
        + "".join(f"{name:>10}" for name in names),
    ]
    for rule in rules.rules:
        share = f"{rule.low:.2f}-{rule.high:.2f}"
        confidence = "agrees" if rule.confidence_agrees else "differs"
        right = "".join(f"{rule.right.get(name, 0):>10g}" for name in names)
        lines.append(
            f"{rule.answer_kind:<8}{share:<12}{confidence:<12}{rule.questions:>9}  {rule.method:<10}{right}"
        )
    return [*lines, "", "On the right: how many of them each method has right."]
