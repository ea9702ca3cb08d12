"""Trained aggregators by digest: fetched from a folder, an archive at a URL or the Hub into the cache.

The digest of an aggregator is that of its files, wherever they come from: the SHA-256 of a line
`SHA256  NAME` for each file, sorted by name, the card (`README.md`) left out. What is fetched stands in a
folder `NAME-DIGEST` of the cache only once it is whole and has the digest that was asked for.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from sampleset.engines.checkpoint import RECORD_FILE, CheckpointRecord, read_record
from sampleset.errors import (
    BackendError,
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    MissingExtraError,
)

if TYPE_CHECKING:
    from http.client import HTTPResponse

CARD = "README.md"
_SUFFIXES = frozenset({".gguf", ".json", ".jinja", ".md", ".model", ".safetensors", ".txt"})
"""Files that are taken. Formats that run code when they are read, pickles above all, are left out."""
_WEIGHTS = ("adapter.gguf", "model.gguf", "adapter_model.safetensors", "model.safetensors")
_MOST_BYTES = 64 << 30
_MOST_FILES = 200
_CHUNK = 1 << 20

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pulled:
    """A trained aggregator on this machine.

    Attributes:
        folder: Where it is; a REF of a model.
        digest: `sha256:` and the digest of its files.
        record: What it is.
    """

    folder: Path
    digest: str
    record: CheckpointRecord


def models_folder() -> Path:
    """Where pulled aggregators are: `models` in `$SAMPLESET_CACHE`, else in the user's cache."""
    if chosen := os.environ.get("SAMPLESET_CACHE"):
        return Path(chosen).expanduser() / "models"
    shared = os.environ.get("XDG_CACHE_HOME", "")
    # A relative one has no meaning, as its specification says.
    folder = Path(shared) if os.path.isabs(shared) else Path.home() / ".cache"
    return folder / "sampleset" / "models"


def pulled_in(folder: Path) -> Iterator[Pulled]:
    """The trained aggregators in the folders of a folder, by name; others are passed over."""
    for inner in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not inner.name.startswith(".") and (inner / RECORD_FILE).is_file():
            yield described(inner)


def described(folder: Path) -> Pulled:
    """The trained aggregator in a folder.

    Raises:
        InputNotFoundError: There is none.
        DataError: Its record is broken, or it has no weights.
    """
    record = read_record(folder)
    if record is None:
        raise InputNotFoundError(
            f"{str(folder)!r} holds no trained aggregator: it has no {RECORD_FILE}. Give a folder that "
            "`sampleset export` or `sampleset train` wrote."
        )
    if not any((folder / name).is_file() for name in _WEIGHTS):
        raise DataError(f"{str(folder)!r} has no weights, which would be one of {', '.join(_WEIGHTS)}.")
    return Pulled(folder, digest_of(folder), record)


def digest_of(folder: Path) -> str:
    """`sha256:` and the digest of the files that belong to an aggregator."""
    lines: list[str] = []
    for path in sorted(_files(folder), key=lambda path: path.name):
        if path.name != CARD:
            with path.open("rb") as file:
                lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def pull(source: str, digest: str | None = None, progress: Progress = lambda line: None) -> Pulled:
    """The aggregator of a source, fetched into the cache unless it is there.

    Args:
        source: A folder; an address of a `.tar.gz`, `.tgz`, `.tar` or `.zip` file; or an id `OWNER/NAME` or
            `OWNER/NAME@REVISION` of the Hub.
        digest: The digest that it must have, `sha256:` before it or not.
        progress: Called with a line on how far it is.

    Raises:
        InvalidArgumentError: The source is none of these, or the digest is no digest.
        InputNotFoundError: There is nothing there.
        BackendError: The server cannot be asked, or refuses.
        DataError: It is no aggregator, or has another digest.
        MissingExtraError: huggingface_hub is not installed.
    """
    wanted = None if digest is None else _checked_digest(digest)
    cache = models_folder()
    if wanted is not None:
        for there in pulled_in(cache):
            if there.digest == wanted:
                return there
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pulling-", dir=cache) as partial:
        target = Path(partial) / "files"
        target.mkdir()
        name = _fetched(source, target, wanted, progress)
        found = described(target)
        if wanted not in (None, found.digest):
            raise DataError(f"{source!r} has the digest {found.digest}, not {wanted}. Nothing was kept.")
        home = cache / f"{name}-{found.digest.removeprefix('sha256:')[:12]}"
        if not home.exists():
            os.replace(target, home)
    return Pulled(home, found.digest, found.record)


def _checked_digest(digest: str) -> str:
    hexadecimal = digest.removeprefix("sha256:").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", hexadecimal):
        raise InvalidArgumentError(f"{digest!r} is no digest: give sha256: and 64 hexadecimal digits.")
    return f"sha256:{hexadecimal}"


