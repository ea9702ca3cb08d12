import pytest

from sampleset.aggregators.base import AGGREGATORS
from sampleset.aggregators.llm_aggregator import LLMAggregator
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.aggregators.mixture_of_agents import MixtureOfAgents
from sampleset.aggregators.recursive import Recursive
from sampleset.aggregators.two_stage import TwoStage
from sampleset.backends.replay import ScoringReplayBackend
from sampleset.errors import InvalidArgumentError, UnknownNameError
from sampleset.specs import build, model_of, models_asked, models_of, options_of, parse_spec, summary

BACKEND = ScoringReplayBackend(lambda messages, seed: "", model="memory")


def test_a_name_alone_has_no_options():
    assert parse_spec("majority_vote") == ("majority_vote", {})


def test_options_become_values_of_their_type():
    built = build(
        "llm_aggregator:mode=direct, permutations=3,fold=true,max_tokens=none,temperature=0.5", BACKEND
    )
    assert built == LLMAggregator(BACKEND, mode="direct", permutations=3, fold=True, temperature=0.5)


def test_options_are_saved_with_the_identity_of_the_model():
    saved = options_of(build("llm_aggregator:mode=select", BACKEND))
    assert saved["backend"] == "memory"
    assert saved["mode"] == "select"


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        pytest.param("majorty_vote", UnknownNameError, "Did you mean 'majority_vote'", id="name"),
        pytest.param("majority_vote:tie=first", InvalidArgumentError, "It has: ties, seed", id="option"),
        pytest.param("majority_vote:ties=x", InvalidArgumentError, "It takes: seeded, first", id="choice"),
        pytest.param("majority_vote:seed=x", InvalidArgumentError, "'x' is no value for option", id="int"),
        pytest.param("majority_vote:ties", InvalidArgumentError, "Write ties=VALUE", id="no value"),
        pytest.param("two_stage:inner=first_sample[", InvalidArgumentError, "no partner", id="open bracket"),
        pytest.param("two_stage:group=2]", InvalidArgumentError, "no partner", id="closing bracket"),
        pytest.param("two_stage[group=2", InvalidArgumentError, "Cannot read", id="cut off"),
        pytest.param("two_stage:inner=majorty_vote", UnknownNameError, "Did you mean", id="part's name"),
        pytest.param(
            "two_stage:inner=first_sample[a=1]", InvalidArgumentError, "It has: none", id="part's option"
        ),
        pytest.param("llm_aggregator:fold=yes", InvalidArgumentError, "It takes: true, false", id="bool"),
    ],
)
def test_what_a_user_may_mistype_is_named(spec: str, error: type[Exception], says: str):
    with pytest.raises(error, match=says):
        build(spec, BACKEND)


def test_a_spec_may_name_the_model_that_is_asked():
    spec = "llm_aggregator:model=/models/a.gguf,mode=select"
    assert model_of(spec) == "/models/a.gguf"
    assert model_of("llm_aggregator") is None
    assert build(spec, BACKEND) == LLMAggregator(BACKEND, mode="select")
    with pytest.raises(InvalidArgumentError, match="'majority_vote' has no option 'model'"):
        build("majority_vote:model=embedded", BACKEND)


def test_an_option_may_be_an_aggregator_with_options_of_its_own():
    spec = "two_stage:inner=llm_aggregator[mode=direct,permutations=2],outer=recursive[rounds=1],group=4"
    inner = LLMAggregator(BACKEND, mode="direct", permutations=2)
    assert build(spec, BACKEND) == TwoStage(inner, Recursive(BACKEND, rounds=1), group=4)


def test_brackets_nest_and_may_stand_for_the_colon():
    spec = "two_stage[inner=two_stage[inner=first_sample,group=2],outer=none]"
    assert parse_spec(spec) == (
        "two_stage",
        {"inner": "two_stage[inner=first_sample,group=2]", "outer": "none"},
    )
    assert build(spec) == TwoStage(TwoStage(build("first_sample"), group=2))


def test_options_of_a_part_are_saved_with_its_name():
    saved = options_of(build("two_stage:inner=llm_aggregator[mode=select]", BACKEND))
    assert saved["inner"]["name"] == "llm_aggregator"
    assert saved["inner"]["mode"] == "select"
    assert saved["inner"]["backend"] == "memory"
    assert options_of(TwoStage()) != options_of(TwoStage(build("first_sample")))


def test_the_models_of_all_parts_are_known_before_any_is_opened():
    spec = "two_stage:inner=llm_aggregator[model=a.gguf],outer=mixture_of_agents[models=b.gguf+c.gguf]"
    assert models_of(spec) == ("a.gguf", None, "b.gguf", "c.gguf")
    assert models_of("majority_vote") == models_of("two_stage:outer=none") == ()
    assert models_of("llm_aggregator") == (None,)


def test_a_part_asks_the_model_that_its_spec_names():
    named = {name: ScoringReplayBackend(lambda messages, seed: "", model=name) for name in "ab"}
    built = build(
        "two_stage:inner=llm_aggregator[model=a],outer=mixture_of_agents[models=a+b]", BACKEND, named
    )
    assert built == TwoStage(
        LLMAggregator(named["a"]), MixtureOfAgents(BACKEND, models=(named["a"], named["b"]))
    )
    assert models_asked(built) == ("a", "memory", "b")
    assert options_of(built)["outer"]["models"] == ["a", "b"]
    with pytest.raises(InvalidArgumentError, match="names the model 'b' for a part of it"):
        build("mixture_of_agents:models=b", BACKEND)


def test_a_method_that_asks_a_model_needs_one():
    with pytest.raises(InvalidArgumentError, match="--aggregator-model"):
        build("llm_aggregator")


def test_a_method_that_asks_none_gets_none():
    assert build("majority_vote:seed=4", BACKEND) == MajorityVote(seed=4)


def test_every_aggregator_says_in_a_line_what_it_returns():
    for name in AGGREGATORS.names():
        assert summary(AGGREGATORS.get(name)).startswith("Return ")
