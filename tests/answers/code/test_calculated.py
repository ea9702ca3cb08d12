"""What a sample's own program or sum comes to, without running anything."""

import time

import pytest

from sampleset.answers.code.arithmetic import formula_value, program_value
from sampleset.answers.code.calculated import as_answer, calculated_answer, printed_number, states
from support.hostile_texts import HOSTILE


def fenced(*programs: str, language: str = "python") -> str:
    return "\n".join(f"So:\n```{language}\n{program}\n```" for program in programs)


@pytest.mark.parametrize(
    ("program", "value"),
    [
        pytest.param("eggs = 16 - 3 - 4\nprice = 2\nprint(eggs * price)", 18, id="print"),
        pytest.param("a = 2\nb = a ** 3 // 3", 2, id="the last assignment"),
        pytest.param(
            "a = 1\na += 2\na *= 5\nprint(a)\nb = 7", 15, id="what is assigned after the last print"
        ),
        pytest.param("x = 7 / 2\nprint('It is', round(x), 'or', x)", 3.5, id="the last of several values"),
        pytest.param("x = 3\nprint(f'{x + 1} of {x}')", 3, id="a formatted text"),
        pytest.param("'''Solve it.'''\nimport math\nx: int\nprint(4)", None, id="a declaration"),
        pytest.param("'''Solve it.'''\nimport math\nprint(max(3, 4))", 4, id="text, imports and calls"),
        pytest.param("print(round(2.345, 1), end='')", 2.3, id="options of print"),
        pytest.param("print(a + 1)", None, id="an unknown name"),
        pytest.param("a = 1 / 0\nprint(3)", None, id="a failure"),
        pytest.param("for i in range(10**9):\n    x = i\nprint(1)", None, id="a loop"),
        pytest.param("def f():\n    return 1\nprint(f())", None, id="a function"),
        pytest.param("__import__('os').system('true')\nprint(1)", None, id="a call of something else"),
        pytest.param("a = [1, 2]\nprint(1)", None, id="a list"),
        pytest.param("a = True\nprint(a)", None, id="no number"),
        pytest.param("print(round('1'))", None, id="a text in a call"),
        pytest.param("print(min())", None, id="a call of nothing"),
        pytest.param("print((-8) ** 0.5)", None, id="a complex number"),
        pytest.param("print(9 ** 9 ** 9 ** 9)", None, id="a number that is too large"),
        pytest.param("print(10 ** 14 * 100)", None, id="a product that is too large"),
        pytest.param("print('a')", None, id="a text"),
        pytest.param("price_of wooden = 3", None, id="no Python"),
        pytest.param("x = 1" + " + 1" * 200, None, id="a line that is too long"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_a_program_that_assigns_calculates_and_prints_is_followed(program: str, value: float | None):
    assert program_value(program) == value


def test_the_last_of_several_blocks_knows_the_names_of_those_before():
    assert printed_number(fenced("a = 3", "print(a + 1)")) == 4
    assert printed_number(fenced("for a in b: pass", "a = 2\nprint(a)")) == 2
    assert printed_number(fenced("print(3)", "for a in b: pass")) is None


def test_only_closed_blocks_of_python_behind_the_reasoning_count():
    assert printed_number(fenced("print(3)", language="")) == 3
    assert printed_number(fenced("print(3)") + "\n```output\n5\n```") == 3
    assert printed_number(fenced("print(3)", language="js")) is None
    assert printed_number("```python\nprint(3)") is None
    assert printed_number(f"<think>{fenced('print(3)')}</think> It is 4.") is None
    assert printed_number("print(3)") is None


@pytest.mark.parametrize(
    ("answer", "value", "verdict"),
    [
        ("30", 30.0, True),
        ("\\$30.00", 30, True),
        ("0.33", 1 / 3, True),
        ("1/3", 1 / 3, True),
        ("0.3", 0.1 + 0.2, True),
        ("25%", 0.25, True),
        ("25%", 25, True),
        ("66.0", 66.3, False),
        ("30 eggs", 31, False),
        ("\\sqrt{2}", 1.4142, None),
        ("9" * 400, 1.0, False),
    ],
)
def test_an_answer_is_a_value_to_the_digits_that_it_is_written_with(
    answer: str, value: float, verdict: bool | None
):
    assert states(answer, value) is verdict


@pytest.mark.parametrize(
    ("text", "stated", "answer"),
    [
        pytest.param(fenced("print(100 - 70)") + "\n```output\n20\n```", "20", "30", id="an invented output"),
        pytest.param(fenced("print(100 - 70)"), "30.0", None, id="the same"),
        pytest.param(fenced("print(100 - 70)"), None, "30", id="no answer"),
        pytest.param(fenced("print(0.5)"), "\\frac{x}{2}", None, id="an answer that is no number"),
        pytest.param(fenced("print(100 - 70)") + "\n2 + 2 = 5", "5", "30", id="a program before a sum"),
        pytest.param("So 3 * 4 = 12 and 12 + 5 = 18.", "18", "17", id="a wrong sum"),
        pytest.param("So 12 + 5 = 18, that is, 9 * 2 = 18.", "18", None, id="a right sum comes to it, too"),
        pytest.param("So 12 + 5 = 18.", "20", None, id="a wrong sum on the way"),
        pytest.param("So 12 + 5 = 18.", None, None, id="a wrong sum and no answer"),
    ],
)
def test_what_is_calculated_counts_where_another_answer_is_stated(
    text: str, stated: str | None, answer: str | None
):
    assert calculated_answer(text, stated) == answer


def test_a_calculated_number_is_written_as_answers_are():
    assert [as_answer(value) for value in (30, 30.0, 0.1 + 0.2, 1e14, 2.5e-7, 123456789012345, -4.5)] == [
        "30", "30", "0.3", "100000000000000", "0.00000025", "123456789012345", "-4.5",
    ]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_no_calculations(name: str):
    began = time.process_time()
    for stated in (None, "5"):
        calculated_answer(HOSTILE[name], stated)
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    "piece", ["-", "(", "[", "1+", "2**", "a=1;", "~", "'", "{", "lambda:", "\\", "\x00"]
)
def test_no_text_keeps_the_calculation_busy(piece: str):
    long = piece * (8_000 // len(piece))
    began = time.process_time()
    program_value(long)
    program_value("\n".join([piece * (400 // len(piece))] * 20))
    formula_value(long)
    calculated_answer(fenced(long) * 20, "1")
    assert time.process_time() - began < 2.0
