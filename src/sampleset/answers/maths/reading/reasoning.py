"""The end of a model's text: without its reasoning, and without a next question that it invented.

Models mark reasoning in many ways. What stands before the last closing mark is left out; after an opening
mark that is never closed nothing is final.
"""

from __future__ import annotations

import re
from itertools import islice

from sampleset.answers.maths.patterns import lazy_pattern

# A name may have words before and behind it: `seed:think`, `my_thoughts`, `think_fast`.
_TAGS = (
    r"(?:[a-z]{2,12}[_:-]){0,2}(?:ant)?(?:think|thinking|thoughts?|reasoning|scratch_?pad|monologue|cot)"
    r"(?:[_-][a-z0-9]{1,12}){0,2}"
    "|reason|(?:self[_-])?reflection|analysis|rationale|planning|plan|draft|pondering|ponder|deepthink|deliberation"
    "|internal|brainstorm|work(?:ing)?s?|steps|calculations?|\u601d\u8003|\u63a8\u7406"
    "|\uc0ac\uace0"  # thinking, reasoning
)
# Tags as models and their templates write them: with spaces, attributes, or escaped for a page or for JSON.
_LESS = r"(?:<|&lt;|&#60;|&#x3c;|\\u003c|\\<|\uff1c)"
_GREATER = r"(?:>|&gt;|&#62;|&#x3e;|\\u003e|\\>|\uff1e)"
_ATTRIBUTES = r"""(?:\s{1,8}[\w:-]{1,40}=(?:"[^"<>]{0,100}"|'[^'<>]{0,100}'|[^\s<>"']{1,100})){0,6}\s{0,8}"""
_THOUGHT, _OF = r"(?:think(?:ing)?|thought|reasoning)", r"[_▁]?(?:of[_▁]?)?"
_BRACKETED = "THINK|THINKING|THOUGHTS?|REASONING"
_CHANNEL = r"<\|?channel\|?>\s*"
_FOLD = (
    r"<details\s[^<>]{0,200}type=.reasoning.[^<>]{0,200}>"
    r"|<details(?:\s[^<>]{0,200})?>\s{0,8}<summary>[^\w<]{0,8}(?:think|thought|reason)[^<]{0,80}</summary>"
)
_FIRST = r"(?=[<&\[\\◁\uff1c])"
"""How each mark begins: most places of a text are passed over by it."""
_OPENING = lazy_pattern(
    # A tag behind a single backtick is one that the text speaks of.
    rf"{_FIRST}(?:(?<![^`]`)(?<!^`){_LESS}\s{{0,4}}(?:{_TAGS}){_ATTRIBUTES}{_GREATER}|{_FOLD}"
    rf"|\[\s{{0,4}}(?:{_BRACKETED})\s{{0,4}}\]"
    rf"|<[|｜]\s?(?:(?:(?:begin|start){_OF})?{_THOUGHT}|inner_prefix)\s?[|｜]>"
    rf"|{_CHANNEL}(?:(?:analysis|commentary)\s*<\|message\|>|thought\b)"
    r"|◁think▷|<unused94>)",
    re.IGNORECASE,
)
_CLOSING = lazy_pattern(
    rf"{_FIRST}(?:(?<![^`]`)(?<!^`){_LESS}\s{{0,4}}[/\\]{{1,2}}\s{{0,4}}(?:{_TAGS})\s{{0,4}}{_GREATER}"
    rf"|\[\s{{0,4}}/\s{{0,4}}(?:{_BRACKETED})\s{{0,4}}\]"
    rf"|<[|｜]\s?(?:(?:end{_OF}|/){_THOUGHT}|inner_suffix)\s?[|｜]>"
    rf"|◁/think▷|{_CHANNEL}final\s*<\|message\|>|<channel\|>|<unused95>"
    r"|\\end\{(?:think(?:ing)?|reasoning|thought)[}>])",
    re.IGNORECASE,
)
_BLOCK = lazy_pattern(
    r"\s{0,40}(?:<[|｜]?\s?(?P<name>[A-Za-z][A-Za-z_▁-]{3,30})\s?[|｜]?>"
    r"|\[(?P<square>[A-Z_]{4,30})\]|\{(?P<curly>[a-z_]{4,30})\})"
)
"""The opening of a block at the beginning of a text."""
_NO_THOUGHT = frozenset((
    "final", "result", "output", "response", "code", "math", "latex", "html", "body", "span", "strong",
    "center", "table", "details", "summary", "choice", "option", "boxed", "inst", "json", "python", "article",
    "section", "turn",
    "blockquote", "mark", "reply", "conclusion", "value", "number",
))  # fmt: skip
_MAY_STATE = lazy_pattern(r"\d|\\boxed|\b(?:answer|yes|no)\b", re.IGNORECASE)
_MOST_BLOCKS = 5
_FOLDED = lazy_pattern(_FOLD, re.IGNORECASE)
"""Thought as a chat page folds it."""
_STRIPPED_CHANNELS = lazy_pattern(r"\s*(?:assistant)?analysis(?:.*assistantfinal|(?=[A-Z]).*)", re.DOTALL)
"""Channels of gpt-oss whose marks are lost."""
_FENCE = lazy_pattern(
    r"\s*```(?:think|thinking|thoughts?|reasoning)[ \t]*\n(?:.*?\n[ \t]*```[ \t]*(?:\n|$)|.*)", re.DOTALL
)
_ANSWERED = lazy_pattern(r"(?<=[\n>.!?}$\])])[ \t]*<answer>[^<]{1,1000}</answer>\s*$")
"""Answer tags behind a sentence or a line, at the very end, close a thought that was left open."""
_HEADER = lazy_pattern(
    r"(?:<\|(?:im_start|start_header_id)\|>\s{0,4})?(?:assistant)?\s{0,4}(?:<\|end_header_id\|>)?\s{0,4}"
)
_END_OF_TURN = lazy_pattern(
    r"</s>|<eos>|\[/?INST\]|<[|｜](?:im_end|endoftext|eot_id|end_of_text|end|return|[Uu]ser|im_start|start_header_id)[|｜]>"
    r"|<end_of_turn>|<start_of_turn>user|<｜end▁of▁sentence｜>"
)
_NEXT_TURN = lazy_pattern(
    r"^[ \t]{0,8}(?:\*\*|#{1,6} )?(?:Human|HUMAN|User|USER|用户|用戶)(?:\*\*)?[:：]", re.MULTILINE
)
_NEXT_QUESTION = lazy_pattern(
    r"(?<=\n)[ \t]{0,8}(?:\*\*|(?P<heading>#{1,6} ))?[<\[]?(?:(?:Next |New "
    r"|Follow-up |(?:(?:Now|Please),? |Let['’]s |Let us )?(?:solve|answer|consider|try|do) (?:the next"
    r"|the following|this|another|one more) |(?:Here['’]s|Here is|Now for|And) (?:another|one more|the next"
    r"|a new) )?"
    r"(?:(?:math|word|similar|related) )?(?P<noun>Question|Problem|Exercise"
    r"|Example|Instruction|Follow-up|Task|Pregunta|Pergunta|Frage|Domanda"
    r"|Вопрос|问题|問題|题目|題目|问|問|Q)(?P<number> ?#?\d+)?)"
    r"(?:(?:\*\*)? ?[:：](?:\*\*)?(?<![:](?=[^ \n]))|[>\])]|(?(number)(?:\. (?=[A-Z(])|\*\*[ \t]*\n)|(?!))"
    r"|(?(heading)[ \t]*\n|(?!)))"
    r"|(?<=\n)[ \t]{0,8}(?:Now,? (?:let['’]s |let us )?"
    r"(?:solve|answer|try|do|consider) (?:this|another|the next|a similar)"
    r"(?: one| question| problem)?[:.]"
    r"|The following (?:is|are) (?:an? )?multiple[- ]choice questions?\b)",
    re.IGNORECASE,
)


