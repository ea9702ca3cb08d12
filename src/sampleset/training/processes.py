"""The processes of one run: one, or those that `accelerate launch` starts; and its trackers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sampleset.engines.huggingface.model import import_extra
from sampleset.errors import InvalidArgumentError

T = TypeVar("T")


def is_main_process() -> bool:
    """Whether this process speaks for the run."""
    return import_extra("accelerate").PartialState().is_main_process


class Processes:
    """What the processes of a run do together.

    Args:
        folder: Where a tracker that writes files puts them.
        settings: The run's settings, for the tracker.
        report_to: `tensorboard`, `wandb`, `trackio` or another tracker of accelerate; `None` for none.

    Attributes:
        count: How many.
        is_main: Whether this one writes what only one may.
        accelerator: Of accelerate.

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
        """The device of this process, where there are several; `None` leaves it to the recipe."""
        return str(self.accelerator.device) if self.count > 1 else None

    def require_whole_models(self) -> None:
        """Refuse launchers that split a model over the processes.

        Raises:
            InvalidArgumentError: It is launched so.
        """
        kind = str(self.accelerator.distributed_type.value)
        if kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM", "TP"):
            raise InvalidArgumentError(
                f"accelerate is set to {kind}, which splits the model over the processes; here each holds "
                "the whole. Launch with `accelerate launch --multi_gpu`, or run `accelerate config` again; "
                "for models beyond one GPU see docs/scale.md."
            )

    def gathered(self, items: list[T]) -> list[T]:
        """The items of all processes, in the order of the processes."""
        return import_extra("accelerate.utils").gather_object(items)

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """The part of the items that falls to this process."""
        return items[self.accelerator.process_index :: self.count]

    def sum_gradients(self, weights: Sequence[Any]) -> None:
        """Give every process the sum of all gradients."""
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
        every: list[dict[str, float]] = import_extra("accelerate.utils").gather_object([dict(figures)])
        names = dict.fromkeys(name for one in every for name in one)
        return {name: sum(one.get(name, 0.0) for one in every) for name in names}

    def report(self, figures: Mapping[str, float], step: int) -> None:
        """Tell the tracker, if there is one."""
        self.accelerator.log(dict(figures), step=step)

    def wait(self) -> None:
        """Until all processes are here."""
        self.accelerator.wait_for_everyone()

    def end(self) -> None:
        """Let the tracker write what it holds."""
        self.accelerator.end_training()
