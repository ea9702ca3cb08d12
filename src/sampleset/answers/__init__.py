"""Final answers: what a model's answer is, and whether two answers are equal, by the kind of the answer.

Votes, grades and rewards all decide through this package. Importing it is light; math-verify
and sympy are imported in worker processes only, when two expressions need algebra.
"""

from sampleset.answers.code.sandbox import RunCode, allow_code
from sampleset.answers.grouping import AnswerGroup, Grouping, group_answers
from sampleset.answers.judged import (
    JUDGE_KIND,
    AbsentJudge,
    JudgementBook,
    Judgements,
    current_judge,
    judge_answers,
    judge_grades,
    judged_by,
)
from sampleset.answers.keyed import plain_text
from sampleset.answers.kinds import (
    ANSWER_KINDS,
    AnswerKind,
    answer_kind,
    choices_of,
    kind_of,
    with_answer_kind,
)
from sampleset.answers.maths.equivalence import Verdict, matches_gold, same_answer
from sampleset.answers.maths.extraction import Extracted, count_choices, extract_answer
from sampleset.answers.maths.forms import canonical
from sampleset.answers.maths.gold import gold_is_readable
from sampleset.answers.maths.verdict_store import VerdictStoreWarning, default_verdict_path, use_verdict_store

__all__ = [
    "ANSWER_KINDS",
    "JUDGE_KIND",
    "AbsentJudge",
    "AnswerGroup",
    "AnswerKind",
    "Extracted",
    "Grouping",
    "JudgementBook",
    "Judgements",
    "RunCode",
    "Verdict",
    "VerdictStoreWarning",
    "allow_code",
    "answer_kind",
    "canonical",
    "choices_of",
    "count_choices",
    "current_judge",
    "default_verdict_path",
    "extract_answer",
    "gold_is_readable",
    "group_answers",
    "judge_answers",
    "judge_grades",
    "judged_by",
    "kind_of",
    "matches_gold",
    "plain_text",
    "same_answer",
    "use_verdict_store",
    "with_answer_kind",
]
