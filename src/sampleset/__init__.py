"""Learn to reason across parallel samples: draw K solutions, read them together, give one answer.

The names below are imported when they are first used, so that `import sampleset` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sampleset.aggregators.base import AGGREGATORS, Aggregator, answers_of
    from sampleset.answers import (
        Kinds,
        answer_kind,
        extract_answer,
        group_answers,
        matches_gold,
        same_answer,
        with_answer_kind,
    )
    from sampleset.api.functions import Answered, sampled
    from sampleset.api.sampled_model import SampledModel
    from sampleset.api.sets import SampleSets, aggregate_sets, draw_sets, evaluate_sets, load_sets
    from sampleset.backends.base import BACKENDS, Backend, ScoringBackend
    from sampleset.backends.replay import ReplayBackend, ScoringReplayBackend
    from sampleset.chat import SamplingParams
    from sampleset.datasets.base import DATASETS, load_problems
    from sampleset.errors import SampleSetError
    from sampleset.evaluation import Evaluation, EvaluationOptions, evaluate
    from sampleset.grading.grade import grade
    from sampleset.grading.judge import LLMJudge
    from sampleset.models.budget import Caps
    from sampleset.models.opening import open_backend, ready_backend
    from sampleset.report.loaded import Report, load_report
    from sampleset.sampling.sampler import Sampler, SamplingOptions
    from sampleset.sampling.stopping import parse_stop
    from sampleset.specs import build as build_aggregator
    from sampleset.storage.files import read_problems, read_sample_sets
    from sampleset.storage.records import StoredSet
    from sampleset.storage.store import SampleStore
    from sampleset.types import (
        Answer,
        Candidate,
        Grade,
        LogprobSummary,
        Problem,
        Question,
        Sample,
        SampleSet,
        Usage,
    )

__version__ = "0.2.0"

_HOME = {
    "AGGREGATORS": "aggregators.base",
    "Aggregator": "aggregators.base",
    "Answer": "types",
    "Answered": "api.functions",
    "BACKENDS": "backends.base",
    "Backend": "backends.base",
    "Candidate": "types",
    "Caps": "models.budget",
    "DATASETS": "datasets.base",
    "Evaluation": "evaluation",
    "EvaluationOptions": "evaluation",
    "Grade": "types",
    "Kinds": "answers",
    "LLMJudge": "grading.judge",
    "LogprobSummary": "types",
    "Problem": "types",
    "Question": "types",
    "ReplayBackend": "backends.replay",
    "Report": "report.loaded",
    "Sample": "types",
    "SampleSet": "types",
    "SampleSetError": "errors",
    "SampleSets": "api.sets",
    "SampleStore": "storage.store",
    "SampledModel": "api.sampled_model",
    "Sampler": "sampling.sampler",
    "SamplingOptions": "sampling.sampler",
    "SamplingParams": "chat",
    "ScoringBackend": "backends.base",
    "ScoringReplayBackend": "backends.replay",
    "StoredSet": "storage.records",
    "Usage": "types",
    "aggregate_sets": "api.sets",
    "answer_kind": "answers",
    "answers_of": "aggregators.base",
    "build_aggregator": "specs:build",
    "draw_sets": "api.sets",
    "evaluate": "evaluation",
    "evaluate_sets": "api.sets",
    "extract_answer": "answers",
    "grade": "grading.grade",
    "group_answers": "answers",
    "load_problems": "datasets.base",
    "load_report": "report.loaded",
    "load_sets": "api.sets",
    "matches_gold": "answers",
    "open_backend": "models.opening",
    "parse_stop": "sampling.stopping",
    "read_problems": "storage.files",
    "read_sample_sets": "storage.files",
    "ready_backend": "models.opening",
    "same_answer": "answers",
    "sampled": "api.functions",
    "with_answer_kind": "answers",
}

__all__ = [
    "AGGREGATORS",
    "BACKENDS",
    "DATASETS",
    "Aggregator",
    "Answer",
    "Answered",
    "Backend",
    "Candidate",
    "Caps",
    "Evaluation",
    "EvaluationOptions",
    "Grade",
    "Kinds",
    "LLMJudge",
    "LogprobSummary",
    "Problem",
    "Question",
    "ReplayBackend",
    "Report",
    "Sample",
    "SampleSet",
    "SampleSetError",
    "SampleSets",
    "SampleStore",
    "SampledModel",
    "Sampler",
    "SamplingOptions",
    "SamplingParams",
    "ScoringBackend",
    "ScoringReplayBackend",
    "StoredSet",
    "Usage",
    "aggregate_sets",
    "answer_kind",
    "answers_of",
    "build_aggregator",
    "draw_sets",
    "evaluate",
    "evaluate_sets",
    "extract_answer",
    "grade",
    "group_answers",
    "load_problems",
    "load_report",
    "load_sets",
    "matches_gold",
    "open_backend",
    "parse_stop",
    "read_problems",
    "read_sample_sets",
    "ready_backend",
    "same_answer",
    "sampled",
    "with_answer_kind",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, original = _HOME[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), original or name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
