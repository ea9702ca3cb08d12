"""The folder of a run: whose it is, its log, and checkpoints that a kill cannot break."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sampleset.errors import InvalidArgumentError
from sampleset.settings import save_settings
from sampleset.training.policy import replace_folder

STATE_FILE = "training_state.pt"
"""In a checkpoint: what the run needs to go on."""

_FREE = ("save_every", "threads", "report_to")
"""How often it is saved, by how many threads, and who is told may change; nothing else."""


class RunFolder:
    """The folder of a run.

    Args:
        folder: Where it is.
        settings: What the run depends on.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.checkpoint = folder / "checkpoint"
        self._settings = settings
        self._log = folder / "log.jsonl"

    def claim(self) -> None:
        """Make the folder this run's own, and mend what a kill during a save left.

        Raises:
            InvalidArgumentError: It holds another run.
        """
        config = self.folder / "config.json"
        if config.exists():
            other = json.loads(config.read_text("utf-8"))
            for name, value in sorted(self._settings.items()):
                if name not in _FREE and other.get(name) != json.loads(json.dumps(value)):
                    raise InvalidArgumentError(
                        f"{str(self.folder)!r} holds a run with {name}={other.get(name)!r}, not {value!r}. "
                        "Use another output_dir."
                    )
        else:
            save_settings(config, self._settings)
        old = self.checkpoint.with_name("checkpoint.old")
        if not self.state_file.exists() and old.exists():
            replace_folder(old, self.checkpoint)

    @property
    def state_file(self) -> Path:
        """What the run needs to go on; it exists once there is a checkpoint."""
        return self.checkpoint / STATE_FILE

    def drop_log_after(self, step: int) -> None:
        """Take out the log's lines of later steps, and a half-written one."""
        lines = self._log.read_text("utf-8").splitlines(keepends=True) if self._log.exists() else []
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        self._log.write_text("".join(kept), "utf-8")

    def write(self, figures: Mapping[str, float]) -> None:
        """Add a line to the log."""
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({name: round(value, 6) for name, value in figures.items()}) + "\n")

    @contextmanager
    def new_checkpoint(self) -> Generator[Path]:
        """An empty folder to fill; it becomes the checkpoint at the end."""
        new = self.checkpoint.with_name("checkpoint.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        yield new
        replace_folder(new, self.checkpoint)
