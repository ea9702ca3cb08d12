"""The answer kind `code`: Python programs that are equal when they print the same for the same inputs.

Running them is off unless the user allows it; see `sandbox`.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sampleset.answers.code.sandbox import MAX_BYTES, RunCode, refuse_unless_allowed, run_program
from sampleset.answers.grouping import Grouping
from sampleset.answers.json_values import fenced_blocks
from sampleset.answers.keyed import grouped_by, tagged_text
from sampleset.answers.maths.equality.verdicts import Verdict
from sampleset.answers.maths.equality.workers import Budget
from sampleset.answers.maths.reading.extraction import Extracted
from sampleset.answers.maths.reading.reasoning import after_reasoning
from sampleset.errors import InvalidArgumentError

MAX_INPUTS = 20
ALL_CPU_SECONDS = 8.0
"""Processor time that one program may take on all its inputs together."""
_PYTHON = ("", "python", "python3", "py")

Outputs = tuple[str | None, ...]
"""The output of a program for each input, `None` where it fails."""


@dataclass(frozen=True, slots=True)
class Code:
    """Programs by what they print for these inputs; one that fails on all of them is no answer.

    Attributes:
        inputs: Texts on standard input, one run each.
        run_code: Whether they may be run, and how.
    """

    inputs: tuple[str, ...] = ("",)
    run_code: RunCode = "off"

    @property
    def spec(self) -> str:
        """As users type it."""
        return "code" if self.inputs == ("",) else f"code:{json.dumps(list(self.inputs))}"

    def check(self) -> None:
        """Raise unless programs may be run, and can be."""
        refuse_unless_allowed(self.run_code)

    def read(self, text: str, choices: int | None = None, truncated: bool = False) -> Extracted | None:
        """The last fenced block of Python, in the answer tags if there are any; else what they hold."""
        text = after_reasoning(text)
        tagged = tagged_text(text)
        for part, rule in ((tagged or "", "answer_tag"), (text, "fence")):
            for language, block in fenced_blocks(part):
                if language in _PYTHON and block.strip():
                    return Extracted(block, rule)
        return Extracted(tagged, "answer_tag") if tagged and _is_python(tagged) else None

    def group(self, answers: Sequence[str | None], budget: Budget | None = None) -> Grouping:
        """One group for each way of answering the inputs."""
        outputs = [
            None if answer is None or (budget and budget.is_cancelled) else self._outputs(answer)
            for answer in answers
        ]
        failed = any(parts is not None and not any(part is not None for part in parts) for parts in outputs)
        keys = [parts if parts and any(part is not None for part in parts) else None for parts in outputs]
        return grouped_by(keys, answers, ["program_failed"] if failed else [])

    def restricts(self, answers: Sequence[str | None], grouping: Grouping) -> bool:
        """Where no program failed, which is noted of the sets that hold it only."""
        return not grouping.notes

    def same(self, a: str, b: str) -> Verdict:
        """Whether both print the same, and fail on the same inputs if at all."""
        outputs = self._outputs(a)
        works = any(output is not None for output in outputs)
        return Verdict(works and outputs == self._outputs(b), "outputs")

    def matches_gold(self, answer: str, gold: str) -> Verdict:
        """Whether a program prints the outputs of the gold program, or those that the gold states."""
        expected = self._expected(gold)
        return Verdict(expected is not None and self._outputs(answer) == expected, "outputs")

    def gold_is_readable(self, gold: str) -> bool:
        """Whether it is a fenced program, or states one output per input."""
        return self.read(gold) is not None or self._stated(gold) is not None

    def _expected(self, gold: str) -> Outputs | None:
        program = self.read(gold)
        return self._outputs(program.text) if program else self._stated(gold)

    def _stated(self, gold: str) -> Outputs | None:
        """The outputs that a gold answer states: a JSON list of texts, or the only one as it is."""
        try:
            document: object = json.loads(gold)
        except (ValueError, RecursionError):
            document = None
        listed = cast("list[object]", document) if isinstance(document, list) else []
        if len(listed) == len(self.inputs) and all(isinstance(text, str) for text in listed):
            return tuple(_printed(str(text)) for text in listed)
        return (_printed(gold),) if len(self.inputs) == 1 and gold.strip() else None

    def _outputs(self, code: str) -> Outputs:
        """What a program prints for each input.

        After one that takes too long it is not run again, nor after `ALL_CPU_SECONDS` in all.
        """
        outputs: list[str | None] = []
        spent = 0.0
        for stdin in self.inputs:
            if spent > ALL_CPU_SECONDS:
                break
            run = run_program(code, stdin, self.run_code)
            spent += run.seconds
            if run.outcome == "timeout":
                break
            outputs.append(_printed(run.output) if run.outcome == "done" else None)
        return tuple(outputs) + (None,) * (len(self.inputs) - len(outputs))


def code_kind(option: str | None, run_code: RunCode) -> Code:
    r"""The kind that `code` or `code:["1 2\n", "3 4\n"]` names.

    Raises:
        InvalidArgumentError: The inputs are no JSON list of texts, or too many.
    """
    if option is None:
        return Code(run_code=run_code)
    try:
        inputs: object = json.loads(option)
    except (ValueError, RecursionError):
        inputs = None
    listed = cast("list[object]", inputs) if isinstance(inputs, list) else []
    texts = [item for item in listed if isinstance(item, str)]
    if not 0 < len(texts) == len(listed) <= MAX_INPUTS:
        raise InvalidArgumentError(
            f"Answer kind 'code:{option[:80]}': the inputs must be a JSON list of 1 to {MAX_INPUTS} texts, "
            'as in code:["1 2", "3 4"].'
        )
    return Code(tuple(texts), run_code)


def _printed(output: str) -> str:
    """The output without white space at the ends of its lines and of itself."""
    return "\n".join(line.rstrip() for line in output.strip().splitlines())


def _is_python(text: str) -> bool:
    """Whether a text that no fence marks as a program is one. It is parsed, not run."""
    if len(text) > MAX_BYTES or "\0" in text:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
