import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sampleset.aggregators.weighted_vote import WeightedVote
from sampleset.backends.replay import ReplayBackend
from sampleset.chat import Generation, Message, SamplingParams
from sampleset.commands.opening import Drawing, ModelRef, opened_samplers
from sampleset.errors import (
    AuthenticationError,
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    SamplingError,
    TransientBackendError,
)
from sampleset.models.budget import Caps
from sampleset.models.retries import Patience
from sampleset.sampling.members import Member, read_pool
from sampleset.sampling.pool import Pool
from sampleset.sampling.sampler import Sampler, SamplingOptions
from sampleset.storage.store import SampleStore
from sampleset.types import Problem, Question
from support.running import Upstream

QUESTION = Question("q", "What is it?")
COMMON = SamplingOptions(n=5, patience=Patience(max_retries=0))


def saying(answer: str, model: str) -> ReplayBackend:
    return ReplayBackend(lambda messages, seed: f"\\boxed{{{answer}}} by draw {seed}", model=model)


def samplers(store: SampleStore | None = None, *members: Member) -> list[Sampler]:
    members = members or (Member("one", count=4), Member("two", count=2, temperature=1.2))
    return [Sampler(saying(one.model, one.model), one.options(COMMON), store) for one in members]


async def test_every_member_draws_its_count_and_each_draw_names_its_model():
    drawn = await Pool(samplers()).sample(QUESTION)
    assert sorted(sample.model or "" for sample in drawn.samples) == ["one"] * 4 + ["two"] * 2
    assert [sample.index for sample in drawn.samples] == list(range(6))
    assert all(f"{{{sample.model}}}" in sample.text for sample in drawn.samples)


async def test_a_member_has_its_own_top_k_and_fields_that_its_server_is_never_sent(tmp_path: Path):
    with Upstream() as server:
        entry = {"model": "stub-model", "base_url": server.base_url}
        pool = read_pool([entry | {"omit": ["temperature"]}, entry | {"count": 2, "top_k": 5}])
        common = Drawing(COMMON, ModelRef(omit=("seed",)), pool)
        async with opened_samplers(common, None, 1, lambda progress: None) as draws:
            await Pool(draws.each).sample(QUESTION)
    seen = [
        tuple(request.get(name) for name in ("temperature", "top_k", "seed")) for request in server.requests
    ]
    assert sorted(seen, key=str) == [(0.8, 5, None), (0.8, 5, None), (None, None, None)]


async def test_the_order_depends_on_the_question_and_not_on_the_order_of_the_members():
    orders = set()
    for number in range(20):
        question = Question(f"q{number}", "?")
        drawn = await Pool(samplers()).sample(question)
        turned = await Pool(samplers()[::-1]).sample(question)
        assert drawn == turned
        orders.add(tuple(sample.model for sample in drawn.samples))
    assert len(orders) > 5


async def test_the_store_gives_the_pool_back_as_one_set_or_member_by_member(tmp_path: Path):
    store = SampleStore(tmp_path)
    store.add_problems([Problem(QUESTION, "one")])
    pool = Pool(samplers(store))
    drawn = await pool.sample(QUESTION)
    again = SampleStore(tmp_path)
    (stored,) = again.sample_sets("all")
    assert stored.sample_set == drawn
    one, two = (sampler.configuration.id for sampler in pool.samplers)
    sizes = [next(iter(again.sample_sets(name))).sample_set.n for name in (one, two, f"{one},{two}")]
    assert sizes == [4, 2, 6]
    with pytest.raises(DataError, match="or all"):
        list(again.sample_sets())


async def test_more_draws_leave_the_others_in_their_order(tmp_path: Path):
    few = await Pool(samplers()).sample(QUESTION)
    more = await Pool(samplers(None, Member("one", count=4), Member("two", count=7, temperature=1.2))).sample(
        QUESTION
    )
    texts = [sample.text for sample in few.samples]
    assert [sample.text for sample in more.samples if sample.text in texts] == texts


