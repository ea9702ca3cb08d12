"""The folder of a run: its settings, its log, and checkpoints that survive a kill."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sampleset.engines.huggingface.model import ModelFiles
from sampleset.errors import InvalidArgumentError
from sampleset.settings import save_settings
from sampleset.training.policy import replace_folder
from sampleset.training.recipe import GrpoOptions, Recipe

STATE_FILE = "training_state.pt"
"""File of a checkpoint with the state that the run needs to continue."""

_FREE = ("save_every", "threads", "report_to")
"""Settings that may change when a run is continued."""

_DIGESTS = "digests"
"""Key in `config.json`, beside the settings; runs of earlier versions lack it."""


def input_digests(recipe: Recipe, model: ModelFiles) -> dict[str, str]:
    """SHA-256 of the files of rows, and the digest of the first model, by the recipe's key."""
    digests = {"model": model.digest}
    for name, path in (("rows", recipe.rows), ("eval_rows", recipe.eval_rows)):
        if path is not None:
            with open(path, "rb") as file:
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


@contextmanager
def sole_use(folder: Path, busy: str) -> Generator[None]:
    """Lock a folder for this process; it is made if need be.

    Raises:
        InvalidArgumentError: Another process has it; the message is `busy`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidArgumentError(busy) from error
        except OSError as error:  # A file system without locks.
            error.filename = lock.name
            raise
        yield


class RunFolder:
    """The folder of a run.

    Args:
        folder: The folder.
        settings: The run's settings.
        digests: Digests of the run's inputs; see `input_digests`.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], digests: Mapping[str, str]) -> None:
        self.folder = folder
        self.checkpoint = folder / "checkpoint"
        self._config = folder / "config.json"
        self._settings = settings
        self._digests = digests
        self._log = folder / "log.jsonl"

    def require_same(self) -> None:
        """Refuse a folder that holds another run, or a run with other rows or another model.

        Raises:
            InvalidArgumentError: It does.
        """
        if not self._config.exists():
            return
        other = json.loads(self._config.read_text("utf-8"))
        for name, value in sorted(self._settings.items()):
            former: Any = other.get(name)
            if name == "grpo" and former is not None:
                former = {**asdict(GrpoOptions()), **former}  # a run may be older than an option
            if name not in _FREE and former != json.loads(json.dumps(value)):
                raise InvalidArgumentError(
                    f"{str(self.folder)!r} holds a run with {name}={former!r}, not {value!r}. "
                    "Use another output_dir."
                )
        for name, digest in other.get(_DIGESTS, {}).items():
            if digest != self._digests.get(name):
                raise InvalidArgumentError(
                    f"{self._settings[name]} has changed since the run in {str(self.folder)!r} began. "
                    "Use another output_dir."
                )

    @contextmanager
    def claimed(self) -> Generator[None]:
        """Lock the folder for this process. Repairs a checkpoint if an earlier save was interrupted.

        Raises:
            InvalidArgumentError: It holds another run, or another process trains into it.
        """
        with sole_use(
            self.folder,
            f"Another process trains into {str(self.folder)!r}. Wait for it, or use another output_dir.",
        ):
            self.require_same()
            if not self._config.exists():
                save_settings(self._config, {**self._settings, _DIGESTS: self._digests})
            old = self.checkpoint.with_name("checkpoint.old")
            if not self.state_file.exists() and old.exists():
                replace_folder(old, self.checkpoint)
            yield

    @property
    def state_file(self) -> Path:
        """File with the state that the run needs to continue; it exists if there is a checkpoint."""
        return self.checkpoint / STATE_FILE

    def drop_log_after(self, step: int) -> None:
        """Remove the log's lines of later steps and an incomplete last line; at step 0, all lines."""
        lines = self._log.read_text("utf-8").splitlines(keepends=True) if self._log.exists() else []
        earlier_lines = [
            line for line in lines if step and line.endswith("\n") and json.loads(line)["step"] <= step
        ]
        self._log.write_text("".join(earlier_lines), "utf-8")

    def write(self, figures: Mapping[str, float]) -> None:
        """Add a line to the log."""
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({name: round(value, 6) for name, value in figures.items()}) + "\n")

    @contextmanager
    def new_checkpoint(self) -> Generator[Path]:
        """An empty folder to fill. It becomes the checkpoint at the end of the context."""
        new = self.checkpoint.with_name("checkpoint.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        yield new
        replace_folder(new, self.checkpoint)
