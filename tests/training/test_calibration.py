import json
import math
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sampleset.aggregators.ssa import SampleSetAggregator
from sampleset.backends.replay import ScoringReplayBackend
from sampleset.chat import estimate_pieces
from sampleset.cli.main import app
from sampleset.commands import calibrate as calibrate_command
from sampleset.commands.opening import ModelRef
from sampleset.engines.checkpoint import CheckpointRecord, read_record, write_record, write_trained_on
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.prompts import AGGREGATION_PROMPT, ANSWER_CLOSE
from sampleset.storage.files import write_rows
from sampleset.training.calibration import calibrate, calibration_of, read_choices
from sampleset.training.candidate_weights import Choice, Weights, cautious, cross_entropy, fit
from sampleset.training.data.rows import RowCandidate, TrainingRow, question_digest, row_to_json
from sampleset.types import SampleSet
from support.training_builders import make_row

RECORD = CheckpointRecord("embedded@00000000", "select", AGGREGATION_PROMPT, vote_weight=0.5)


@dataclass
class Trained(ScoringReplayBackend):
    """A model of memory that says it is a checkpoint."""

    record: CheckpointRecord = RECORD
    asked: int = field(default=0)

    async def score(self, messages, continuations):
        self.asked += 1
        return await super().score(messages, continuations)


def _rows(count: int = 40) -> list[TrainingRow]:
    """Rows whose right answer is a minority in every third."""
    made = []
    for place in range(count):
        minority = place % 3 == 0
        votes = (2, 1) if minority else (1, 2)
        candidates = (RowCandidate("9", votes[0], False), RowCandidate("7", votes[1], True))
        row = make_row(mode="select", id=f"sets/q{place}/0", candidates=candidates, vote="97"[not minority])
        prompt = ({"role": "user", "content": f"Question {place}?"}, *row.prompt[1:])
        made.append(replace(row, prompt=prompt, prompt_version=AGGREGATION_PROMPT))
    return made


def _sure(messages, text: str) -> float:
    """Knows the answer but for every fourth question, and is always far too sure."""
    (number,) = map(int, re.findall(r"Question (\d+)\?", messages[0]["content"]))
    likes = "9" if number % 4 == 0 else "7"
    return -0.1 if text.startswith(likes) else -30.0


def _write(tmp_path: Path, rows: list[TrainingRow], record: CheckpointRecord = RECORD) -> Path:
    write_record(tmp_path, record)
    path = tmp_path / "rows.jsonl"
    write_rows(path, (row_to_json(row) for row in rows))
    return path


def _backend(record: CheckpointRecord = RECORD) -> Trained:
    return Trained(lambda messages, seed: "", scores=_sure, record=record)


async def test_a_model_that_is_too_sure_is_weighed_down_and_its_record_says_so(tmp_path: Path) -> None:
    path = _write(tmp_path, _rows())
    made = await calibrate(tmp_path, _backend(), path)
    assert 0 < made.after.score < 0.5
    assert made.figures["vote"].accuracy == pytest.approx(26 / 40)
    assert made.figures["before"].accuracy == pytest.approx(30 / 40)
    assert made.figures["after"].cross_entropy < made.figures["before"].cross_entropy
    record = read_record(tmp_path)
    assert (record.score_weight, record.vote_weight) == (made.after.score, made.after.votes)
    assert (record.blind_score_weight, record.blind_vote_weight) == (made.blind.score, made.blind.votes)
    assert made.blind.score < made.after.score
    assert record.others["calibration"]["questions"] == 40
    assert record.others["calibration"]["prior"] == {
        "score": 0.0,
        "votes": pytest.approx(made.prior.votes),
        "confidence": 0.0,
    }
    assert "40 held-back rows of 40 questions" in (tmp_path / "README.md").read_text(encoding="utf-8")


async def test_what_votes_alone_are_worth_is_the_same_with_a_model_and_without(tmp_path: Path) -> None:
    path = _write(tmp_path, _rows())
    alone = calibration_of(read_choices(path), folds=10)
    asked = await calibrate(tmp_path, _backend(), path)
    assert alone.prior == asked.prior
    assert alone.figures["prior"] == asked.figures["prior"]
    # Two of three right candidates have 2 votes of 3: the odds that fit are 26 to 14.
    assert alone.prior.votes == pytest.approx(math.log(26 / 14) / math.log(2), abs=0.01)


