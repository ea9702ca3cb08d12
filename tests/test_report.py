from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sampleset.evaluation import FileResult, Interval, MethodResult, QuestionResult
from sampleset.report import report_dict, report_html, report_markdown, report_table, write_report
from sampleset.types import Usage

VOTE = MethodResult(
    label="majority_vote",
    options={"ties": "seeded", "seed": 0},
    accuracy=0.5,
    interval=Interval(0.095, 0.905),
    difference=0.0,
    difference_interval=Interval(0.0, 0.0),
    mended=0,
    spoilt=0,
    p_value=1.0,
    abstained=0,
    undecided=0,
    usage=Usage(),
    flags={"tie": 1},
)
READER = replace(
    VOTE,
    label="llm_aggregator:mode=select",
    options={"mode": "select"},
    accuracy=0.75,
    interval=Interval(0.301, 0.954),
    difference=0.25,
    difference_interval=Interval(-0.25, 0.75),
    mended=1,
    p_value=0.0004,
    usage=Usage(prompt_tokens=4000, completion_tokens=936, calls=4),
    flags={},
)


def a_question(number: int = 0, **fields: Any) -> QuestionResult:
    whole = {
        "id": f"q{number}",
        "question": "What is 1/2 + 1/2?",
        "gold": "1",
        "samples": ("So it is 1.", "So it is 2."),
        "sample_answers": ("1", "2"),
        "sample_right": (True, False),
        "answers": {VOTE.label: "2", READER.label: "1"},
        "right": {VOTE.label: False, READER.label: True},
    }
    return QuestionResult(**{**whole, **fields})


def a_result(*methods: MethodResult, **fields: Any) -> FileResult:
    whole = {
        "source": "gsm8k.jsonl",
        "problems": 4,
        "without_gold": 0,
        "k": 2,
        "sample_accuracy": 0.375,
        "oracle": 0.875,
        "sampling": Usage(prompt_tokens=400, completion_tokens=4400, calls=8),
        "methods": methods or (VOTE, READER),
        "questions": tuple(a_question(number) for number in range(4)),
    }
    return FileResult(**{**whole, **fields})


