"""One spelling for the many ways to write the same thing: Unicode, LaTeX noise, braces.

`respell` is pure and linear: a fixed number of passes, each a linear regex or one scan.
"""

from __future__ import annotations

import re

from sampleset.answers.maths.patterns import lazy_pattern

MAX_DEPTH = 40
"""Braces and parentheses nested deeper than this are not read."""

_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "θ": "theta", "λ": "lambda",
    "μ": "mu", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "ω": "omega", "Δ": "Delta", "Ω": "Omega",
}  # fmt: skip
_FRACTIONS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5",
    "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−–‐‑﹣-", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2008\u2009\u202f\u3000\x00", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
        **{sign: f" {ratio}" for sign, ratio in _FRACTIONS.items()},
        **{sign: f"^{power} " for power, sign in enumerate(_SUPERSCRIPTS)},
        **{sign: f"\\{name} " for sign, name in _GREEK.items()},
        "π": r"\pi ", "∞": r"\infty ", "√": "sqrt ", "∛": r"\sqrt[3] ", "×": r"\times ", "·": r"\cdot ",
        "⋅": r"\cdot ", "÷": "/", "⁄": "/", "∕": "/", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
        "≈": r"\approx ", "±": r"\pm ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "°": r"^\circ ",
        "℃": r"^\circ C", "℉": r"^\circ F",
        "∅": r"\emptyset ", "“": '"', "”": '"', "‘": "'", "’": "'", "，": ", ", "（": "(", "）": ")",
    }
)  # fmt: skip

_SUBSTITUTIONS = tuple(
    (lazy_pattern(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|bigl|bigr|Bigl|Bigr|big|Big|displaystyle|textstyle|limits)(?![A-Za-z])\.?", ""),
        (r"\\!|\\phantom\{[^{}]*\}", ""),
        (r"\{,\}", ","),
        (r"(?<=\d)\\[,;:] ?(?=\d{3}(?!\d))", ""),
        (r"(?<!\\)\\[,;: ]|\\q?quad(?![A-Za-z])|~|\\newline|\\hspace\{[^{}]*\}", " "),
        (r"(?<!\\)\\([%$#&_])", r"\1"),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:leqslant|leq)(?![A-Za-z])|<=", r"\\le "),
        (r"\\(?:geqslant|geq)(?![A-Za-z])|>=|=>", r"\\ge "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\(?:neq)(?![A-Za-z])|!=", r"\\ne "),
        (r"\\(?:lbrace)(?![A-Za-z])", r"\\{"),
        (r"\\(?:rbrace)(?![A-Za-z])", r"\\}"),
        (r"\\colon(?![A-Za-z])", ":"),
        (r"\\div(?![A-Za-z])", "/"),
        (r"\\iff?(?![A-Za-z])", " "),
        (r"\^\s?\{?\s?\\(?:circ|degree)(?![A-Za-z])\s?\}?|\\degree(?![A-Za-z])", " degrees "),
        (r"\\l?dots(?![A-Za-z])|…", "..."),
    )
)
_TEXT = lazy_pattern(
    r"\\(?:text|mbox|textbf|textit|textrm|mathrm|mathbf|mathit|mathbb|operatorname|emph|hbox)\*?\s?\{([^{}]*)\}"
)
_UNIT_LETTER = lazy_pattern(
    r"(?<=[\d}])\s*\\(?:text|textrm|mbox|mathrm)\s?\{\s*([NJKWV])\s*\}(?!\s*[\w^\\({])"
)
UNIT_LETTERS = {"N": "newton", "J": "joule", "K": "kelvin", "W": "watt", "V": "volt"}
"""Units that are read in a text command only: in mathematics such a letter is a variable."""
_SPACES = lazy_pattern(r"\s+")
_TOKEN = lazy_pattern(r"\\[A-Za-z]+|\\.|\d+|\s+|.", re.DOTALL)
_PLAIN_POWER = lazy_pattern(r"\*\*(?=[\d(a-zA-Z{-])")
_PLAIN_SQRT = lazy_pattern(r"(?<![\\A-Za-z])sqrt(?![A-Za-z])")
_PLAIN_CONSTANT = lazy_pattern(r"(?<![\\A-Za-z])(pi|(?i:infinity|infty|inf))(?![A-Za-z])")
_CONSTANTS = {"pi": r"\pi ", "infinity": r"\infty ", "infty": r"\infty ", "inf": r"\infty "}
_SPACE_BEFORE_SCRIPT = lazy_pattern(r" (?=[\^_])")
_PAIRS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"), ('"', '"'))
_BOX = lazy_pattern(r"\\(?:boxed|fbox)\s?\{")


def respell(text: str) -> str:
    """The text in one spelling: ASCII, plain LaTeX, explicit braces, single spaces."""
    text = _unwrap(text.translate(_CHARACTERS))
    for pattern, replacement in _SUBSTITUTIONS:
        text = pattern.sub(replacement, text)
    text = _UNIT_LETTER.sub(lambda found: f" {UNIT_LETTERS[found[1]]} ", text)
    for _ in range(3):
        if "{" not in text:
            break
        text = _TEXT.sub(r" \1 ", text)
    text = _unwrap(_SPACES.sub(" ", text))
    text = _PLAIN_POWER.sub("^", text)
    text = _PLAIN_SQRT.sub(r"\\sqrt", text)
    text = _PLAIN_CONSTANT.sub(lambda found: _CONSTANTS[found[1].lower()], text)
    return _SPACE_BEFORE_SCRIPT.sub("", _SPACES.sub(" ", _brace(text))).strip()


