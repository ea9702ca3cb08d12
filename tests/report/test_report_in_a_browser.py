"""The report's page as a reader meets it: on a desk and on a phone, by day and by night."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sampleset.evaluation.results import Bin, Calibration, CoveragePoint, QuestionResult, Slice
from sampleset.report import report_html
from support.browser import DESK, PHONE, cut_texts, faint_texts, narrow_texts, opened, overflow
from support.report_builders import READER, VOTE, a_file, a_macro, a_point, a_question, an_evaluation, rows_of

LONG_LABEL = "weighted_vote:by=confidence,softmax=true,temperature=0.25"
CUT = ".sample-text, .read"
SAMPLES = (
    pytest.param("word " * 2000, id="many words"),
    pytest.param("line\n" * 60, id="short lines, fewer than 900 characters"),
    pytest.param("x" * 3000, id="no space at all"),
    pytest.param(r"\[ \frac{1}{2} \]" * 40, id="mathematics that is tall once it is set"),
    pytest.param(r"\[ \frac{1}{ \undefined \] that is no mathematics " * 40, id="broken mathematics"),
)


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    """A report with everything in it that is long, narrow, rare or hard to see."""
    few = Calibration(
        0.1,
        1.0,
        (Bin(0.5, 0.6, 0.5, 1.0, 3.0), Bin(0.9, 1.0, 0.95, 0.8, 40.0)),
        (CoveragePoint(0.02, 1.0), CoveragePoint(0.5, 0.9, 0.15), CoveragePoint(1.0, 0.8, 0.24)),
    )
    weighted = replace(VOTE, label=LONG_LABEL, p_holm=1.0, calibration=few, flags={"no_weights": 4})
    methods = (VOTE, READER, weighted)
    shares = {method.label: method.accuracy for method in methods}
    levels = tuple(Slice(f"level {number}", 1.0 + number, shares, 0.9) for number in range(14))
    rights = tuple(Slice(f"{number}", 2.0, shares, 0.9) for number in range(51))
    parts = {"level": levels, "right_samples": rights}
    points = [a_point(k, methods, problems=43, breakdowns=parts) for k in range(1, 51)]
    answer = "The sum cannot be simplified into a direct expression of $p$ and $q$ by elementary means"
    questions = [
        a_question(
            number,
            samples=(text, "So it is 2."),
            sample_answers=(answer * 3, "2"),
            answers={VOTE.label: answer, READER.label: "1", LONG_LABEL: answer},
            right={VOTE.label: False, READER.label: True, LONG_LABEL: None},
            texts={READER.label: text},
            level="5",
        )
        for number, text in enumerate(str(case.values[0]) for case in SAMPLES)
    ]  # fmt: skip
    evaluation = an_evaluation(a_file(*points), a_file(source="math"), macro=(a_macro("gsm8k", "math"),))
    file = tmp_path / "report.html"
    file.write_text(report_html(evaluation, {}, rows_of(questions)), "utf-8")
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [PHONE, DESK], ids=["phone", "desk"])
def test_every_word_stands_on_the_page_and_can_be_read(
    browser: Any, page_file: Path, screen: dict[str, int], scheme: str
) -> None:
    page, errors = opened(browser, page_file.as_uri(), viewport=screen, color_scheme=scheme)

    assert overflow(page) == 0
    assert faint_texts(page) == []
    assert narrow_texts(page, "td, th, .read, .sample-text") == []
    assert not errors


@pytest.mark.parametrize("screen", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("number", range(len(SAMPLES)), ids=[str(case.id) for case in SAMPLES])
def test_every_cut_card_has_a_button_that_shows_all_of_it(
    browser: Any, page_file: Path, screen: dict[str, int], number: int
) -> None:
    page, errors = opened(browser, f"{page_file.as_uri()}#id=q{number}", viewport=screen)
    page.locator(".card").nth(2).wait_for()
    page.wait_for_timeout(300)

    cut = cut_texts(page, CUT)
    assert cut
    assert {label for label, _ in cut} == {"Show all"}
    for _ in range(page.get_by_role("button", name="Show all").count()):
        page.get_by_role("button", name="Show all").first.click()
    assert cut_texts(page, CUT) == []
    page.get_by_role("button", name="Show less").first.click()
    assert cut_texts(page, CUT)
    assert overflow(page) == 0
    assert not errors


def test_a_table_wider_than_the_phone_scrolls_in_its_own_box(browser: Any, page_file: Path) -> None:
    page, _ = opened(browser, page_file.as_uri())
    before, after, edge = page.evaluate(
        """() => {
            const box = document.querySelector("#results").parentElement;
            const last = () => box.querySelector("thead th:last-child").getBoundingClientRect().right;
            const before = last();
            box.scrollLeft = box.scrollWidth;
            return [before, last(), box.getBoundingClientRect().right];
        }"""
    )
    assert before > PHONE["width"]
    assert after <= edge + 1 <= PHONE["width"] + 1
    assert overflow(page) == 0


def test_a_link_to_a_question_is_followed_in_an_open_report(browser: Any, page_file: Path) -> None:
    page, errors = opened(browser, f"{page_file.as_uri()}#id=q0&find=q0")
    chosen = page.locator("[role=option][aria-selected=true]")
    assert chosen.get_attribute("aria-setsize") == "1"

    page.evaluate("location.hash = '#id=q2'")

    page.wait_for_function("document.querySelectorAll('[role=option]').length > 1")
    assert chosen.get_attribute("aria-posinset") == "3"
    assert page.locator("#find").input_value() == ""
    assert "id=q2" in page.evaluate("location.hash")
    assert not errors


def test_a_card_that_shows_all_of_its_text_has_no_button(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(report_html(an_evaluation(), {}, rows_of([a_question()])), "utf-8")

    page, _ = opened(browser, file.as_uri())

    assert page.locator(".card").count() == 2
    assert page.get_by_role("button", name="Show all").count() == 0


def test_what_is_cut_is_measured_again_when_the_phone_is_turned(browser: Any, tmp_path: Path) -> None:
    question: QuestionResult = a_question(samples=("a few words that fill lines " * 20, ""))
    file = tmp_path / "report.html"
    file.write_text(report_html(an_evaluation(), {}, rows_of([question])), "utf-8")
    page, _ = opened(browser, file.as_uri())
    page.get_by_role("button", name="Show all").wait_for()

    page.set_viewport_size({"width": 820, "height": 390})

    page.get_by_role("button", name="Show all").wait_for(state="hidden")
    assert cut_texts(page, CUT) == []


def test_no_bold_figure_stands_without_its_interval(browser: Any, page_file: Path) -> None:
    page, _ = opened(browser, page_file.as_uri(), viewport=DESK)

    bare = page.evaluate(
        "[...document.querySelectorAll('td strong')].filter((one) => !/\\d/.test("
        "one.closest('td').querySelector('.range')?.textContent ?? '')).map((one) => one.textContent)"
    )
    assert page.locator("td strong").count() > 6
    assert bare == []


def test_labels_of_curves_are_never_cut_nor_cover_each_other(browser: Any, page_file: Path) -> None:
    page, _ = opened(browser, page_file.as_uri(), viewport=DESK)

    tags = page.evaluate(
        "[...document.querySelectorAll('#curve-figure text.halo')].map((one) => { const box = one.getBBox();"
        " const lines = [...one.querySelectorAll('tspan')].map((line) => line.textContent);"
        " return [lines.join(''), box.y, box.y + box.height]; })"
    )
    assert {text for text, _, _ in tags} == {"oracle", VOTE.label, READER.label, LONG_LABEL}
    ordered = sorted(tags, key=lambda tag: tag[1])
    assert all(above[2] <= below[1] + 3 for above, below in pairwise(ordered))


def test_of_fifty_values_of_k_only_those_with_room_bear_intervals(browser: Any, page_file: Path) -> None:
    page, _ = opened(browser, page_file.as_uri(), viewport=DESK)

    places = page.evaluate(
        "[...document.querySelectorAll('#curve-figure .whisker')].map((one) => one.x1.baseVal.value)"
    )
    ordered = sorted(places)
    assert 6 <= len(ordered) <= 60
    assert all(after - before >= 3 for before, after in pairwise(ordered))


def test_confidences_of_few_problems_are_put_together(browser: Any, page_file: Path) -> None:
    page, _ = opened(browser, page_file.as_uri(), viewport=DESK)

    titles = page.evaluate(
        "[...document.querySelectorAll('#reliability-figure title')].map((one) => one.textContent)"
    )
    (weighted,) = [title for title in titles if title.startswith(LONG_LABEL)]
    assert "43 problems" in weighted
    assert "(67.4–90.3)" in weighted  # Wilson's interval of 35 of 43


def test_parts_of_few_problems_are_put_together_or_pale(browser: Any, page_file: Path) -> None:
    page, _ = opened(browser, page_file.as_uri(), viewport=DESK)

    page.locator("#by").select_option("right_samples")
    names = page.locator("#breakdown-figure text").all_text_contents()
    assert "0–6 of 50 right" in " ".join(names)
    assert page.locator("#breakdown-figure .few").count() == 0
    page.locator("#by").select_option("level")
    assert page.locator("#breakdown-figure .few").count() == 9 * 3  # levels of 1 to 9 problems, three methods


def test_one_problem_is_no_plural(browser: Any, page_file: Path) -> None:
    page, _ = opened(browser, page_file.as_uri(), viewport=DESK)
    page.locator("#by").select_option("level")
    texts = page.locator("#breakdown-figure text").all_text_contents()

    assert "1 problem" in texts
    assert "2 problems" in texts
    assert "1 problems" not in texts