async def test_what_reading_adds_to_the_votes_has_an_interval(tmp_path: Path) -> None:
    made = await calibrate(tmp_path, _backend(), _write(tmp_path, _rows()))
    # The model is right on 30 of 40 questions, the votes on 26; the two err on others.
    gain = made.gains["before"]
    assert gain.difference == pytest.approx(4 / 40)
    assert gain.low < 0 < gain.high
    surest = Trained(lambda messages, seed: "", scores=lambda messages, text: -30.0 * (text[0] == "9"))
    rows = [replace(row, id=f"other{row.id}") for row in _rows(60)]
    certain = await calibrate(tmp_path, surest, _write(tmp_path, rows))
    assert certain.gains["after"].low > 0
    assert read_record(tmp_path).others["calibration"]["gains"]["after"]["low"] == certain.gains["after"].low


def test_draws_of_two_models_are_of_one_question() -> None:
    features = np.array([[0.0, math.log(2), 0.0], [0.0, 0.0, 0.0]])
    right = np.array([True, False])
    choices = [Choice(name, features, right, 0) for name in "abcabc"]
    made = calibration_of(choices, folds=3)
    assert (made.rows, made.questions) == (6, 3)


async def test_scores_once_known_are_not_asked_again(tmp_path: Path) -> None:
    path = _write(tmp_path, _rows())
    first = await calibrate(tmp_path, _backend(), path)
    again = _backend()
    assert (await calibrate(tmp_path, again, path)).after == first.after
    assert again.asked == 0


async def test_scores_of_an_older_log_without_their_tokens_are_asked_again(tmp_path: Path) -> None:
    path = _write(tmp_path, _rows())
    first = await calibrate(tmp_path, _backend(), path)
    log = path.with_suffix(".scores.jsonl")
    older = [
        {name: value for name, value in json.loads(line).items() if name != "tokens"}
        for line in log.read_text(encoding="utf-8").splitlines()
    ]
    write_rows(log, older)
    again = _backend()
    assert (await calibrate(tmp_path, again, path)).after == first.after
    assert again.asked == 40


async def test_the_score_of_an_answer_longer_than_nine_of_ten_is_scaled_to_their_length(
    tmp_path: Path,
) -> None:
    def by_length(messages, text: str) -> float:
        return -float(len(estimate_pieces(text)))

    rows = _rows(60)
    long = "1" * 90
    for place in range(0, 60, 10):
        right, wrong = replace(rows[place].candidates[1], answer=long), rows[place].candidates[0]
        rows[place] = replace(rows[place], candidates=(wrong, right))
    made = await calibrate(
        tmp_path, Trained(lambda messages, seed: "", scores=by_length), _write(tmp_path, rows)
    )
    record = read_record(tmp_path)
    usual = len(estimate_pieces("7" + ANSWER_CLOSE))
    assert record.max_score_tokens == usual
    # A nat a token: scaled, all candidates are alike, and the score says nothing.
    assert made.after.score == 0.0
    answers = [long, "7"]
    sample_set = SampleSet.of("Which one?", [f"<answer>{answer}</answer>" for answer in answers])
    backend = Trained(lambda messages, seed: "", scores=by_length, record=replace(RECORD, vote_weight=0.0))
    summed = await SampleSetAggregator(backend).aggregate(sample_set)
    backend.record = replace(backend.record, max_score_tokens=usual)
    scaled = await SampleSetAggregator(backend).aggregate(sample_set)
    assert summed.candidates[0].probability < 1e-9
    assert [candidate.probability for candidate in scaled.candidates] == pytest.approx([0.5, 0.5])


async def test_refuses_what_the_model_was_trained_on(tmp_path: Path) -> None:
    rows = _rows()
    trained = tmp_path / "trained.jsonl"
    write_rows(trained, [row_to_json(rows[5])])
    record = replace(RECORD, training={"rows": str(trained)})
    path = _write(tmp_path, rows, record)
    with pytest.raises(InvalidArgumentError, match="sets/q5/0"):
        await calibrate(tmp_path, _backend(record), path)


