"""The commands of the README's first example, run as they stand, a stub in the place of the address."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from support.stub_server import StubServer

ROOT = Path(__file__).parents[1]


def commands() -> list[list[str]]:
    """Those from the first that names gpt-4o-mini to the end of its block."""
    block = next(
        text
        for text in re.findall(r"^```\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
        if "sampleset answer" in text
    )
    lines = [line for line in block.splitlines() if line.startswith("sampleset ")]
    first = next(number for number, line in enumerate(lines) if "gpt-4o-mini" in line)
    return [shlex.split(line, comments=True)[1:] for line in lines[first:]]


def test_the_commands_of_the_readme_run(tmp_path: Path):
    data = tmp_path / "data" / "gsm8k"
    data.mkdir(parents=True)
    rows = [{"question": f"What is {place} + 1?", "answer": f"#### {place + 1}"} for place in range(3)]
    (data / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    listed = commands()
    assert {"answer", "sample", "evaluate", "report", "list"} <= {words[0] for words in listed}
    with StubServer(models=("gpt-4o-mini",), api_key="sk-key") as server:
        environment = {"OPENAI_API_KEY": "sk-key", "OPENAI_BASE_URL": server.base_url,
                       "SAMPLESET_DATA": str(tmp_path / "data")}  # fmt: skip
        for words in listed:
            done = subprocess.run(
                [sys.executable, "-m", "sampleset", *words],
                cwd=tmp_path,
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (words, done.stderr)
            assert "Traceback" not in done.stderr
            assert done.stdout
