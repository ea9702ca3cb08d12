"""LaTeX token by token: which spaces keep two apart, and braces around the arguments of commands."""

from __future__ import annotations

import re

from sampleset.answers.maths.patterns import lazy_pattern

_TOKEN = lazy_pattern(r"\\[A-Za-z]+|\\.|\d+|\s+|.", re.DOTALL)


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


def with_braces(text: str) -> str:
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
    position = 0
    while position < len(tokens):
        token = tokens[position]
        position += 1
        if token.isspace() and due:
            continue
        if position - 1 in closers:
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
            if token == "\\sqrt" and position < len(tokens) and tokens[position] == "[":
                while position < len(tokens) and tokens[position] != "]":
                    output.append(tokens[position])
                    position += 1
                if position < len(tokens):
                    output.append("]")
                    position += 1
        elif not due:
            output.append(token)
        elif token == "(" and whole_number and match.get(position - 1):
            output.append("{")
            stack.append(due - 1)
            due = 0
            closers.add(match[position - 1])
        elif token in "+-" and whole_number and position < len(tokens) and tokens[position].isalnum():
            output.append("{" + token + tokens[position] + "}")
            position += 1
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
    for position, token in enumerate(tokens):
        if token == "(":
            opened.append(position)
        elif token == ")" and opened:
            pairs[opened.pop()] = position
    return pairs
