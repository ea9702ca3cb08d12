from dataclasses import replace
from pathlib import Path

import pytest

from sampleset.engines.checkpoint import read_record, write_record
from sampleset.engines.gguf import ADAPTER_FILE, embedded_ssa_folder, find_gguf, gguf_digest
from sampleset.errors import InputNotFoundError


def test_an_adapter_finds_its_base_beside_it(tmp_path: Path):
    base, folder = tmp_path / "base.gguf", tmp_path / "adapter"
    folder.mkdir()
    base.write_bytes(b"GGUF base")
    (folder / ADAPTER_FILE).write_bytes(b"GGUF adapter")
    named = {"name": base.name, "digest8": gguf_digest(base)[:8], "path": str(base)}
    record = read_record(embedded_ssa_folder())
    assert record is not None
    write_record(folder, replace(record, others={"gguf_base": named}))
    found = find_gguf(str(folder))
    assert found.model == base
    moved = base.rename(folder / base.name)
    assert find_gguf(str(folder)) == replace(found, model=moved)
    moved.unlink()
    with pytest.raises(InputNotFoundError, match=r"Put 'base\.gguf' beside it, or write its path"):
        find_gguf(str(folder))
