"""What the terminal and Markdown say."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from sampleset.evaluation.results import Evaluation, Interval, Rate, TokenUse
from sampleset.report import report_markdown, report_tables
from support.report_builders import READER, VOTE, a_file, a_macro, a_point, an_evaluation


def printed(evaluation: Evaluation, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    for table in report_tables(evaluation):
        console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def flat(text: str) -> str:
    return " ".join(text.split())


def with_reader(**fields: Any) -> Evaluation:
    return an_evaluation(a_file(a_point(methods=(VOTE, replace(READER, **fields)))))


def test_the_table_says_what_a_stranger_needs() -> None:
    text = flat(printed(an_evaluation()))

    assert "gsm8k, k = 2" in text
    assert "4 problems, k = 2; every method reads the same samples." in text
    assert "50.0 15.0–85.0" in text
    assert "75.0 30.1–95.4 +25.0 +12.5…+50.0 2/1 0.001 1,234" in text
    assert "Drawing the 2 samples takes 1,200 tokens per question." in text
    assert "clustered by problem" in text
    assert "corrected by Holm for 1 comparison" in text
    assert (
        "bounds selectors only: a synthesiser, which may write an answer that no sample has, can exceed it"
        in text
    )


def test_the_table_opens_with_one_sample_and_ends_with_the_oracle() -> None:
    lines = [line for line in printed(an_evaluation(), width=120).splitlines() if line.strip()]

    rule = next(number for number, line in enumerate(lines) if "──" in line)
    assert lines[rule + 1].split() == ["one", "sample", "(mean,", "pass@1)", "37.5"]
    assert lines[rule + 2].startswith("majority_vote")
    assert "87.5" in next(line for line in lines if line.startswith("oracle (bounds"))


@pytest.mark.parametrize("currency", [None, "USD"])
def test_at_80_columns_no_number_is_cut(currency: str | None) -> None:
    wide = replace(
        READER,
        accuracy=1.0,
        interval=Interval(0.999, 1.0),
        difference=-0.176,
        difference_interval=Interval(-0.208, -0.145),
        mended=123,
        spoilt=456,
        p_holm=0.0001,
        usage=TokenUse(12_000.0, 345.0, 1.0, estimated=True),
        cost=0.000123,
    )

    text = printed(an_evaluation(a_file(a_point(methods=(VOTE, wide))), currency=currency))

    assert max(len(line) for line in text.splitlines()) <= 80
    for cell in ("100.0", "99.9–100.0", "−17.6", "−20.8…−14.5", "123/456", "<0.001", "~12,345"):
        assert cell in text
    assert ("0.000123" in text) is (currency is not None)


def test_the_vote_is_not_compared_with_itself() -> None:
    line = next(one for one in printed(an_evaluation()).splitlines() if one.startswith("majority_vote"))

    assert line.split() == ["majority_vote", "50.0", "15.0–85.0", "–", "–", "–", "0"]


def test_several_k_give_the_largest_in_full_and_a_table_by_k() -> None:
    points = [a_point(k=1, methods=(VOTE,)), a_point(k=2), a_point(k=4)]

    text = printed(an_evaluation(a_file(*points)))

    assert "gsm8k, k = 4" in text
    assert "gsm8k, k = 2" not in text
    by_k = text[text.index("gsm8k, right % by k") :]
    assert "majority_vote 50.0 50.0 50.0" in flat(by_k)
    assert "llm_aggregator: – 75.0 75.0 mode=select" in flat(by_k)


def test_many_k_are_thinned_out_to_fit_and_said_so() -> None:
    text = printed(an_evaluation(a_file(*(a_point(k=k) for k in range(1, 25)))))

    assert "10 of 24 values of k; the report's files have all." in flat(text)
    assert max(len(line) for line in text.splitlines()) <= 80


def test_several_files_are_followed_by_their_mean() -> None:
    evaluation = an_evaluation(a_file(), a_file(source="math"), macro=(a_macro("gsm8k", "math"),))

    text = printed(evaluation)

    assert "Mean over 2 files, k = 2" in text
    assert "every file weighing the same" in flat(text)
    assert text.index("gsm8k, k = 2") < text.index("math, k = 2") < text.index("Mean over 2 files")


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        pytest.param({"flags": {"failed": 2}}, "failed on 2 of 4 answers", id="failed"),
        pytest.param({"flags": {"no_weights": 4}}, "on all 4 answers no sample has a weight", id="weights"),
        pytest.param({"abstained": 0.25}, "no answer on 25.0 %, counted as not right", id="abstained"),
        pytest.param({"undecided": 0.25}, "grade not decided on 25.0 %", id="undecided"),
        pytest.param({"usage": TokenUse(1, 1, 1, 0.5)}, "tokens of 50.0 % of its calls", id="uncounted"),
        pytest.param({"usage": TokenUse(1, 1, 1, 0, True)}, "estimated from the length", id="estimated"),
        pytest.param({}, "its tokens buy the vote 9 samples, of which there are 4", id="matched"),
        pytest.param(
            {"all_wrong_recovery": Rate(0.25, 1)}, "writes answers that no sample has", id="synthesiser"
        ),
    ],
)
def test_what_a_reader_must_know_of_a_method_is_noted(changes: dict[str, Any], note: str) -> None:
    evaluation = with_reader(**changes)

    assert note in flat(printed(evaluation))
    assert note in flat(report_markdown(evaluation, {}))


def test_problems_left_out_and_samples_not_graded_are_noted() -> None:
    file = a_file(
        a_point(left_out=3, subsets=20.0, all_subsets=False),
        without_gold=7,
        unreadable_gold=("p1", "p2"),
        unreadable_gold_count=21,
        undecided_samples=5,
    )

    text = flat(printed(an_evaluation(file)))

    assert "Left out, having no gold answer: 7 problems." in text
    assert "Left out, the gold answer not being readable: 21 problems (p1, p2 …)." in text
    assert "Left out, having fewer than 2 samples: 3 problems." in text
    assert "counted as not right: 5." in text
    assert "the same 20 subsets per problem, drawn by the seed" in text


def test_tokens_that_were_not_recorded_are_not_shown_as_none_spent() -> None:
    unknown = a_point(
        methods=(VOTE, replace(READER, usage=TokenUse(0, 0, 1, 1.0))), sampling=TokenUse(0, 0, 2, 1.0)
    )

    text = flat(printed(an_evaluation(a_file(unknown))))

    assert "0.001 0+" in text
    assert "The tokens of the samples are not recorded in this file." in text


def test_a_file_without_points_is_said_to_have_none() -> None:
    empty = replace(a_file(), points=(), curve=())

    assert "gsm8k: no problem has enough samples." in printed(an_evaluation(empty))
    assert "## gsm8k" in report_markdown(an_evaluation(empty), {})


def test_a_label_that_looks_like_markup_is_printed_as_it_is() -> None:
    assert "[red]x[/red]" in printed(with_reader(label="[red]x[/red]"))


def test_the_markdown_has_every_table() -> None:
    text = report_markdown(an_evaluation(a_file(a_point(k=1), a_point(k=2))), {"seed": 0})

    for row in (
        "| k | problems | maj@k % | 95 % interval | pass@k % |",
        "| majority_vote | 50.0 | 50.0 |",
        "select | 75.0 | 30.1–95.4 | +25.0 | +12.5…+50.0 | 2/1 | 0.001 | <0.001 | 1,234 |",
        "| llm_aggregator:mode=select | 50.0 (1.5) | 25.0 (0.5) | 12.5 (2) | 0.0 | 0.0 | – | – | – |",
        "| majority_vote | 0.0 (1.5) | 0.0 (0.5) | 0.0 (2) | 0.0 | 0.0 | 25.0 (4) | 0.125 | 100.0 |",
        "| llm_aggregator:mode=select | 75.0 | 4 | 9 | 62.5 | +12.5 | −25.0…+50.0 |",
        "| 2 | 2.5 | 50.0 | 75.0 | 75.0 |",
        "| 1 | 4 | 37.5 | 10.0–70.0 | 37.5 |",
    ):
        assert row in text
    assert '"seed": 0' in text


def test_a_label_or_a_setting_cannot_break_the_markdown() -> None:
    text = report_markdown(with_reader(label="a|b\n<img>"), {"x": "```\n# heading"})

    assert "| a\\|b \\<img\\> | 75.0 |" in text
    assert "\n# heading" not in text


@pytest.mark.parametrize(
    ("use", "note"),
    [
        (
            TokenUse(200, 400, 3, 0.25, True),
            "takes 600 tokens per question; those of 25.0 % of them are guessed",
        ),
        (TokenUse(0, 40, 3, 0.9999999999999997, True), "tokens of the samples are not recorded in this file"),
    ],
)
def test_what_is_guessed_of_the_samples_tokens_is_noted(use: TokenUse, note: str) -> None:
    assert note in flat(printed(an_evaluation(a_file(a_point(sampling=use)))))


def test_markdown_bounds_the_errors_of_the_surest_answers() -> None:
    text = flat(report_markdown(an_evaluation(a_file(a_point(methods=(VOTE,)))), {}))
    assert "#### How often the surest answers are wrong" in text
    assert "| majority_vote | – | 0.0 (≤ 77.6) of 50.0 | – | 50.0 (≤ 90.2) of 100.0 |" in text
    assert "`sampleset certify`" in text


def test_markdown_has_no_table_of_errors_where_no_method_states_a_confidence() -> None:
    silent = replace(VOTE, calibration=None)
    text = report_markdown(an_evaluation(a_file(a_point(methods=(silent,)))), {})
    assert "surest answers" not in text
