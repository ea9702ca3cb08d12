"""The end of a model's text: without its reasoning, and without a next question that it invented.

Models mark reasoning in many ways. What stands before the last closing mark is left out; after an opening
mark that is never closed nothing is final.
"""

from __future__ import annotations

import re
from itertools import islice

from sampleset.answers.maths.patterns import lazy_pattern

_TAGS = (
    "think|thinking|thought|thoughts|reasoning|reason|scratchpad|scratch_pad|reflection|analysis|seed:think"
    "|internal_monologue|inner_thoughts?|rationale|ant_?thinking|(?:thought|thinking|reasoning)[_-]?process"
    "|chain[_-]of[_-]thought|cot"
)
# Tags as models and their templates write them: with spaces, attributes, or escaped for a page.
_LESS, _GREATER = "(?:<|&lt;)", "(?:>|&gt;)"
_ATTRIBUTES = r"""(?:\s{1,8}[\w:-]{1,40}=(?:"[^"<>]{0,100}"|'[^'<>]{0,100}'|[^\s<>"']{1,100})){0,6}\s{0,8}"""
_BRACKETED = "THINK|THINKING|THOUGHTS?|REASONING"
_OPENING = lazy_pattern(
    rf"{_LESS}\s{{0,4}}(?:{_TAGS}){_ATTRIBUTES}{_GREATER}"
    rf"|<details\s[^<>]{{0,200}}type=.reasoning.[^<>]{{0,200}}>"
    rf"|\[\s{{0,4}}(?:{_BRACKETED})\s{{0,4}}\]|<\|\s?(?:begin_of_thought|START_THINKING|thinking|reasoning"
    rf"|think)\s?\|>"
    r"|◁think▷|<\|channel\|>\s*(?:analysis|commentary)\s*<\|message\|>|<unused94>",
    re.IGNORECASE,
)
_CLOSING = lazy_pattern(
    rf"{_LESS}\s{{0,4}}/\s{{0,4}}(?:{_TAGS})\s{{0,4}}{_GREATER}"
    rf"|\[\s{{0,4}}/\s{{0,4}}(?:{_BRACKETED})\s{{0,4}}\]"
    rf"|<\|\s?(?:end_of_thought|END_THINKING|/thinking|/reasoning|/think)\s?\|>"
    r"|◁/think▷|<\|channel\|>\s*final\s*<\|message\|>|<unused95>|\\end\{think(?:ing)?[}>]",
    re.IGNORECASE,
)
_DETAILS = lazy_pattern(
    r"\s*<details\s[^<>]{0,200}type=.reasoning.[^<>]{0,200}>(?:(?!</details>).)*</details>", re.DOTALL
)
"""Thought as a chat page folds it."""
_STRIPPED_CHANNELS = lazy_pattern(r"analysis.*assistantfinal", re.DOTALL)
_ANSWERED = lazy_pattern(r"(?:(?<=\n)|(?<=>))[ \t]*<answer>[^<]{1,1000}</answer>\s*$")
"""Answer tags on a separate line at the very end close a thought that was left open."""
_HEADER = lazy_pattern(
    r"(?:<\|(?:im_start|start_header_id)\|>\s{0,4})?(?:assistant)?\s{0,4}(?:<\|end_header_id\|>)?\s{0,4}"
)
_END_OF_TURN = lazy_pattern(
    r"</s>|\[/?INST\]|<\|(?:im_end|endoftext|eot_id|end_of_text|end|return|user|im_start|start_header_id)\|>"
    r"|<end_of_turn>|<start_of_turn>user|<｜end▁of▁sentence｜>"
)
_NEXT_TURN = lazy_pattern(r"^[ \t]{0,8}(?:\*\*|#{1,6} )?(?:Human|User)(?:\*\*)?:", re.MULTILINE)
_NEXT_QUESTION = lazy_pattern(
    r"(?<=\n)[ \t]{0,8}(?:\*\*|#{1,6} )?(?:(?:Next |New )?(?P<noun>Question|Problem|Exercise|Example"
    r"|Instruction|Q)(?P<number> ?\d+)?)"
    r"(?:\*\*)?:(?:\*\*)?[ \n]",
    re.IGNORECASE,
)


_MOST_TURNS = 50
_NOUNS = ("question", "problem", "exercise", "example", "instruction")
_QUESTION_MARKS = ("\nQ", "\tQ", " Q", "*Q", "\nq", "q:")
_TURNS = ((_END_OF_TURN, False), (_NEXT_TURN, False), (_NEXT_QUESTION, True))
"""What ends a model's turn, and whether it must have answered by then."""


def after_reasoning(text: str) -> str:
    """The text after the reasoning: the full text if nothing follows it, none if the reasoning is open."""
    if not (
        "<" in text
        or "&lt;" in text
        or "[" in text
        or "◁" in text
        or r"\end{think" in text
        or "assistantfinal" in text
    ):
        return text
    if text.lstrip()[:1] == "<" and (folded := _DETAILS.match(text)):
        text = text[folded.end() :]
    closings = list(_CLOSING.finditer(text))
    rest = text[closings[-1].end() :] if closings else text
    if closings and not rest.strip():
        return text
    if not closings and (stripped := _STRIPPED_CHANNELS.match(text)):
        rest = text[stripped.end() :]
    opening = _OPENING.search(rest)
    if not opening:
        return rest
    answered = _ANSWERED.search(rest, opening.end())
    return answered[0] if answered else rest[: opening.start()]


def _turns_in(text: str) -> list[tuple[re.Pattern[str], bool]]:
    """The rows of `_TURNS` that may match in a text: cheap, where few do in most texts."""
    lowered = text.lower() if ":" in text else ""
    may_match = (
        "<" in text or "INST]" in text,
        ":" in text and ("Human" in text or "User" in text),
        bool(lowered)
        and (any(noun in lowered for noun in _NOUNS) or any(mark in text for mark in _QUESTION_MARKS)),
    )
    return [turn for turn, holds in zip(_TURNS, may_match, strict=True) if holds]


def own_turn(text: str, states_answer: re.Pattern[str]) -> str:
    """The text without turns and questions that the model invented after its answer.

    Args:
        text: Without reasoning.
        states_answer: Matches the statement of an answer; nothing before the first match is cut off.
    """
    text = text.lstrip()
    start = _HEADER.match(text)
    begin = start.end() if start else 0
    for pattern, need_answer in _turns_in(text):
        stated = states_answer.search(text, begin) if need_answer else None
        if need_answer and stated is None:
            continue
        for match in islice(pattern.finditer(text, stated.end() if stated else begin), _MOST_TURNS):
            before = text[begin : match.start()]
            if match[0] == "</s>" and "<s>" in before[before.rfind("\n") + 1 :]:
                continue  # tags that the sentence speaks of
            if need_answer and match["number"] and re.search(rf"(?i)\b{match['noun']} ?\d", before):
                continue  # the parts of the question itself
            if before.strip():
                text = text[: match.start()]
                break
    return text
