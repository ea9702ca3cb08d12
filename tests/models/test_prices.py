from pathlib import Path

import pytest

from sampleset.errors import DataError, InputNotFoundError
from sampleset.models.prices import Price, read_prices


def written(folder: Path, text: str) -> Path:
    path = folder / "prices.yaml"
    path.write_text(text)
    return path


def test_prices_are_read(tmp_path: Path):
    path = written(
        tmp_path,
        "currency: EUR\nmodels:\n  a/b: {prompt: 0.5, completion: 2}\n"
        "  c: {prompt: 1, completion: 1, shared_prompt: true}\n",
    )
    prices = read_prices(path)
    assert prices.currency == "EUR"
    assert prices.models == {"a/b": Price(0.5, 2.0), "c": Price(1.0, 1.0, True)}
    assert prices.models["a/b"].of(1_000_000, 500_000) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("models: [", "not YAML", id="not YAML"),
        pytest.param("- a", "expected 'currency'", id="a list"),
        pytest.param("currency: USD\nmodels: {}", "expected 'currency'", id="no models"),
        pytest.param("currency: USD\nmodels: {m: 3}", "model 'm': expected", id="a number alone"),
        pytest.param(
            "currency: USD\nmodels: {m: {prompt: 1}}", "completion=None must be a number", id="half a price"
        ),
        pytest.param(
            "currency: USD\nmodels: {m: {prompt: -1, completion: 1}}", "prompt=-1 must be", id="negative"
        ),
        pytest.param(
            "currency: USD\nmodels: {m: {prompt: true, completion: 1}}", "prompt=True must be", id="no number"
        ),
        pytest.param(
            "currency: USD\nmodels: {m: {prompt: 1, completion: 1, input: 2}}",
            "unknown 'input'",
            id="unknown",
        ),
        pytest.param(
            "currency: USD\nmodels: {m: {prompt: 1, completion: .inf}}", "completion=inf", id="endless"
        ),
    ],
)
def test_what_is_no_price_file_is_refused(tmp_path: Path, text: str, message: str):
    with pytest.raises(DataError, match=message):
        read_prices(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputNotFoundError, match=r"prices\.yaml"):
        read_prices(tmp_path / "prices.yaml")
