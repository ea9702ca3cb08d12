"""The processes of a run (one, or those of `accelerate launch`) and its trackers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sampleset.engines.huggingface.model import import_extra
from sampleset.errors import InvalidArgumentError

T = TypeVar("T")


def is_main_process() -> bool:
    """Whether this process writes files and output for the run."""
    return import_extra("accelerate").PartialState().is_main_process


class Processes:
    """The processes of a run and the operations they do together.

    Args:
        folder: Folder for trackers that write files.
        settings: The run's settings, for the tracker.
        report_to: `tensorboard`, `wandb`, `trackio` or another tracker of accelerate; `None` for none.

    Attributes:
        count: Number of processes.
        is_main: Whether this process writes files and output for the run.
        accelerator: The `Accelerator` of accelerate.

    Raises:
        InvalidArgumentError: accelerate has no such tracker, or it is not installed.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], report_to: str | None) -> None:
        accelerate: Any = import_extra("accelerate")
        try:
            self.accelerator: Any = accelerate.Accelerator(
                log_with=report_to, project_dir=str(folder), step_scheduler_with_optimizer=False
            )
        except ValueError as error:
            raise InvalidArgumentError(f"report_to={report_to!r} is no tracker ({error}).") from error
        self.count: int = self.accelerator.num_processes
        self.is_main: bool = self.accelerator.is_main_process
        if report_to is not None:
            if not self.accelerator.log_with:
                raise InvalidArgumentError(
                    f"report_to={report_to!r} is not installed. Install it: pip install {report_to}"
                )
            config = {key: str(value) for key, value in settings.items()}
            self.accelerator.init_trackers("sampleset", config)

    @property
    def device(self) -> str | None:
        """The device of this process if there are several processes; `None` leaves it to the recipe."""
        return str(self.accelerator.device) if self.count > 1 else None

    def require_whole_models(self) -> None:
        """Refuse launchers that split a model over the processes.

        Raises:
            InvalidArgumentError: The launcher does.
        """
        kind = str(self.accelerator.distributed_type.value)
        if kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM", "TP"):
            raise InvalidArgumentError(
                f"accelerate is set to {kind}, which splits the model over the processes; here each holds "
                "the whole. Launch with `accelerate launch --multi_gpu`, or run `accelerate config` again; "
                "for models beyond one GPU see docs/reference/scale.md."
            )

    def gathered(self, items: list[T]) -> list[T]:
        """The items of all processes, in the order of the processes."""
        return import_extra("accelerate.utils").gather_object(items)

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's share of the items."""
        return items[self.accelerator.process_index :: self.count]

    def sum_gradients(self, weights: Sequence[Any]) -> None:
        """Replace the gradients in every process by their sum over all processes."""
        if self.count == 1:
            return
        torch: Any = import_extra("torch")
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            weight.grad = self.accelerator.reduce(weight.grad, "sum")

    def sums(self, figures: Mapping[str, float]) -> dict[str, float]:
        """The sum over the processes of each figure."""
        if self.count == 1:
            return dict(figures)
        all_figures: list[dict[str, float]] = import_extra("accelerate.utils").gather_object([dict(figures)])
        names = dict.fromkeys(name for figures_of_process in all_figures for name in figures_of_process)
        return {
            name: sum(figures_of_process.get(name, 0.0) for figures_of_process in all_figures)
            for name in names
        }

    def report(self, figures: Mapping[str, float], step: int) -> None:
        """Send figures to the tracker, if there is one."""
        self.accelerator.log(dict(figures), step=step)

    def wait(self) -> None:
        """Wait until all processes have called this."""
        self.accelerator.wait_for_everyone()

    def end(self) -> None:
        """Let the tracker write its data."""
        self.accelerator.end_training()
