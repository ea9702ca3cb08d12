r"""Constants, mathematics without a variable such as `2\pi + \sqrt{3}`: whether a text is one, its size."""

from __future__ import annotations

import math

from sampleset.answers.maths.patterns import lazy_pattern

CONSTANT = lazy_pattern(
    r"(?:[\d .+*/^(){}-]|\\log_\{\d{1,9}\}|\\(?:frac|sqrt|pi|cdot|times|ln|log|sin|cos|tan)(?![A-Za-z])"
    r"|\\sqrt ?\[\d{1,2}\]|(?<![A-Za-z])e(?![A-Za-z]))+"
)
"""Mathematics without a variable."""
_ARITHMETIC = lazy_pattern(r"[\d .+*/^(){}$%-]+(?:\\(?:times|cdot|frac) ?[\d .+*/^(){}$%-]+)*")
_COUNTED = lazy_pattern(
    r"\d{1,9}!|\\binom\{ ?\d{1,9} ?\}\{ ?\d{1,9} ?\}"
    r"|(?:\\(?:gcd|lcm|max|min)|C|P|GCD|LCM) ?\( ?\d{1,12}(?: ?, ?\d{1,12}){1,9} ?\)"
)
_TOKEN = lazy_pattern(r" *(?:(\d+(?:\.\d+)?)|(\\(?:frac|sqrt|pi|cdot|times|ln))(?![A-Za-z])|([-+*/^(){}e]))")
_MOST_LEVELS = 12


def is_constant(side: str) -> bool:
    """Whether a side of an equation holds no variable."""
    return bool(_ARITHMETIC.fullmatch(side) or CONSTANT.fullmatch(side) or _COUNTED.fullmatch(side))


def are_near(sides: list[str]) -> bool:
    """Whether sides of a chain are equal, as far as they can be worked out here."""
    values = [value for side in sides if (value := estimate(side)) is not None]
    return all(math.isclose(value, values[0], rel_tol=0.01, abs_tol=1e-9) for value in values)


def estimate(latex: str) -> float | None:
    r"""A constant such as `\frac{\sqrt{3}}{2} + \pi` as a float; `None` where it cannot be read."""
    tokens: list[str] = []
    position = 0
    while position < len(latex):
        match = _TOKEN.match(latex, position)
        if not match:
            return None
        tokens.append(match[1] or match[2] or match[3])
        position = match.end()
    try:
        value, end = _sum(tokens, 0, 0)
    except (ValueError, ArithmeticError, IndexError):
        return None
    return value if end == len(tokens) and isinstance(value, float) and math.isfinite(value) else None


def _sum(tokens: list[str], position: int, level: int) -> tuple[float, int]:
    if level > _MOST_LEVELS:
        raise ValueError("nested too deeply")
    total, sign = 0.0, 1.0
    if tokens[position : position + 1] in (["-"], ["+"]):
        sign, position = -1.0 if tokens[position] == "-" else 1.0, position + 1
    while True:
        value, position = _product(tokens, position, level)
        total += sign * value
        if tokens[position : position + 1] not in (["-"], ["+"]):
            return total, position
        sign, position = -1.0 if tokens[position] == "-" else 1.0, position + 1


def _product(tokens: list[str], position: int, level: int) -> tuple[float, int]:
    value, position = _power(tokens, position, level)
    while position < len(tokens) and tokens[position] not in ("-", "+", ")", "}"):
        divided = tokens[position] == "/"
        if tokens[position] in ("*", "/", r"\cdot", r"\times"):
            position += 1
        factor, position = _power(tokens, position, level)
        value = value / factor if divided else value * factor
    return value, position


def _power(tokens: list[str], position: int, level: int) -> tuple[float, int]:
    base, position = _atom(tokens, position, level)
    if tokens[position : position + 1] == ["^"]:
        exponent, position = _atom(tokens, position + 1, level)
        return math.pow(base, exponent), position
    return base, position


def _atom(tokens: list[str], position: int, level: int) -> tuple[float, int]:
    token, position = tokens[position], position + 1
    if token in ("(", "{"):
        value, position = _sum(tokens, position, level + 1)
        if tokens[position] != {"(": ")", "{": "}"}[token]:
            raise ValueError("a bracket does not close")
        return value, position + 1
    if token == r"\frac":
        over, position = _atom(tokens, position, level + 1)
        under, position = _atom(tokens, position, level + 1)
        return over / under, position
    if token in (r"\sqrt", r"\ln"):
        value, position = _atom(tokens, position, level + 1)
        return (math.sqrt(value) if token == r"\sqrt" else math.log(value)), position
    if token in (r"\pi", "e"):
        return (math.pi if token == r"\pi" else math.e), position
    return float(token), position