def _with_digests(rows: list[TrainingRow]) -> list[TrainingRow]:
    return [replace(row, question_digest=question_digest(row.prompt[0]["content"])) for row in rows]


async def test_refuses_by_digest_what_the_model_was_trained_on_wherever_the_rows_are(tmp_path: Path) -> None:
    rows = _with_digests(_rows())
    path = _write(tmp_path, [replace(row, id=f"other/{place}/0") for place, row in enumerate(rows)])
    write_trained_on(tmp_path, [question_digest("question  5?")])
    with pytest.raises(InvalidArgumentError, match="the question of row 'other/5/0' and 0 more"):
        await calibrate(tmp_path, _backend(), path)
    write_trained_on(tmp_path, [question_digest("Question 99?")])
    assert (await calibrate(tmp_path, _backend(), path)).overlap_checked


async def test_rows_of_one_question_are_in_one_fold_whatever_they_are_called(tmp_path: Path) -> None:
    rows = _with_digests(_rows())
    again = [replace(row, id=f"other/{place}/0") for place, row in enumerate(rows)]
    made = await calibrate(tmp_path, _backend(), _write(tmp_path, rows + again))
    assert (made.rows, made.questions) == (80, 40)


@pytest.mark.parametrize(
    "of_rows",
    [pytest.param(True, id="digests of the rows only"), pytest.param(False, id="of the model's rows only")],
)
async def test_an_overlap_that_cannot_be_checked_is_said(tmp_path: Path, of_rows: bool) -> None:
    rows = _with_digests(_rows()) if of_rows else _rows()
    record = replace(RECORD, training={"rows": "elsewhere.jsonl"})
    if not of_rows:
        write_trained_on(tmp_path, ["0" * 12])
    made = await calibrate(tmp_path, _backend(record), _write(tmp_path, rows, record))
    assert not made.overlap_checked


