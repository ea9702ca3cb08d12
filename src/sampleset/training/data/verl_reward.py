"""The reward of `sampleset.training.grpo.rewards` as verl calls it, for rows of `train-data --export-verl`.

Give verl this file and the name `compute_score`, as `recipes/verl_grpo.sh` does. verl's chat template closes
the prompt's last turn, so the model must write the opening of its reply itself (`<think>`, `<answer>`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, cast

from sampleset.answers import Kinds, RunCode
from sampleset.training.data.rows import TrainingRow
from sampleset.training.grpo.rewards import require_comparable, reward
from sampleset.types import DEFAULT_KIND


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any],
    run_code: RunCode | None = None,
    **_: Any,
) -> dict[str, float]:
    """The reward of one completion, as `score`, and further figures that verl logs.

    Args:
        data_source: `sampleset/` and the name of the file of sample sets.
        solution_str: The completion.
        ground_truth: The gold answer.
        extra_info: The column `extra_info` of `write_verl`.
        run_code: Whether programs may be run, for answers of the kind `code`; by default the environment's
            `SAMPLESET_RUN_CODE`. A key of verl's `custom_reward_function.reward_kwargs`.
        _: Further arguments of verl, not used.

    Raises:
        InvalidArgumentError: Answers are compared by a judge, or by programs that may not be run.
    """
    row = TrainingRow(
        id=extra_info["id"],
        k=extra_info["k"],
        places=(),
        prompt=({"role": "user", "content": data_source},),
        mode=extra_info["mode"],
        prompt_version=extra_info["prompt_version"],
        prompt_tokens=0,
        answer=ground_truth,
        candidates=(),
        vote=extra_info["vote"],
        vote_right=extra_info["vote_right"],
        right_samples=extra_info["right_samples"],
        extra=json.loads(extra_info["extra"]),
        answer_kind=extra_info.get("answer_kind", DEFAULT_KIND),
        kinds=Kinds(run_code=run_code or cast("RunCode", os.environ.get("SAMPLESET_RUN_CODE") or "off")),
    )
    require_comparable([row])
    earned = reward(solution_str, row)
    return {
        "score": earned.value,
        "accuracy": float(earned.right),
        "formatted": float(earned.formatted),
        "answered": float(earned.answered),
    }