async def test_a_second_run_draws_nothing_again(tmp_path: Path):
    await Pool(samplers(SampleStore(tmp_path))).sample(QUESTION)
    second = samplers(SampleStore(tmp_path))
    await Pool(second).sample(QUESTION)
    assert [sampler.backend.calls for sampler in second] == [[], []]  # type: ignore[attr-defined]


async def test_a_role_is_a_system_message_and_a_configuration_of_its_own():
    plain, role = samplers(None, Member("one"), Member("one", system="You are careful."))
    assert plain.configuration.id != role.configuration.id
    await Pool([plain, role]).sample(QUESTION)
    (messages, _, _) = role.backend.calls[0]  # type: ignore[attr-defined]
    assert messages[0] == {"role": "system", "content": "You are careful."}
    assert plain.backend.calls[0][0] == messages[1:]  # type: ignore[attr-defined]


async def test_weights_are_read_by_the_weighted_vote(tmp_path: Path):
    store = SampleStore(tmp_path)
    store.add_problems([Problem(QUESTION, None)])
    members = Member("one", count=3, weight=1.0), Member("two", count=1, weight=5.0)
    await Pool(samplers(store, *members)).sample(QUESTION)
    (stored,) = SampleStore(tmp_path).sample_sets("all")
    assert (await WeightedVote(by="weight").aggregate(stored.sample_set)).answer == "two"


async def test_a_member_that_fails_adds_nothing():
    lost = ReplayBackend(lambda messages, seed: TransientBackendError("gone"), model="lost")
    pool = Pool([*samplers(None, Member("one", count=2)), Sampler(lost, COMMON)])
    assert (await pool.sample(QUESTION)).n == 2
    with pytest.raises(SamplingError, match="gone"):
        await Pool([Sampler(lost, COMMON)]).sample(QUESTION)


async def test_a_refused_key_ends_it_for_all():
    refused = ReplayBackend(lambda messages, seed: AuthenticationError("refused"), model="refused")
    with pytest.raises(AuthenticationError):
        await Pool([*samplers(), Sampler(refused, COMMON)]).sample_many([QUESTION])


def test_members_that_would_make_the_same_draws_are_refused():
    with pytest.raises(InvalidArgumentError, match="Members 1 and 3 of the pool make the very same draws"):
        Pool(samplers(None, Member("one"), Member("two"), Member("one", count=3)))
    Pool(samplers(None, Member("one"), Member("one", seed=7)))


def test_what_a_member_leaves_out_is_as_the_others():
    own = Member("one", count=3, temperature=0.1).options(COMMON)
    assert (own.n, own.params.temperature, own.params.max_tokens, own.seed) == (3, 0.1, 512, 0)


def test_a_pool_is_a_list_in_a_file_of_its_own_or_under_its_name(tmp_path: Path):
    path = tmp_path / "pool.yaml"
    path.write_text("pool:\n  - {model: a, count: 4, temperature: 1}\n  - model: b\n")
    assert read_pool(path) == [Member("a", count=4, temperature=1), Member("b")]
    path.write_text("[{model: a}]")
    assert read_pool(str(path)) == [Member("a")]
    assert read_pool([{"model": "a"}]) == [Member("a")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("[{count: 3}]", "'model' is missing", id="no model"),
        pytest.param("[{model: a, cuont: 3}]", "unknown key 'cuont'. Did you mean 'count'", id="unknown key"),
        pytest.param("[{model: a, count: 0}]", "count=0 must be at least 1", id="no draws"),
        pytest.param("[{model: a, count: many}]", "count='many' must be of type int", id="type"),
        pytest.param("[{model: a, weight: true}]", "weight=True", id="bool"),
        pytest.param("[a, b]", "member 1: expected", id="no mapping"),
        pytest.param("model: a", "expected a list of members", id="no list"),
        pytest.param("[]", "expected a list of members", id="empty"),
        pytest.param("{", "not YAML", id="no yaml"),
    ],
)
def test_a_pool_that_cannot_be_read_says_why(tmp_path: Path, text: str, says: str):
    path = tmp_path / "pool.yaml"
    path.write_text(text)
    with pytest.raises((DataError, InvalidArgumentError), match=says):
        read_pool(path)
    with pytest.raises(InputNotFoundError):
        read_pool(tmp_path / "none.yaml")


