from sampleset.aggregators.base import tally
from sampleset.types import Question, Sample, SampleSet
from sampleset.vote_features.base import CountedSet
from sampleset.vote_features.programs import Programs


async def columns(*texts: str, kind: str = "maths"):
    sets = SampleSet(
        Question("q", "?", answer_kind=kind), tuple(Sample(index, text) for index, text in enumerate(texts))
    )
    counted = await tally(sets)
    return Programs().columns(CountedSet(sets, counted.answers, counted.candidates))


def program(code: str, answer: str) -> str:
    return f"```python\n{code}\n```\n<answer>{answer}</answer>"


async def test_programs_speak_for_the_answers_that_they_come_to():
    found = await columns(
        program("print(3 + 4)", "7"),
        program("print(3 + 4)", "8"),
        program("for a in b: print(a)", "8"),
        "<answer>7</answer>",
        "no answer",
    )
    assert found["program_right"] == [1, 0, 0, 0, 0]
    assert found["program_wrong"] == [0, 1, 0, 0, 0]
    assert found["program_unclear"] == [0, 0, 1, 0, 0]
    assert found["programs_for"] == [0.4, 0, 0, 0.4, 0]


async def test_programs_say_nothing_of_answers_that_are_no_numbers():
    assert await columns(program("print(3)", "3"), kind="text") == {}
