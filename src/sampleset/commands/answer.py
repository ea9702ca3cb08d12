"""Draw samples for one question and make one answer of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from sampleset.aggregators.base import Aggregator, tally, vote_answer
from sampleset.aggregators.certified import Certified, concluded
from sampleset.aggregators.confident import WITHHELD, require_confidence, withheld_below
from sampleset.answers import kind_of, with_answer_kind
from sampleset.backends.base import Backend, record_of
from sampleset.commands.opening import (
    CallOptions,
    Drawing,
    DrawingOptions,
    ModelRef,
    note_judge_usage,
    opened,
    opened_embedded,
    opened_samplers,
    warn_of_identical,
)
from sampleset.commands.options import (
    AGGREGATION,
    NOT_SAVED,
    AggregatorUrl,
    AnswerOptions,
    KeepThinking,
    OptionGroup,
    aggregator_option,
    argument,
    option,
    saved_settings,
)
from sampleset.commands.progress import sampling_line
from sampleset.commands.promises import FurtherStep, PromiseOptions, certificate_of_labels, promised
from sampleset.commands.run import Run, print_json, run_async
from sampleset.commands.score_log import ScoreLog, SharedRewardModels
from sampleset.engines.gguf import EMBEDDED, EMBEDDED_SSA, embedded_ssa_is_installed, without_engine
from sampleset.errors import CapReachedError, InvalidArgumentError
from sampleset.grading.judge import LLMJudge
from sampleset.models.budget import Budget
from sampleset.models.calls import ModelCalls
from sampleset.reward_models.base import RewardModel
from sampleset.risk.certificate import VOID, Certificate, read_certificate, require_order
from sampleset.risk.escalation import Step, StepReport, Trail, escalate
from sampleset.sampling.pool import Pool
from sampleset.sampling.stopping import StoppingRule, classes_in
from sampleset.settings import save_settings
from sampleset.specs import build, models_asked, models_of, needs_model, with_default_model
from sampleset.storage.records import answer_to_row, sample_to_row
from sampleset.storage.store import digest
from sampleset.types import Answer, Problem, Question, SampleSet, Usage
from sampleset.vote_features.members import member_of
from sampleset.wording import plural


@dataclass(frozen=True, slots=True)
class Answered:
    """One question's samples, the answer made of them, and the tokens of all draws, cancelled ones too."""

    sample_set: SampleSet
    answer: Answer
    sampling: Usage


@dataclass(frozen=True, slots=True)
class AnswerStep:
    """One way to the answer.

    Attributes:
        drawing: Who draws, and how.
        aggregator: The spec of how the samples become the answer.
        reader: The model that the aggregator asks; `None` takes the one that is sampled.
        file: The certificate that it answers under.
        min_confidence: Least confidence of an answer, where it has none.
        is_of_several: Whether other steps come before or after it. Then nothing answers in a failed
            aggregator's place.
    """

    drawing: Drawing
    aggregator: str
    reader: ModelRef | None
    file: Path | None = None
    min_confidence: float | None = None
    is_of_several: bool = False

    @property
    def certificate(self) -> Certificate | None:
        """What the file holds."""
        return None if self.file is None else read_certificate(self.file)

    @property
    def name(self) -> str:
        """What answers, in words."""
        pool, k = self.drawing.pool, self.drawing.options.n
        models = [self.drawing.model.ref] if pool is None else [member.model for member in pool]
        k = k if pool is None else sum(member.count for member in pool)
        return f"{plural(k, 'sample')} of {' + '.join(dict.fromkeys(models))}, {self.aggregator}"


@dataclass(frozen=True, kw_only=True)
class AggregationOptions(OptionGroup):
    """How the samples of a question become its answer."""

    aggregator: Annotated[
        str | None,
        aggregator_option("NAME or NAME:key=value,...; default: ssa for the embedded model, or the vote."),
    ] = None
    aggregator_model: Annotated[
        str | None, option("--aggregator-model", help="Model an aggregator asks.", panel=AGGREGATION)
    ] = None
    aggregator_base_url: AggregatorUrl = None
    settled_by_vote: Annotated[
        bool,
        option(
            "--settled-by-vote",
            help="Aggregate only where the vote does not meet the rule.",
            panel=AGGREGATION,
        ),
    ] = False
    keep_thinking: KeepThinking = False

    def model_ref(self, api_key: str | None) -> ModelRef | None:
        """The model that the aggregator asks, if it is not the one that is sampled."""
        if self.aggregator_model is None:
            return None
        return ModelRef(self.aggregator_model, self.aggregator_base_url, api_key)


EXAMPLE = 'sampleset answer "What is 17 + 25?" -k 5 --show'