def test_the_key_comes_from_the_variable_that_is_named(monkeypatch: pytest.MonkeyPatch):
    member = Member("a", api_key_env="THEIR_KEY")
    with pytest.raises(InvalidArgumentError, match="'THEIR_KEY', which is not set"):
        _ = member.api_key
    monkeypatch.setenv("THEIR_KEY", "sk-1")
    assert member.api_key == "sk-1"
    assert Member("a").api_key is None


async def test_pooled_texts_reach_the_aggregator_without_their_members(tmp_path: Path):
    # What a set says of the pool is the model of each draw; the role, in the store, stays there.
    store = SampleStore(tmp_path)
    store.add_problems([Problem(QUESTION, None)])

    def reply(messages: Sequence[Message], seed: int) -> str:
        return "\\boxed{1}"

    member = Member("one", system="You are secret.")
    await Pool([Sampler(ReplayBackend(reply, model="one"), member.options(COMMON), store)]).sample(QUESTION)
    (stored,) = SampleStore(tmp_path).sample_sets("all")
    assert "secret" not in json.dumps(stored.to_row())


async def test_a_cap_of_a_question_is_one_for_all_members(tmp_path: Path):
    options = replace(COMMON, caps=Caps(question_tokens=1000), params=SamplingParams(max_tokens=50))
    members = [Member(name, count=9) for name in ("one", "two", "three")]
    drawing = Drawing(options, pool=members)

    def opened(ref: str, *_: object) -> ReplayBackend:
        return ReplayBackend(lambda messages, seed: Generation("7", "stop", 50, 50), model=ref)

    for _ in range(2):  # what is stored counts when the run is repeated
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sampleset.models.opening.open_backend", opened)
            async with opened_samplers(drawing, tmp_path, 1) as draws:
                with pytest.raises(SamplingError, match="cap of 1000 tokens for one question"):
                    await Pool(draws.each).sample_many([QUESTION])
        rows = (tmp_path / "samples.jsonl").read_text().splitlines()
        assert 900 <= sum(100 for _ in rows) <= 1000


def test_members_leave_address_key_and_context_to_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTHER_KEY", "theirs")
    common = Drawing(COMMON, ModelRef("named", "http://ours/v1", "ours", 4096))
    assert common.model_of(Member("one")) == ModelRef("one", "http://ours/v1", "ours", 4096)
    assert common.model_of(Member("embedded")) == ModelRef("embedded", None, None, 4096)
    assert common.model_of(Member("two", base_url="http://theirs/v1")).api_key is None
    elsewhere = Member("two", base_url="http://theirs/v1", api_key_env="OTHER_KEY")
    assert common.model_of(elsewhere) == ModelRef("two", "http://theirs/v1", "theirs", 4096)


async def test_a_member_without_a_weight_has_1_where_another_names_one():
    def opened(ref: str, *_: object) -> ReplayBackend:
        return saying("7", ref)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sampleset.models.opening.open_backend", opened)
        async with opened_samplers(
            Drawing(COMMON, pool=[Member("a", weight=0.5), Member("b")]), None, 1
        ) as draws:
            assert [one.options.weight for one in draws.each] == [0.5, 1.0]
        async with opened_samplers(Drawing(COMMON, pool=[Member("a"), Member("b")]), None, 1) as draws:
            assert [one.options.weight for one in draws.each] == [None, None]


async def test_prompts_that_are_the_same_for_a_question_are_refused_before_a_draw():
    members = [Member("one", prompt="solve"), Member("one", prompt="worked_examples")]
    pool = Pool(samplers(None, *members))
    choice = Question("q", "Which?", choices=("yes", "no"))
    with pytest.raises(InvalidArgumentError, match="the very same draws"):
        await pool.sample_many([QUESTION, choice])
    assert not any(sampler.progress.drawn for sampler in pool.samplers)
    assert (await pool.sample(QUESTION)).n == 2