_MARKS = ("<", "&lt;", "[", "◁", r"\end{", "&#", r"\u003c", "\uff1c")
"""In a text without any of these no thought is marked."""
_MOST_TURNS = 50
_NOUNS = (
    "question",
    "problem",
    "exercise",
    "example",
    "instruction",
    "follow-up",
    "now solve",
    "now, solve",
    "now answer",
    "now try",
    "now do",
    "now let",
    "now, let",
    "问题",
    "問題",
    "题目",
    "題目",
    "问",
    "問",
    "task",
    "pregunta",
    "pergunta",
    "frage",
    "domanda",
    "вопрос",
)
_SPEAKERS = (
    "Human:",
    "HUMAN:",
    "Human**:",
    "User:",
    "User**:",
    "USER:",
    "用户：",
    "用户:",
    "用戶：",
)
_QUESTION_MARKS = ("\nQ", "\tQ", " Q", "*Q", "\nq", "q:")
_TURNS = ((_END_OF_TURN, False), (_NEXT_TURN, False), (_NEXT_QUESTION, True))
"""What ends a model's turn, and whether it must have answered by then."""


def after_reasoning(text: str) -> str:
    """The text after the reasoning: the full text if nothing follows it, none if the reasoning is open."""
    if (thought := _STRIPPED_CHANNELS.match(text) or _FENCE.match(text)) is not None:
        text = text[thought.end() :]
    text = _after_first_blocks(text)
    if not any(mark in text for mark in _MARKS):
        return text
    if "<details" in text:
        text = _unfolded(text)
    closings = list(_CLOSING.finditer(text))
    rest = text[closings[-1].end() :] if closings else text
    if closings and not rest.strip():
        return text
    opening = _OPENING.search(rest)
    if not opening:
        return rest
    answered = _ANSWERED.search(rest, opening.end())
    return answered[0] if answered else rest[: opening.start()]


