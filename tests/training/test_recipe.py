import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sampleset.errors import DataError, InvalidArgumentError
from sampleset.training.recipe import GrpoOptions, LoraOptions, recipe_of

ROOT = Path(__file__).parents[2]
LEAST = {"model": "m", "rows": "r.jsonl", "output_dir": "out"}


def test_a_recipe_is_read_with_its_defaults():
    made = recipe_of(LEAST | {"steps": 9, "lora": {"r": 4}})
    assert (made.steps, made.lora, made.objective) == (9, LoraOptions(r=4), "cross_entropy")
    assert recipe_of(LEAST | {"lora": None}).lora is None
    assert recipe_of(LEAST | {"learning-rate": 1}).learning_rate == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"model": "m"}, "'rows', 'output_dir' are missing", id="missing"),
        pytest.param(LEAST | {"learning_rat": 1.0}, "Did you mean 'learning_rate'", id="misspelt"),
        pytest.param(LEAST | {"lora": {"rank": 1}}, "lora: unknown key 'rank'", id="misspelt within"),
        pytest.param(LEAST | {"steps": 0}, "steps=0 must be at least 1", id="no steps"),
        pytest.param(LEAST | {"steps": 1.5}, "steps=1.5 must be of type int", id="half a step"),
        pytest.param(LEAST | {"learning_rate": "1e-4"}, "write 1.0e-4", id="YAML's text"),
        pytest.param(LEAST | {"learning_rate": float("nan")}, "learning_rate=nan must be a finite", id="nan"),
        pytest.param(LEAST | {"vote_prior": float("inf")}, "vote_prior=inf must be a finite", id="infinite"),
        pytest.param(LEAST | {"max_grad_norm": 0}, "max_grad_norm=0 must be above 0", id="gradients of 0"),
        pytest.param(LEAST | {"warmup": 2.0}, "warmup=2.0 must be at most 1", id="warmup"),
        pytest.param(LEAST | {"objective": "reward"}, "expected_reward, cross_entropy", id="objective"),
        pytest.param(LEAST | {"lora": {"r": 0}}, "lora: r=0 must be at least 1", id="rank"),
        pytest.param(LEAST | {"lora": {"alpha": float("nan")}}, "lora: alpha=nan must be a", id="nan within"),
        pytest.param(LEAST | {"lora": {"alpha": 0}}, "lora: alpha=0 must be above 0", id="no scale"),
        pytest.param(
            LEAST | {"lora": 8},
            r"must be a mapping, as \{r: 16, alpha: 32.0\} or null",
            id="a bare rank",
        ),
        pytest.param(LEAST | {"lora": False}, "lora=False must be a mapping.*or null", id="lora off"),
        pytest.param(LEAST | {"lora": [4, 8]}, "lora=.4, 8. must be a mapping", id="lora as a list"),
        pytest.param(LEAST | {"grpo": 8}, "grpo=8 must be a mapping", id="no options"),
        pytest.param(LEAST | {"grpo": {"beta": True}}, "grpo: beta=True must be", id="a flag as a number"),
        pytest.param(LEAST | {"grpo": {"shared_prompt": 1}}, "of type bool", id="a number as a flag"),
        pytest.param(
            LEAST | {"grpo": {"num_generations": 1}},
            "grpo: num_generations=1 must be at least 2",
            id="alone",
        ),
        pytest.param(LEAST | {"grpo": {"temperature": 0}}, "must be above 0", id="no chance"),
        pytest.param(LEAST | {"grpo": {"beta": float("inf")}}, "grpo: beta=inf must", id="infinite within"),
        pytest.param(LEAST | {"grpo": {"loss_type": "ppo"}}, "dapo, dr_grpo, bnpo, grpo", id="loss"),
        pytest.param(LEAST | {"grpo": {"truncated": "drop"}}, "penalise, mask", id="truncated"),
        pytest.param(LEAST | {"grpo": {"vllm": "yes"}}, "one of: colocate, server, false", id="vllm"),
        pytest.param(LEAST | {"grpo": {"generations": 4}}, "Did you mean 'num_generations'", id="near"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused(settings: dict[str, Any], message: str):
    with pytest.raises((DataError, InvalidArgumentError), match=message):
        recipe_of(settings)


def test_the_saved_settings_of_a_run_are_its_recipe():
    made = recipe_of(LEAST | {"steps": 9, "lora": None})
    assert recipe_of(made.settings("select")) == made


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_recipes_of_the_repository_can_be_read(path: Path):
    assert recipe_of(yaml.safe_load(path.read_text())).rows.startswith("runs/")


def test_the_recipe_of_the_page_on_training_is_that_of_the_repository():
    page = ROOT / "docs" / "reference" / "training.md"
    (text,) = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert yaml.safe_load(text) == yaml.safe_load((ROOT / "recipes" / "select.yaml").read_text())


def test_the_defaults_of_grpo_stand_on_the_page_on_training():
    page = ROOT / "docs" / "reference" / "training.md"
    (text,) = re.findall(r"^```\n(grpo:\n.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert recipe_of(LEAST | yaml.safe_load(text)).grpo == GrpoOptions()
    assert set(yaml.safe_load(text)["grpo"]) == set(GrpoOptions.__dataclass_fields__)
