"""Final answers: what a model's answer is, and whether two answers are equal.

Votes, grades and rewards all decide through this package. Importing it is light; math-verify
and sympy are imported in worker processes only, when two expressions need algebra.
"""

from sampleset.answers.equivalence import Verdict, matches_gold, same_answer
from sampleset.answers.extraction import Extracted, count_choices, extract_answer
from sampleset.answers.forms import canonical
from sampleset.answers.grouping import AnswerGroup, Grouping, group_answers

__all__ = [
    "AnswerGroup",
    "Extracted",
    "Grouping",
    "Verdict",
    "canonical",
    "count_choices",
    "extract_answer",
    "group_answers",
    "matches_gold",
    "same_answer",
]
