"""Answers in words: which texts are words and no mathematics, and one text for words that say the same."""

from __future__ import annotations

import re

from sampleset.answers.maths.numbers.dates import DAYS, MONTHS
from sampleset.answers.maths.patterns import lazy_pattern

FUNCTIONS = frozenset([
    "sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "pi", "max", "min", "gcd",
    "lcm", "mod", "det", "arcsin", "arccos", "arctan", "arccot", "sinh", "cosh", "tanh", "floor", "ceil",
])  # fmt: skip
"""Words that mathematics is written with."""
WORD = lazy_pattern(r"(?<![\w\\])[^\W\d_]{2,}(?![\w(^_])")
_SHORT_WORDS = frozenset([
    "no", "am", "pm", "na", "ok", "an", "as", "at", "by", "he", "in", "is", "it", "of", "on", "or", "to",
    "up", "us", "we", "无解", "無解",
])  # fmt: skip
_WORDS = lazy_pattern(r"[\w '\".,:;!?&()/$%#@-]*")
_PRODUCT = lazy_pattern(r"[A-Za-z]{1,4}")
_UNSAID = lazy_pattern(r"(?<=determined)(?:from|with|by|without)[a-z]{1,60}$")
"""What a text adds to "cannot be determined"."""
_NOTHING = lazy_pattern(
    r"(?:(?:the|this)(?:equation|system|inequality))?(?:thereis|thereare|has|have|ithas|wehave)?no((?:real|integer|positive|negative|complex|such)?)"
    r"(?:(solution|value|number)|root|(?<=such)(?:integer|function|pair|point|polynomial|triangle|prime))s?(?:exists?)?"
)
_MISSING = lazy_pattern(r"(?:thelimit|limit|it)?(?:doesnotexist|doesn'texist|dne|d\.n\.e)")
_ENDLESS = lazy_pattern(
    r"(?:thereare)?(?:infinitelymany(?:solutions?)?|(?:an)?infinite(?:number(?:of)?)?(?:solutions?)?)"
)
_LIMITLESS = lazy_pattern(r"(?:the)?(?:series|integral|sequence|limit|it)?(?:is)?(di|con)verge(?:s|nt)")
_OPENING = lazy_pattern(
    r"(?:it is|it's|is|on|(?:this|the (?:expression|limit|value|slope|function|quantity"
    r"|statement|result)) is)(?: a)? (?=[A-Za-z]{3,})|(?:in |the month of |a )"
    rf"(?=(?:{'|'.join((*MONTHS, *DAYS))})$)"
    r"|(?:an? |the )(?=[A-Za-z-]{3,}(?: [A-Za-z-]{3,})?$)",
    re.IGNORECASE,
)
_SHORT_NAMES = (
    {short: day for day in DAYS for short in (day[:3], f"{day[:3]}.", day[:4], day[:5])}
    | {short: month for month in MONTHS if month != "may" for short in (month[:3], f"{month[:3]}.")}
    | {
        "weds": "wednesday",
        "sept": "september",
        "sept.": "september",
        "notdefined": "undefined",
        "undef": "undefined",
        "notpossible": "impossible",
        "noneofthem": "none",
        "itcannotbedetermined": "cannotbedetermined",
        "无解": "nosolution",
        "無解": "nosolution",
        "不存在": "dne",
    }
)
_EMPTY = frozenset(("emptyset", "theemptyset", "nullset", "thenullset"))


