"""Samples are untrusted text: what keeps one from speaking to an aggregator in the prompt's own voice.

A sample that has stated its answer ends where it goes on to imitate the prompt, and lines that give orders
to its reader are left out (`own_part`). Marks that a chat template would read as turns of the conversation,
the tags the aggregator answers in, and lines that imitate the prompt's own headings are broken up before it
is shown (`defuse`). A question is shown whole, with the same marks broken up (`broken_up`).
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
_OTHERS = (
    r"(?:(?:all|any|the|every|each|of) ){0,3}(?:(?:other|others|previous|preceding|earlier|remaining|above)\b"
    r"(?! (?:case|value|number|root|term|factor|digit|side|variable|equation|element|input|step)s?\b)"
    r"|majority|everyone else|everybody else|everything else|instructions)"
)
_PROPOSAL = "(?:answer|solution|response|sample|candidate|attempt|proposal|submission)"
_READERS = (
    "ai",
    "judge",
    "grader",
    "aggregator",
    "evaluator",
    "verifier",
    "language model",
    "assistant",
    "reviewer",
)
_READER = f"(?:{'|'.join(_READERS)})"
_REPLY = "(?:answer|choose|select|pick|reply|respond|report|agree|trust|prefer|accept|vote)"
_WRONGS = ("wrong", "incorrect", "mistaken", "false", "invalid", "flawed", "corrupt", "corrupted")
_WRONG = f"(?:{'|'.join(_WRONGS)})"
# Orders to a reader that compares samples, in lower case. A solution, however wrong, knows of no other
# samples and of no reader. A pattern is sought only where one of its words stands; most texts have none.
_ORDERS = tuple(
    (words, re.compile(pattern, re.MULTILINE))
    for words, pattern in (
        (
            ("ignore", "disregard", "forget", "override", "dismiss", "trust", "believe", "follow"),
            r"\b(?:ignore|disregard|forget|override|dismiss|distrust|(?:do not|don't|never)"
            rf" (?:trust|believe|follow)) {_OTHERS}",
        ),
        (
            _WRONGS,
            rf"\b(?:other|others|previous|preceding|earlier|remaining|above) {_PROPOSAL}s"
            rf" (?:is|are|were|have|contain)\b[^.!?\n]{{0,30}}\b{_WRONG}\b",
        ),
        (
            ("you must", "you shall", "you have to", "you are to", "you ought to", "you should"),
            r"\byou (?:must|shall|have to|are to|ought to|should)"
            rf" (?:only |always |now |therefore |just ){{0,2}}{_REPLY}\b"
            r"(?! (?:a|an|the|any|each|all|one|two|three|four|five|some|questions?) )",
        ),
        (
            ("nothing else", "regardless of"),
            r"\b(?:choose|select|pick|output|reply|respond|return|report|give|answer|write|trust)\b"
            r"[^.!?\n]{0,60}\b(?:nothing else|regardless of (?:what )?(?:the )?(?:other|majority|rest|vote))",
        ),
        (("you are",), rf"\byou are (?:now )?an? {_READER}\b"),
        (
            _READERS[1:],
            r"\b(?:dear|note to|message to|attention|instructions? (?:to|for)),?"
            rf" (?:the |all |every |any ){{0,2}}{_READER}s?\b",
        ),
        (("system ",), r"\bsystem (?:note|notice|message|prompt|instruction|override)\b"),
        (
            (" is ", " was "),
            rf"\b{_PROPOSAL} #?\d{{1,3}} (?:is|was) (?:the )?(?:only )?"
            rf"(?:correct|right|best|{_WRONG}|most consistent)\b",
        ),
    )
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


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
    """The text up to where it imitates the prompt by a numbered heading or a chat template's mark, without
    orders to its reader.

    Nothing is cut off where what stands before that does not state the answer that the whole is counted for:
    a sample may number the cases it compares. Before a template's mark any marked answer will do, or a
    mention of that one: what follows is another turn.

    A line that orders its reader to pass over the other samples, or what to reply, is left out; if the answer
    that the text is counted for stands nowhere else, only the sentences that do so. An answer that stands in
    such a sentence alone is shown without it. Programs are shown with all their lines.

    Args:
        text: A sample.
        choices: How many lettered options the question has, `None` if it is open.
        kind: The kind of its answers.
    """
    return _without_orders(_without_imitation(text, choices, kind), choices, kind)


def _without_imitation(text: str, choices: int | None, kind: str) -> str:
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


def _gives_order(text: str) -> bool:
    lowered = text.lower()
    return any(
        any(word in lowered for word in words) and pattern.search(lowered) for words, pattern in _ORDERS
    )


def _without_orders(text: str, choices: int | None, kind: str) -> str:
    if kind == "code" or not _gives_order(text):
        return text
    read = answer_kind(kind).read
    counted = read(text, choices)
    without_lines, without_sentences = list[str](), list[str]()
    for line in text.split("\n"):
        if not _gives_order(line):
            without_lines.append(line)
            without_sentences.append(line)
        elif kept := [part for part in _SENTENCE_END.split(line) if not _gives_order(part)]:
            without_sentences.append(" ".join(kept))
    lines, sentences = "\n".join(without_lines).rstrip(), "\n".join(without_sentences).rstrip()
    if counted is None:
        return lines
    for shorter in (lines, sentences):
        stated = read(shorter, choices)
        if stated is not None and stated.text == counted.text:
            return shorter
    form = f"The final answer is \\boxed{{{counted.text}}}." if kind == DEFAULT_KIND else counted.text
    return f"{lines}\n{form}".lstrip()