def _use_backend(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the models; the REFs that are opened are added to the list."""
    refs: list[str] = []

    @asynccontextmanager
    async def opened(model: ModelRef):
        refs.append(model.ref)
        yield _backend()

    monkeypatch.setattr(calibrate_command, "opened", opened)
    return refs


@pytest.mark.parametrize("engine", ["", "openvino:"])
def test_weights_are_fitted_on_labelled_sample_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    refs = _use_backend(monkeypatch)
    write_record(tmp_path, replace(RECORD, keep_end_tokens=90, calculator=True))
    write_trained_on(tmp_path, ["0" * 12])
    sets = tmp_path / "own.jsonl"
    samples = ["It is <answer>9</answer>", "So <answer>7</answer>", "Thus <answer>7</answer>"]
    lines = [
        {"id": f"q{n}", "question": f"Question {n}?", "answer": "7", "samples": samples} for n in range(40)
    ]
    sets.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["calibrate", f"{engine}{tmp_path}", str(sets), "-k", "3", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert refs == [f"{engine}{tmp_path}"]
    figures = json.loads(done.stdout)
    assert (figures["rows"], figures["questions"], figures["overlap_checked"]) == (40, 40, True)
    assert figures["figures"]["vote"]["accuracy"] == 1.0
    assert read_record(tmp_path).others["calibration"]["rows"] == "own.rows.jsonl"
    rows = (tmp_path / "own.rows.jsonl").read_bytes()
    row = json.loads(rows.splitlines()[0])
    assert (row["keep_end_tokens"], row["calculator"]) == (90, True)
    assert CliRunner().invoke(app, command).exit_code == 0
    assert (tmp_path / "own.rows.jsonl").read_bytes() == rows


def test_sets_without_labels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _use_backend(monkeypatch)
    write_record(tmp_path, RECORD)
    sets = tmp_path / "own.jsonl"
    sets.write_text(json.dumps({"id": "q", "question": "Question 1?", "samples": ["<answer>1</answer>"] * 3}))
    done = CliRunner().invoke(app, ["calibrate", str(tmp_path), str(sets), "-k", "3"])
    assert isinstance(done.exception, DataError)
    assert "--columns answer=COLUMN" in str(done.exception)


def test_the_command_says_on_stderr_that_an_overlap_could_not_be_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path, _rows())

    _use_backend(monkeypatch)
    found = CliRunner().invoke(app, ["calibrate", str(tmp_path), str(path), "--json"])
    assert f"not checked whether {tmp_path} was trained on questions of {path}" in found.stderr
    assert json.loads(found.stdout)["overlap_checked"] is False


@pytest.mark.parametrize(
    ("rows", "error", "said"),
    [
        (_rows(19), DataError, "19 rows of 19 questions"),
        ([replace(row, keep_end_tokens=9) for row in _rows()], InvalidArgumentError, "keep_end_tokens 9"),
        ([replace(row, calculator=True) for row in _rows()], InvalidArgumentError, "calculator True"),
        ([replace(row, id="sets/q/0") for row in _rows()], DataError, "40 rows of 1 question"),
    ],
)
async def test_refuses_rows_that_do_not_serve(tmp_path: Path, rows, error, said: str) -> None:
    path = _write(tmp_path, rows)
    with pytest.raises(error, match=said):
        await calibrate(tmp_path, _backend(), path)


async def test_refuses_a_model_that_writes(tmp_path: Path) -> None:
    record = replace(RECORD, mode="think")
    path = _write(tmp_path, _rows(), record)
    with pytest.raises(InvalidArgumentError, match="'think'"):
        await calibrate(tmp_path, _backend(record), path)


def test_the_fit_is_where_the_slope_is_nought() -> None:
    choices = _random_choices(np.array([0.4, 1.2, 2.0]))
    fitted = fit(choices)

    def loss(weights: np.ndarray) -> float:
        mean = float(np.mean([cross_entropy(one, weights) for one in choices]))
        return mean + 0.5e-3 * float(weights @ weights)

    best = loss(fitted.vector)
    for place in range(3):
        for step in (-0.02, 0.02):
            assert loss(fitted.vector + step * np.eye(3)[place]) > best


def test_a_weight_against_the_votes_is_left_out() -> None:
    fitted = fit(_random_choices(np.array([1.0, -2.0, 1.0])))
    assert fitted.votes == 0.0
    assert fitted.score > 0.3
    assert fit(_random_choices(np.array([-1.0, -1.0, -1.0]))) == Weights(0.0, 0.0, 0.0)


def test_without_confidence_the_score_counts_as_little_as_the_rows_allow() -> None:
    many = _random_choices(np.array([1.0, 1.0, 0.0]))
    kept_of_many, kept_of_few = (cautious(part).score / fit(part, (0, 1)).score for part in (many, many[:40]))
    assert 0 < kept_of_few < kept_of_many < 1
    assert cautious(many).confidence == 0.0
    noise = _random_choices(np.array([0.0, 1.0, 0.0]))
    assert cautious(noise).score == 0.0
    assert cautious(noise).votes == pytest.approx(fit(noise, (1,)).votes)


def test_a_weight_that_is_given_is_kept_and_the_others_fit_beside_it() -> None:
    choices = _random_choices(np.array([1.0, 2.0, 0.5]))
    beside = fit(choices, (1, 2), 0.3)
    assert beside.score == 0.3
    assert beside.votes < fit(choices).votes


def _random_choices(truth: np.ndarray) -> list[Choice]:
    rng = np.random.default_rng(0)
    choices = []
    for place in range(400):
        features = rng.normal(size=(4, 3))
        logits = features @ truth
        shares = np.exp(logits) / np.exp(logits).sum()
        right = np.arange(4) == rng.choice(4, p=shares)
        choices.append(Choice(f"q{place}", features, right, 0))
    return choices


def test_cross_entropy_counts_every_right_candidate() -> None:
    choice = Choice("q", np.zeros((3, 3)), np.array([True, True, False]), 0)
    assert cross_entropy(choice, np.ones(3)) == pytest.approx(math.log(1.5))


def test_a_record_of_before_calibration_weighs_scores_by_one(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    values = json.loads((tmp_path / "sampleset.json").read_text(encoding="utf-8"))
    del values["score_weight"]
    (tmp_path / "sampleset.json").write_text(json.dumps(values), encoding="utf-8")
    assert read_record(tmp_path).score_weight == 1.0