_IT_IS = (
    "(?:it|they|he|she|we|you|I|there|this|that)"
    " (?:is|are|was|were|does|do|did|has|have|can|could|will|would)"
)
_SPOKEN = lazy_pattern(
    r"^(?:yes|no), | (?:is|equals|or minus|root of|to be|must be) |^(?:negative|minus|exactly) "
    r"| BCE$| B\.C|^d\. ?n\."
    r"|(?:integers|numbers)$"
    r"|(?:0s|ratio)$|^(?:a |all |real )|^(?:the )?(?:final )?answer"
    r"|^(?:the )?(?:vertex|cent(?:er|re)|focus|domain|range|midpoint)"
    r"| any real number|quadrant"
    r"|^(?:the )?(?:point|ratio|pair|ordered|vector|sol|root|set|interval|numbers|values)",
    re.IGNORECASE,
)
_NOTATIONS = tuple(
    (lazy_pattern(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"^(?:the )?(?:final )?answer(?: is|:)? (?=[-$\\\d(\[])", ""),
        (rf"^(yes), {_IT_IS}\.?$", r"\1"),
        (rf"^(no), {_IT_IS}(?: ?not|n't)\.?$", r"\1"),
        (r"^([a-z]) (?:is|can be|may be) any real number$", r"\\mathbb{R}"),
        (r"^(?:in )?(?:the )?(?:1st quadrant|quadrant (?:I|1|one))$", "first quadrant"),
        (r"^(?:in )?(?:the )?(?:2nd quadrant|quadrant (?:II|2|two))$", "second quadrant"),
        (r"^(?:in )?(?:the )?(?:3rd quadrant|quadrant (?:III|3|three))$", "third quadrant"),
        (r"^(?:in )?(?:the )?(?:4th quadrant|quadrant (?:IV|4|four))$", "fourth quadrant"),
        (r"^(?:the )?(?:vertex|cent(?:er|re)|focus|domain|range|midpoint)(?: is)?(?: at)?:? "
         r"(?=[(\[{\\])", ""),
        (r"^(?:a |the )?ratio (?:is |of )*(?=\d+ to \d+$)", ""),
        (r"^(\d+ to \d+) ratio$", r"\1"),
        (r"^(?:all )?(?:real )?numbers (?:that are )?(?=greater|less|larger|smaller|more|at (?:least|most))",
         "x is "),
        (r"^([a-z]) (?:must|has to|should) be ", r"\1 is "),
        (r"^(\d{1,5}) ?(?:BCE|B\.C(?:\.E)?\.?)$", r"\1 BC"),
        (r"^the (\d{4}s)$", r"\1"),
        (r"^(?:the )?(?:set of )?(?:all )?(?:the )?integers$", r"\\mathbb{Z}"),
        (r"^(?:the )?(?:set of )?(?:all )?(?:the )?natural numbers$", r"\\mathbb{N}"),
        (r"^(?:the )?(?:set of )?(?:all )?(?:the )?rational numbers$", r"\\mathbb{Q}"),
        (r"^(?:the )?(?:set of )?(?:all )?(?:the )?positive integers$", r"\\mathbb{Z}^{+}"),
        (r"^(?:the )?(?:set of )?(?:all )(?:the )?(?=[a-z]{3,10} (?:integers|numbers)$)", ""),
        (r"^d\. ?n\. ?e\.?$", "dne"),
        (r"^([a-z]) is non-?negative$", r"\1 \\ge 0"),
        (r"^([a-z]) is non-?positive$", r"\1 \\le 0"),
        (r"^([a-z]) is (?:strictly )?positive$", r"\1 > 0"),
        (r"^([a-z]) is (?:strictly )?negative$", r"\1 < 0"),
        (r"^exactly (?=\d*\\)", ""),
        (r"^(?:the )?(?:(?:ordered )?pair|point|ratio|vector|interval|solution set|set|roots|solutions"
         r"|numbers|values)"
         r"(?: is| are)?:? (?=[(\[{\\\d<-])", ""),
        (r"^(?:the )?square root of (\d{1,30})$", r"\\sqrt{\1}"),
        (r"^(?:the )?cube root of (\d{1,30})$", r"\\sqrt[3]{\1}"),
        (r"^plus or minus (?=[\d\\])", r"\\pm "),
        (r"^(?:negative|minus) (?=\\infty)", "-"),
        (r"^([a-z]) is (?:at least|(?:no|not) (?:less|smaller) than"
        r"|greater than or equal to) (?=[-\d\\])", r"\1 \\ge "),
        (r"^([a-z]) is (?:at most|(?:no|not) (?:more|greater) than"
        r"|less than or equal to) (?=[-\d\\])", r"\1 \\le "),
        (r"^([a-z]) is (?:greater|more|larger) than (?=[-\d\\])", r"\1 > "),
        (r"^([a-z]) is (?:less|smaller) than (?=[-\d\\])", r"\1 < "),
        (r"^([a-z]) (?:is|equals|is equal to) (?=[-+\d\\(])", r"\1 = "),
    )
)  # fmt: skip


def in_notation(text: str) -> str:
    """Mathematics that is written in words, in signs: `x is at least 2`, `plus or minus 3`."""
    if _SPOKEN.search(text):
        for pattern, replacement in _NOTATIONS:
            text = pattern.sub(replacement, text, count=1)
    return text


def folded_words(text: str) -> tuple[str, str] | None:
    """Words without case and spaces, and the text again where it may be a product of letters; or `None`."""
    if not _WORDS.fullmatch(text):
        return None
    words = WORD.findall(text)
    if not words or any(word.lower() in FUNCTIONS for word in words):
        return None
    if not any(len(word) > 2 or word.lower() in _SHORT_WORDS for word in words):
        return None
    # A short word next to an expression may be a product of variables.
    if _PRODUCT.fullmatch(text):
        return _one_text(text), text
    return _one_text(text[opening.end() :] if (opening := _OPENING.match(text)) else text), ""


def _one_text(text: str) -> str:
    folded = _UNSAID.sub("", text.lower().strip(" .,:;!?\"'()").replace(" ", "").replace("can't", "cannot"))
    nothing = _NOTHING.fullmatch(folded)
    if nothing:
        return "none" if nothing[1] == "such" else f"no{nothing[1]}{nothing[2] or 'solution'}"
    if _MISSING.fullmatch(folded):
        return "dne"
    if _ENDLESS.fullmatch(folded):
        return "infinitelymany"
    if limitless := _LIMITLESS.fullmatch(folded):
        return f"{limitless[1]}verges"
    if folded in _EMPTY:
        return r"\emptyset"
    return _SHORT_NAMES.get(folded, folded) or text


def is_word(text: str) -> bool:
    """Whether up to four letters are a word (`yes`, `Two`, `EAST`) rather than a product of variables."""
    if len(text) < 3:
        return text.lower() in _SHORT_WORDS
    return any(letter in "aeiouyAEIOUY" for letter in text) and text in (
        text.lower(),
        text.upper(),
        text.title(),
    )
