"""`auto`: which method answers, under which cap, and how it explains itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sampleset.aggregators.auto import Auto, Rule, Rules
from sampleset.aggregators.generative_self_aggregation import GenerativeSelfAggregation
from sampleset.aggregators.mixture_of_agents import MixtureOfAgents
from sampleset.answers import Judgements, Kinds, plain_text
from sampleset.backends.replay import ReplayBackend
from sampleset.chat import Generation
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.models.calls import ModelCalls
from sampleset.settings import save_settings
from sampleset.specs import build, options_of
from sampleset.storage.records import answer_from_row, answer_to_row
from sampleset.types import Question, SampleSet, Usage

SPLIT = ["1", "2", "3", "1", "4"]


def fusing(answer: str = "9", **options: int) -> tuple[GenerativeSelfAggregation, ReplayBackend]:
    model = ReplayBackend(lambda messages, seed: Generation(f"So \\boxed{{{answer}}}", "stop", 100, 10))
    return GenerativeSelfAggregation(ModelCalls(model), **options), model


def rule(method: str, **fields: object) -> Rule:
    values = {"low": 0.0, "high": 1.0, "confidence_agrees": None, "answer_kind": "maths", "questions": 50,
              "right": {"vote": 20.0}, "tokens": {"vote": 0.0}}  # fmt: skip
    return Rule(method, **{**values, **fields})  # type: ignore[arg-type]


def saved(path: Path, *rules: Rule, fusion: str | None = None) -> str:
    save_settings(path, Rules(rules, {"reader": None, "fusion": fusion}).to_json())
    return str(path)


async def test_the_vote_answers_where_the_samples_agree_and_no_model_is_asked(make_set):
    fusion, model = fusing()
    given = await Auto(fusion=fusion).aggregate(make_set(["1", "1", "1", "2"]))
    assert (given.answer, given.aggregator, given.usage) == ("1", "auto", Usage())
    assert given.explanation["method"] == "vote"
    assert "0.75 is at least agreement=0.6" in given.explanation["why"]
    assert model.calls == []


async def test_the_dearer_method_answers_where_they_do_not_and_shows_both_sides(make_set):
    fusion, _ = fusing("2.0")
    given = await Auto(fusion=fusion).aggregate(make_set(SPLIT))
    assert (given.answer, given.usage) == ("2.0", Usage(100, 10, 1))
    assert given.explanation["method"] == "fusion"
    assert given.explanation["aggregator"] == "generative_self_aggregation"
    assert given.explanation["agreed"] == [{"answer": "2", "votes": 1, "indices": [1]}]
    assert [row["answer"] for row in given.explanation["disagreed"]] == ["1", "3", "4"]


async def test_an_answer_that_is_new_agrees_with_no_class(make_set):
    fusion, _ = fusing("7")
    given = await fusion.aggregate(make_set(["1", "2", None]))
    assert given.explanation["agreed"] == []
    assert [row["votes"] for row in given.explanation["disagreed"]] == [1, 1]
    assert given.explanation["without_answer"] == 1


async def test_the_explanation_survives_the_file_of_answers(make_set):
    fusion, _ = fusing()
    given = await Auto(fusion=fusion).aggregate(make_set(SPLIT))
    row = json.loads(json.dumps(answer_to_row(given, Usage())))
    assert answer_from_row(row).explanation == given.explanation


async def test_without_dearer_methods_the_weighted_vote_answers(make_set):
    given = await build("auto").aggregate(make_set(SPLIT))
    assert given.explanation["method"] == "weighted"


async def test_rules_choose_and_say_what_they_go_by(make_set, tmp_path):
    file = saved(
        tmp_path / "auto.json", rule("weighted", high=0.3), rule("fusion", low=0.3),
        fusion="generative_self_aggregation:replay",
    )  # fmt: skip
    fusion, _ = fusing()
    auto = Auto(file=file, fusion=fusion)
    assert (await auto.aggregate(make_set(["1", "2", "3", "4"]))).explanation["method"] == "weighted"
    given = await auto.aggregate(make_set(SPLIT))
    assert given.explanation["method"] == "fusion"
    assert "50 such labelled questions right by vote 20" in given.explanation["why"]


async def test_a_kind_without_rules_is_voted_on(make_set, tmp_path):
    file = saved(tmp_path / "auto.json", rule("weighted", answer_kind="json"))
    given = await Auto(file=file).aggregate(make_set(SPLIT))
    assert given.explanation["method"] == "vote"
    assert "no rule is of answers of the kind maths" in given.explanation["why"]


async def test_a_method_beyond_the_cap_is_not_asked(make_set):
    fusion, model = fusing(max_tokens=20)
    given = await Auto(fusion=fusion, max_tokens=30).aggregate(make_set(SPLIT))
    assert model.calls == []
    assert given.usage == Usage()
    assert "cap_reached" in given.flags
    assert given.explanation["method"] == "weighted"
    assert "fusion did not fit the cap" in given.explanation["why"]


async def test_calls_made_before_the_cap_are_counted(make_set):
    model = ReplayBackend(lambda messages, seed: Generation("So \\boxed{9}", "stop", 100, 10))
    fusion = MixtureOfAgents(ModelCalls(model), agents=1, max_tokens=20)
    whole = make_set(SPLIT)
    free = await Auto(fusion=fusion).aggregate(whole)
    assert free.usage.total_tokens == 220
    capped = await Auto(fusion=fusion, max_tokens=1500).aggregate(whole)
    spent = capped.usage.total_tokens
    assert spent <= 1500
    assert spent == 110 * (len(model.calls) - 2)


async def test_a_cheaper_reader_answers_where_fusion_does_not_fit(make_set, tmp_path):
    fusion, dear = fusing(max_tokens=2990)
    reader, cheap = fusing("2", max_tokens=20)
    name = "generative_self_aggregation:replay"
    file = tmp_path / "auto.json"
    save_settings(file, Rules((rule("fusion"),), {"reader": name, "fusion": name}).to_json())
    given = await Auto(file=str(file), reader=reader, fusion=fusion, max_tokens=3000).aggregate(
        make_set(SPLIT)
    )
    assert (given.answer, len(dear.calls), len(cheap.calls)) == ("2", 0, 1)
    assert "cap_lowered" in given.flags


async def test_a_cap_in_money_goes_by_the_prices(make_set, tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("currency: USD\nmodels:\n  replay: {prompt: 1000, completion: 1000}\n")
    fusion, model = fusing(max_tokens=20)
    rich = Auto(fusion=fusion, max_cost=5.0, prices=str(prices))
    assert (await rich.aggregate(make_set(SPLIT))).answer == "9"
    poor = Auto(fusion=fusion, max_cost=0.05, prices=str(prices))
    assert (await poor.aggregate(make_set(SPLIT))).explanation["method"] == "weighted"
    assert len(model.calls) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 512}, "max_tokens=512 is too small for any answer of a model: a reply of fusion"),
        ({"max_tokens": 0}, "max_tokens=0 must be above 0"),
        ({"max_cost": 0.1}, "give prices=FILE"),
        ({"agreement": 1.5}, "agreement=1.5 must lie between 0 and 1"),
    ],
)
def test_caps_too_small_for_any_answer_are_refused(options, message):
    fusion, model = fusing()
    with pytest.raises(InvalidArgumentError, match=message):
        Auto(fusion=fusion, **options)
    assert model.calls == []


def test_a_cap_on_a_model_whose_calls_nobody_counts_is_refused():
    with pytest.raises(InvalidArgumentError, match="asks 'replay' uncounted"):
        Auto(fusion=GenerativeSelfAggregation(ReplayBackend(lambda messages, seed: "1")), max_tokens=5000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 9}, "schema 9, where this version reads 1. Make the rules again"),
        ({"kind": "learned_vote"}, "is no file of rules for auto"),
        ({"rules": [{"method": "coin"}]}, "is no file of rules for auto"),
    ],
)
def test_rules_of_another_version_or_kind_are_refused(tmp_path, change, message):
    path = tmp_path / "auto.json"
    save_settings(path, Rules((rule("vote"),), {"reader": None, "fusion": None}).to_json() | change)
    with pytest.raises(DataError, match=message):
        Auto(file=str(path))


def test_rules_learned_with_another_method_are_refused(tmp_path):
    file = saved(tmp_path / "auto.json", rule("vote"), fusion="ssa:larger")
    with pytest.raises(InvalidArgumentError, match="learned with fusion='ssa:larger', and None is given"):
        Auto(file=file)


async def test_agents_play_their_roles_and_the_last_model_plays_none(make_set):
    model = ReplayBackend(lambda messages, seed: "So \\boxed{1}")
    spec = "mixture_of_agents:agents=3,roles=[Check the units, twice.|Doubt every step.]"
    method = build(spec, ModelCalls(model))
    assert options_of(method)["roles"] == ("Check the units, twice.", "Doubt every step.")
    await method.aggregate(make_set(["1", "2"]))
    systems = [messages[0]["content"] for messages, _, _ in model.calls if messages[0]["role"] == "system"]
    assert sorted(systems) == ["Check the units, twice.", "Check the units, twice.", "Doubt every step."]
    assert len(model.calls) == 4


def test_roles_come_from_a_text_file_too(tmp_path):
    path = tmp_path / "roles.txt"
    path.write_text("A physicist.\n\nA sceptic, who doubts.\n")
    method = build(f"mixture_of_agents:roles={path}", ReplayBackend(lambda messages, seed: ""))
    assert options_of(method)["roles"] == ("A physicist.", "A sceptic, who doubts.")
    with pytest.raises(InvalidArgumentError, match="it holds no text"):
        build("mixture_of_agents:roles=|", ReplayBackend(lambda messages, seed: ""))


class SameFirstLetter:
    """A judge for whom answers mean the same if they begin alike."""

    async def classify(self, question, answers) -> Judgements:
        judgements = Judgements()
        for answer in filter(None, answers):
            number = next(
                (at for at, other in enumerate(judgements.representatives) if other[0] == answer[0]), None
            )
            if number is None:
                number = len(judgements.representatives)
                judgements.representatives.append(answer)
            judgements.classes[plain_text(answer)] = number
        return judgements

    async def grade(self, question, gold, answers) -> Judgements:
        raise AssertionError("gold never reaches an aggregator")


async def test_open_answers_agree_by_a_models_judgement(make_set):
    question = Kinds(judge=SameFirstLetter()).bind(Question("q", "Why is the sky blue?", answer_kind="judge"))
    whole = SampleSet.of(question, ["Rayleigh scattering", "reflected seas", "Rays scatter", "Oxygen"])
    model = ReplayBackend(lambda messages, seed: "Rayleigh, who said that blue scatters most")
    given = await Auto(fusion=GenerativeSelfAggregation(ModelCalls(model))).aggregate(whole)
    assert [(row["answer"], row["votes"]) for row in given.explanation["agreed"]] == [
        ("Rayleigh scattering", 2)
    ]
    assert [row["votes"] for row in given.explanation["disagreed"]] == [1, 1]
