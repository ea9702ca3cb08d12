from pathlib import Path

import pytest

from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError
from sampleset.settings import options_for, parse_overrides, read_settings

KNOWN = {"sample": ["model", "temperature", "max_tokens"], "evaluate": ["aggregator", "k"]}


def test_a_section_holds_options_of_its_command_only():
    settings = {"temperature": 0.5, "sample": {"max-tokens": 9}, "evaluate": {"k": 3}}
    assert options_for("sample", settings, KNOWN) == {"temperature": 0.5, "max_tokens": 9}
    assert options_for("evaluate", settings, KNOWN) == {"k": 3}


def test_a_section_overrules_the_common_option():
    settings = {"sample": {"temperature": 1.0}, "temperature": 0.5}
    assert options_for("sample", settings, KNOWN) == {"temperature": 1.0}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param({"temprature": 1}, "'temprature' is no option. Did you mean 'temperature'", id="common"),
        pytest.param({"sample": {"k": 3}}, "'sample.k' is no option", id="another command's"),
    ],
)
def test_an_unknown_key_is_refused(settings, says: str):
    with pytest.raises(InvalidArgumentError, match=says):
        options_for("sample", settings, KNOWN)


def test_overrides_are_dotted_and_read_as_yaml():
    assert parse_overrides(["temperature=0.5", "evaluate.k=4", "model=none"]) == {
        "temperature": 0.5,
        "evaluate": {"k": 4},
        "model": "none",
    }


def test_an_override_without_a_value_is_refused():
    with pytest.raises(InvalidArgumentError, match="Write --set KEY=VALUE"):
        parse_overrides(["temperature"])


def test_a_missing_file_and_a_broken_one_are_named(tmp_path: Path):
    with pytest.raises(InputNotFoundError, match="No configuration file"):
        read_settings(tmp_path / "none.yaml")
    path = tmp_path / "broken.yaml"
    path.write_text("a: [1\n")
    with pytest.raises(DataError, match="not YAML"):
        read_settings(path)
    path.write_text("- 1\n")
    with pytest.raises(DataError, match="got list"):
        read_settings(path)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        pytest.param(["model=[1"], "the value is not YAML", id="broken"),
        pytest.param(["sample=1", "sample.model=a"], "'sample' already has a value", id="value and section"),
    ],
)
def test_an_override_that_cannot_be_read_is_refused(overrides: list[str], says: str):
    with pytest.raises(InvalidArgumentError, match=says):
        parse_overrides(overrides)
