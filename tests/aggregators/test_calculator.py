from sampleset.aggregators.calculator import Calculator, calculated
from sampleset.aggregators.first_sample import FirstSample
from sampleset.specs import build
from sampleset.types import Question, Sample, SampleSet

INVENTED = "```python\nprint(100 - 70)\n```\n```output\n20\n```\nIt is \\boxed{20}."


def set_of(*texts: str, kind: str = "maths", asked: str = "How many?", **more) -> SampleSet:
    samples = tuple(Sample(index, text, **more) for index, text in enumerate(texts))
    return SampleSet(Question("q", asked, answer_kind=kind), samples)


async def test_samples_count_for_what_they_calculate():
    sets = set_of(INVENTED, INVENTED, "So 10 + 20 = 40.\n<answer>40</answer>", "<answer>20</answer>")
    vote = await build("majority_vote").aggregate(sets)
    answer = await build("calculator").aggregate(sets)
    assert (vote.answer, answer.answer) == ("20", "30")
    assert answer.flags == ("calculated",)
    assert answer.aggregator == "calculator"
    assert [candidate.votes for candidate in answer.candidates] == [3, 1]


async def test_any_aggregator_reads_the_samples_that_were_told():
    answer = await Calculator(FirstSample()).aggregate(set_of(INVENTED, "<answer>4</answer>"))
    assert answer.answer == "30"
    assert answer.text.startswith(INVENTED)


async def test_samples_that_calculate_what_they_state_are_the_same_set():
    for unchanged in (
        set_of("3 + 4 = 7 <answer>7</answer>", "no number <answer>x</answer>", "nothing"),
        set_of(INVENTED, kind="choice"),
        set_of(INVENTED, kind="text"),
        set_of("```python\nprint(100 - 70)\n```", asked="How many?\n(A) 20\n(B) 30\n(C) 40"),
        set_of(INVENTED, error="timeout"),
    ):
        assert calculated(unchanged) is unchanged
        assert "calculated" not in (await Calculator().aggregate(unchanged)).flags


async def test_numbers_within_a_tolerance_are_numbers():
    assert (await Calculator().aggregate(set_of(INVENTED, kind="number:1%"))).answer == "30"
