"""The files with hashes and materials are those of the pins."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from make_supply_chain import HASHED, PINS, SBOM, hashes_in, pins_in, sbom_text  # noqa: E402


def test_every_pin_has_hashes():
    pins = pins_in(PINS.read_text())
    assert pins_in(HASHED.read_text()) == pins, "run scripts/make_supply_chain.py"
    hashes = hashes_in(HASHED.read_text())
    assert hashes.keys() == pins.keys()
    assert all(hashes.values())


def test_the_bill_of_materials_is_that_of_the_hashes():
    document, again = json.loads(SBOM.read_text()), json.loads(sbom_text(HASHED.read_text()))
    for one in (*document["components"], *again["components"]):
        one.pop("licenses", None)  # which depends on what is installed
    assert document == again
