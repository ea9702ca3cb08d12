r"""Grades per second of this package, of math-verify, and of the metric functions of lm-eval and lighteval.

    python benchmarks/audits/grades_beside_others.py [FILE] --lm-eval VENV/bin/python \
        --lighteval VENV/bin/python

Every sample of FILE is graded against its question's gold answer. Each way has a process of its own, in the
venv given, reads the same pairs, warms up on the first ten, and is timed on the rest; the ways take turns.
The ways, all with their own defaults:

- `sampleset`: `extract_answer` and `matches_gold`, the start of the worker processes included.
- `math-verify`: `parse` of both, and `verify`.
- `lm-eval gsm8k`: the filter `flexible-extract` and `exact_match` as tasks/gsm8k/gsm8k.yaml has them.
- `lm-eval hendrycks_math`, `lm-eval minerva_math`: `process_results` of the task. The latter makes two
  grades, by sympy and by math-verify; the second counts here.
- `lighteval`: `Metrics.expr_gold_metric`, its metric for GSM8K and the like.

"right" counts what each grades as right; where the file holds recorded grades (`correct`), "as recorded"
counts how many agree with them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

RECORDED = Path(__file__).parents[2] / "src" / "sampleset" / "data" / "gsm8k_small8_100.jsonl.gz"
WARM_UP = 10
Grade = Callable[[str, str], bool]


def sampleset() -> Grade:
    from sampleset.answers import extract_answer, matches_gold

    def grade(gold: str, text: str) -> bool:
        found = extract_answer(text)
        return found is not None and matches_gold(found.text, gold).equal is True

    return grade


def math_verify() -> Grade:
    from math_verify import parse, verify

    return lambda gold, text: verify(parse(f"${gold}$"), parse(text))


def lm_eval_gsm8k() -> Grade:
    from lm_eval.api.metrics import exact_match_hf_evaluate
    from lm_eval.filters.extraction import RegexFilter

    numbers = RegexFilter(regex_pattern=r"(-?[$0-9.,]{2,})|(-?[0-9]+)", group_select=-1)
    ignored = [",", r"\$", r"(?s).*#### ", r"\.$"]

    def grade(gold: str, text: str) -> bool:
        ((found,),) = numbers.apply([[text]], [{}])
        score = exact_match_hf_evaluate([found], [gold], regexes_to_ignore=ignored, ignore_case=True)
        return bool(score["exact_match"])

    return grade


def lm_eval_hendrycks_math() -> Grade:
    from lm_eval.tasks.hendrycks_math.utils import process_results

    # It compares the gold with the whole reply, or with what stands between its first and last dollar sign.
    return lambda gold, text: bool(process_results({"solution": f"\\boxed{{{gold}}}"}, [text])["exact_match"])


def lm_eval_minerva_math() -> Grade:
    from lm_eval.tasks.minerva_math.utils import process_results

    def grade(gold: str, text: str) -> bool:
        problem = {"answer": gold, "solution": f"The answer is $\\boxed{{{gold}}}$."}
        return bool(process_results(problem, [text])["math_verify"])

    return grade


def lighteval() -> Grade:
    from lighteval.metrics.metrics import Metrics
    from lighteval.models.model_output import ModelResponse
    from lighteval.tasks.requests import Doc

    metric = Metrics.expr_gold_metric.value.sample_level_fn

    def grade(gold: str, text: str) -> bool:
        problem = Doc(query="", choices=[gold], gold_index=0)
        return bool(metric.compute(doc=problem, model_response=ModelResponse(text=[text])))

    return grade


WAYS: dict[str, tuple[str, Callable[[], Grade]]] = {
    "sampleset": ("sampleset", sampleset),
    "math-verify": ("sampleset", math_verify),
    "lm-eval gsm8k": ("lm_eval", lm_eval_gsm8k),
    "lm-eval hendrycks_math": ("lm_eval", lm_eval_hendrycks_math),
    "lm-eval minerva_math": ("lm_eval", lm_eval_minerva_math),
    "lighteval": ("lighteval", lighteval),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?", default=RECORDED)
    parser.add_argument("--limit", type=int, help="only the first so many questions")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--lm-eval", metavar="PYTHON", help="of a venv with lm_eval[math]")
    parser.add_argument("--lighteval", metavar="PYTHON", help="of a venv with lighteval[math]")
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(timed(WAYS[arguments.way][1](), json.load(sys.stdin))))
    else:
        compare(arguments)


def timed(grade: Grade, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    for gold, text in pairs[:WARM_UP]:
        grade(gold, text)
    started = time.perf_counter()
    grades = [grade(gold, text) for gold, text in pairs]
    return {"seconds": time.perf_counter() - started, "grades": grades}


def compare(arguments: argparse.Namespace) -> None:
    from sampleset.storage.rows import read_rows

    rows = [row for _, row in read_rows(arguments.file)][: arguments.limit]
    pairs = [(row["answer"], text) for row in rows for text in row["samples"]]
    recorded = [bool(one) for row in rows for one in row.get("correct", ())]
    pythons = {
        "sampleset": sys.executable,
        "lm_eval": arguments.lm_eval,
        "lighteval": arguments.lighteval,
    }
    seconds: dict[str, list[float]] = {}
    grades: dict[str, list[bool]] = {}
    left_out: set[str] = set()
    for _ in range(arguments.repeats):
        for name, (package, _) in WAYS.items():
            python = pythons[package]
            if python is None or name in left_out:
                continue
            command = [python, __file__, "--way", name]
            done = subprocess.run(command, input=json.dumps(pairs), capture_output=True, text=True)
            if done.returncode:
                print(f"{name} is left out: {done.stderr.strip().splitlines()[-1]}")
                left_out.add(name)
                continue
            found = json.loads(done.stdout.strip().splitlines()[-1])
            seconds.setdefault(name, []).append(found["seconds"])
            grades[name] = found["grades"]
    print(f"{arguments.file.name}: {len(rows)} questions, {len(pairs)} samples")
    for name, taken in seconds.items():
        each = [one / ours for one, ours in zip(taken, seconds["sampleset"], strict=True)]
        spread = f"({min(each):.2f} to {max(each):.2f})"
        agreed = sum(a == b for a, b in zip(grades[name], recorded, strict=False))
        beside = f", {agreed} as recorded" if recorded else ""
        print(
            f"{name:<23} {len(pairs) / median(taken):9.0f} grades/s   x {median(each):7.2f} {spread:19}"
            f" {sum(grades[name])} right{beside}"
        )


if __name__ == "__main__":
    main()
