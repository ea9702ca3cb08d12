"""Trained aggregators from a folder, an address and the Hub, by digest; the servers are on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sampleset.errors import BackendError, DataError, InputNotFoundError, InvalidArgumentError
from sampleset.models.pulled import digest_of, models_folder, pull

RECORD = json.dumps({"schema": 1, "base_model": "tiny@01234567", "mode": "select", "prompt_version": "1"})
FILES = {"sampleset.json": RECORD.encode(), "adapter.gguf": b"weights", "README.md": b"a card"}
# The card, which sorts first, is no part of the digest.
LINES = "".join(f"{hashlib.sha256(FILES[name]).hexdigest()}  {name}\n" for name in sorted(FILES)[1:])
DIGEST = f"sha256:{hashlib.sha256(LINES.encode()).hexdigest()}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLESET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "my ssa"
    source.mkdir()
    for name, content in {**FILES, "optimizer.pt": b"a pickle"}.items():
        (source / name).write_bytes(content)
    return source


def tar_of(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def zip_of(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()


@contextmanager
def serving(pages: Mapping[str, bytes], headers: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The address of a server of these pages."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            found = pages.get(path)
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(found or b"")))
            for name, value in (headers or {}).get(path, {}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(found or b"")

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_folder_is_copied_without_pickles_under_its_name_and_digest(folder: Path):
    found = pull(str(folder))
    assert found.digest == DIGEST
    assert found.folder == models_folder() / f"my-ssa-{DIGEST[7:19]}"
    assert sorted(path.name for path in found.folder.iterdir()) == sorted(FILES)
    assert digest_of(found.folder) == DIGEST
    assert pull(str(folder)) == found


@pytest.mark.parametrize(("name", "archive"), [("ssa.tar.gz", tar_of), ("ssa.zip", zip_of)])
def test_an_archive_at_an_address_has_the_digest_of_its_files(name: str, archive):
    with serving({f"/x/{name}": archive({f"top/{file}": content for file, content in FILES.items()})}) as url:
        found = pull(f"{url}/x/{name}", DIGEST)
    assert (found.digest, found.folder.name) == (DIGEST, f"ssa-{DIGEST[7:19]}")
    assert pull("https://127.0.0.1:1/gone.zip", DIGEST).folder == found.folder  # it is there: nobody is asked


def test_another_digest_is_refused_and_nothing_stays(folder: Path):
    with pytest.raises(DataError, match=f"has the digest {DIGEST}, not sha256:0000"):
        pull(str(folder), "0" * 64)
    assert list(models_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("files", "says"),
    [
        pytest.param({"../../evil.json": b"{}", "adapter.gguf": b""}, "no sampleset.json", id="a way out"),
        pytest.param({"sampleset.json": RECORD.encode()}, "no weights", id="no weights"),
        pytest.param({"a/model.gguf": b"1", "b/model.gguf": b"2"}, "several models", id="two models"),
        pytest.param({"sampleset.json": b"[]", "model.gguf": b""}, "no record", id="a broken record"),
    ],
)
def test_what_is_no_aggregator_is_refused(files: dict[str, bytes], says: str, tmp_path: Path):
    with (
        serving({"/a.tgz": tar_of(files)}) as url,
        pytest.raises((DataError, InputNotFoundError), match=says),
    ):
        pull(f"{url}/a.tgz")
    assert list(models_folder().iterdir()) == []
    assert not list(tmp_path.rglob("evil.json"))


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        pytest.param("nosuch", InputNotFoundError, "no folder that is there", id="nothing"),
        pytest.param("https://example.org/a.bin", InvalidArgumentError, "names no archive", id="no archive"),
        pytest.param("http://example.org/a.zip", InvalidArgumentError, "give --digest", id="open to changes"),
        pytest.param("http://127.0.0.1:1/a.zip", BackendError, "cannot be fetched", id="no server"),
    ],
)
def test_a_source_that_cannot_be_read_is_told(source: str, error: type[Exception], says: str):
    with pytest.raises(error, match=says):
        pull(source)


def test_what_is_missing_or_no_archive_is_told():
    with serving({"/a.zip": b"<html>"}) as url:
        with pytest.raises(DataError, match="no archive that can be read"):
            pull(f"{url}/a.zip")
        with pytest.raises(BackendError, match="cannot be fetched"):
            pull(f"{url}/b.zip")
    with pytest.raises(InvalidArgumentError, match="64 hexadecimal digits"):
        pull("x", "sha256:12")


def test_the_hub_is_asked_for_an_id(tmp_path: Path):
    pytest.importorskip("huggingface_hub")
    commit = "1" * 40
    info = {"id": "me/ssa", "sha": commit, "siblings": [{"rfilename": name} for name in FILES]}
    pages = {"/api/models/me/ssa/revision/v1": json.dumps(info).encode()}
    tree = [
        {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
        for name, content in FILES.items()
    ]
    pages[f"/api/models/me/ssa/tree/{commit}"] = json.dumps(tree).encode()
    pages |= {f"/me/ssa/resolve/{commit}/{name}": content for name, content in FILES.items()}
    headers = {
        f"/me/ssa/resolve/{commit}/{name}": {
            "X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        for name, content in FILES.items()
    }  # fmt: skip
    with serving(pages, headers) as url:
        environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hub")}
        command = [sys.executable, "-m", "sampleset", "pull", "me/ssa@v1", "--digest", DIGEST, "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        missing = [sys.executable, "-m", "sampleset", "pull", "me/none"]
        refused = subprocess.run(missing, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == DIGEST
    assert refused.returncode != 0
    assert "The Hub does not give 'me/none'" in refused.stderr


def test_what_was_pulled_is_listed(run, folder: Path):
    code, out, err = run("pull", folder)
    assert code == 0
    place = out.strip()
    assert f"--aggregator-model '{place}'" in err or f"--aggregator-model {place}" in err
    listed = run("list", "models")[1]
    assert f"{place}  mode select on tiny@01234567; pulled; {DIGEST[:19]}" in listed
    assert "embedded-ssa" in listed
