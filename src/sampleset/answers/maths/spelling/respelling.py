"""One spelling for the many ways to write the same thing: Unicode, LaTeX, code, plain text.

`respell` is pure and linear: a fixed number of passes, each a linear regex or one scan.
"""

from __future__ import annotations

import re

from sampleset.answers.maths.numbers.unit_spelling import with_units_apart
from sampleset.answers.maths.numbers.units import read_unit
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.spelling.brackets import without_delimiters
from sampleset.answers.maths.spelling.latex import FUNCTION_NAMES, NAMES_OF_SEVERAL, plain_latex
from sampleset.answers.maths.spelling.tokens import with_braces

_OTHER_NAMES = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "acot": "arccot", "tg": "tan", "ctg": "cot",
    "cosec": "csc", "Ln": "ln", "arctg": "arctan", "arcctg": "arccot", "lg": "log_{10}",
}  # fmt: skip
_PLAIN = lazy_pattern(r"[A-Za-z0-9 ,.+%$/:'-]*")
"""Texts that hold nothing to substitute."""
_GROUPED = lazy_pattern(
    r"(?<![\w.^])\d{1,3}(?:_\d{3})+(?![\w.])|(?<![\w.,^])\d{1,3}(?:\.\d{3}){2,}(?![\w.]|,\d)"
)
_POINT_BEFORE_A_SIGN = lazy_pattern(
    r"(?<=\d)\.(?=[*+)}\]^]|\\(?:pi|sqrt|frac|cdot|times)(?![A-Za-z])|i(?![A-Za-z])|[,;-] ?[\d.-])"
)
_PLAIN_LOGARITHM = lazy_pattern(r"(?<![\\A-Za-z])(?:(?:np|math|numpy)\.)?log(2|10)(?= ?\()")
_PLAIN_ABSOLUTE = lazy_pattern(r"(?<![\\A-Za-z])(?:(?:np|math)\.)?f?abs\(([^()|]{1,80})\)")
_CALLS = tuple(
    (lazy_pattern(pattern), replacement)
    for pattern, replacement in (
        (r"(?<![\\A-Za-z.])(?:[Mm]ath\.)?pow\(([^(),]{1,40}), ?([^(),]{1,40})\)", r"(\1)^{\2}"),
        (
            r"(?<![\\A-Za-z.])(?:[a-z]{2,9}\.)?(?:Rational|Fraction)\((-?\d{1,30}), ?(\d{1,30})\)",
            r"\\frac{\1}{\2}",
        ),
        (r"(?<![\\A-Za-z.])(?:[a-z]{2,5}\.)?factorial\((\d{1,6}|[a-z])\)", r"\1!"),
        (
            r"(?<![\\A-Za-z.])(?:[a-z]{2,5}\.)?(?:comb|binom(?:ial)?|nCr)"
            r"\(([^(),]{1,40}), ?([^(),]{1,40})\)",
            r"\\binom{\1}{\2}",
        ),
        (r"(?<![\\A-Za-z.])(?:math\.)?log\(([^(),]{1,40}), ?(\d{1,9})\)", r"\\log_{\2}(\1)"),
        (r"^(\d{1,3})C(\d{1,3})$|(?<![\w.])(\d{1,3}) choose (\d{1,3})(?![\w.])", r"\\binom{\1\3}{\2\4}"),
        (r"\^(-?\d{1,9}\.\d{1,9})", r"^{\1}"),
    )
)
_PLUS_OR_MINUS = lazy_pattern(r"(?<=[\w})]) ?\+/- ?| \+- ")
_LITERAL = lazy_pattern(r"(?i:0(x)([0-9a-f]{1,16})|0([bo])([0-7]{1,64}))")
_SPACES = lazy_pattern(r"\s+")
_PLAIN_POWER = lazy_pattern(r"\*\*(?=[\d(a-zA-Z{-])")
_PLAIN_FUNCTION = lazy_pattern(
    rf"(?<![\\A-Za-z])(?:(np|[Mm]ath|numpy|sympy|sp|cmath)\.)?(?:({FUNCTION_NAMES}|{'|'.join(_OTHER_NAMES)})"
    rf"(?= ?\(| ?\d|\^[{{(]?-?\d| [a-z]\b| ?\\| ?\||(?<=log)_)|({NAMES_OF_SEVERAL})(?= ?\())"
)
_INVERSE = lazy_pattern(r"\\(sin|cos|tan|cot|sec|csc)\^\{ ?-1 ?\}")
_GREEK_NAME = lazy_pattern(
    r"(?<![\\A-Za-z])(alpha|beta|gamma|delta|epsilon|theta|lambda|mu|rho|sigma|tau|phi|psi|omega)(?![A-Za-z])"
)
_SIGNS_ONLY = lazy_pattern(
    rf"(?:(?:(?:{FUNCTION_NAMES}|pi|frac|cdot|times|pm)|[A-Za-z])(?![A-Za-z])|[^A-Za-z])*"
)
_PLAIN_SQRT = lazy_pattern(r"(?<![\\A-Za-z])(?:(?:np|[Mm]ath|sympy|sp)\.)?(cb|sq)rt(?![A-Za-z])")
_PLAIN_CONSTANT = lazy_pattern(
    r"(?<![\\A-Za-z])(?:(?:np|math|numpy)\.)?(pi|Pi|PI|oo|(?i:infinity|infty|inf))(?![A-Za-z])"
)
_CONSTANTS = {"pi": r"\pi ", "infinity": r"\infty ", "infty": r"\infty ", "oo": r"\infty ", "inf": r"\infty "}
_SPACE_BEFORE_SCRIPT = lazy_pattern(r" (?=[\^_])")
_SLASH_BEFORE_A_LETTER = lazy_pattern(
    r"(?<![\w.^/}{])(\d{1,9})/(\d{1,9})(?= ?[A-Za-z](?![A-Za-z])|([a-z]{2,3})(?![A-Za-z])|\([^()]*[a-z]"
    r"| ?\\(?:pi|sqrt|sin|cos|tan|ln|log|theta|alpha|beta|lambda|omega|hbar)(?![A-Za-z]))"
)
_TRIGONOMETRIC = lazy_pattern(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_DEGREES = lazy_pattern(r"(\d+(?:\.\d+)?) degrees ?")


def respell(text: str) -> str:
    """The text in one spelling: ASCII, plain LaTeX, explicit braces, single spaces."""
    roman = False
    if not _PLAIN.fullmatch(text):
        text, roman = plain_latex(text)
    text = without_delimiters(_SPACES.sub(" ", text))
    if "+" in text:
        text = _PLUS_OR_MINUS.sub(r" \\pm ", text)
    text = _LITERAL.sub(_base, text) if text.startswith("0") else text
    if "_" in text or text.count(".") > 1:
        text = _GROUPED.sub(lambda match: match[0].replace("_", "").replace(".", ""), text)
    text = _POINT_BEFORE_A_SIGN.sub("", _PLAIN_POWER.sub("^", text))
    if "log" in text or "abs" in text:
        text = _PLAIN_LOGARITHM.sub(r"\\log_{\1}", text)
        text = _PLAIN_ABSOLUTE.sub(r"|\1|", text)
    if "(" in text or "C" in text or "." in text or "choose" in text:
        for pattern, replacement in _CALLS:
            text = pattern.sub(replacement, text)
    text = _greek(text)
    text = _PLAIN_FUNCTION.sub(_function, text)
    text = _PLAIN_SQRT.sub(lambda match: r"\sqrt" if match[1] == "sq" else r"\sqrt[3]", text)
    text = _PLAIN_CONSTANT.sub(lambda match: _CONSTANTS[match[1].lower()], text)
    text = _SPACE_BEFORE_SCRIPT.sub("", _SPACES.sub(" ", with_braces(text))).strip()
    text = _INVERSE.sub(r"\\arc\1 ", text) if "-1" in text else text
    text = _SLASH_BEFORE_A_LETTER.sub(_fraction, text)
    if "degrees" in text and _TRIGONOMETRIC.search(text):
        text = _DEGREES.sub(r"\\frac{\1\\pi}{180}", text)
    text = with_units_apart(text, roman)
    return _SPACES.sub(" ", text) if roman else text


def _base(match: re.Match[str]) -> str:
    """`0x1A` and `0b101` with their base behind them."""
    return f"{match[2].upper()}_{{16}}" if match[1] else f"{match[4]}_{{{2 if match[3] in 'bB' else 8}}}"


def _greek(text: str) -> str:
    """Names of Greek letters as commands, where nothing else is a word: not in `alpha male`."""
    rest, count = _GREEK_NAME.subn(" ", text)
    return _GREEK_NAME.sub(r"\\\1 ", text) if count and rest.strip() and _SIGNS_ONLY.fullmatch(rest) else text


def _function(match: re.Match[str]) -> str:
    module, name, of_several = match.groups()
    if module and name == "log":
        return r"\ln"
    return f"\\{of_several or _OTHER_NAMES.get(name, name)}"


def _fraction(match: re.Match[str]) -> str:
    r"""`2/3x` is two thirds of x, not two over 3x; `2/3 m` may be a length and stays."""
    after = match.string[match.end() : match.end() + 2]
    is_unit = match[3] and read_unit(match[3], in_text_command=True)
    may_be_unit = (
        after.startswith(" ")
        and after != " \\"
        and (after[1:] in "aAI" or read_unit(after[1:], in_text_command=True))
    )
    if may_be_unit or not after.isascii() or is_unit:
        return match[0]
    return rf"\frac{{{match[1]}}}{{{match[2]}}}"
