"""The answer that a sample's own calculation comes to, where that is another than it states."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from sampleset.answers.code.arithmetic import program_value
from sampleset.answers.code.sums import written_sums
from sampleset.answers.json_values import fenced_blocks
from sampleset.answers.maths.forms.canonical import read
from sampleset.answers.maths.numbers.numerals import decimal_places
from sampleset.answers.maths.reading.reasoning import after_reasoning

NUMERIC_KINDS = ("maths", "number")
"""The kinds of answers that may be numbers."""

_MOST_READ = 20_000
"""Characters of a text that are read, its last ones."""
_PYTHON = ("", "python", "python3", "py")
_EXACT = Fraction(1, 10**9)
"""Share of a number by which floats that were calculated in another order may differ."""


@lru_cache(4096)
def printed_number(text: str) -> float | None:
    """The number that the Python blocks of a text would print last, or assign last if they print nothing.

    Names of a block are known in the next. `None` where there is no such block, and where one does anything
    but assign, calculate and print numbers.
    """
    blocks = [block for language, block in fenced_blocks(after_reasoning(text)) if language in _PYTHON]
    if not blocks:
        return None
    value = program_value("\n".join(reversed(blocks)))
    return program_value(blocks[0]) if value is None and len(blocks) > 1 else value


def calculated_answer(text: str, stated: str | None) -> str | None:
    """The answer that a text's calculation comes to, if it states another; `None` where it does not.

    What its program would print; without a program, what the sums come to whose wrong result it states.

    Args:
        text: The sample.
        stated: The answer that it states; `None` if none.
    """
    text = text[-_MOST_READ:]
    value = printed_number(text)
    if value is None and stated is not None:
        value = _result_of_sums(text, stated)
    if value is None or (stated is not None and states(stated, value) is not False):
        return None
    return as_answer(value)


def _result_of_sums(text: str, stated: str) -> float | None:
    """What the last sum comes to whose result is stated; `None` where one with that result comes out."""
    sums = [one for one in written_sums(text) if one.has_result and states(stated, one.right)]
    return None if not sums or any(one.comes_out for one in sums) else sums[-1].left


def states(answer: str, value: float) -> bool | None:
    """Whether an answer is a value, to the digits that it is written with; `None` if it is no number.

    Of `25%` both 25 and 0.25 are.
    """
    number = read(answer).number
    if number is None:
        return None
    face, exact = number.face[0], Fraction(value)
    places = max(1, decimal_places(face))
    reach = Fraction(1, 2 * 10**places) if number.decimal else _EXACT * max(Fraction(1), abs(exact))
    return any(abs(exact - stated) <= reach for stated in (number.value, face))


def as_answer(value: float) -> str:
    """A calculated number as an answer is written: `30`, not `30.0` or `30.000000000000004`."""
    if isinstance(value, int):
        return str(value)
    text = format(Decimal(f"{value:.12g}"), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