def answer(
    question: Annotated[str, argument("The question; - reads it from stdin.")],
    drawing: DrawingOptions,
    aggregation: AggregationOptions,
    promise: PromiseOptions,
    answers: AnswerOptions,
    run: Run,
    show: Annotated[bool, typer.Option("--show", help="Print the samples side by side."), NOT_SAVED] = False,
    output_dir: Annotated[Path | None, option("--output-dir", help="Keep the draws in this store.")] = None,
) -> None:
    """Draw k samples for one question, aggregate them, print the final answer."""
    text = sys.stdin.read() if question == "-" else question
    # Where the locale knows ASCII only, the bytes of other characters come one by one.
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    text = Question("question", text).text  # half a character is replaced, and said
    if not text.strip():
        raise InvalidArgumentError("The question is empty. Give a text, or - to read it from stdin.")
    who = drawing.drawing()
    reader = aggregation.model_ref(drawing.api_key)
    usual = _usual_aggregator(who, reader)
    if promise.certificate is not None:
        certificate = read_certificate(promise.certificate)
        certificate.require_setting(certificate.identity, drawing.samples)
        usual = certificate.aggregator
    first = AnswerStep(who, aggregation.aggregator or usual, reader)
    aggregation = replace(aggregation, aggregator=first.aggregator)
    further = promise.further()
    settings = saved_settings(
        "answer", drawing, aggregation, promise, answers, question=text, output_dir=output_dir
    )
    calls = CallOptions(
        max_concurrency=drawing.max_concurrency, max_retries=drawing.max_retries, timeout=drawing.timeout
    )

    async def answered_by_steps() -> Answered:
        if aggregation.settled_by_vote and promise.risk is not None:
            raise InvalidArgumentError("--risk certifies the aggregator; leave --settled-by-vote away.")
        file = await certificate_of_labels(
            promise, first.aggregator, drawing.samples, reader or who.model, answers, calls, output_dir, run,
            keep_thinking=aggregation.keep_thinking,
        )  # fmt: skip
        step = replace(first, file=file, min_confidence=promise.min_confidence)
        steps = answer_steps(step, further)
        return await answer_by_steps(text, steps, aggregation, answers, output_dir, settings, run)

    answered = run_async(answered_by_steps())
    if run.as_json:
        row = answer_to_row(answered.answer, answered.sampling)
        print_json(row | {"samples": [sample_to_row(sample) for sample in answered.sample_set.samples]})
        return
    if show:
        from sampleset.commands.terminal import print_samples

        print_samples(answered.sample_set)
    final = answered.answer.answer
    final_text = "(no answer)" if final is None else final
    if WITHHELD & set(answered.answer.flags):
        run.note(f"note: {_why_withheld(answered.answer, promise)}")
    print(f"answer of {answered.answer.aggregator}: {final_text}" if show else final_text)
    if show:
        print("\n".join(explanation_lines(answered.answer.explanation)), end="")
    if output_dir is not None:
        run.next("aggregate", output_dir)
    elif drawing.pool is None and not drawing.model.startswith("replay:"):
        server = ("--base-url", drawing.base_url) if drawing.base_url else ()
        run.next("sample", "PROBLEMS.jsonl", "--model", drawing.model, *server, "--output-dir", "STORE")
    if final is None:
        raise typer.Exit(1)


def answer_steps(first: AnswerStep, further: Sequence[FurtherStep]) -> list[AnswerStep]:
    """All steps, each with what it does not name from the step before.

    Raises:
        InvalidArgumentError: Their certificates do not belong together, or the caps are of another kind.
    """
    steps = [first]
    if not further:
        require_order([first.certificate])
        return steps
    if first.drawing.options.caps.question_tokens is not None:
        raise InvalidArgumentError(
            "--max-question-tokens with --escalate: there is one question. Give --max-total-tokens."
        )
    for step in further:
        before = steps[-1]
        drawing, reader = before.drawing, before.reader
        if step.member is not None:
            model = drawing.model_of(step.member)
            options = step.member.options(drawing.options)
            drawing = replace(drawing, model=model, pool=None, options=options)
        size = step.size(before.drawing.options.n)
        if step.member is None and step.k is not None and drawing.pool is not None:
            raise InvalidArgumentError(
                f"--escalate {step.text!r}: the pool says how many each of its members draws. Name a model."
            )
        drawing = replace(drawing, options=replace(drawing.options, n=size or before.drawing.options.n))
        usual = _usual_aggregator(drawing, reader) if step.member is not None else before.aggregator
        steps.append(AnswerStep(drawing, step.spec(usual), reader, step.file, step.min_confidence))
    certificates = [step.certificate for step in steps]
    require_order(certificates)
    for step, certificate in zip(steps, certificates, strict=True):
        models_of(step.aggregator)
        if certificate is not None:
            certificate.require_setting(certificate.identity, step.drawing.options.n)
    return [replace(step, is_of_several=True) for step in steps]


