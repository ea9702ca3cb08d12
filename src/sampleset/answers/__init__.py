"""Final answers: reads a model's answer, and decides whether two answers are equal, by the answer's kind.

Votes, grades and rewards all decide through this package. Importing it is light; math-verify
and sympy are imported in worker processes only, when two expressions need algebra.
"""

from sampleset.answers.code.sandbox import RunCode
from sampleset.answers.grouping import AnswerGroup, Grouping, group_answers
from sampleset.answers.judged import Judge, Judgements
from sampleset.answers.keyed import plain_text
from sampleset.answers.kinds import (
    ANSWER_KINDS,
    AnswerKind,
    Kinds,
    answer_kind,
    at_once,
    choices_of,
    is_cut_short,
    kind_of,
    kinds_of,
    with_answer_kind,
)
from sampleset.answers.maths.equality.equivalence import matches_gold, same_answer
from sampleset.answers.maths.equality.gold import gold_is_readable
from sampleset.answers.maths.equality.verdict_store import (
    VerdictStoreWarning,
    default_verdict_path,
    use_verdict_store,
)
from sampleset.answers.maths.equality.verdicts import Verdict
from sampleset.answers.maths.equality.workers import Budget
from sampleset.answers.maths.forms.canonical import canonical
from sampleset.answers.maths.reading.extraction import Extracted, extract_answer
from sampleset.answers.maths.reading.option_lists import count_choices

__all__ = [
    "ANSWER_KINDS",
    "AnswerGroup",
    "AnswerKind",
    "Budget",
    "Extracted",
    "Grouping",
    "Judge",
    "Judgements",
    "Kinds",
    "RunCode",
    "Verdict",
    "VerdictStoreWarning",
    "answer_kind",
    "at_once",
    "canonical",
    "choices_of",
    "count_choices",
    "default_verdict_path",
    "extract_answer",
    "gold_is_readable",
    "group_answers",
    "is_cut_short",
    "kind_of",
    "kinds_of",
    "matches_gold",
    "plain_text",
    "same_answer",
    "use_verdict_store",
    "with_answer_kind",
]
