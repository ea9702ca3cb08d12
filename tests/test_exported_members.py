import ast
from pathlib import Path

import sampleset


def test_every_exported_name_is_there():
    for name in sampleset.__all__:
        assert getattr(sampleset, name) is not None


def test_the_three_lists_of_names_agree():
    tree = ast.parse(Path(sampleset.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {
        alias.asname or alias.name: f"{node.module}{f':{alias.name}' if alias.asname else ''}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == {name: f"sampleset.{home}" for name, home in sampleset._HOME.items()}
    assert sorted(typed) == sorted(sampleset.__all__)
