"""The page: self-contained, and safe to open whatever the samples say."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from importlib.resources import files

import pytest

from sampleset.evaluation.results import QuestionResult
from sampleset.report import report_html
from support.report_builders import (
    READER,
    VOTE,
    Page,
    a_file,
    a_macro,
    a_point,
    a_question,
    an_evaluation,
    rows_of,
)

OWN_SCRIPTS = slice(2, None)  # after the data and KaTeX

HOSTILE = [
    pytest.param("</script><script>alert(1)</script>", id="closing tag"),
    pytest.param("</ScRiPt ><img src=x onerror=alert(1)>", id="closing tag in capitals"),
    pytest.param("<!-- <script>", id="comment that swallows the closing tag"),
    pytest.param("]]> &lt;/script&gt; \u2028\u2029 \x00", id="entities and line separators"),
    pytest.param("{{scripts}} {{data}} \\g<0> \\u003c", id="the template's own marks"),
    pytest.param("\ud800 half a character", id="lone surrogate"),
    pytest.param(r"$\href{javascript:alert(1)}{x}$", id="link in mathematics"),
    pytest.param(r"$\htmlData{a=b}{x}\htmlStyle{color:red}{x}\includegraphics{x}$", id="html in mathematics"),
    pytest.param("$" + "{" * 5000 + "}" * 5000 + "$", id="huge mathematics"),
]


def page_of(*questions: QuestionResult, browse: int = 300) -> Page:
    return Page(report_html(an_evaluation(), {}, rows_of(questions), browse))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_cannot_leave_the_data_block(text: str) -> None:
    question = a_question(
        file=text,
        id=text,
        question=text,
        gold=text,
        samples=(text, text),
        sample_answers=(text, None),
        answers={VOTE.label: text, text: text},
        right={VOTE.label: False, text: None},
        texts={text: text},
    )
    file = a_file(a_point(methods=(VOTE, replace(READER, label=text))), source=text)

    page = Page(report_html(an_evaluation(file), {text: text}, rows_of([question])))

    harmless = Page(report_html(an_evaluation(), {}))
    assert page.of("script")[1:] == harmless.of("script")[1:]
    assert page.attributes == harmless.attributes
    assert not set("<>&\u2028\u2029") & set(page.of("script")[0])
    read = page.data["files"][0]["questions"][0]
    assert (read["question"], read["samples"], read["answers"][text]) == (text, [text, text], text)


def test_the_page_refers_to_nothing_on_the_network() -> None:
    text = report_html(an_evaluation(), {}, rows_of([a_question()]))

    names = {"src", "href", "srcset", "action", "formaction", "data", "poster", "background", "xlink:href"}
    assert [value for _, name, value in Page(text).attributes if name in names] == ["#questions"]
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML"}  # names, not addresses
    assert set(re.findall(r"\w+://[\w./-]+", text)) <= namespaces
    assert set(re.findall(r"url\((.{22})", text)) == {"data:font/woff2;base64"}
    assert "@import" not in text


def test_the_policy_allows_the_page_its_own_scripts_style_and_fonts_and_nothing_else() -> None:
    page = Page(report_html(an_evaluation(), {}))

    (policy,) = [value for _, _, value in page.attributes if "default-src" in str(value)]
    (style,), (_, *scripts) = page.of("style"), page.of("script")
    assert policy == (
        f"default-src 'none'; script-src {' '.join(map(sha256, scripts))}; style-src {sha256(style)}; "
        "font-src data:; base-uri 'none'; form-action 'none'"
    )


def sha256(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize(
    "way", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "srcdoc"]
)
def test_the_scripts_never_read_data_as_html_or_code(way: str) -> None:
    assert not any(
        way in script for script in Page(report_html(an_evaluation(), {})).of("script")[OWN_SCRIPTS]
    )


def test_mathematics_is_set_without_trust_and_within_bounds() -> None:
    script = (files("sampleset") / "report" / "page" / "page.mathematics.js").read_text("utf-8")

    for option in (
        "trust: false",
        "maxExpand: 100",
        "maxSize: 10",
        "LONGEST_FORMULA =",
    ):
        assert option in script
    assert "renderToString" not in script


def test_the_fonts_that_katex_needs_most_are_in_the_page_and_no_others() -> None:
    (style,) = Page(report_html(an_evaluation(), {})).of("style")

    faces = re.findall(r"@font-face\{[^}]*\}", style)
    assert len(faces) == 12
    assert all("data:font/woff2;base64," in face and "format(" in face for face in faces)


def test_the_page_without_questions_is_below_a_megabyte() -> None:
    assert len(report_html(an_evaluation(), {}).encode()) < 1_000_000


def test_the_page_names_every_element_its_scripts_look_for() -> None:
    page = Page(report_html(an_evaluation(), {}))

    ids = {value for _, name, value in page.attributes if name == "id"}
    asked = set(re.findall(r'byId\("([\w-]+)"\)', "\n".join(page.of("script")[OWN_SCRIPTS])))
    assert asked - ids <= {"previous", "next"}


def test_questions_on_which_methods_differ_have_precedence_and_keep_the_file_order() -> None:
    same = {"answers": {VOTE.label: "1", READER.label: "1"}, "right": {VOTE.label: True, READER.label: True}}

    def question(number: int) -> QuestionResult:
        return a_question(number, **({} if number in (3, 5) else same))

    (file,) = page_of(*map(question, range(8)), browse=4).data["files"]

    assert [one["id"] for one in file["questions"]] == ["q0", "q1", "q3", "q5"]
    assert file["questions_in_all"] == 8


def test_the_page_never_holds_more_questions_than_asked_for() -> None:
    (file,) = page_of(*map(a_question, range(8)), browse=3).data["files"]

    assert [one["id"] for one in file["questions"]] == ["q0", "q1", "q2"]


@pytest.mark.parametrize(
    ("vote", "other", "disagree"),
    [
        pytest.param("1/2", "0.5", False, id="one number written in two ways"),
        pytest.param("1/2", "2", True, id="two numbers"),
        pytest.param("1/2", None, True, id="one abstains"),
        pytest.param(None, None, False, id="both abstain"),
    ],
)
def test_methods_disagree_where_their_answers_differ_not_their_spelling(
    vote: str | None, other: str | None, disagree: bool
) -> None:
    page = page_of(a_question(answers={VOTE.label: vote, READER.label: other}))

    assert page.data["files"][0]["questions"][0]["disagree"] is disagree


def test_a_very_long_sample_is_cut_and_said_so() -> None:
    page = page_of(a_question(samples=("x" * 100_000, "")))

    text = page.data["files"][0]["questions"][0]["samples"][0]
    assert len(text) < 12_100
    assert text.endswith("… (88,000 more characters in questions.jsonl)")


def test_the_page_knows_the_vote_and_the_mean_over_files() -> None:
    evaluation = an_evaluation(a_file(), a_file(source="math"), macro=(a_macro("gsm8k", "math"),))

    data = Page(report_html(evaluation, {})).data

    assert data["vote"] == "majority_vote"
    assert data["macro"][0]["files"] == ["gsm8k", "math"]
