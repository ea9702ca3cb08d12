"""Each kind of answer: what is read, what is equal, and that hostile text is read in bounded time."""

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sampleset.answers import answer_kind, kind_of, with_answer_kind
from sampleset.errors import InvalidArgumentError, UnknownNameError
from sampleset.types import Question


def read(kind: str, text: str, **more: Any) -> str | None:
    found = answer_kind(kind).read(text, **more)
    return found.text if found else None


async def groups(kind: str, answers: list[str | None]) -> list[tuple[int, ...]]:
    return [group.indices for group in (await answer_kind(kind).group(answers)).groups]


@pytest.mark.parametrize(
    ("kind", "text", "answer"),
    [
        pytest.param("text", "Well.\n<answer> Paris </answer> Bye.", "Paris", id="text in tags"),
        pytest.param("text", "<answer>Rome</answer> no: <answer>Paris", "Paris", id="last tags, not closed"),
        pytest.param(
            "text", "The Answer: none here.\n**Answer:** Paris\n(France)", "Paris\n(France)", id="marked"
        ),
        pytest.param("text", "  Paris, of course\n", "Paris, of course", id="whole reply"),
        pytest.param("text", "<think>Answer: Rome</think>Paris", "Paris", id="after the reasoning"),
        pytest.param("text", "  \n ", None, id="nothing"),
        pytest.param("choice", "I choose option C.", "C", id="option"),
        pytest.param("choice", "<answer>(b)</answer>", "B", id="letter in tags"),
        pytest.param("choice", "It is 7.", None, id="no letter"),
        pytest.param("json", 'Here:\n```json\n{"a": 1}\n```\nBye', '{"a": 1}', id="fenced"),
        pytest.param("json", "```\n[1]\n```\nthen\n```\nnot json\n```", "[1]", id="last block that is JSON"),
        pytest.param("json", '<answer>{"a": 2}</answer> not {"a": 3}', '{"a": 2}', id="tags win"),
        pytest.param("json", '<answer>```json\n{"a": 2}\n```</answer>', '{"a": 2}', id="a fence in tags"),
        pytest.param(
            "json", 'I think {x} it is {"a": {"b": [1]}} [sic', '{"a": {"b": [1]}}', id="bare, outermost"
        ),
        pytest.param("json", ' "yes" ', '"yes"', id="a bare text is all there is"),
        pytest.param("json", "It is 7 or so", None, id="a number in prose is no value"),
        pytest.param("json", '{"a": NaN}', None, id="NaN"),
        pytest.param("json", "[Infinity]", None, id="Infinity"),
        pytest.param("number:1", "So the answer is 1,234.5 km.", "1,234.5 km", id="number with a unit"),
        pytest.param("number:1", "The answer is Paris.", None, id="no number"),
        pytest.param("code", "```python\nx = 1\n```\n```\nprint(2)\n```", "print(2)", id="last block"),
        pytest.param("code", "```python\nprint(1)\n```\n```text\n1\n```", "print(1)", id="not the output"),
        pytest.param("code", "<answer>print(3)</answer>", "print(3)", id="program in tags"),
        pytest.param("code", "<answer>the answer is four</answer>", None, id="prose is no program"),
        pytest.param("code", "print(1)", None, id="without a mark no program"),
        pytest.param("judge", "Answer: It is water.", "It is water.", id="as text"),
    ],
)
def test_the_answer_is_read(kind: str, text: str, answer: str | None):
    assert read(kind, text) == answer


def test_of_a_text_that_was_cut_off_only_a_marked_answer_counts():
    assert read("text", "Paris is", truncated=True) is None
    assert read("json", "[1, 2]", truncated=True) is None
    assert read("json", "<answer>[1, 2]", truncated=True) == "[1, 2]"
    assert read("text", "<answer>Paris", truncated=True) == "Paris"


