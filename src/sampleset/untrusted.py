"""Samples are untrusted text: what keeps one from speaking to an aggregator in the prompt's own voice.

A sample that has stated its answer ends where it goes on to imitate the prompt (`own_part`); marks that a
chat template would read as turns of the conversation, the tags the aggregator answers in, and lines that
imitate the prompt's own headings are broken up before it is shown (`defuse`). A question is shown whole, with
the same marks broken up (`broken_up`).
"""

from __future__ import annotations

import re

from sampleset.answers import answer_kind
from sampleset.types import DEFAULT_KIND

__all__ = ["broken_up", "defuse", "own_part"]

_CHAT_MARK = re.compile(
    r"<[|｜](?=[^\s|｜>]{1,40}[|｜]?>)|<(?=/?s>|/?bos>|/?eos>|</?SYS>>|(?:start|end)_of_turn>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT)\])"
)
_OWN_TAG = re.compile(r"<(?=/?(?:answer|think)>)", re.IGNORECASE)
_LINE_START = r"(?:^|(?<=[\r\v\f\x85\u2028\u2029]))"
_NUMBERED = r"Answer \d+|Response \d+|Below are the (?:proposed answers|responses)"
_OWN_HEADING = re.compile(
    rf"{_LINE_START}(?=[ \t#*]{{0,8}}(?:Question|{_NUMBERED})\b[^\n]{{0,40}}:)", re.IGNORECASE | re.MULTILINE
)
# Solutions restate the question now and then; none of 83,000 recorded ones numbers itself as the prompt does.
_IMITATION = re.compile(
    rf"{_CHAT_MARK.pattern}|{_LINE_START}(?=[ \t#*]{{0,8}}(?:{_NUMBERED})\b[^\n]{{0,40}}:)",
    re.IGNORECASE | re.MULTILINE,
)


def defuse(text: str, choices: int | None = None, kind: str = DEFAULT_KIND) -> str:
    """A sample's own part, with what a reader of the prompt could take for a part of the prompt broken up.

    Args:
        text: A sample.
        choices: How many lettered options the question has, `None` if it is open.
        kind: The kind of its answers.
    """
    return broken_up(own_part(text, choices, kind))


def broken_up(text: str) -> str:
    """The text, with what a reader of the prompt could take for a part of the prompt broken up.

    A space is put behind the opening character of chat-template marks and of `<answer>` and `<think>` tags,
    and `> ` before lines that imitate the prompt's headings.
    """
    text = text.replace("\0", "")
    text = _CHAT_MARK.sub(lambda mark: f"{mark.group()[0]} {mark.group()[1:]}", text)
    text = _OWN_TAG.sub("< ", text)
    return _OWN_HEADING.sub("> ", text)


def own_part(text: str, choices: int | None = None, kind: str = DEFAULT_KIND) -> str:
    """The text up to where it imitates the prompt by a numbered heading or a chat template's mark.

    The whole text where what stands before that does not state the answer that the whole is counted for: a
    sample may number the cases it compares. Before a template's mark any marked answer will do, or a mention
    of that one: what follows is another turn.

    Args:
        text: A sample.
        choices: How many lettered options the question has, `None` if it is open.
        kind: The kind of its answers.
    """
    found = _IMITATION.search(text)
    if found is None:
        return text
    head = text[: found.start()].rstrip()
    read = answer_kind(kind).read
    before, counted = read(head, choices), read(text, choices)
    if before is None or counted is None:
        return text
    is_stated = before.text == counted.text
    if found.group():  # a template's mark; a heading is an empty match
        mentioned = re.search(rf"(?<!\w){re.escape(counted.text)}(?!\w)", head)
        is_stated = is_stated or bool(mentioned or read(head, choices, truncated=True))
    return head if is_stated else text
