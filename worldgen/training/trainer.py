"""The trainer: stages of clips, one step after the other, resumable at any of them.

Room: worldgen. ``train`` yields after every step, so a progress bar, a log and a test use the same loop. What
a step does is in :mod:`worldgen.training.update`, how several processes share one run in
:mod:`worldgen.training.distributed`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Sampler

from worldgen.model.weights import save_model
from worldgen.training.checkpoint import Progress, Run, load_checkpoint, save_checkpoint
from worldgen.training.clips import Clip, Clips, collated
from worldgen.training.config import Stage, TrainConfig
from worldgen.training.distributed import gathered, sharded
from worldgen.training.ranks import ALONE, Ranks
from worldgen.training.run import begun
from worldgen.training.update import update

CHECKPOINT = "checkpoint.safetensors"
TRAINED = "weights.safetensors"
SAVE_EVERY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step of training did, on all ranks together."""

    progress: Progress
    """After the step."""

    size: int
    """Pixels a side."""

    frames: int
    """Frames in this step."""

    loss: float
    """Weighted squared velocity error of colour and depth, over the frames that are not given; of shortcut
    training, :func:`worldgen.training.shortcut.shortcut_loss`."""

    rgb_error: float
    """Mean squared error of the predicted colour, in [-1, 1] units, over all noise levels; of long steps, to
    what they are trained towards."""

    depth_error: float
    """Mean absolute error of the predicted depth code, over all noise levels."""

    gradient_norm: float
    """Length of the gradient of all weights together, before it was shortened."""

    learning_rate: float
    elapsed_s: float
    """Time of the step, and of its checkpoint if one was written; not of waiting for the clips."""

    waited_s: float
    """Time from the end of the last step until this one's clips were there."""

    is_saved: bool
    """Whether a checkpoint was written after it."""

    semigroup_error: float | None = None
    """Mean of :func:`worldgen.training.shortcut.semigroup_errors` over the long steps of shortcut training;
    None where the batch had none."""


def train(
    config: TrainConfig,
    folder: Path,
    *,
    device: torch.device,
    save_every: int = SAVE_EVERY,
    workers: int = 1,
    start_from: Path | str | None = None,
    ranks: Ranks = ALONE,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Step]:
    """Train until the configuration's frames are used up; continues what ``folder`` holds.

    Args:
        config: the recipe.
        folder: where ``checkpoint.safetensors`` lives, and beside it ``weights.safetensors``, the
            averaged weights as generators read them.
        device: where the model trains.
        save_every: steps between checkpoints; one is also written at the end.
        workers: processes that render clips, for each rank.
        start_from: weights that a new run begins with, instead of what the recipe says.
        ranks: the processes that train together. All must call this, with the same arguments but for the
            device; every batch is divided among them, and what comes out is what one process would get, up
            to rounding. The first one writes.
        is_stopping: asked after every step; once it is true a checkpoint is written and training ends. All
            ranks must hear the same.

    Raises:
        CheckpointMismatch: if the checkpoint or ``start_from`` belongs to another model.
        ValueError: if a batch cannot be divided among the ranks, or they do not find the same checkpoint.
    """
    for stage in config.stages:
        ranks.share(stage.batch_clips)
    run, progress = _resumed(config, folder, device=device, start_from=start_from, ranks=ranks)
    while progress.frames < config.total_frames:
        stage = config.stage_at(progress.frames)
        ready = time.perf_counter()
        for clip in _batches(config, stage, progress, workers=workers, ranks=ranks):
            started = time.perf_counter()
            rate = learning_rate(config, progress)
            errors = update(run, clip, rate=rate, config=config, progress=progress, ranks=ranks)
            frames = clip.given.numel() * ranks.count
            progress = Progress(
                step=progress.step + 1,
                frames=progress.frames + frames,
                clips=progress.clips + len(clip.given) * ranks.count,
            )
            is_last = progress.frames >= config.total_frames or is_stopping()
            is_saved = is_last or progress.step % save_every == 0
            if is_saved:
                _save(folder, run, progress=progress, config=config, size=stage.size, ranks=ranks)
            yield Step(
                progress=progress,
                size=stage.size,
                frames=frames,
                learning_rate=rate,
                elapsed_s=time.perf_counter() - started,
                waited_s=started - ready,
                is_saved=is_saved,
                **errors,
            )
            if is_last:
                return
            if config.stage_at(progress.frames) is not stage:
                break
            ready = time.perf_counter()


