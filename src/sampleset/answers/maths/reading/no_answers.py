"""Statements that there is no answer: "We cannot determine it", "There is not enough information"."""

from __future__ import annotations

import re

from sampleset.answers.maths.patterns import lazy_pattern
from sampleset.answers.maths.reading.sentences import NUMBER

_TO_KNOW = (
    r"(?:(?:accurately|really|directly|definitively|possibly) )?"
    r"(?:answer|determine|solve|calculate|compute|find|say|tell|know|conclude|give|provide|help)\b"
)
_NONE = lazy_pattern(
    r"\W*(?:(?:so|thus|hence|therefore|unfortunately|sorry|however|based on [^,.]{1,60}),? ){0,2}"
    r"(?:(?:that )?(?:I|we|you|one)(?: am| are|['’]m|['’]re)? (?:"
    rf"(?:cannot|can['’]?t|can not|could not|couldn['’]t|unable to|not able to) {_TO_KNOW}"
    r"|(?:don['’]t|do not) (?:know\b|have (?:enough|sufficient) (?:information|data)))"
    rf"|unable to {_TO_KNOW}|(?:it|this)(?: is|['’]s) (?:not possible|impossible) to {_TO_KNOW}"
    r"|(?:the (?:given |provided )?)?(?:question|problem|information)[^.,;]{0,40}? (?:is|are) "
    r"(?:incomplete|insufficient|not (?:enough|sufficient))\b"
    rf"|there (?:is|are|was) no way to {_TO_KNOW}"
    r"|there (?:is|are|was)(?:n['’]t| not)? (?:enough|sufficient|insufficient) (?:information|data|details)"
    r"|there is no (?:definitive|right|clear|single|correct) (?:or wrong )?answer\b"
    r"|(?:not enough|insufficient) (?:information|data)\b)"
    r"(?![^.]*\b(?:but|so|if|unless)\b)",
    re.IGNORECASE,
)


def states_no_answer(sentence: str) -> bool:
    """Whether a sentence says that there is no answer, and names no number for one."""
    return bool(_NONE.match(sentence)) and not NUMBER.search(sentence)
