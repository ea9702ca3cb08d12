import pytest

from sampleset.training.recipe import Method, recipe_of
from sampleset.training.scales import SCALES, WAYS, overlaid, recipe_settings

FILES = {"model": "embedded", "rows": "rows.jsonl", "output_dir": "run"}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("method", ["select", "sft", "grpo"])
def test_every_scale_has_a_possible_recipe_for_every_method(scale: str, method: Method):
    recipe = recipe_of(recipe_settings(method, SCALES[scale], 1000, FILES, seed=3))
    assert recipe.seed == 3
    assert recipe.steps >= 1
    assert recipe.save_every <= recipe.steps


def test_the_larger_scales_train_one_pass_over_the_rows():
    assert recipe_settings("select", SCALES["gpu"], 2189, FILES, seed=0)["steps"] == 274
    assert recipe_settings("select", SCALES["laptop"], 2189, FILES, seed=0)["steps"] == 500


def test_what_a_user_names_wins_over_the_scale_and_keeps_the_rest():
    settings = recipe_settings("select", SCALES["laptop"], 9, FILES, 0, [{"steps": 7, "lora": {"r": 4}}])
    assert settings["steps"] == 7
    assert settings["lora"] == {"r": 4, "alpha": 32, "last_layers": 15}
    assert overlaid(settings, {"lora": None})["lora"] is None


def test_a_way_says_what_the_aggregator_learns_to_write():
    assert WAYS["select"].mode(thinks=True) == "select"
    assert WAYS["sft"].mode(thinks=False) == "direct"
    assert WAYS["sft-grpo"].mode(thinks=True) == "think"
    assert WAYS["sft-grpo"].runs == ("sft", "grpo")