@pytest.mark.parametrize(
    ("kind", "a", "b", "equal"),
    [
        pytest.param("text", "Straße  one", "STRASSE\none", True, id="case and white space"),
        pytest.param("text", "ﬁve №1", "five No1", True, id="compatibility forms"),
        pytest.param("text", "1/2", "0.5", False, id="text is not mathematics"),
        pytest.param("text:exact", "Paris", "paris", False, id="exact"),
        pytest.param("text:exact", " Paris\n", "Paris", True, id="exact but for the ends"),
        pytest.param("choice", "(B)", "B. mitosis", True, id="letters"),
        pytest.param("choice", "B", "C", False, id="other letters"),
        pytest.param("json", '{"a": 1, "b": [1.0]}', '{"b":[1],"a":1e0}', True, id="by value"),
        pytest.param("json", "[1, 2]", "[2, 1]", False, id="arrays have an order"),
        pytest.param("json", "1", '"1"', False, id="a number is no text"),
        pytest.param("json", "1", "true", False, id="a number is no truth"),
        pytest.param("json", "0", "false", False, id="nought is no untruth"),
        pytest.param("json", "-0.0", "0", True, id="no sign of nought"),
        pytest.param("json", "null", '""', False, id="null"),
        pytest.param("json", "0.1", "0.10000000000000000001", False, id="exactly"),
        pytest.param("json", "1e400", "1" + "0" * 400, True, id="beyond floats"),
        pytest.param("json:a", '{"a": 1, "b": 2}', '{"a": 1, "c": 3}', True, id="these keys only"),
        pytest.param("json:a,b", '{"a": 1, "b": 2}', '{"a": 1}', False, id="a key that lacks"),
        pytest.param("number", "1/2", "0.50", True, id="by value"),
        pytest.param("number", "0.333", "1/3", False, id="no tolerance unless asked"),
        pytest.param("number:0.1", "1.0", "1.1", True, id="at the tolerance"),
        pytest.param("number:0.1", "1.0", "1.11", False, id="beyond it"),
        pytest.param("number:1%", "-99", "-100", True, id="a share"),
        pytest.param("number:1%", "100", "98.9", False, id="beyond the share"),
        pytest.param("number:1%", "0", "0.0001", False, id="a share of nearly nothing"),
    ],
)
async def test_answers_are_equal(kind: str, a: str, b: str, equal: bool):
    rules = answer_kind(kind)
    assert (await rules.same(a, b)).equal is equal
    assert (await rules.same(b, a)).equal is equal
    assert (await rules.matches_gold(a, b)).equal is equal
    assert await groups(kind, [a, None, b]) == ([(0, 2)] if equal else [(0,), (2,)])


async def test_a_share_is_of_the_gold_number():
    rules = answer_kind("number:10%")
    assert (await rules.same("90", "100")).equal
    assert (await rules.matches_gold("90", "100")).equal
    assert not (await rules.matches_gold("100", "90")).equal


async def test_near_numbers_are_grouped_around_the_most_votes_whatever_the_order():
    assert await groups("number:0.1", ["1.0", "1.1", "1.2", "5"]) == [(0, 1, 2), (3,)]
    # 1.0 and 1.2 lie near 1.1 only; 1.3, which lies near 1.2, is left alone.
    assert await groups("number:0.1", ["1.3", "1.2", "1.1", "1.0"]) == [(0,), (1, 2, 3)]
    assert await groups("number:0.1", ["1.0", "1.1", "1.2", "1.3"]) == [(0, 1, 2), (3,)]


@given(st.lists(st.integers(-30, 30), max_size=30), st.randoms())
async def test_groups_of_near_numbers_do_not_depend_on_the_order(values: list[int], random):
    async def partition(listed: list[int]) -> set[frozenset[int]]:
        answers: list[str | None] = [str(one) for one in listed]
        return {frozenset(listed[place] for place in group) for group in await groups("number:2", answers)}

    shuffled = values[:]
    random.shuffle(shuffled)
    assert await partition(values) == await partition(shuffled)
    assert all(max(one) - min(one) <= 4 for one in await partition(values))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
@example({"</think>": None})
@example(["</think>{}"])
async def test_a_json_value_is_found_again_and_equals_itself_in_any_layout(value: object):
    written, spread = json.dumps(value), json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True)
    assert read("json", f"So:\n```json\n{spread}\n```") == spread.strip()
    assert (await answer_kind("json").same(written, spread)).equal


