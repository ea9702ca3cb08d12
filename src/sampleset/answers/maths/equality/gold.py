"""Whether a gold answer is one that an answer can be compared with."""

from __future__ import annotations

from sampleset.answers.maths.equality.workers import compare_expressions
from sampleset.answers.maths.forms.canonical import MAX_LENGTH, read
from sampleset.answers.maths.forms.simple_forms import Form
from sampleset.answers.maths.patterns import lazy_pattern

_CURLY = lazy_pattern(r"(?<!\\)(?:\\\\)*([{}])")
_COMMAND = lazy_pattern(r"\\[A-Za-z]")
_ENVIRONMENT = lazy_pattern(r"\\begin ?\{")
_PHANTOM = lazy_pattern(r"\\phantom(?![A-Za-z])")
_HALF_OPEN = lazy_pattern(r"\([^()\[\]]*\]|\[[^()\[\]]*\)")


def gold_is_readable(gold: str) -> bool:
    r"""Whether a gold answer states one final answer that can be read.

    Not readable are texts that are empty or hold no letter and no digit, texts longer than an answer
    may be, texts of several lines (a worked solution; a LaTeX environment may have them), braces or
    dollar signs without their partner, and LaTeX that the algebra workers cannot parse. What a worker
    could not look into for lack of time or memory counts as readable.

    A sign of money (`\$5`, `$5`) needs no partner, and an answer is more than LaTeX: words, letters,
    dates, numbers, intervals, tuples and lists of these are readable.
    """
    text = gold.strip()
    if len(text) > MAX_LENGTH or ("\n" in text and not _ENVIRONMENT.search(text)):
        return False
    if text.replace(r"\$", "").count("$") % 2 and _COMMAND.search(text):
        return False
    form = read(text)
    if not any(character.isalnum() for character in form.text):
        return False
    return _curly_balanced(text) and _is_readable(form)


def _is_readable(form: Form) -> bool:
    if form.kind == "opaque":
        return False
    if form.parts:
        return all(_is_readable(part) for part in form.parts)
    if form.kind != "expression" or not form.latex or _HALF_OPEN.search(form.latex):
        # What the grammar of the workers has no place for is compared as text.
        return True
    # The grammar reads no names such as `m_{\max}`; what they are set equal to is the answer.
    latex = _PHANTOM.sub("", form.latex).rpartition("=")[2]
    _, rule = compare_expressions(latex, latex, mode="gold")
    return rule != "gold_unreadable"


def _curly_balanced(text: str) -> bool:
    depth = 0
    for match in _CURLY.finditer(text):
        depth += 1 if match[1] == "{" else -1
        if depth < 0:
            return False
    return depth == 0
