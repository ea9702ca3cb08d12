"""The calls that wait: from questions to a report in a script, and within a running loop."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sampleset import (
    Answer,
    Question,
    ReplayBackend,
    SampledModel,
    SampleSet,
    SampleStore,
    aggregate_sets,
    answers_of,
    draw_sets,
    evaluate_sets,
    load_report,
    load_sets,
    read_problems,
    read_sample_sets,
    sampled,
)
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.api.blocking import run_blocking
from sampleset.errors import (
    InputNotFoundError,
    InvalidArgumentError,
    MissingGoldError,
    SamplingError,
)
from sampleset.report import rewrite_report, write_report


def three_of_four(messages, seed: int) -> str:
    return "\\boxed{5}" if seed % 4 else "\\boxed{<6>}"


def backend() -> ReplayBackend:
    return ReplayBackend(three_of_four)


def cats_are_felines(messages: object, seed: int) -> str:
    return "Yes" if "feline" in str(messages) and "cat" in str(messages) else "No"


def last_answer(sample_set: SampleSet) -> str | None:
    return answers_of(sample_set)[-1]


def test_a_set_is_made_of_texts():
    made = SampleSet.of("2+3?", ["5", "6"])
    assert (made.id, made.question.text, made.n, made.samples[1].text) == ("2+3?", "2+3?", 2, "6")
    assert SampleSet.of(Question("q", "2+3?"), ["5"]).id == "q"


@pytest.mark.parametrize("texts", [[], "5"])
def test_a_set_of_no_list_of_texts_is_refused(texts):
    with pytest.raises(InvalidArgumentError, match="list of texts"):
        SampleSet.of("2+3?", texts)


def test_questions_are_drawn_aggregated_and_evaluated_in_one_call_each(tmp_path: Path):
    sets = draw_sets(["2+3?", "1+4?"], backend(), n=4)
    assert [one.sample_set.n for one in sets] == [4, 4]
    assert [one.answer for one in aggregate_sets(sets)] == ["5", "5"]
    report = evaluate_sets(
        sets, ["majority_vote", last_answer], gold={"0": "5", "1": "5"}, output_dir=tmp_path
    )
    (point,) = report.evaluation.files[0].points
    assert {one.label: one.accuracy for one in point.methods} == {"majority_vote": 1.0, "last_answer": 1.0}
    again = load_report(str(tmp_path))
    assert again.evaluation == report.evaluation
    assert [one["id"] for one in again.questions] == ["0", "1"]


async def test_they_work_within_a_running_loop():
    assert asyncio.get_running_loop().is_running()
    sets = draw_sets(["2+3?"], backend(), n=4)
    assert aggregate_sets(sets, "majority_vote")[0].answer == "5"
    assert SampledModel(backend(), k=4).ask("2+3?").answer == "5"


async def test_what_goes_wrong_in_the_other_thread_is_raised_here():
    async def broken() -> None:
        raise InvalidArgumentError("no")

    with pytest.raises(InvalidArgumentError, match="no"):
        run_blocking(broken())


def test_a_function_is_an_aggregator_async_or_not():
    async def later(sample_set: SampleSet) -> str:
        return "7"

    def whole(sample_set: SampleSet) -> Answer:
        return Answer(sample_set.id, "whole", "8", confidence=0.5)

    sets = [SampleSet.of("2+3?", ["\\boxed{5}"])]
    (first,) = aggregate_sets(sets, later)
    assert (first.answer, first.aggregator, first.candidates[0].answer) == ("7", "later", "5")
    assert aggregate_sets(sets, whole)[0].confidence == 0.5
    assert aggregate_sets(sets, lambda sample_set: None)[0].answer is None


def test_two_functions_of_one_name_need_labels():
    sets = [SampleSet.of("2+3?", ["5", "6"])]
    with pytest.raises(InvalidArgumentError, match="same name"):
        evaluate_sets(sets, [lambda one: "5", lambda one: "6"], gold={"2+3?": "5"})
    report = evaluate_sets(sets, {"a": lambda one: "5", "b": lambda one: "6"}, gold={"2+3?": "5"})
    right = {one.label: one.accuracy for one in report.evaluation.files[0].points[0].methods}
    assert (right["a"], right["b"]) == (1.0, 0.0)


def test_sets_without_gold_cannot_be_evaluated():
    with pytest.raises(MissingGoldError):
        evaluate_sets([SampleSet.of("2+3?", ["5"])])


def test_where_no_gold_answer_is_known_the_other_columns_are_listed(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"question": "2+3?", "label": "5", "level": "1", "samples": ["5"]}\n')
    with pytest.raises(MissingGoldError, match=r"Other columns there: label, level\. Name the column"):
        evaluate_sets(path)


ROWS: list[dict[str, Any]] = [
    {"Question": "2+3?", "gold": 5, "response": "5"},
    {"Question": "2+3?", "gold": 5, "response": "6"},
    {"Question": "3+3?", "gold": 6, "response": "7"},
]


@pytest.mark.parametrize("kind", ["rows", "pandas", "datasets"])
def test_rows_in_memory_are_read_as_files_are(kind: str):
    table: Any = ROWS
    if kind == "pandas":
        table = pytest.importorskip("pandas").DataFrame(ROWS)
    elif kind == "datasets":
        table = pytest.importorskip("datasets.arrow_dataset").Dataset.from_list(ROWS)
    sets = load_sets(table)
    assert [(one.problem.answer, [sample.text for sample in one.sample_set.samples]) for one in sets] == [
        ("5", ["5", "6"]),
        ("6", ["7"]),
    ]


def test_missing_values_of_a_data_frame_are_absent():
    rows = [
        {"question": "2+3?", "answer": None, "gold": 5.0, "samples": ["5"]},
        {"question": "3+3?", "answer": "6", "gold": None, "samples": ["6"]},
    ]
    sets = load_sets(pytest.importorskip("pandas").DataFrame(rows))
    assert [one.problem.answer for one in sets] == ["5", "6"]


def test_samples_of_a_question_are_any_texts_and_nothing_else():
    assert SampleSet.of("2+3?", (text for text in ("5", "6"))).n == 2
    with pytest.raises(InvalidArgumentError, match=r"texts\[1\]=None must be a text"):
        SampleSet.of("2+3?", ["5", None])  # pyright: ignore[reportArgumentType]


def test_an_array_of_numpy_holds_texts():
    texts = pytest.importorskip("pandas").Series(["5", "6"]).to_numpy(str)
    assert [type(sample.text) for sample in SampleSet.of("2+3?", texts).samples] == [str, str]


def test_questions_that_begin_alike_have_ids_of_their_own():
    opening = "Solve the following problem step by step, and state the answer at the end. "
    first, second = (SampleSet.of(opening + text, ["5"]).id for text in ("2+3?", "3+3?"))
    assert first != second
    assert len(first) <= 64


def test_gold_answers_may_be_a_list_or_numbers():
    sets = [SampleSet.of("2+3?", ["5"]), SampleSet.of("3+3?", ["5"])]
    by_id = evaluate_sets(sets, gold={"2+3?": 5, "3+3?": 6.0})
    assert by_id.evaluation == evaluate_sets(sets, gold=["5", "6"]).evaluation
    assert by_id.evaluation.files[0].points[0].sample_accuracy == 0.5


@pytest.mark.parametrize(
    ("texts", "gold", "message"),
    [
        (["2+3?"], {"other": "5"}, r"id of the gold answers \('other'\); ids here are '2\+3\?'"),
        (["2+3?", "2+3?"], {"2+3?": "5"}, "same id. Give a list of gold answers"),
        (["2+3?"], ["5", "6"], "2 gold answers for 1 sets"),
    ],
)
def test_gold_answers_that_fit_no_set_are_refused(texts: list[str], gold: Any, message: str):
    with pytest.raises(InvalidArgumentError, match=message):
        load_sets([SampleSet.of(text, ["5"]) for text in texts], gold)


def test_what_is_no_set_is_refused():
    sets: Any = ["5", "6"]
    with pytest.raises(InvalidArgumentError, match=r"'5' is no sample set\. Give a path, sets such as"):
        aggregate_sets(sets)


def test_a_class_is_no_aggregator_and_a_sample_is_no_answer():
    sets = SampleSet.of("2+3?", ["5"])
    method: Any = MajorityVote
    with pytest.raises(InvalidArgumentError, match=r"Give an aggregator: MajorityVote\(\)"):
        aggregate_sets(sets, method)
    method = first_of
    with pytest.raises(InvalidArgumentError, match="'first_of' returned Sample; return the answer's text"):
        aggregate_sets(sets, method)


def first_of(sample_set: SampleSet) -> Any:
    return sample_set.samples[0]


def test_paths_may_be_texts(tmp_path: Path):
    path = str(tmp_path / "sets.jsonl")
    draw_sets(["2+3?"], backend(), n=2).save(path)
    assert len(list(read_sample_sets(path))) == len(load_sets(path)) == 1
    assert next(read_problems(path)).question.text == "2+3?"
    assert SampleStore(str(tmp_path / "store")).folder == tmp_path / "store"
    with pytest.raises(InputNotFoundError):
        load_report(str(tmp_path / "nothing"))


def test_a_notebook_shows_tables_and_escapes_what_models_wrote():
    sample_set = SampleSet.of("<b>2+3?</b>", ["<script>alert(1)</script>"])
    shown = sample_set._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "&lt;b&gt;2+3?&lt;/b&gt;" in shown
    (answer,) = aggregate_sets([SampleSet.of("q", ["\\boxed{<i>}"])])
    assert "<i>" not in answer._repr_html_()
    assert "<table>" in load_sets([sample_set])._repr_html_()
    assert isinstance(load_sets([sample_set] * 3)[1:], type(load_sets([sample_set])))


def test_a_report_is_a_table_and_a_plot():
    pandas, matplotlib = pytest.importorskip("pandas"), pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    sets = draw_sets(["2+3?", "1+4?"], backend(), n=4)
    report = evaluate_sets(sets, [last_answer], k=[1, 3], gold={"0": "5", "1": "5"})
    frame = report.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["k"]) == [1, 1, 3, 3]
    assert set(frame["method"]) == {"last_answer", "majority_vote"}
    axes = report.plot()
    assert {one.get_label() for one in axes.containers} == {"last_answer", "majority_vote"}
    assert "last_answer" in report._repr_html_() and "last_answer" in report.to_markdown()


def test_a_decorated_function_is_called_k_times():
    calls: list[str] = []

    @sampled(k=4)
    def solve(question: str) -> str:
        calls.append(question)
        return "The answer is 5." if len(calls) > 1 else "The answer is 6."

    answered = solve("2+3?")
    assert (answered.answer, answered.confidence, str(answered)) == ("5", 0.75, "5")
    assert calls == ["2+3?"] * 4
    assert answered.usage.uncounted == 4
    assert solve.__name__ == "solve"


async def test_a_decorated_async_function_stays_async_and_counts_tokens():
    from openai.types.chat import ChatCompletion

    reply = {
        "id": "c", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "5"}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }  # fmt: skip

    @sampled(k=3, aggregator="majority_vote:ties=first")
    async def solve(question: str) -> ChatCompletion:
        return ChatCompletion.model_validate(reply)

    answered = await solve(question="2+3?")
    assert (answered.answer, answered.usage.prompt_tokens, answered.usage.completion_tokens) == ("5", 9, 6)


def test_a_call_that_raises_is_a_failed_draw_and_all_of_them_raise():
    count = iter(range(3))

    @sampled(k=3)
    def flaky(question: str) -> str:
        if next(count) == 0:
            raise ConnectionError("busy")
        return "5"

    answered = flaky("2+3?")
    assert answered.answer == "5"
    assert [one.error for one in answered.sample_set.samples if one.failed] == ["busy"]

    @sampled(k=2)
    def broken(question: str) -> str:
        raise ConnectionError("gone")

    with pytest.raises(SamplingError, match="gone"):
        broken("2+3?")


async def test_a_sampled_model_draws_from_a_chat_as_it_is():
    asked = backend()
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+3?"}]
    async with SampledModel(asked, k=4) as model:
        answered = await model.answer("2+3?", chat, k=2, params={"temperature": 0.3})
    assert answered.sample_set.n == 2
    assert [messages for messages, _, _ in asked.calls] == [chat, chat]
    assert asked.calls[0][1].temperature == 0.3


def test_a_sampled_model_refuses_what_is_no_aggregator_before_it_opens_a_model():
    with pytest.raises(InvalidArgumentError):
        SampledModel("embedded", aggregator="majority_vote:ties")


def test_answers_of_the_kind_judge_are_compared_by_a_model_that_is_opened_for_it():
    sets = [SampleSet.of("What is it?", ["Answer: cat", "Answer: feline", "Answer: dog"])]
    judge = ReplayBackend(cats_are_felines)
    (answer,) = aggregate_sets(sets, answer_kind="judge", judge=judge)
    report = evaluate_sets(sets, answer_kind="judge", judge=judge, gold={sets[0].id: "feline"})
    assert answer.answer in ("cat", "feline")
    assert [one.votes for one in answer.candidates] == [2, 1]
    assert report.evaluation.files[0].points[0].methods[0].accuracy == 1.0


def test_reports_take_paths_as_text(tmp_path: Path):
    sets = [SampleSet.of("What is 6 x 7?", ["42", "42", "41"])]
    evaluate_sets(sets, gold={sets[0].id: "42"}, output_dir=str(tmp_path / "a"))
    report = load_report(str(tmp_path / "a"))
    write_report(str(tmp_path / "b"), report.evaluation, {}, str(tmp_path / "a" / "questions.jsonl"))
    (tmp_path / "a" / "report.html").unlink()
    assert rewrite_report(str(tmp_path / "a"))[0] == report.evaluation
    assert (tmp_path / "a" / "report.html").is_file()
    assert (tmp_path / "b" / "report.json").is_file()


def test_a_sampled_model_asks_a_judge_whether_answers_mean_the_same():
    texts = ["Answer: a cat", "Answer: a feline", "Answer: a dog"]
    model = ReplayBackend(lambda messages, seed: texts[seed % 3])
    judge = ReplayBackend(cats_are_felines)
    asked = SampledModel(model, 3, judge=judge)
    assert asked.ask("Which pet?", answer_kind="judge").result.candidates[0].votes == 2
    assert asked.ask("Which pet?", answer_kind="text").result.candidates[0].votes == 1


def test_a_decorated_function_asks_a_judge_whether_answers_mean_the_same():
    texts = iter(["Answer: a cat", "Answer: a feline", "Answer: a dog"])
    judge = ReplayBackend(cats_are_felines)

    @sampled(k=3, answer_kind="judge", judge=judge, max_concurrency=1)
    def solve(question: str) -> str:
        return next(texts)

    assert [one.votes for one in solve("Which pet?").result.candidates] == [2, 1]


def test_a_decorator_without_the_judge_that_it_needs_is_refused():
    with pytest.raises(InvalidArgumentError, match="judge='gpt-4o-mini'"):
        sampled(answer_kind="judge")


def test_one_set_or_one_question_needs_no_list():
    one = SampleSet.of("What is 2 + 2?", ["\\boxed{4}", "\\boxed{5}", "4"])
    assert [answer.answer for answer in aggregate_sets(one)] == ["4"]
    assert len(load_sets(one)) == len(load_sets(next(iter(load_sets(one))))) == 1
    backend = ReplayBackend(lambda messages, seed: "\\boxed{4}")
    (drawn,) = draw_sets(Question("q", "What is 2 + 2?"), backend, 2)
    assert drawn.sample_set.n == 2


def test_a_question_that_is_taken_for_a_dataset_is_told_where_it_belongs():
    with pytest.raises(InvalidArgumentError, match="A question of your own stands in a list"):
        draw_sets("What is 2 + 2?", ReplayBackend(lambda messages, seed: "4"))


def test_a_method_that_is_always_wrong_or_right_can_be_plotted():
    pytest.importorskip("matplotlib").use("Agg")
    gold = {str(number): "4" for number in range(7)}
    sets = [
        SampleSet(Question(name, "2 + 2?"), SampleSet.of("2 + 2?", ["\\boxed{4}", "\\boxed{4}"]).samples)
        for name in gold
    ]
    methods = {"right": "majority_vote", "wrong": lambda sample_set: "nothing"}
    report = evaluate_sets(sets, methods, k=2, gold=gold)
    assert report.plot().get_ylabel() == "share right"
