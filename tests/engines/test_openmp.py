"""Threads that sleep soon: what the packages see when they are loaded."""

import os
import subprocess
import sys

import pytest

from sampleset.engines.openmp import VARIABLE, short_waits

POLICY = "OMP_WAIT_POLICY"


def test_the_setting_is_gone_after_the_import(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv(POLICY, raising=False)
    with pytest.raises(ImportError), short_waits():
        assert os.environ[VARIABLE] == "400"
        raise ImportError
    assert VARIABLE not in os.environ


@pytest.mark.parametrize(("name", "value"), [(VARIABLE, "7"), (POLICY, "active")])
def test_a_setting_of_the_user_is_kept(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    for one in (VARIABLE, POLICY):
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with short_waits():
        assert dict(os.environ) == before
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("package", "code"),
    [
        ("torch", "from sampleset.engines.huggingface.model import import_extra; import_extra('torch')"),
        ("xllamacpp", "from sampleset.engines.llamacpp import _import_xllamacpp as load; load()"),
    ],
    ids=["torch", "llama.cpp"],
)
def test_openmp_reads_it(package: str, code: str):
    pytest.importorskip(package)
    kept = {key: value for key, value in os.environ.items() if key not in (VARIABLE, POLICY)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{VARIABLE} = '400'" in done.stderr