def _after_first_blocks(text: str) -> str:
    """The text behind the blocks of any name that it begins with: `<review>...</review>5`.

    Blocks that hold the answer, or are markup, stay; so does one with nothing behind it.
    """
    for _ in range(_MOST_BLOCKS):
        opening = _BLOCK.match(text)
        name = (
            re.sub(r"[_▁\s-]+", "_", (opening["name"] or opening["square"] or opening["curly"]).lower())
            if opening
            else ""
        )
        core = re.sub(r"^(?:start|begin)_(?:of_)?|_(?:start|begin)$", "", name)
        if opening is None or core in _NO_THOUGHT or "answer" in core or "solution" in core:
            break
        core = re.escape(core).replace("_", r"[_▁\s-]")
        closing = None
        closes = rf"[/\\]\s?{core}|end[_▁\s-](?:of[_▁\s-])?{core}|{core}[_▁\s-]end"
        for mark in re.finditer(rf"[<\[{{][|｜]?\s?(?:{closes})\s?[|｜]?[>\]}}]", text, re.IGNORECASE):
            closing = mark
        if closing is None or not _MAY_STATE.search(text, closing.end()):
            break
        text = text[closing.end() :]
    return text


def _unfolded(text: str) -> str:
    """The text without folded thought that is closed."""
    parts, begin = list[str](), 0
    for fold in _FOLDED.finditer(text):
        end = text.find("</details>", fold.end())
        if end < 0:
            break
        if fold.start() >= begin:
            parts.append(text[begin : fold.start()])
            begin = end + len("</details>")
    return "".join([*parts, text[begin:]])


def _turns_in(text: str) -> list[tuple[re.Pattern[str], bool]]:
    """The rows of `_TURNS` that may match in a text: cheap, where few do in most texts."""
    lowered = text.lower() if ":" in text or "\n" in text else ""
    may_match = (
        "<" in text or "INST]" in text,
        any(word in text for word in _SPEAKERS),
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
