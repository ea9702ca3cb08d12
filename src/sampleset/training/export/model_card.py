"""The README.md beside a trained aggregator's weights, made from its record alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LIBRARIES = {"gguf-adapter": "gguf", "gguf": "gguf", "merged": "transformers", "peft": "peft"}
EXTRAS = {"gguf": "llamacpp"}

MODES = {
    "think": "It reads all samples, reasons, and writes one final answer.",
    "direct": "It reads all samples and writes one final answer at once.",
    "select": "It reads all samples and scores the answers among them; it cannot give one that none has.",
}
AGGREGATOR = (
    "# A trained aggregator\n\n"
    "A language model trained to read several proposed solutions of one question and to give the answer, "
    "after the Sample Set Aggregator of [arXiv 2506.09014](https://arxiv.org/abs/2506.09014), with the "
    "package sampleset. "
)
VERIFIER = (
    "# A trained verifier\n\n"
    "A language model trained to read a question and one proposed solution and to say whether its answer is "
    "correct, after GenRM ([arXiv 2408.15240](https://arxiv.org/abs/2408.15240)), with the package sampleset."
)
LISTED = ("method", "steps_done", "learning_rate", "objective", "lora", "seed")


def model_card(record: Mapping[str, Any]) -> str:
    """Markdown with front matter for the Hub, without a licence, which the publisher adds.

    Args:
        record: The content of `sampleset.json`.
    """
    training: Mapping[str, Any] = record.get("training") or {}
    usual = "peft" if training.get("lora") else "transformers"
    library = LIBRARIES.get(str(record.get("format")), usual)
    mode = str(record["mode"])
    use = (
        "fit-vote SETS --reward-model generative_verifier,model=FOLDER --output vote.json"
        if mode == "verify"
        else "evaluate SETS --aggregator majority_vote --aggregator ssa --aggregator-model FOLDER"
    )
    name = str(record["base_model"]).removeprefix("transformers:").partition("@")[0]
    parts = [
        f"---\nbase_model: {name}\nlibrary_name: {library}\ntags:\n- sampleset\n- test-time-compute\n"
        f"- answer-aggregation\n- {mode}\n---",
        VERIFIER if mode == "verify" else f"{AGGREGATOR}{MODES.get(mode, '')}",
        f"- base model: `{record['base_model']}`{_base_file(record)}\n- mode: `{mode}`\n"
        f"- prompt: `{record['prompt_version']}`{_reading(record)}",
        "## Use\n\nWith this folder as `FOLDER`, and your own sets of samples:\n\n```\n"
        f"pip install 'sampleset[{EXTRAS.get(library, 'train')}]'\n"
        f"sampleset {use}\n```\n\nMode, prompt and learned weights are taken from the record. Asked under "
        "another prompt, it does not do what it was trained for.",
        _training_section(training),
        _figures_section(training),
        _calibration_section(record.get("calibration")),
        _verdict_section(record.get("verdict")),
        "## Limits\n\nIt learned from the questions in its rows, and from samples of the models that wrote "
        "them. On other tasks, languages or models it may do worse than a majority vote, which costs "
        "nothing: compare the two on your own samples before relying on it. Text in the samples can "
        "mislead it.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _base_file(record: Mapping[str, Any]) -> str:
    """A note on the base file that an adapter for llama.cpp needs; empty for other models."""
    base: Mapping[str, Any] | None = record.get("gguf_base")
    return f"; needs the file `{base['name']}` (@{base['digest8']}) beside it" if base else ""


def _reading(record: Mapping[str, Any]) -> str:
    end_tokens = record.get("keep_end_tokens")
    parts = [f"the last {end_tokens} tokens of each sample"] if end_tokens else []
    if record.get("fold"):
        parts.append("equal answers shown once")
    if record.get("calculator"):
        parts.append("which end with what they calculate where that is another number than they state")
    return "".join(f", {part}" for part in parts)


def _training_section(training: Mapping[str, Any]) -> str:
    lines = [f"- {name}: `{training[name]}`" for name in LISTED if training.get(name) is not None]
    if "rows_used" in training:
        lines.append(f"- rows trained on: {training['rows_used']} of `{training.get('rows')}`")
    return "## Training\n\n" + "\n".join(lines) if lines else ""


def _figures_section(training: Mapping[str, Any]) -> str:
    before: Mapping[str, float] = training.get("before") or {}
    after: Mapping[str, float] = training.get("after") or {}
    if not after:
        return "## Figures\n\nNone was taken while it trained: the run was given no held-back rows."
    count = training.get("held_back_rows")
    rows = f"the {count} held-back rows" if count else "the held-back rows"
    lines = [
        f"| {key.removeprefix('eval_').replace('_', ' ')} | {before[key]:.3f} | {value:.3f} |"
        for key, value in after.items()
        if key in before
    ]
    return (
        f"## Figures\n\nMeasured on {rows} of `{training.get('eval_rows')}`, which share no question with "
        "the rows trained on, before training and after.\n\n"
        "| | before | after |\n|---|---|---|\n" + "\n".join(lines)
    )


def _calibration_section(calibration: Mapping[str, Any] | None) -> str:
    """The results of `sampleset calibrate`; empty without them."""
    if not calibration:
        return ""
    figures: Mapping[str, Mapping[str, float | None]] = calibration["figures"]
    lines = [
        f"| {name} | {figure['accuracy']:.3f} | "
        + (f"{figure['cross_entropy']:.3f} |" if figure["cross_entropy"] is not None else "|")
        for name, figure in figures.items()
    ]
    return (
        "## Calibration\n\nThe multiples of score, votes and confidence were fitted on "
        f"{calibration['rows_used']} held-back rows of {calibration['questions']} questions. `prior`, "
        f"`after` and `blind` are cross-validated by question in {calibration['folds']} folds; `prior` is "
        "votes and confidence without the model, `blind` the model where samples carry no log-probabilities."
        "\n\n| | accuracy | cross-entropy |\n|---|---|---|\n" + "\n".join(lines)
    )


def _verdict_section(verdict: Mapping[str, Any] | None) -> str:
    """The verdict of `sampleset fit`; empty without one."""
    if not verdict:
        return ""
    lines = [
        f"| {lead['over']} | {100 * lead['difference']:+.1f} | {100 * lead['interval']['low']:+.1f} to "
        f"{100 * lead['interval']['high']:+.1f} | {lead['mended']} / {lead['spoilt']} |"
        for lead in verdict["leads"]
    ]
    heading = "Recommended" if verdict["is_recommended"] else "Not recommended"
    return (
        f"## {heading}\n\n{verdict['sentence']}\n\nOn {verdict['questions']} test questions, {verdict['k']} "
        "samples each; points, paired by question, with the 95 % interval:\n\n"
        "| it less | points | interval | mended / spoilt |\n|---|---|---|---|\n" + "\n".join(lines)
    )
