"""Every aggregator on answers that are not mathematics."""

import pytest

from sampleset.aggregators.base import AGGREGATORS, tally
from sampleset.answers import Kinds, answer_kind
from sampleset.backends.replay import ReplayBackend, ScoringReplayBackend
from sampleset.errors import UnsupportedByMachineError
from sampleset.prompts import Shown, aggregation_messages, conclusion_of, solve_messages
from sampleset.specs import build, needs_model
from sampleset.types import Question, Sample, SampleSet


def set_of(kind: str, *texts: str, kinds: Kinds | None = None) -> SampleSet:
    question = Question("q", "The order as JSON?", answer_kind=kind, kinds=kinds)
    return SampleSet(question, tuple(Sample(index, text) for index, text in enumerate(texts)))


ORDERS = set_of("json", '{"n": 2, "item": "tea"}', '```json\n{"item": "tea", "n": 2.0}\n```', '{"n": 3}')


@pytest.mark.parametrize("name", sorted(AGGREGATORS.names()))
async def test_every_aggregator_counts_equal_json_values_as_one(name: str):
    if name in ("ssa", "learned_vote", "certified"):
        pytest.skip("needs a file that was trained or fitted")
    reply = '<answer>{"item": "tea", "n": 2}</answer> Response 1'
    backend = ReplayBackend(lambda *_: reply) if needs_model(AGGREGATORS.get(name)) else None
    answer = await build(name, backend).aggregate(ORDERS)
    assert [one.votes for one in answer.candidates] == [2, 1]
    assert answer.answer is not None
    kind = answer_kind("json")
    assert any([(await kind.same(answer.answer, one.answer)).equal for one in answer.candidates])
    assert "new_answer" not in answer.flags


async def test_a_model_that_reads_the_set_answers_in_json():
    backend = ReplayBackend(lambda *_: '{"n": 2.0, "item": "tea"}')
    for mode in ("direct", "think"):
        reply = '{"n": 2.0, "item": "tea"}' if mode == "direct" else 'x</think><answer>{"n": 9}'
        backend = ReplayBackend(lambda *_, reply=reply: reply)
        answer = await build(f"llm_aggregator:mode={mode}", backend).aggregate(ORDERS)
        assert answer.answer == ('{"n": 2.0, "item": "tea"}' if mode == "direct" else '{"n": 9}')
        assert ("new_answer" in answer.flags) is (mode == "think")


async def test_candidates_are_scored_as_they_are_written():
    backend = ScoringReplayBackend(lambda *_: "", scores=lambda _, text: 0.0 if '"n": 3' in text else -9.0)
    answer = await build("llm_aggregator:mode=select", backend).aggregate(ORDERS)
    assert answer.answer == '{"n": 3}'


async def test_the_answers_of_groups_are_read_again_in_their_kind():
    text = set_of("text", *(f"Answer: {city}" for city in ("Oslo", "oslo", "Rome", "OSLO", "Rome", "Bonn")))
    answer = await build("two_stage:group=3").aggregate(text)
    assert answer.answer is not None and answer.answer.lower() in ("oslo", "rome")
    assert sum(one.votes for one in answer.candidates) == 6


async def test_the_same_texts_have_another_tally_in_another_kind():
    texts = ("<answer>1/2</answer>", "<answer>0.5</answer>")
    assert len((await tally(set_of("maths", *texts))).candidates) == 1
    assert len((await tally(set_of("text", *texts))).candidates) == 2


async def test_a_program_that_fails_is_no_answer():
    kinds = Kinds(run_code="sandbox")
    try:
        kinds.named("code").check()
    except UnsupportedByMachineError as error:
        pytest.skip(str(error))
    blocks = ("```python\n1/0\n```", "```python\nprint(3)\n```", "```python\nprint(1 + 2)\n```")
    counted = await tally(set_of("code", *blocks, kinds=kinds))
    assert counted.answers == (None, "print(3)", "print(1 + 2)")
    assert [one.indices for one in counted.candidates] == [(1, 2)]
    assert counted.notes == ("program_failed",)


async def test_the_prompt_that_trained_aggregators_read_is_the_same_for_every_kind():
    backend = ReplayBackend(lambda *_: "")
    prompts = [
        await aggregation_messages(Question("q", "?", answer_kind=kind), [Shown("x")], "think", backend, 1000)
        for kind in ("maths", "json", "code")
    ]
    assert prompts[0] == prompts[1] == prompts[2]


@pytest.mark.parametrize(
    ("kind", "says"),
    [("maths", "\\boxed{}"), ("text", "<answer>"), ("json", "JSON"), ("number:1%", "number"),
     ("code", "```python"), ("choice", "letter"), ("judge", "<answer>")],
)  # fmt: skip
def test_samples_are_asked_for_in_their_kind(kind: str, says: str):
    for prompt in ("solve", "worked_examples"):
        (*earlier, last) = solve_messages(Question("q", "?", answer_kind=kind), prompt)
        assert says in last["content"]
        assert bool(earlier) is (kind == "maths" and prompt == "worked_examples")


def test_the_conclusion_of_what_is_no_mathematics_is_the_answer():
    text = "Long.\n```json\n{\n" + ",\n".join(f'"k{n}": {n}' for n in range(20)) + "\n}\n```\nDone."
    assert conclusion_of(text, None, "json").startswith('{\n"k0": 0')
    assert conclusion_of("no value\nhere", None, "json") == "here"
