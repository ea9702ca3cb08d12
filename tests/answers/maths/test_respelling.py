"""An answer respelt stays equal; with one digit, sign, bracket, letter or exponent changed it is another."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sampleset.answers import group_answers, matches_gold, same_answer

_NUMBERS = st.one_of(
    st.integers(-9999, 9999).map(str),
    st.builds(lambda top, bottom: rf"\frac{{{top}}}{{{bottom}}}", st.integers(1, 99), st.integers(2, 99)),
    st.builds(lambda whole, part: f"{whole}.{part:02}", st.integers(0, 99), st.integers(1, 99)),
)
_LETTERS = st.sampled_from(["x", "y", "R", "r", "k", "M", r"\theta", r"\Delta", r"\delta", "v_{0}", "E_{1}"])
_TERMS = st.builds(
    lambda factor, letter, power: f"{factor}{letter}^{{{power}}}",
    st.integers(2, 9),
    _LETTERS,
    st.integers(2, 9),
)
_SUMS = st.builds(lambda first, second, sign: f"{first}{sign}{second}", _TERMS, _TERMS, st.sampled_from("+-"))
_ROOTS = st.builds(
    lambda out, inside: rf"{out}\sqrt{{{inside}}}", st.integers(2, 9), st.sampled_from([2, 3, 5, 7])
)
_MEMBERS = st.lists(st.integers(-99, 999).map(str), min_size=2, max_size=4, unique=True)
_TUPLES = _MEMBERS.map(lambda members: f"({', '.join(members)})")
_SETS = _MEMBERS.map(lambda members: rf"\{{{', '.join(members)}\}}")
_INTERVALS = st.builds(
    lambda low, length, left, right: f"{left}{low}, {low + length}{right}",
    st.integers(-50, 50),
    st.integers(1, 50),
    st.sampled_from("(["),
    st.sampled_from("]"),
)
_EQUATIONS = st.builds(
    lambda a, b, c: f"{a}x+{b}y={c}", st.integers(2, 9), st.integers(2, 9), st.integers(1, 30)
)
_ANSWERS = st.one_of(_NUMBERS, _SUMS, _ROOTS, _TUPLES, _SETS, _INTERVALS, _EQUATIONS)

_RESPELLINGS = [
    lambda text: f"${text}$",
    lambda text: rf"\({text}\)",
    lambda text: rf"\boxed{{{text}}}",
    lambda text: f"**{text}**",
    lambda text: f" {text}. ",
    lambda text: text.replace(r"\frac", r"\dfrac"),
    lambda text: text.replace(", ", ","),
    lambda text: text.replace("(", r"\left(").replace(")", r"\right)"),
    lambda text: text.replace("+", " + ").replace("=", " = "),
    lambda text: text.replace("-", "−"),
    lambda text: rf"\mathbf{{{text}}}" if "\\" not in text else text,
    lambda text: rf"{{\color{{red}} {text}}}" if "{" not in text else text,
    lambda text: text.replace("^{2}", "²").replace("^{3}", "³"),
]


@settings(max_examples=80, deadline=None)
@given(answer=_ANSWERS, respell=st.sampled_from(_RESPELLINGS))
def test_a_respelt_answer_is_the_same(answer: str, respell) -> None:
    other = respell(answer)
    assert (other, matches_gold(other, answer).equal) == (other, True)
    assert (other, same_answer(other, answer).equal) == (other, True)
    assert (other, len(group_answers([answer, other]).groups)) == (other, 1)


def _with(text: str, place: int, character: str) -> str:
    return text[:place] + character + text[place + 1 :]


@settings(max_examples=120, deadline=None)
@given(answer=_ANSWERS, data=st.data())
def test_a_changed_digit_or_exponent_makes_another_answer(answer: str, data: st.DataObject) -> None:
    digits = [place for place, character in enumerate(answer) if character.isdigit()]
    place = data.draw(st.sampled_from(digits))
    other = _with(answer, place, data.draw(st.sampled_from([d for d in "123456789" if d != answer[place]])))
    # The factor of an equation, a fraction not in least terms, and a member that comes twice may cancel out.
    assume("=" not in answer and r"\frac" not in answer and not other.startswith("0"))
    if answer.startswith((r"\{", "(", "[")):
        members = [member.strip(r"\{}()[] ") for member in other.split(",")]
        assume(sorted(set(members)) != sorted({member.strip(r"\{}()[] ") for member in answer.split(",")}))
        assume(len(set(members)) == len(members))
    _assert_different(answer, other)


@settings(max_examples=80, deadline=None)
@given(answer=st.one_of(_SUMS, _EQUATIONS, _ROOTS, _NUMBERS), data=st.data())
def test_a_changed_sign_makes_another_answer(answer: str, data: st.DataObject) -> None:
    signs = [place for place, character in enumerate(answer) if character in "+-"]
    if signs:
        place = data.draw(st.sampled_from(signs))
        other = _with(answer, place, "-" if answer[place] == "+" else "+")
    else:
        other = f"-{answer}"
    assume(answer not in ("0", "-0"))
    _assert_different(answer, other)


@settings(max_examples=60, deadline=None)
@given(answer=st.one_of(_TUPLES, _SETS, _INTERVALS))
def test_changed_brackets_make_another_answer(answer: str) -> None:
    members = answer.strip(r"\{}()[]")
    writings = {rf"\{{{members}\}}", f"({members})", f"[{members}]", f"[{members})", f"({members}]"}
    for other in sorted(writings - {answer}):
        if other.count(",") > 1 and other[0] + other[-1] in ("[)", "(]"):
            continue
        # In a grade a list in square brackets, as Python writes it, is a set too.
        if {answer[0], other[0]} == {"\\", "["}:
            continue
        assert (other, matches_gold(other, answer).equal) == (other, False)
        assert (other, same_answer(other, answer).equal is True) == (other, False)


@settings(max_examples=80, deadline=None)
@given(letters=st.lists(_LETTERS, min_size=3, max_size=3, unique=True), factor=st.integers(2, 9))
def test_a_changed_letter_makes_another_answer(letters: list[str], factor: int) -> None:
    first, second, other = letters
    _assert_different(f"{factor}{first}^{{2}}+{second}", f"{factor}{other}^{{2}}+{second}")
    _assert_different(rf"\frac{{{first}}}{{{second}}}", rf"\frac{{{first}}}{{{other}}}")


def _assert_different(answer: str, other: str) -> None:
    assert (other, matches_gold(other, answer).equal) == (other, False)
    assert (other, same_answer(other, answer).equal) == (other, False)
    assert (other, len(group_answers([answer, other]).groups)) == (other, 2)