def learning_rate(config: TrainConfig, progress: Progress) -> float:
    """Linear warm-up, a plateau, and a linear fall to zero over the last part of the frames."""
    warm = min(1.0, (progress.step + 1) / max(1, config.warmup_steps))
    left = (config.total_frames - progress.frames) / config.total_frames
    return config.learning_rate * warm * min(1.0, left / max(config.cooldown, 1e-9))


def _resumed(
    config: TrainConfig, folder: Path, *, device: torch.device, start_from: Path | str | None, ranks: Ranks
) -> tuple[Run, Progress]:
    """The run that ``folder`` holds, or a new one, and how far it has come."""
    path = folder / CHECKPOINT
    is_new = not path.is_file()
    first_home = device if ranks.mesh is None else torch.device("cpu")
    run = begun(config, device=first_home, start_from=(start_from or config.start_from) if is_new else None)
    progress = Progress() if is_new else load_checkpoint(path, run, config=config)
    if ranks.mesh is not None:
        mine = torch.tensor(float(progress.step), device=device)
        if ranks.mean(mine) != mine:
            raise ValueError(
                f"not all processes find the same checkpoint in {folder}; they must share the folder"
            )
        run = sharded(run, mesh=ranks.mesh, config=config)
    return run, progress


def clips_of(config: TrainConfig, stage: Stage) -> Clips:
    """The clips of a recipe, at the resolution of one of its stages."""
    return Clips(
        size=stage.size,
        frames=config.clip_frames,
        seed=config.seed,
        kinds=config.kinds,
        degrading=config.degraded,
        corruption=config.corruption,
        close=config.close,
    )


def _save(
    folder: Path, run: Run, *, progress: Progress, config: TrainConfig, size: int, ranks: Ranks
) -> None:
    """Write the checkpoint and the averaged weights."""
    if ranks.mesh is not None:
        run = gathered(run, config=config)
    if ranks.is_first:
        save_checkpoint(folder / CHECKPOINT, run, progress=progress, config=config)
        save_model(run.average, folder / TRAINED, size=size)


LAST = -1000
"""After everything else that a process does when it ends."""


def _left_to_end(worker: int) -> None:
    """Let workers go on when all processes are told to stop: the step that is running must come to its end.

    They end when the process that reads from them does, and at once: Python unwinds threads that still send
    tensors when it shuts down, which C++ takes for a crash.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    Finalize(None, os._exit, args=(0,), exitpriority=LAST)


class _Turns(Sampler[int]):
    """This rank's clips of one batch after the other, from the next unseen one on."""

    def __init__(self, *, first: int, end: int, batch: int, ranks: Ranks):
        self._starts = range(first, end, batch)
        self._mine = ranks.rows(ranks.share(batch))

    def __iter__(self) -> Iterator[int]:
        for start in self._starts:
            yield from range(start + self._mine.start, start + self._mine.stop)


def _batches(
    config: TrainConfig, stage: Stage, progress: Progress, *, workers: int, ranks: Ranks
) -> DataLoader[Clip]:
    """This rank's rows of the batches to come; clip ``i`` is the same whoever makes it."""
    clips = clips_of(config, stage)
    return DataLoader(
        clips,
        batch_size=ranks.share(stage.batch_clips),
        sampler=_Turns(first=progress.clips, end=len(clips), batch=stage.batch_clips, ranks=ranks),
        num_workers=workers,
        collate_fn=collated,
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_left_to_end,
    )
