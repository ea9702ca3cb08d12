"""Evaluates aggregators on the same sample sets: runs and grades them and sums up."""

from sampleset.evaluation.answer_log import AnswerLog, answer_all
from sampleset.evaluation.replay import ReplayFile, ReplayOptions, replay_file
from sampleset.evaluation.results import Evaluation, QuestionResult
from sampleset.evaluation.run import EvaluationOptions, EvaluationProgress, evaluate
from sampleset.evaluation.scoring import REFERENCE
from sampleset.evaluation.subsets import parse_sizes
from sampleset.models.prices import Price, Prices, read_prices

__all__ = [
    "REFERENCE",
    "AnswerLog",
    "Evaluation",
    "EvaluationOptions",
    "EvaluationProgress",
    "Price",
    "Prices",
    "QuestionResult",
    "ReplayFile",
    "ReplayOptions",
    "answer_all",
    "evaluate",
    "parse_sizes",
    "read_prices",
    "replay_file",
]