@given(st.integers(), st.integers(-400, 400), st.integers(0, 40))
async def test_json_numbers_are_equal_by_value(number: int, exponent: int, shift: int):
    written, moved = f"{number}e{exponent}", f"{number * 10**shift}E{exponent - shift}"
    assert (await answer_kind("json").same(written, moved)).equal
    assert not (await answer_kind("json").same(written, f"{number + 1}e{exponent}")).equal


@given(st.text())
async def test_no_text_breaks_any_kind(text: str):
    for kind in ("text", "text:exact", "choice", "json", "json:a", "number:1%"):
        found = read(kind, text)
        if found is not None:
            assert await groups(kind, [found, found]) in ([(0, 1)], [])
            assert (await answer_kind(kind).same(found, found)).equal in (True, False)
        answer_kind(kind).gold_is_readable(text)


HOSTILE = [
    pytest.param("[" * 1_000_000, id="a million brackets"),
    pytest.param('{"a":' * 200_000, id="deep objects"),
    pytest.param("[" * 5_000 + "]" * 5_000, id="deep but closed"),
    pytest.param("9" * 100_000, id="a long number"),
    pytest.param("[" + "9" * 99_000 + "]", id="a long number in a list"),
    pytest.param("[1e999999999999999999999]", id="an exponent out of range"),
    pytest.param("[1e99999999]", id="a great exponent"),
    pytest.param("1e99999999", id="a great number"),
    pytest.param('["\ud800"]', id="half a surrogate pair"),
    pytest.param('["\\ud800"]', id="half a surrogate pair, escaped"),
    pytest.param("[1," * 30_000, id="lists that never close"),
    pytest.param("[" * 300 + "1," * 50_000, id="long lists that never close"),
    pytest.param('["' * 2_000 + "x" * 90_000, id="texts that never close"),
    pytest.param("<answer>" * 100_000, id="tags that never close"),
    pytest.param("```json\n" * 100_000, id="fences that never close"),
    pytest.param("```\n" * 100_001, id="fences side by side"),
    pytest.param("Answer: " * 100_000, id="marks in one line"),
    pytest.param("Answer:\n" * 100_000, id="marks in many lines"),
    pytest.param("ﷺ" * 200_000, id="letters that grow"),
    pytest.param("\0" * 1000, id="zeros"),
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("kind", ["text", "choice", "json", "number:1%", "code"])
async def test_hostile_text_is_read_and_compared_in_bounded_time(kind: str, text: str):
    started = time.process_time()
    rules = answer_kind(kind)
    for truncated in (False, True):
        found = rules.read(text, truncated=truncated)
        if found is not None and kind != "code":
            await rules.group([found.text, found.text, "x"])
    if kind != "code":
        rules.gold_is_readable(text[:100_000])
        await rules.same(text[:100_000], text[:50_000])
    assert time.process_time() - started < 5


def test_json_is_read_to_a_depth_and_not_beyond():
    assert read("json", "[" * 100 + "]" * 100) is not None
    assert read("json", "[" * 102 + "]" * 102) is None


def test_a_kind_is_named_as_it_was_typed():
    specs = ["maths", "text", "text:exact", "choice", "json", "json:a,b", "number", "number:0.5", "number:1%"]
    for spec in (*specs, "code", 'code:["1", "2"]', "judge"):
        assert answer_kind(spec).spec == spec
        assert kind_of(with_answer_kind(Question("q", "?"), spec)).spec == spec


def test_a_kind_that_is_not_known_is_refused_with_those_that_are():
    with pytest.raises(UnknownNameError, match="Did you mean 'json'"):
        answer_kind("jsn")
    with pytest.raises(UnknownNameError, match="Known: choice, code, json, judge, maths, number, text"):
        answer_kind("xqz")


@pytest.mark.parametrize(
    "spec",
    ["maths:1", "text:loose", "choice:4", "number:", "number:x", "number:-1", "number:100%", "number:1e999",
     "judge:x", "code:[]", "code:1", "code:[1]", 'code:["1"', "code:" + "[" * 100_000,
     "code:" + json.dumps(["1"] * 21)],
)  # fmt: skip
def test_an_option_without_a_meaning_is_refused(spec: str):
    with pytest.raises(InvalidArgumentError):
        answer_kind(spec)