async def answer_by_steps(
    text: str,
    steps: Sequence[AnswerStep],
    aggregation: AggregationOptions,
    answers: AnswerOptions,
    store_folder: Path | None,
    settings: dict[str, Any],
    run: Run,
) -> Answered:
    """The answer of the first step that gives one. Samples of an earlier step on the same model are used
    again, and all steps share the run's caps.
    """
    first = steps[0]
    if len(steps) == 1:
        return await answer_question(text, first, aggregation, answers, store_folder, settings, run)
    budgets = first.drawing.options.caps.run_budgets()
    with TemporaryDirectory() as folder:
        store = store_folder or Path(folder)

        async def attempt(step: AnswerStep) -> Answered:
            return await answer_question(text, step, aggregation, answers, store, settings, run, budgets)

        def tell(number: int, report: StepReport) -> None:
            run.note(f"note: step {number} does not answer, {report.why}. Next: {steps[number].name}")

        trail = await escalate(
            [
                Step(step.name, step.certificate, partial(attempt, step), step.min_confidence)
                for step in steps
            ],
            lambda answered: answered.answer,
            on_next=tell,
        )
    final = concluded(Trail(tuple(result.answer for result in trail.results), trail.reports))
    drawn = {
        (sample.model, sample.seed, sample.text, sample.index): sample
        for result in trail.results
        for sample in result.sample_set.samples
    }
    last = trail.results[-1].sample_set
    lost = sum(result.sampling.calls - result.sample_set.n for result in trail.results)
    sampling = replace(last, samples=tuple(drawn.values())).usage + Usage(calls=lost, uncounted=lost)
    return Answered(last, final, sampling)


async def answer_question(
    text: str,
    step: AnswerStep,
    aggregation: AggregationOptions,
    answers: AnswerOptions,
    store_folder: Path | None,
    settings: dict[str, Any],
    run: Run,
    budgets: list[Budget] | None = None,
) -> Answered:
    """Draw samples for one question and aggregate them. An aggregator that asks a model asks, by default,
    the one that was sampled (of a pool, the first), and so does the judge of answers; `ssa` asks the one of
    this package unless the sampled one is trained. Their calls fit the run's caps, too. Where they do not, or
    need not be made, the vote answers, flagged `cap_reached` or `settled_by_vote`.
    """
    drawing, aggregator, aggregator_model = step.drawing, step.aggregator, step.reader
    options = drawing.options
    if aggregation.settled_by_vote and options.stop is None:
        raise InvalidArgumentError("--settled-by-vote needs the rule that settles it: give --stop, too.")
    if step.file is not None and options.stop is not None:
        raise InvalidArgumentError("A certificate is of all k samples; leave --stop away, or --certificate.")
    if step.min_confidence is not None:
        require_confidence(step.min_confidence)
    models_of(aggregator)  # refused before a model is opened
    question = with_answer_kind(Question(id="question", text=text), answers.answer_kind)
    async with AsyncExitStack() as stack:
        show = stack.enter_context(run.status_line())
        ours = await stack.enter_async_context(_embedded_pair(drawing, aggregator, aggregator_model))
        draws = await stack.enter_async_context(
            opened_samplers(
                drawing,
                store_folder,
                1,
                lambda now: show(sampling_line(now), now.questions, now.total),
                ours,
                budgets,
            )
        )

        async def opened_reader(model: ModelRef | None) -> Backend:
            if model is None:
                backend = draws.each[0].backend
            else:
                backend = ours.get(model) or await stack.enter_async_context(opened(model))
            return ModelCalls(
                backend,
                options.patience,
                options.max_concurrency,
                budgets=draws.budgets,
                tariff=drawing.tariff(backend),
            )

        if aggregator_model is None and record_of(draws.each[0].backend) is None:
            aggregator = with_default_model(aggregator)
        readers = {
            reader: await opened_reader(aggregator_model if reader is None else ModelRef.named(reader))
            for reader in models_of(aggregator)
        }
        judge = LLMJudge(lambda: opened_reader(aggregator_model))
        question = answers.kinds(judge).bind(question)
        await asyncio.to_thread(kind_of(question).check)
        rewards = SharedRewardModels(ScoreLog())
        stack.push_async_callback(rewards.aclose)

        def shared(model: RewardModel) -> RewardModel:
            if draws.budgets and not needs_model(type(model)):
                raise InvalidArgumentError(
                    f"A cap counts what backends are asked, not the tokens of {model.identity!r}. Leave "
                    "the cap away, or take a reward model that asks a backend, such as llm_judge."
                )
            return rewards(model)

        method = build(aggregator, readers.get(None), readers, shared)
        if step.file is not None:
            method = promised(method, step.file, None)
        if isinstance(method, Certified):
            certificate = method.certificate
            names = {member_of(sampler.backend.model) for sampler in draws.each}
            prompt = " + ".join(sorted({sampler.configuration.prompt_version for sampler in draws.each}))
            certificate.require_setting(
                certificate.identity, certificate.k, {name for name in names if name}, prompt
            )
        if draws.store is not None and store_folder is not None:
            question = replace(question, id=digest(text)[:12])
            draws.store.add_problems([Problem(question, None)])
            save_settings(store_folder / "config.json", settings)
        drawn_set = await (Pool(draws.each) if drawing.pool else draws.each[0]).sample(question)
        show("aggregating")
        sample_set = drawn_set if aggregation.keep_thinking else drawn_set.without_thinking()
        rule = options.stop if aggregation.settled_by_vote and models_asked(method) else None
        may_guess = not (step.is_of_several or isinstance(method, Certified))
        answer = await _answer(method, sample_set, rule, run, may_guess=may_guess)
        if step.min_confidence is not None:
            answer = withheld_below(step.min_confidence, answer)
    warn_of_identical(draws.progress)
    note_judge_usage(judge, run.note)
    notes = ["capped"] if draws.progress.capped else ["stopped_early"] if drawn_set.stopped else []
    cancelled = draws.progress.cancelled
    return Answered(
        drawn_set,
        replace(answer, flags=(*answer.flags, *notes)),
        drawn_set.usage + Usage(calls=cancelled, uncounted=cancelled),
    )


