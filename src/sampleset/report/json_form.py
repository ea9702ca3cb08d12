"""Evaluation ⇄ `report.json`: plain values out, checked records back in."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from sampleset import __version__
from sampleset.errors import DataError
from sampleset.evaluation.results import Evaluation
from sampleset.report.notes import captions, file_notes, macro_notes, method_notes, point_notes

REPORT_SCHEMA = 2
"""Schema of `report.json`; raised when an older reader could not read it any more."""


def report_dict(evaluation: Evaluation, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The report as plain JSON values, without the questions.

    It has the fields of `Evaluation`, and beside them notes to read, which nothing reads back.

    Args:
        evaluation: The results.
        settings: How it was made; values that JSON lacks become text.
    """
    report: dict[str, Any] = {
        "schema": REPORT_SCHEMA,
        "version": __version__,
        "settings": plain(settings),
        **plain(asdict(evaluation)),
        "captions": captions(evaluation),
    }
    for macro, entry in zip(evaluation.macro, report["macro"], strict=True):
        entry["notes"] = macro_notes(macro)
    for file, entry in zip(evaluation.files, report["files"], strict=True):
        entry["notes"] = file_notes(file)
        for point, point_entry in zip(file.points, entry["points"], strict=True):
            point_entry["notes"] = point_notes(point)
            for method, method_entry in zip(point.methods, point_entry["methods"], strict=True):
                method_entry["notes"] = method_notes(method, point)
    return report


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping as JSON gives it back: tuples as lists, what JSON lacks as text."""
    return json.loads(json.dumps(dict(value), default=_plain_value))


def _plain_value(value: object) -> object:
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else str(value)


def evaluation_from_report(report: Mapping[str, Any]) -> Evaluation:
    """The evaluation that a report holds; fields it does not know are ignored.

    Raises:
        DataError: It is no report, of another schema, or a field is missing or of the wrong kind.
    """
    if "schema" not in report or "files" not in report:
        raise DataError("This is no report of an evaluation: it has no 'schema' or no 'files'.")
    if report["schema"] != REPORT_SCHEMA:
        raise DataError(
            f"The report has schema {report['schema']!r}, this version reads {REPORT_SCHEMA!r}. "
            "Make the report again with `sampleset evaluate`."
        )
    return cast("Evaluation", _record(Evaluation, report, "report"))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _record(kind: Any, value: object, path: str) -> object:
    if not isinstance(value, Mapping):
        raise _wrong(path, "an object", value)
    values = cast("Mapping[str, Any]", value)
    hints = _hints(kind)
    read: dict[str, object] = {}
    for field in fields(kind):
        inner = f"{path}.{field.name}".removeprefix("report.")
        if field.name in values:
            read[field.name] = _value(hints[field.name], values[field.name], inner)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise DataError(f"The report lacks the field {inner!r}. Make it again with `sampleset evaluate`.")
    return kind(**read)


def _value(kind: Any, value: object, path: str) -> object:
    """The value as the field's type has it; the types are those that the records of results use."""
    if kind is Any:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _value(next(argument for argument in arguments if argument is not type(None)), value, path)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(path, "a list", value)
        listed = cast("list[object]", value)
        return tuple(_value(arguments[0], item, f"{path}[{number}]") for number, item in enumerate(listed))
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise _wrong(path, "an object", value)
        return {
            key: _value(arguments[1], item, f"{path}[{key!r}]")
            for key, item in cast("Mapping[str, object]", value).items()
        }
    if is_dataclass(kind):
        return _record(kind, value, path)
    return _scalar(kind, value, path)


def _scalar(kind: Any, value: object, path: str) -> object:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong(
            path, {int: "a whole number", float: "a number", str: "text"}.get(kind, "a value"), value
        )
    return value


def _wrong(path: str, wanted: str, value: object) -> DataError:
    text = repr(value)
    return DataError(
        f"The report's field {path!r} holds {text if len(text) <= 60 else text[:60] + '…'}, not {wanted}."
    )