def _fetched(source: str, target: Path, digest: str | None, progress: Progress) -> str:
    """Put the files of the source into the target; a name for it."""
    if source.startswith(("http://", "https://")):
        return _from_url(source, target, digest, progress)
    folder = Path(source).expanduser()
    if folder.is_dir():
        _copy(folder, target, progress)
        return _plain_name(folder.resolve().name)
    if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", source) and not source.startswith("."):
        return _from_hub(source, target, progress)
    raise InputNotFoundError(
        f"{source!r} is no folder that is there, no http(s) address, and no id OWNER/NAME of the Hub."
    )


def _copy(folder: Path, target: Path, progress: Progress) -> None:
    for path in _files(folder):
        progress(path.name)
        shutil.copyfile(path, target / path.name)


def _files(folder: Path) -> list[Path]:
    paths = [path for path in folder.iterdir() if path.is_file() and path.suffix in _SUFFIXES]
    if len(paths) > _MOST_FILES:
        raise DataError(f"{str(folder)!r} holds {len(paths)} files: that is no aggregator.")
    return paths


def _from_hub(source: str, target: Path, progress: Progress) -> str:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError(
            "huggingface_hub is not installed: pip install huggingface_hub, or give a folder or an address."
        ) from error
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = source.partition("@")
    progress(f"{name} from the Hub")
    patterns = [f"*{suffix}" for suffix in sorted(_SUFFIXES)]
    hub = cast("Any", huggingface_hub)
    try:
        fetched = hub.snapshot_download(name, revision=revision or None, allow_patterns=patterns)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise BackendError(f"The Hub does not give {source!r}: {str(error).splitlines()[0]}") from error
    _copy(Path(fetched), target, progress)
    return _plain_name(name.partition("/")[2])


def _from_url(url: str, target: Path, digest: str | None, progress: Progress) -> str:
    import urllib.error
    import urllib.request

    address = urlsplit(url)
    is_here = address.hostname in ("127.0.0.1", "localhost", "::1")
    if address.scheme == "http" and digest is None and not is_here:
        raise InvalidArgumentError(f"{url!r} is not encrypted: give --digest, too, or an https address.")
    stem = re.sub(r"\.(tar\.gz|tgz|tar|zip)$", "", PurePosixPath(address.path).name)
    if stem == PurePosixPath(address.path).name:
        raise InvalidArgumentError(f"{url!r} names no archive. Give a .tar.gz, .tgz, .tar or .zip file.")
    with tempfile.TemporaryFile(dir=target.parent) as archive:
        try:
            with cast("HTTPResponse", urllib.request.urlopen(url, timeout=60)) as reply:
                _save(reply, archive, url, progress)
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise BackendError(f"{url!r} cannot be fetched: {reason}") from error
        archive.seek(0)
        try:
            _unpack(archive, target, is_zip=address.path.endswith(".zip"))
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise DataError(f"{url!r} is no archive that can be read ({error}).") from error
    return _plain_name(stem)


def _save(reply: HTTPResponse, file: IO[bytes], url: str, progress: Progress) -> None:
    whole = int(reply.headers.get("Content-Length") or 0)
    size = 0
    while chunk := reply.read(_CHUNK):
        size += len(chunk)
        if size > _MOST_BYTES:
            raise DataError(f"{url!r} holds more than {_MOST_BYTES >> 30} GiB.")
        file.write(chunk)
        progress(f"{size / 1e6:.0f} MB" + (f" of {whole / 1e6:.0f} MB" if whole else ""))
    if whole and size < whole:
        raise DataError(f"{url!r} ended after {size:,} of {whole:,} bytes. Pull again.")


def _unpack(archive: IO[bytes], target: Path, *, is_zip: bool) -> None:
    """Write the plain files of an archive, by their last names: no path in it leads out of the target."""
    left = _MOST_BYTES
    with ExitStack() as stack:
        if is_zip:
            whole: Any = stack.enter_context(zipfile.ZipFile(archive))
        else:
            whole = stack.enter_context(tarfile.open(fileobj=archive))
        entries: Any = whole.infolist() if is_zip else whole
        count = 0
        for entry in entries:
            path = PurePosixPath(str(entry.filename if is_zip else entry.name))
            if path.suffix not in _SUFFIXES or (entry.is_dir() if is_zip else not entry.isreg()):
                continue
            count += 1
            source = whole.open(entry) if is_zip else whole.extractfile(entry)
            destination = target / path.name
            if count > _MOST_FILES or destination.exists():
                raise DataError("The archive holds several models, or far too many files.")
            with source, destination.open("wb") as file:
                while chunk := source.read(_CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        raise DataError(f"The archive holds more than {_MOST_BYTES >> 30} GiB.")
                    file.write(chunk)


def _plain_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "aggregator"
