"""Arithmetic in a model's text: formulas, and programs that assign, calculate and print numbers.

Nothing is executed: the syntax tree is walked, and a part that is no arithmetic on numbers of moderate size
ends the walk. There are no loops, so that the work is bounded by the length of the text.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping
from typing import Any

_LONGEST_PROGRAM = 8_000
_LONGEST_LINE = 500
_LARGEST = 1e15

_CALLS: Mapping[str, Callable[..., Any]] = {
    "abs": abs, "float": float, "int": int, "max": max, "min": min, "round": round,
}  # fmt: skip
_OPERATIONS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Mod: lambda left, right: left % right,
}


def formula_value(formula: str) -> float | None:
    """What a formula in Python's notation comes to, as `2 * (3 + 4)`; `None` where it is none."""
    try:
        match _statements(formula):
            case [ast.Expr(value)]:
                return _value(value, {})
            case _:
                return None
    except _NoArithmetic:
        return None


def program_value(program: str) -> float | None:
    """The number that a program would print last, or assigns last if it prints nothing.

    `None` where it does anything but assign, calculate and print numbers, and where it would fail.
    """
    names: dict[str, float] = {}
    printed = assigned = None
    try:
        for statement in _statements(program):
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    names[name] = assigned = _value(value, names)
                case ast.AugAssign(target=ast.Name(id=name), op=op, value=value) if name in names:
                    names[name] = assigned = _operated(op, names[name], _value(value, names))
                case ast.Expr(ast.Call(func=ast.Name(id="print"), args=[*_, shown])):
                    printed = _value(_last_shown(shown), names)
                case ast.Expr(ast.Constant()) | ast.Import() | ast.ImportFrom():
                    pass
                case _:
                    return None
    except _NoArithmetic:
        return None
    return assigned if printed is None else printed


class _NoArithmetic(Exception):
    """A part of a text is no arithmetic, or too large."""


def _statements(program: str) -> list[ast.stmt]:
    if len(program) > _LONGEST_PROGRAM or any(len(line) > _LONGEST_LINE for line in program.split("\n")):
        raise _NoArithmetic
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _NoArithmetic from error


def _last_shown(node: ast.expr) -> ast.expr:
    """Of a formatted text, the last value in it."""
    values = [part.value for part in getattr(node, "values", ()) if isinstance(part, ast.FormattedValue)]
    return values[-1] if values else node


def _value(node: ast.expr, names: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _moderate(number)
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _operated(op, _value(left, names), _value(right, names))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _CALLS:
            values = [_value(argument, names) for argument in arguments]
            if name == "round" and len(values) == 2:
                values[1] = int(values[1])
            try:
                return _moderate(_CALLS[name](*values))
            except (TypeError, ValueError, OverflowError) as error:
                raise _NoArithmetic from error
        case _:
            raise _NoArithmetic


def _operated(op: ast.operator, left: float, right: float) -> float:
    try:
        if isinstance(op, ast.Pow):
            if not (abs(left) < 1e6 and abs(right) < 100):
                raise _NoArithmetic
            return _moderate(float(left) ** float(right))
        return _moderate(_OPERATIONS[type(op)](left, right))
    except (ZeroDivisionError, OverflowError, KeyError) as error:
        raise _NoArithmetic from error


def _moderate(number: object) -> float:
    """A number that is not too large, and none that is complex or not one at all."""
    if isinstance(number, int | float) and abs(number) < _LARGEST:
        return number
    raise _NoArithmetic