def printed(result: FileResult, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(report_table(result))
    return console.file.getvalue()  # type: ignore[attr-defined]


class Page(HTMLParser):
    """What a browser finds in a page: the scripts, the styles and every attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.bodies: list[tuple[str, str]] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        self._open = tag if tag in ("script", "style") else ""
        if self._open:
            self.bodies.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, before = self.bodies[-1]
            self.bodies[-1] = (tag, before + data)

    def of(self, tag: str) -> list[str]:
        return [body for name, body in self.bodies if name == tag]


# ---- the table in the terminal


def test_the_table_says_what_a_stranger_needs() -> None:
    text = " ".join(printed(a_result()).split())

    assert "gsm8k.jsonl" in text
    assert "4 problems, k = 2; every method reads the same samples." in text
    assert "50.0 9.5–90.5" in text
    assert "75.0 30.1–95.4 +25.0 −25.0…+75.0 1/0 <0.001 1,234" in text
    assert "95 % intervals: Wilson for accuracies, paired bootstrap over problems for differences" in text
    assert "p: exact McNemar, each comparison by itself, not corrected for several methods" in text
    assert "Drawing the 2 samples took 1,200 tokens per question." in text


def test_the_table_opens_with_one_sample_and_ends_with_the_oracle() -> None:
    lines = [line for line in printed(a_result(), width=120).splitlines() if line.strip()]

    rule = next(number for number, line in enumerate(lines) if "──" in line)
    assert lines[rule + 1].split() == ["one", "sample", "(mean,", "pass@1)", "37.5"]
    assert lines[rule + 2].startswith("majority_vote")
    oracle = next(line for line in lines if line.startswith("oracle"))
    assert "87.5" in oracle
    assert "(pass@2; bounds selectors only)" in " ".join(printed(a_result(), width=120).split())


def test_at_80_columns_no_number_is_cut() -> None:
    wide = replace(
        READER,
        accuracy=1.0,
        interval=Interval(0.999, 1.0),
        difference=-0.176,
        difference_interval=Interval(-0.208, -0.145),
        mended=123,
        spoilt=456,
    )

    text = printed(a_result(VOTE, wide))

    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" in text  # the interval's own sign; rich would end a cut cell with it
    for cell in ("100.0", "99.9–100.0", "−17.6", "−20.8…−14.5", "123/456", "<0.001"):
        assert cell in text


def test_the_vote_is_not_compared_with_itself() -> None:
    line = next(line for line in printed(a_result()).splitlines() if line.startswith("majority_vote"))

    assert line.split() == ["majority_vote", "50.0", "9.5–90.5", "–", "–", "–", "0"]


def test_a_method_without_weights_is_shown_and_noted_not_hidden() -> None:
    weighted = replace(VOTE, label="weighted_vote", flags={"no_weights": 4})

    text = " ".join(printed(a_result(VOTE, weighted, questions=())).split())

    assert "weighted_vote 50.0" in text
    assert "weighted_vote: on all 4 problems no sample has a weight, so this is the plain vote there." in text


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        pytest.param({"flags": {"failed": 2}}, "failed on 2 problems", id="failed"),
        pytest.param({"flags": {"fallback_vote": 1}}, "on 1 problem the majority vote", id="fallback"),
        pytest.param({"abstained": 3}, "no answer to 3 problems, counted as not right", id="abstained"),
        pytest.param({"undecided": 1}, "grade not decided on 1 problem", id="undecided"),
        pytest.param({"usage": Usage(calls=2, uncounted=2)}, "did not report: 2", id="tokens unknown"),
    ],
)
def test_what_a_reader_must_know_of_a_method_is_noted(changes: dict[str, Any], note: str) -> None:
    result = a_result(VOTE, replace(READER, **changes))

    assert note in " ".join(printed(result).split())
    assert note in report_markdown([result], {})


def test_problems_without_gold_and_samples_not_graded_are_noted() -> None:
    undecided = a_question(sample_right=(None, False))

    text = " ".join(printed(a_result(without_gold=7, questions=(undecided,))).split())

    assert "Left out, having no gold answer: 7 problems." in text
    assert "Samples whose grade could not be decided, counted as not right: 1." in text


def test_tokens_that_were_not_recorded_are_not_shown_as_none_spent() -> None:
    unknown = a_result(VOTE, replace(READER, usage=Usage(calls=4, uncounted=4)), sampling=Usage(0, 0, 8, 8))

    text = " ".join(printed(unknown).split())

    assert "<0.001 0+" in text
    assert "The tokens of the samples are not recorded in this file." in text


def test_a_label_that_looks_like_markup_is_printed_as_it_is() -> None:
    assert "[red]x[/red]" in printed(a_result(VOTE, replace(READER, label="[red]x[/red]"), questions=()))


# ---- JSON


def test_the_json_round_trips_and_holds_every_figure() -> None:
    report = report_dict([a_result()], {"seed": 0})

    assert json.loads(json.dumps(report)) == report
    assert report["schema"] == 1
    assert report["settings"] == {"seed": 0}
    (file,) = report["files"]
    assert (file["problems"], file["k"], file["sample_accuracy"], file["oracle"]) == (4, 2, 0.375, 0.875)
    assert file["sampling"]["completion_tokens"] == 4400
    assert set(file["methods"][0]) >= {
        *("label", "options", "accuracy", "interval", "difference", "difference_interval", "mended"),
        *("spoilt", "p_value", "abstained", "undecided", "usage", "flags"),
    }
    assert file["methods"][1]["difference_interval"] == [-0.25, 0.75]


def test_settings_that_json_lacks_become_text() -> None:
    assert report_dict([], {"folder": Path("runs"), "k": (1, 2)})["settings"] == {
        "folder": "runs",
        "k": [1, 2],
    }


def test_a_right_answer_that_no_sample_gave_is_counted_apart() -> None:
    written = a_question(sample_right=(False, False))

    methods = report_dict([a_result(questions=(written, a_question(1)))], {})["files"][0]["methods"]

    assert [method["mended_without_right_sample"] for method in methods] == [0, 1]


# ---- Markdown


def test_the_markdown_table_has_one_row_per_method_between_one_sample_and_the_oracle() -> None:
    rows = [line for line in report_markdown([a_result()], {}).splitlines() if line.startswith("|")]

    assert [row.split("|")[1].strip() for row in rows] == [
        "method",
        "---",
        "one sample (mean, pass@1)",
        "majority_vote",
        "llm_aggregator:mode=select",
        "oracle (pass@2; bounds selectors only)",
    ]
    assert {row.count("|") for row in rows} == {9}


def test_a_label_cannot_break_the_markdown_table() -> None:
    hostile = replace(READER, label="a|b\n<img>")

    text = report_markdown([a_result(VOTE, hostile, questions=())], {})

    assert "| a\\|b \\<img\\> | 75.0 |" in text


# ---- the page

HOSTILE = [
    pytest.param("</script><script>alert(1)</script>", id="closing tag"),
    pytest.param("</ScRiPt ><img src=x onerror=alert(1)>", id="closing tag in capitals"),
    pytest.param("<!-- <script>", id="comment that swallows the closing tag"),
    pytest.param("]]> &lt;/script&gt; \u2028\u2029 \x00", id="entities and line separators"),
    pytest.param("{{script}} {{data}} \\g<0> \\u003c", id="the template's own marks"),
    pytest.param("\ud800 half a character", id="lone surrogate"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_cannot_leave_the_data_block(text: str) -> None:
    question = a_question(
        id=text,
        question=text,
        gold=text,
        samples=(text, text),
        sample_answers=(text, None),
        answers={VOTE.label: text, text: text},
        right={VOTE.label: False, text: None},
    )
    result = a_result(VOTE, replace(READER, label=text), source=text, questions=(question,))

    page = Page(report_html([result], {text: text}))

    harmless = Page(report_html([], {}))
    data, script = page.of("script")
    assert script == harmless.of("script")[1]
    assert page.attributes == harmless.attributes
    assert not set("<>&\u2028\u2029") & set(data)
    read = json.loads(data)["files"][0]["questions"][0]
    assert (read["question"], read["samples"], read["answers"][text]) == (text, [text, text], text)


def test_the_page_refers_to_nothing_on_the_network() -> None:
    text = report_html([a_result()], {})

    names = {"src", "href", "srcset", "action", "formaction", "data", "poster", "background", "xlink:href"}
    links = [value for _, name, value in Page(text).attributes if name in names]
    assert links == ["#questions"]
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert "url(" not in text
    assert "@import" not in text


def test_the_policy_of_the_page_allows_its_own_script_and_style_and_nothing_else() -> None:
    page = Page(report_html([a_result()], {}))

    (policy,) = [
        value for tag, name, value in page.attributes if tag == "meta" and "default-src" in str(value)
    ]
    (style,), (_, script) = page.of("style"), page.of("script")
    assert policy == (
        f"default-src 'none'; script-src '{sha256(script)}'; style-src '{sha256(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize(
    "way", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "srcdoc"]
)
def test_the_script_never_reads_data_as_html_or_code(way: str) -> None:
    assert way not in Page(report_html([], {})).of("script")[1]


def test_the_page_names_every_element_its_script_looks_for() -> None:
    page = Page(report_html([], {}))

    ids = {value for _, name, value in page.attributes if name == "id"}
    asked = {part.split('"')[0] for part in page.of("script")[1].split('byId("')[1:]}
    assert asked <= ids


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
    question = a_question(answers={VOTE.label: vote, READER.label: other})

    data = json.loads(Page(report_html([a_result(questions=(question,))], {})).of("script")[0])

    assert data["files"][0]["questions"][0]["disagree"] is disagree


# ---- the folder


def test_a_report_is_four_files(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "report"

    paths = write_report(folder, [a_result(), a_result(source="math.jsonl")], {"seed": 0})

    assert [path.name for path in paths] == ["report.json", "report.md", "report.html", "questions.jsonl"]
    assert sorted(folder.iterdir()) == sorted(paths)
    rows = [json.loads(line) for line in paths[3].read_text("utf-8").splitlines()]
    assert [row["file"] for row in rows] == ["gsm8k.jsonl"] * 4 + ["math.jsonl"] * 4
    assert rows[0]["answers"] == {"majority_vote": "2", "llm_aggregator:mode=select": "1"}
    assert json.loads(paths[0].read_text("utf-8"))["files"][1]["source"] == "math.jsonl"


def test_half_characters_do_not_stop_the_report(tmp_path: Path) -> None:
    broken = a_result(VOTE, source="\ud800.jsonl", questions=(a_question(samples=("\ud800", "")),))

    for path in write_report(tmp_path, [broken], {}):
        path.read_text("utf-8")


def test_a_report_that_cannot_be_written_leaves_no_pieces(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()

    with pytest.raises(OSError, match=r"report\.json"):
        write_report(tmp_path, [a_result()], {})

    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
