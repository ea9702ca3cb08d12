"""The answer of a text that marks none: an opening "Yes,", a repeated result, a number of its last sentence.

A guess by rule. It leaves out working in parentheses and a check that follows the conclusion, and
reads of "She needs 6 more to have 25" the 6.
"""

from __future__ import annotations

import re

from sampleset.answers.maths.forms.canonical import read
from sampleset.answers.maths.forms.members import letters_of
from sampleset.answers.maths.forms.words import FUNCTIONS
from sampleset.answers.maths.numbers.counts import SPELT
from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reading.closings import CONCLUSION, without_closing, without_place
from sampleset.answers.maths.reading.no_answers import states_no_answer
from sampleset.answers.maths.reading.sentences import (
    CLAUSE,
    GRID,
    MAX_SENTENCE,
    NUMBER,
    NUMBER_TEXT,
    SIDE,
    last_sentence,
    main_clause,
    number_of_sentence,
    without_contrast,
    without_purpose,
    without_working,
)
from sampleset.answers.maths.reading.stated_shares import amount_in_words
from sampleset.answers.maths.reading.stated_solutions import (
    AND_OR,
    PROSE,
    ends_in_solutions,
    stated_solutions,
)
from sampleset.answers.maths.reading.stated_times import stated_time
from sampleset.answers.maths.spelling.brackets import balanced