def too_deep(text: str) -> bool:
    """Whether brackets nest deeper than `MAX_DEPTH`."""
    depth = 0
    for character in text:
        if character in "{([":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif character in "})]" and depth:
            depth -= 1
    return False


def balanced(text: str) -> bool:
    """Whether every bracket closes, whichever way: `(0,1]` is balanced."""
    depth = 0
    for character in text:
        depth += (character in "{([") - (character in "})]")
        if depth < 0:
            return False
    return depth == 0


def squeeze(text: str) -> str:
    """Respelt text without spaces, but for those that keep two tokens apart."""
    pieces: list[str] = []
    before = ""
    for token in _TOKEN.findall(text):
        if token.isspace():
            continue
        after_command = len(before) > 1 and before[0] == "\\" and before[1].isalpha()
        if (after_command and token[0].isalpha()) or (before.isdigit() and token.isdigit()):
            pieces.append(" ")
        pieces.append(token)
        before = token
    return "".join(pieces)


def closing(text: str, start: int) -> int:
    """Place of the bracket that closes the one at `start`, or -1."""
    depth = 0
    place = start
    while place < len(text):
        character = text[place]
        if character == "\\":
            place += 2
            continue
        if character in "{([":
            depth += 1
        elif character in "})]":
            depth -= 1
            if depth == 0:
                return place
        place += 1
    return -1


def split_top(text: str, separators: str) -> list[str]:
    """The text cut at separators (single characters) that stand outside all brackets."""
    parts: list[str] = []
    depth = start = 0
    escaped = False
    for place, character in enumerate(text):
        if character == "\\" and not escaped:
            escaped = True
            continue
        if character in "{([":
            depth += 1
        elif character in "})]":
            depth -= 1
        elif character in separators and depth <= 0 and not escaped:
            parts.append(text[start:place])
            start = place + 1
        escaped = False
    parts.append(text[start:])
    return [part.strip() for part in parts]


def _unwrap(text: str) -> str:
    r"""Without the delimiters around the whole: `$`, `\(`, `**`, quotes, boxes, a full stop."""
    for _ in range(8):
        before = text
        text = text.strip()
        for opening, ending in _PAIRS:
            inner = text[len(opening) : -len(ending)]
            if (
                text.startswith(opening)
                and text.endswith(ending)
                and inner.strip()
                and opening not in inner
                and ending not in inner
            ):
                text = inner.strip()
        box = _BOX.match(text)
        if box and closing(text, box.end() - 1) == len(text) - 1:
            text = text[box.end() : -1]
        if text.endswith((".", ",", ";")) and not text.endswith((r"\,", r"\;", "...")):
            text = text[:-1]
        if text == before:
            break
    return _drop_dollar_pairs(text)


def _drop_dollar_pairs(text: str) -> str:
    """Without math delimiters inside a text; a lone `$` is a currency sign and stays."""
    text = text.replace(r"\(", " ").replace(r"\)", " ") if r"\(" in text else text
    text = text.replace(r"\[", " ").replace(r"\]", " ") if r"\[" in text else text
    dollars = text.count("$") - text.count(r"\$")
    if dollars < 2 or dollars % 2:
        return text
    return text.replace(r"\$", "\x01").replace("$", "").replace("\x01", r"\$")


def _brace(text: str) -> str:
    r"""Explicit braces around the arguments of `\frac`, `\sqrt`, `^` and `_`."""
    if not any(mark in text for mark in ("\\frac", "\\sqrt", "\\binom", "^", "_")):
        return text
    tokens: list[str] = _TOKEN.findall(text)
    output: list[str] = []
    # One entry per open brace: how many arguments were still due when it opened.
    stack: list[int] = []
    due = 0
    whole_number = False
    # Places where a parenthesis given as an argument closes; it is rewritten as a brace.
    closers: set[int] = set()
    match = _parentheses(tokens)
    place = 0
    while place < len(tokens):
        token = tokens[place]
        place += 1
        if token.isspace() and due:
            continue
        if place - 1 in closers:
            output.append("}")
            due = stack.pop() if stack else 0
        elif token == "{":
            stack.append(due - 1 if due else 0)
            due = 0
            output.append(token)
        elif token == "}":
            output.append(token)
            due = stack.pop() if stack else 0
        elif token in ("\\frac", "\\binom", "\\sqrt", "^", "_"):
            if due:
                # `2^\frac12`: the argument is itself a construct; leave its outer braces out.
                due = 0
            output.append(token)
            due = 2 if token in ("\\frac", "\\binom") else 1
            whole_number = token not in ("\\frac", "\\binom")
            if token == "\\sqrt" and place < len(tokens) and tokens[place] == "[":
                while place < len(tokens) and tokens[place] != "]":
                    output.append(tokens[place])
                    place += 1
                if place < len(tokens):
                    output.append("]")
                    place += 1
        elif not due:
            output.append(token)
        elif token == "(" and whole_number and match.get(place - 1):
            output.append("{")
            stack.append(due - 1)
            due = 0
            closers.add(match[place - 1])
        elif token in "+-" and whole_number and place < len(tokens) and tokens[place].isalnum():
            output.append("{" + token + tokens[place] + "}")
            place += 1
            due -= 1
        elif token.isdigit() and not whole_number:
            taken = token[:due]
            output.extend("{" + digit + "}" for digit in taken)
            output.append(token[due:])
            due -= len(taken)
        else:
            output.append("{" + token + "}")
            due -= 1
    return "".join(output)


def _parentheses(tokens: list[str]) -> dict[int, int]:
    """Place of each opening parenthesis and of the one that closes it."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for place, token in enumerate(tokens):
        if token == "(":
            opened.append(place)
        elif token == ")" and opened:
            pairs[opened.pop()] = place
    return pairs
