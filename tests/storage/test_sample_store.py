import json
import subprocess
import sys
from pathlib import Path

import pytest

from sampleset.errors import DataError, InputNotFoundError
from sampleset.storage.store import Configuration, SampleStore, draw_key
from sampleset.types import Problem, Question, Sample

PROBLEM = Problem(Question("p", "1+1?"), "2")
COLD = Configuration("model", "solve-1", {"temperature": 0.0, "seed": 0})
WARM = Configuration("model", "solve-1", {"temperature": 1.0, "seed": 0})
MESSAGES = [{"role": "user", "content": "1+1?"}]


def filled(folder: Path, *samples: Sample, configuration: Configuration = COLD) -> SampleStore:
    store = SampleStore(folder)
    store.add_problems([PROBLEM])
    store.add(draw_key(configuration, MESSAGES), "p", configuration, samples)
    return store


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(draw_key(WARM, MESSAGES), id="other parameters"),
        pytest.param(draw_key(COLD, [{"role": "user", "content": "1+2?"}]), id="other messages"),
        pytest.param(draw_key(Configuration("other", "solve-1", COLD.params), MESSAGES), id="other model"),
    ],
)
def test_a_key_depends_on_model_messages_and_parameters(other: str):
    assert draw_key(COLD, MESSAGES) != other


def test_a_key_does_not_depend_on_the_order_of_the_parameters():
    turned = Configuration("model", "solve-1", {"seed": 0, "temperature": 0.0})
    assert draw_key(COLD, MESSAGES) == draw_key(turned, MESSAGES)


def test_draws_are_found_again_by_another_process(tmp_path: Path):
    filled(tmp_path, Sample(0, "two"), Sample(1, "three")).close()
    (stored,) = SampleStore(tmp_path, must_exist=True).sample_sets()
    assert [sample.text for sample in stored.sample_set.samples] == ["two", "three"]
    assert stored.problem.answer == "2"


def test_draws_are_in_the_order_of_their_index_whenever_they_came(tmp_path: Path):
    store = filled(tmp_path, Sample(2, "c"), Sample(0, "a"), Sample(1, "b"))
    assert list(store.drawn(draw_key(COLD, MESSAGES))) == [0, 1, 2]


def test_a_later_success_takes_the_place_of_a_failed_draw(tmp_path: Path):
    store = filled(tmp_path, Sample(0, "", error="429"))
    key = draw_key(COLD, MESSAGES)
    assert store.succeeded(key) == set()
    store.add(key, "p", COLD, [Sample(0, "two")])
    assert store.drawn(key)[0].text == "two"
    assert SampleStore(tmp_path).drawn(key)[0].text == "two"


def test_a_second_success_does_not_change_a_draw(tmp_path: Path):
    store = filled(tmp_path, Sample(0, "first"))
    store.add(draw_key(COLD, MESSAGES), "p", COLD, [Sample(0, "second")])
    assert store.drawn(draw_key(COLD, MESSAGES))[0].text == "first"


def test_an_id_cannot_stand_for_another_question(tmp_path: Path):
    store = filled(tmp_path, Sample(0, "two"))
    with pytest.raises(DataError, match="'p' stands for another question or gold answer"):
        store.add_problems([Problem(Question("p", "1+2?"), "3")])


def test_several_configurations_must_be_told_apart(tmp_path: Path):
    store = filled(tmp_path, Sample(0, "cold"))
    store.add(draw_key(WARM, MESSAGES), "p", WARM, [Sample(0, "warm")])
    with pytest.raises(DataError, match="Choose one with --configuration"):
        list(store.sample_sets())
    (stored,) = store.sample_sets(WARM.id[:6])
    assert stored.sample_set.samples[0].text == "warm"
    with pytest.raises(DataError, match="Configuration 'zz' is not one"):
        list(store.sample_sets("zz"))


def test_a_folder_without_a_store_is_named(tmp_path: Path):
    with pytest.raises(InputNotFoundError, match="No sample store"):
        SampleStore(tmp_path, must_exist=True)


def test_an_empty_store_says_so(tmp_path: Path):
    with pytest.raises(DataError, match="holds no samples yet"):
        list(SampleStore(tmp_path).sample_sets())


def test_a_row_that_is_no_draw_is_refused(tmp_path: Path):
    (tmp_path / "samples.jsonl").write_text('{"text": "hello"}\n')
    with pytest.raises(DataError, match="no row of a sample store"):
        SampleStore(tmp_path)


def test_unknown_fields_of_a_row_do_not_disturb(tmp_path: Path):
    store = filled(tmp_path, Sample(0, "two"))
    path = tmp_path / "samples.jsonl"
    row = json.loads(path.read_text())
    path.write_text(json.dumps({**row, "gpu": "H200"}) + "\n")
    assert SampleStore(tmp_path).drawn(row["key"])[0].text == "two"
    store.close()


def test_a_claimed_question_is_taken_until_it_is_given_back(tmp_path: Path):
    one, two = SampleStore(tmp_path), SampleStore(tmp_path)
    key = draw_key(COLD, MESSAGES)
    tmp_path.mkdir(exist_ok=True)
    assert one.claim(key)
    assert not two.claim(key)
    assert two.claim(draw_key(WARM, MESSAGES))
    one.release(key)
    assert two.claim(key)
    one.close()
    two.close()


def test_a_claim_ends_with_the_process_that_held_it(tmp_path: Path):
    key = draw_key(COLD, MESSAGES)
    code = (
        "import sys, time; from pathlib import Path; from sampleset.storage.store import SampleStore\n"
        "store = SampleStore(Path(sys.argv[1])); print(store.claim(sys.argv[2]), flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), key], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        store = SampleStore(tmp_path)
        assert not store.claim(key)
        holder.kill()
        holder.wait()
        assert store.claim(key)
        store.close()
