"""The record of a run: a log, event files for TensorBoard, and a picture of the curves.

Room: worldgen. ``log.jsonl`` holds a line a step and is all that the picture needs. Event files lie in the
run's folder, so ``tensorboard --logdir runs`` shows every run beneath it by the name of its folder.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from worldgen.training.curves import draw_curves
from worldgen.training.throughput import Throughput
from worldgen.training.trainer import Step

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger(__name__)

LOG = "log.jsonl"
PICTURE = "curves.png"
STEP_SCALARS = ("loss", "rgb_error", "depth_error", "learning_rate", "gradient_norm", "semigroup_error")
THROUGHPUT_SCALARS = ("frames_a_second", "waiting", "utilisation")


class Record:
    """Writes what a run does into its folder, from the run's next step on."""

    def __init__(self, folder: Path):
        """Begin to record.

        Args:
            folder: of the run; what was recorded in it stays.
        """
        self._folder = folder
        self._has_events = _is_installed("tensorboard", lost="event files for TensorBoard")
        self._has_picture = _is_installed("matplotlib", lost="picture of the curves")
        self._events: SummaryWriter | None = None
        self._log = (folder / LOG).open("a", encoding="utf-8")

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()
        if self._events is not None:
            self._events.close()

    def add(self, step: Step, throughput: Throughput) -> None:
        """Record a step; after a checkpoint, draw the curves anew."""
        self._log.write(json.dumps(dataclasses.asdict(step)) + "\n")
        self._log.flush()
        if self._has_events:
            self._add_events(step, throughput)
        if step.is_saved and self._has_picture and step.progress.step > 1:
            draw_curves(self._folder / LOG, self._folder / PICTURE)

    def _add_events(self, step: Step, throughput: Throughput) -> None:
        number = step.progress.step
        if self._events is None:
            self._events = _events_from(self._folder, number)
        for source, names in ((step, STEP_SCALARS), (throughput, THROUGHPUT_SCALARS)):
            for name in names:
                if (value := getattr(source, name)) is not None:
                    self._events.add_scalar(name, value, global_step=number)
        if step.is_saved:
            self._events.flush()


def _events_from(folder: Path, step: int) -> SummaryWriter:
    """A writer that makes readers forget what an interrupted run wrote of ``step`` and the steps after it."""
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra, and slow

    return SummaryWriter(str(folder), purge_step=step)


def _is_installed(package: str, *, lost: str) -> bool:
    """Whether there is such a package; if not, say what will be missing."""
    if importlib.util.find_spec(package) is not None:
        return True
    log.warning("%s is not installed, so there will be no %s: pip install 'worldgen[train]'", package, lost)
    return False