def explanation_lines(explanation: Mapping[str, Any]) -> list[str]:
    """How an answer came about, for the terminal; ends in a line break if there is anything to say."""
    lines: list[str] = []
    if "promise" in explanation:
        promise = explanation["promise"]
        lines.append(f"{promise['decision']}: {promise['why']}")
        lines += [f"  {row['decision']}, {row['why']}: {row['name']}" for row in promise["steps"]]
    if "method" in explanation:
        lines.append(f"method: {explanation['method']} ({explanation['aggregator']}), {explanation['why']}")
    for side in ("agreed", "disagreed"):
        classes = [f"{row['answer']} ({plural(row['votes'], 'vote')})" for row in explanation.get(side, [])]
        lines += [f"{side}: {', '.join(classes)}"] if classes else []
    return [*lines, ""] if lines else []


def _why_withheld(answer: Answer, promise: PromiseOptions) -> str:
    if steps := answer.explanation.get("promise"):
        return f"{steps['why']}: the answer is withheld. --show prints samples."
    if VOID in answer.flags:
        return "the certificate does not hold for these samples, so the answer is withheld."
    if answer.confidence is None:
        return f"{answer.aggregator} states no confidence, so its answer is withheld."
    least = "" if promise.min_confidence is None else f", below {promise.min_confidence:g}"
    least = ", not above the certificate's threshold" if promise.min_confidence is None else least
    return f"the confidence is {answer.confidence:.2f}{least}: the answer is withheld. --show prints samples."


def _usual_aggregator(drawing: Drawing, aggregator_model: ModelRef | None) -> str:
    """A trained one where it is named, or with this package's own model; samples of others are voted on."""
    ours = (
        drawing.pool is None
        and drawing.model.base_url is None
        and without_engine(drawing.model.ref) in (EMBEDDED, EMBEDDED_SSA)
    )
    trained = aggregator_model is not None or (ours and embedded_ssa_is_installed())
    return "ssa" if trained else "majority_vote"


@asynccontextmanager
async def _embedded_pair(
    drawing: Drawing, aggregator: str, aggregator_model: ModelRef | None
) -> AsyncGenerator[dict[ModelRef, Backend]]:
    """The embedded model and its trained aggregator, where they draw and read: one engine does both."""
    reader = ModelRef(EMBEDDED_SSA)
    reads = aggregator_model is None and EMBEDDED_SSA in models_of(with_default_model(aggregator))
    if drawing.pool is not None or drawing.model != ModelRef(EMBEDDED) or not reads:
        yield {}
        return
    async with opened_embedded() as (plain, trained):
        yield {drawing.model: plain, reader: trained}


async def _answer(
    method: Aggregator, sample_set: SampleSet, rule: StoppingRule | None, run: Run, *, may_guess: bool
) -> Answer:
    """The method's answer, or the vote's where the rule says that it is settled or a cap forbids to ask.

    Where the vote may not guess in the method's place, there is no answer then.
    """
    counted = await tally(sample_set)
    if rule is not None and rule.met(classes_in(counted)):
        return vote_answer(sample_set, method.name, counted, ["settled_by_vote"], 0)
    try:
        return await method.aggregate(sample_set)
    except CapReachedError as refusal:
        run.note(f"note: {method.name} was not asked. {refusal}")
        if not may_guess:
            return Answer(
                sample_set.id, method.name, None, candidates=counted.candidates, flags=("cap_reached", VOID)
            )
        return vote_answer(sample_set, method.name, counted, ["cap_reached"], 0)
