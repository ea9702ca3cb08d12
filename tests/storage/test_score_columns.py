from sampleset.storage.records import parse_columns, stored_set_from_row, with_columns


def test_scores_of_steps_are_the_last_with_the_other_reductions_beside_it():
    row = {"question": "?", "samples": ["a", "b"], "prm_scores": [[0.5, 0.25], None]}
    first, second = stored_set_from_row(row, 0).sample_set.samples
    assert first.scores == {
        "prm_scores": 0.25,
        "prm_scores.min": 0.25,
        "prm_scores.product": 0.125,
        "prm_scores.mean": 0.375,
    }
    assert second.scores == {}


def test_a_column_of_scores_may_have_any_name():
    row = with_columns({"question": "?", "samples": ["a"], "judge": [3]}, parse_columns("scores=judge"))
    assert stored_set_from_row(row, 0).sample_set.samples[0].scores == {"scores": 3.0}
