"""The examples in the docs run."""

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import sampleset
from sampleset.aggregators.base import AGGREGATORS
from sampleset.evaluation import read_prices
from sampleset.reward_models.base import REWARD_MODELS
from sampleset.specs import build, build_reward_model, models_of
from support.garbage import collect_quietly

ROOT = Path(__file__).parents[1]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)


async def test_the_aggregator_of_the_guide_works(make_set):
    (code,) = blocks("docs/guides/add-an-aggregator.md", "python")
    try:
        exec(compile(code, "longest_sample.py", "exec"), {"__name__": "longest_sample"})
        whole = make_set(["1", "2 222 222", "1"])
        assert (await build("longest_sample").aggregate(whole)).answer == "2 222 222"
    finally:
        AGGREGATORS._entries.pop("longest_sample", None)


def test_the_aggregators_of_the_page_on_them_can_be_named():
    page = (ROOT / "docs" / "reference" / "aggregators.md").read_text()
    specs = re.findall(r"^--aggregator '(.+)'$", page, re.MULTILINE)
    assert [models_of(spec) for spec in specs] == [(None,), (None, "CHECKPOINT"), (None,), (None,)]
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) >= set(AGGREGATORS.names()) - {"ssa"}


@pytest.mark.parametrize("name", AGGREGATORS.names())
def test_the_file_of_an_aggregator_opens_with_its_source_and_its_cost(name: str):
    opening = sys.modules[AGGREGATORS.get(name).__module__].__doc__ or ""
    assert re.search(r"arXiv\s\d{4}\.\d{5}|[Nn]o paper", opening)
    assert re.search(r"^(Modes, and their c|C)ost\b", opening, re.MULTILINE)
    assert re.search(r"\bcalls?\b", opening)


def test_the_page_on_reward_models_lists_all_kinds_and_its_specs_can_be_read():
    page = (ROOT / "docs" / "reference" / "reward-models.md").read_text()
    assert set(re.findall(r"^\| `(\w+)[`\[]", page, re.MULTILINE)) == set(REWARD_MODELS.names())
    served = re.findall(r"`(server\[.+?\])`", page)
    assert len(served) == 4
    for spec in served:
        build_reward_model(spec.replace("[", "[base_url=http://localhost:8000,"), "name", None)


async def test_the_python_of_the_page_on_answers_runs():
    code = "\n".join(blocks("docs/reference/answers.md", "python"))
    names: dict[str, Any] = {}
    await eval(compile(code, "answers.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)  # noqa: S307
    assert [one.votes for one in names["answer"].candidates] == [2]


def test_the_python_of_the_page_on_evaluation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    (code,) = blocks("docs/reference/evaluation.md", "python")
    rows = [{"id": "a", "question": "?", "answer": "2", "samples": ["2", "3", "2"]}]
    (tmp_path / "sets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "evaluation.md", "exec"), {})
    assert "majority_vote" in capsys.readouterr().out


def test_the_prices_of_the_page_on_evaluation_can_be_read(tmp_path: Path):
    (text,) = blocks("docs/reference/evaluation.md", "yaml")
    (tmp_path / "prices.yaml").write_text(text)
    assert read_prices(tmp_path / "prices.yaml").models["gpt-4o-mini"].shared_prompt


@pytest.mark.model
def test_the_python_of_the_first_page_runs(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("docs/index.md", "python")
    exec(compile(code, "index.md", "exec"), {"__name__": "__main__"})


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    names: Counter[str] = Counter()
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+)$", prose, re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).strip().replace(" ", "-")
        found.add(f"{name}-{names[name]}" if names[name] else name)
        names[name] += 1
    return found


@pytest.mark.parametrize(
    "page",
    sorted(
        str(path.relative_to(ROOT))
        for pattern in ("*.md", "docs/**/*.md", "adapters/**/*.md", "data/**/*.md", "src/sampleset/data/*.md")
        for path in ROOT.glob(pattern)
    ),
)
def test_every_link_leads_to_a_file_and_a_heading(page: str):
    path = ROOT / page
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", path.read_text()):
        if not target.startswith(("http", "mailto")):
            aim = path.parent / target if target else path
            assert aim.exists(), target
            assert not anchor or aim.suffix != ".md" or anchor in anchors(aim), f"{target}#{anchor}"


def test_the_page_of_commands_is_what_help_says(monkeypatch: pytest.MonkeyPatch):
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_cli_docs.py", "/dev/stdout"], capture_output=True, text=True
    )
    assert done.stdout == (ROOT / "docs" / "reference" / "cli.md").read_text(), (
        "run python scripts/make_cli_docs.py docs/reference/cli.md"
    )


def test_the_reference_is_what_the_code_says():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_reference.py", "/dev/stdout"],
        capture_output=True,
        text=True,
    )
    page = (ROOT / "docs" / "reference" / "python-api.md").read_text()
    assert done.stdout == page, "run python scripts/make_reference.py docs/reference/python-api.md"
    assert all(f"### {name}\n" in page for name in sampleset.__all__)


def test_every_page_of_the_docs_is_in_the_sites_menu():
    listed = re.findall(r"- (?:\w+: )?([\w/-]+\.md)", (ROOT / "mkdocs.yml").read_text())
    docs = ROOT / "docs"
    assert sorted(listed) == sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))


def test_changelog_and_citation_name_the_version():
    version = sampleset.__version__
    assert re.search(rf"^## {re.escape(version)} \(", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_schemas_are_those_of_the_records(tmp_path: Path):
    """Editors check recipes, `serve.yaml`, pools and settings by them."""
    script = ROOT / "scripts" / "make_schemas.py"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in (ROOT / "docs" / "schemas").iterdir()}
    assert made == kept, "run python scripts/make_schemas.py docs/schemas"


def test_the_commands_of_the_pages_are_there():
    from typer.main import get_command

    from sampleset.cli.main import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    code = "".join(
        block
        for page in pages
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    )
    used = set(re.findall(r"^(?:\$ )?sampleset ([a-z][a-z-]*)", code, re.MULTILINE))
    assert {"answer", "evaluate", "sample", "serve", "train"} <= used
    assert used <= known


def draws(folder: Path) -> None:
    samples = ["It is 42.", "The answer is 42.", "It is 41.", "42"]
    rows = [{"id": question, "question": question, "answer": "42", "samples": samples}
            for question in ("What is 6 x 7?", "What is 6 + 7?")]  # fmt: skip
    (folder / "draws.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("number", range(4))
def test_the_python_of_the_page_on_python_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    draws(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("docs/reference/python.md", "python")[number], "python.md", "exec"), {})


def test_the_format_of_the_page_on_formats_works(tmp_path: Path):
    from sampleset.storage.files import read_sample_sets
    from sampleset.storage.foreign.base import FORMATS

    (code,) = blocks("docs/reference/formats.md", "python")
    try:
        exec(compile(code, "formats.md", "exec"), {})
        (tmp_path / "logs.jsonl").write_text('{"ask": "2+3?", "replies": ["5", "6"]}\n')
        (stored,) = read_sample_sets(tmp_path / "logs.jsonl")
        assert (stored.sample_set.question.text, stored.sample_set.n) == ("2+3?", 2)
    finally:
        FORMATS._entries.pop("mine", None)


async def test_the_notebook_runs_within_a_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())
    names: dict[str, Any] = {}
    collect_quietly()  # of earlier tests; pandas makes so many objects that it would be collected in this one
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            exec(compile("".join(cell["source"]), "notebook.ipynb", "exec"), names)
    assert (tmp_path / "report" / "report.html").exists()
    assert names["mine"].n == 3