_RESULT = lazy_pattern(
    rf"(?:[=≈≥≤]|\\(?:approx|geq?|leq?))\s*(?:\*\*|\$(?=\d{{0,9}} ?\\[dt]?frac))?({NUMBER_TEXT})"
    r"(?!\s?(?:[-−+*/×÷·]|\\(?:times|cdot|div))\s?[\d$(])"
)
"""A number that a calculation ends in, and none that it goes on with: of `= 85 / 17 = 5`, 5."""
_OPENING_YES_NO = lazy_pattern(r"\W{0,4}(yes|no)\b(?=[,.;:!]|\W*$)", re.IGNORECASE)
_TRUTH = lazy_pattern(
    r"(?:^|\b(?:statement|claim|proposition|conjecture|assertion|sentence|equation|inequality) is )"
    r"(?:therefore )?(true|false)[\s.!]*$"
    r"|\b(?:function|number|integer|sum|product|result) is (?:therefore )?(even|odd)[\s.!]*$",
    re.IGNORECASE,
)
_TURNS_AROUND = lazy_pattern(
    r"[=?]|\b(?:therefore|thus|hence|so|total|altogether|wait|actually|but|then|leaves|left|answer)\b",
    re.IGNORECASE,
)
"""What a text that states its answer first does not hold behind it."""
_VERB = lazy_pattern(
    r"(?:^|\b(?:is|are|was|equals?|equal to|gives?(?: us)?|given by|gets?|obtain|yields?|find|have|be|becomes"
    r"|(?:up|left) with|that['’]s"
    r"|as|leaves|at|needs?|takes?|requires?|(?:simplifies|reduces|evaluates|comes|amounts|converges|tends) to"
    r"|length|area|radius|volume"
    r"|equation|slope|coordinates|point|vertex|center|centre)"
    r"(?: (?:exactly|approximately|about|simply|therefore|thus|only|at least|at most))?|[=:为是為])\s*[*_]*$",
    re.IGNORECASE,
)
_VERB_OF_RESULT = (
    r"(?:is|are|be|equals|gives(?: us)?|becomes|(?:rounds|simplifies|comes|amounts|rounded(?: up| down)?) to)"
)
_RESULT_AT_END = lazy_pattern(
    rf"\b{_VERB_OF_RESULT} (?:therefore |thus |then |simply )?[$*\\(]{{0,4}}?({NUMBER_TEXT})"
    r"(?:\\?[$*)]){0,3}[\s.!]*$"
)
"""A number that a sentence ends in, behind its verb: `4.8 rounds to 5`."""
_DECIMAL_COMMA = lazy_pattern(
    r"(\b(?:ist|est|es|beträgt|vale|sind|sont|son|reste(?:nt)?|bleibt|bleiben|braucht|benötigt|kostet|wiegt"
    r"|coûte|mesure|pèse|faut|quedan|cuesta|necesita|mide|pesa)"
    r" (?:(?:donc|also|daher|somit|dann|alors|encore|noch|nur|entonces|quindi) ){0,2})"
    r"(-?\d{1,9}),(\d{1,2})(?![\d,])"
)
_LONE_LINE = lazy_pattern(rf"\s*[*_$]{{0,4}}({NUMBER_TEXT})[*_$.]{{0,4}} ?\n\s*(?=[A-Za-z]{{2,}} ?[A-Za-z:])")
_MAX_FORMULA = 200
_MAX_PLAIN = 80
_PLAIN_START = lazy_pattern(
    r".*(?:\b(?:is|are|be|at|has (?:the )?equation|(?:needs?|takes?|requires?)(?: at (?:least|most))?"
    r"|equals|equal to|get|gives?|giving|have|obtain|as|becomes|so|hence|thus"
    r"|therefore|then"
    r"|(?:out|simplifies|factors|reduces) (?:to|as))\b,?|:)\s+",
    re.IGNORECASE,
)
_UNIT_AT_END = lazy_pattern(
    r" (?:(?:square|cubic|sq\.?|cu\.?) [a-z]{1,12}|units?|radians|(?<!\d )[cmk]?m[²³]?)$"
)
_NOUN_AT_END = lazy_pattern(r"(?<=[\w)!]) [a-z]{3,15}$")
_OPERATOR = lazy_pattern(r"[-+*/^!(√]")
_BEFORE_RELATION = lazy_pattern(r".*, (?=[A-Za-z] ?[<>≤≥]=? ?-?[\d.,/]+[\s.]*$)")
_ARITHMETIC = lazy_pattern(r"[\d.\s(*/^×÷+-]*\d[\s)]*[*/^×÷+-][\d.\s()*/^×÷+-]*")
_TWO_LETTERS = lazy_pattern(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_HAS_LETTER = lazy_pattern(r"(?<![A-Za-z])(?:[A-Za-zπθ]|pi|ln|log|sqrt)(?![A-Za-z])|[√!{∞∪]|\\[a-z]")
_NO_FORMULA = lazy_pattern(
    r"[$%€]|\\[()\[]|boxed|^[A-Za-z][.):] |[-+*/=^]$"
    r"|^[-+]?[\d.,]+ ?[A-Z]$|(?<![A-Za-z])(?:[aAI](?= [A-Za-z\d])"
    r"|[A-Z](?= [A-Z])|x(?= \d))"
)
_MATH = lazy_pattern(
    r"\$\$(.+?)\$\$|(?<![\\$])\$(?=\S)([^$\n]{1,200}?)(?<=[^\s=+*(-])(?<! x)\$(?![\d$])|\\\((.+?)\\\)"
    r"|\\\[(.+?)\\\]",
    re.DOTALL,
)
_COMMAND = lazy_pattern(r"\\(?:[dt]?frac|sqrt|pi|binom)(?![A-Za-z])")
_IS_MATHS = lazy_pattern(r"[\\^=<>!(\[{]|(?<=\d)_|(?<![A-Za-z])[A-Za-z](?![A-Za-z])")
_TUPLE_AT_END = lazy_pattern(
    r"(?:\b(?:is|are|at|be|equals|points?|coordinates|vertex|pair)|[=:])"
    r" ?([(\[][^()\[\]\n]{1,60},[^()\[\]\n]{1,60}[)\]])[.\s]*$"
)
_ROWS_AT_END = lazy_pattern(
    r"\\\\\s*((?:[^\\\n]|\\(?!\\|end)){1,200})(?:\\\\)?\s*"
    r"\\end\{(?:align\*?|aligned|gather\*?|gathered|eqnarray\*?|split)\}(?:\s|\$\$|\\\]|\.){0,9}$"
)
"""The last row of a calculation that a text ends in."""
_STEP = lazy_pattern(r"^[ \t#*]{0,9}Step \d{1,2}\b", re.IGNORECASE | re.MULTILINE)
_SO_AT_START = lazy_pattern(r"^(?:so|thus|hence|therefore|finally),?\s+", re.IGNORECASE)
_RELATED = lazy_pattern(r"[<>]|\\(?:leq?|geq?|leqslant|geqslant|in|neq?|lt|gt)(?![A-Za-z])")
_CONCLUDES = lazy_pattern(
    r"(?:^|\b(?:so|hence|thus|therefore|that|get|have|obtain|conclude|find|implies|means))\W{0,3}$",
    re.IGNORECASE,
)
_GIVES_REASON = lazy_pattern(r"(?:since|because|as)\b", re.IGNORECASE)
_JOINED = lazy_pattern(r"[\s,;]{0,9}(?:and|or|,|;|[或和及])?[\s,;]{0,9}")
_SUPPOSES = lazy_pattern(r"\b(?:since|for|when|if|where|because|as|with|let)\s*$", re.IGNORECASE)
_WHOLE_KINDS = frozenset((
    "parens", "brackets", "list", "interval", "union", "inequality", "matrix", "ratio", "region", "residue",
))  # fmt: skip
_COLLECTIONS = frozenset(("matrix", "parens", "brackets", "list", "interval", "union"))
_NAMES_EQUATION = lazy_pattern(
    r"\b(?:equation|circle|line|curve|parabola|ellipse|hyperbola|plane|locus|sphere|graph|asymptote)s?\b[^.\n]{0,60}?"
    r"\b(?:is|are|becomes|has (?:the )?equation):? (?:therefore |given by |simply )?[$\\(\[]{0,3}$"
)
_SUMMED = lazy_pattern(r"\\(?:int|sum|prod|lim)(?![a-z])")
_IN_BASE = lazy_pattern(r"[\dA-F]+_\{?\d{1,2}\}?")
_SOLVED = lazy_pattern(r"[A-Za-z] ?=")
_DOMAIN = lazy_pattern(r"\b(?:in|on|over|within|between|where|with|interval)(?: the interval)? [$\\(]{0,2}$")
_ALL_OF = lazy_pattern(r",? for (?:all|any|every|each) [^.\n]{1,40}$")
_OR_ASIDE = lazy_pattern(r" \((?:or|i\.e\.,?|about|approximately|which is) [^()\n]{1,80}\)")
_SPLIT_UNIT = lazy_pattern(r"(?<=[$\d]) ?(?:[ckm]?m|in|ft|units?) ?\$\^\{?[23]\}?\$")


def _with_decimal_points(text: str) -> str:
    """The text with a decimal point in the amount that a European sentence states: `ist 0,75`."""
    return _DECIMAL_COMMA.sub(r"\1\2.\3", text)


def answer_of_unmarked(text: str) -> tuple[str, str] | None:
    """The answer and the rule that found it: `yes_no`, `formula`, `last_result` or `last_number`."""
    answer = _yes_or_no(text)
    if answer:
        return answer
    if GRID.fullmatch(text.strip()):
        return text.strip(), "formula"
    lone = _LONE_LINE.match(text)
    if lone and len(text) - lone.end() <= MAX_SENTENCE and not _TURNS_AROUND.search(text, lone.end()):
        return lone[1].strip(), "last_number"
    if states_no_answer(last_sentence(text).strip()):
        return None
    text = _with_decimal_points(text)
    text = without_place(without_contrast(without_closing(text)))
    formula = _formula(text)
    if formula and r"\boxed" not in formula:  # such a box is empty
        return formula, "formula"
    return _last_result(text) or _last_number(text)


def _formula(text: str) -> str | None:
    """A text that is nothing but mathematics, or the formula that its last sentence states.

    Formulas side by side (`$x = 2$ or $x = 9$`) are a list. A plain number is left to the rules for numbers.
    """
    formula = text.strip().strip("*`")
    formula = _SO_AT_START.sub("", formula)
    words = AND_OR.sub("", _MATH.sub("", formula))
    if ends_in_solutions(formula[-_MAX_FORMULA:]):
        pass
    elif len(formula) <= _MAX_FORMULA and "\n" not in formula and not PROSE.search(words):
        form = read(formula)
        written = form.kind in ("expression", "number") and "\\" in formula and form.latex
        of_words = any(part.kind == "words" for part in form.parts)
        written = written or (form.kind == "expression" and form.latex and _ARITHMETIC.fullmatch(formula))
        if (form.kind in _WHOLE_KINDS and not of_words) or written or _is_plain_formula(formula):
            return _end_of_chain(formula.rstrip("."))
    several = stated_solutions(text)
    if several:
        return several
    sentence = last_sentence(text)
    if rows := _ROWS_AT_END.search(text[-MAX_SENTENCE:]):
        sentence = f"${rows[1].replace('&', '').strip(' ,.=')}$"
    time = stated_time(sentence)
    if time:
        return time
    point = _TUPLE_AT_END.search(sentence)
    if point and "$" not in sentence and read(point[1]).kind in _WHOLE_KINDS:
        return point[1]
    return _formula_of_sentence(sentence) or _plain_formula(sentence)


def _end_of_chain(formula: str) -> str:
    r"""Of `\int x\,dx = a - b = c` the last member, where the first is no name."""
    plain = formula.strip("$ .").removeprefix(r"\[").removesuffix(r"\]").strip(" .")
    first, last = plain.partition("=")[0], plain.rpartition("=")[2]
    is_chain = plain.count("=") > 1 and "," not in last and _SUMMED.search(first)
    return last.strip() if is_chain and read(last).kind in ("number", "expression") else formula


def _plain_formula(sentence: str) -> str | None:
    """A formula without marks around it that a sentence ends in: `The area is 36π square units`."""
    start = _BEFORE_RELATION.match(sentence) or _PLAIN_START.match(sentence)
    if not start or any(sign in sentence for sign in ("$", "%", "€", "\\(")):
        return None
    tail = _UNIT_AT_END.sub("", sentence[start.end() :].rstrip(" .!"))
    tail = re.sub(r"(?<=[√π]\d) [ckm]?m$|(?<=π) [ckm]?m$", "", tail)
    counted = _NOUN_AT_END.sub("", tail)  # "2^n subsets"
    tail = counted if _OPERATOR.search(counted) else tail
    left, sign, right = tail.rpartition("=") if not _RELATED.search(tail) else ("", "", "")
    if not _is_plain_formula(tail):
        is_identity = sign and letters_of(left) == letters_of(right) and _is_plain_formula(left.strip())
        return right.strip() if is_identity and _is_plain_formula(right.strip()) else None
    if _NAMES_EQUATION.search(sentence, 0, start.end()):
        return tail
    return right.strip() if sign and read(right).number and not read(tail).equation else tail


def _is_plain_formula(text: str) -> bool:
    """Whether a text is one formula with a letter or a root in it, and neither a sentence nor an amount."""
    if len(text) > _MAX_PLAIN or not _HAS_LETTER.search(text) or _NO_FORMULA.search(text):
        return False
    if not balanced(text) or text.count("|") % 2:
        return False
    if any(word.lower() not in FUNCTIONS and word != "pi" for word in _TWO_LETTERS.findall(text)):
        return text.startswith("{") and read(text).kind == "list"
    form = read(text)
    if form.kind == "expression":
        return bool(form.latex) and ("=" not in text or bool(form.equation) or len(letters_of(text)) > 1)
    return form.kind in _WHOLE_KINDS and form.kind != "list"


def _formula_of_sentence(sentence: str) -> str | None:
    sentence = _OR_ASIDE.sub("", _SPLIT_UNIT.sub("", sentence.rstrip(" .!。！")))
    if "$" in (shorter := _ALL_OF.sub("", sentence)):
        sentence = shorter
    spans = [
        (match.start(), match.end(), content.strip().rstrip("."))
        for match in _MATH.finditer(sentence)
        if (content := next(filter(None, match.groups()))).strip() and not PROSE.search(content)
    ]
    if not spans:
        return None
    begin, _, content = spans[-1]
    contents = [content]
    for start, end, earlier in reversed(spans[:-1]):
        if not _JOINED.fullmatch(sentence, end, begin) or end == begin:
            break
        if sentence[end:begin].strip() == "," and _SUPPOSES.search(sentence, 0, start):
            break  # "since $x > 0$, $x = 3$"
        begin = start
        contents.insert(0, earlier)
    if CONCLUSION.search(sentence, spans[-1][1]) and NUMBER.search(sentence, spans[-1][1]):
        return None  # "$f(0) = 0$; therefore there are 3 of them"
    if len(contents) > 1 and _SOLVED.match(content) and not all(map(_SOLVED.match, contents)):
        return content  # of "$2x = 7$, $x = 3.5$" the last
    if len(contents) > 1:
        return (
            ", ".join(contents)
            if all(read(content).kind not in ("words", "opaque") for content in contents)
            else None
        )
    form = read(content)
    if form.kind == "letter" and NUMBER.search(sentence):
        return None
    if _DOMAIN.search(sentence, 0, begin) and NUMBER.search(sentence[:begin]):
        return None  # "12 solutions in $[0, 2\pi)$"
    ends = not sentence[spans[-1][1] :].strip(" .!")
    # The last number of `\frac{7}{9}` is part of it.
    is_last = len(spans) == 1 and ends and _COMMAND.search(content)
    outside = f"{sentence[:begin]} {sentence[spans[-1][1] :]}"
    is_alone = len(spans) == 1 and form.kind == "expression" and not NUMBER.search(outside)
    if is_alone and "=" not in content and form.latex and NUMBER.search(content):
        return content  # of "we need at least $2^n - 1$ moves", not 1
    if len(spans) == 1 and ends and _RELATED.search(content) and _CONCLUDES.search(sentence[:begin]):
        return content
    if (
        len(spans) > 1
        or not _IS_MATHS.search(content)
        or not ("=" in content or is_last or _VERB.search(sentence[:begin]))
    ):
        return _stated(sentence, spans)
    _, sign, right = content.rpartition("=")
    if sign and _NAMES_EQUATION.search(sentence, 0, begin):
        return content
    if content.count("=") == 1 and read(right).kind in _COLLECTIONS and not form.equation:
        return right.strip()
    if sign and read(right).number and not form.equation and not form.number:
        return right.strip()
    return (
        None
        if form.number and not form.equation and not ("\\" in content or _IN_BASE.fullmatch(content))
        else content
    )


def _stated(sentence: str, spans: list[tuple[int, int, str]]) -> str | None:
    """Of several formulas, the one that follows a verb and ends the sentence."""
    begin, end, content = spans[-1]
    if r"\pm" in content and _SOLVED.match(content) and not sentence[end:].strip():
        return content
    if not _IS_MATHS.search(content) or (read(content).number and "\\" not in content):
        return None
    return content if _VERB.search(sentence[:begin]) and len(sentence[end:].split()) <= 3 else None


def _yes_or_no(text: str) -> tuple[str, str] | None:
    """A last line that opens with "Yes," or "No,", or says "The statement is false"."""
    lines = text.strip().splitlines()
    match = _OPENING_YES_NO.match(lines[-1]) if lines else None
    if match:
        return match[1], "yes_no"
    word = _TRUTH.search(last_sentence(lines[-1].strip(" *`"))) if lines else None
    return (word[1] or word[2], "yes_no") if word else None


def _last_result(text: str) -> tuple[str, str] | None:
    """The last number that a calculation ends in (`x = 6258`) and the last sentence repeats.

    "Therefore, she invested $6258 at 8%" closes with a number that is not the answer.
    """
    near = text.rstrip()
    last = last_sentence(near)
    sentence = without_working(last)
    at_end = _RESULT_AT_END.search(sentence)
    if at_end and not CLAUSE.search(sentence, 0, at_end.start()):
        is_formula = sentence[at_end.end(1) :].startswith("$")
        return at_end[1].strip().removeprefix("$" if is_formula else " "), "last_result"
    sentence = without_purpose(sentence)
    if _GIVES_REASON.match(sentence):  # "if she sells $5000, both are the same" may state the answer first
        sentence = main_clause(sentence)
    spellings = {_value(number): number for number in NUMBER.findall(sentence)}
    for match in reversed(list(_RESULT.finditer(near[: len(near) - len(last)] + sentence))):
        if _value(match[1]) in spellings:
            return spellings[_value(match[1])].strip(), "last_result"
    return None


def _value(number: str) -> str:
    return read(number).text.split(" ")[0]


def _last_number(text: str) -> tuple[str, str] | None:
    """The number of the last sentence, else the last one, in digits or else in words."""
    text = _STEP.sub("", text)
    sentence = without_working(last_sentence(text))
    worded = amount_in_words(sentence)
    if worded:
        return worded, "last_number"
    stated = number_of_sentence(sentence)
    for numbers in ([stated] if stated else [], NUMBER.findall(sentence), NUMBER.findall(text)):
        if numbers:
            return numbers[-1].strip(), "last_number"
    words = list(SPELT.finditer(text.lower()))
    if not words:
        return None
    near = [match for match in words if match.start() >= len(text) - len(last_sentence(text))]
    explained = len(near) > 1 and SIDE.search(text[near[0].end() : near[1].start()])
    return (near[0] if explained else words[-1])[0], "last_number"
