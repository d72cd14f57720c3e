"""``worldgen train``: train the generator, on whatever this machine has."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    import torch

    from worldgen.training.config import TrainConfig
    from worldgen.training.ranks import Ranks
    from worldgen.training.rehearsal import Rehearsal
    from worldgen.training.throughput import Machine, Throughput
    from worldgen.training.trainer import Step

RECENT_STEPS = 50
"""Steps over which the throughput beside the bar is taken."""


@dataclass(frozen=True)
class Train:
    """Train the generator on procedural worlds; interrupt and start again as often as you like.

    A CPU or one GPU: "worldgen train tiny".

    Several GPUs: "torchrun --nproc-per-node 4 -m worldgen.cli train small"; every batch is divided among the
    processes, and the weights are those of one process up to rounding.

    Resume: the same command goes on from the last checkpoint, on any number of processes.

    Curves: curves.png is drawn at every checkpoint, and "tensorboard --logdir runs" shows all runs. Beside it
    lie log.jsonl, checkpoint.safetensors, and weights.safetensors for "worldgen evaluate --model".

    docs/training.md says what to expect of which machine.
    """

    config: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CONFIG")]
    """A TOML recipe, or the name of one that ships with the package: tiny, small, tiny-shortcut."""

    out: Path | None = None
    """Folder of the run, runs/NAME of the recipe if not given; an earlier run in it is continued."""

    threads: int = 1
    """Torch threads. One is best beside other work: two that wait for each other are far slower."""

    workers: int = 1
    """Processes that render clips, for each one that trains; more if it waits much, as it does on a GPU."""

    save_every: int = 100
    """Steps between checkpoints."""

    start_from: Path | None = None
    """Weights that a new run begins with, instead of what the recipe says: a file, or a shipped name."""

    rehearse: int | None = None
    """Only take so many steps, at the largest stage on a GPU, at 64 pixels on a CPU; say what they need."""

    def run(self) -> int:
        import torch

        from worldgen.training.config import load_config
        from worldgen.training.ranks import joined

        with _first_speaks():
            if min(self.threads, self.save_every) < 1 or self.workers < 0:
                raise ValueError("--threads and --save-every must be positive, and --workers not negative")
            config = load_config(self.config)
            torch.set_num_threads(self.threads)
            with joined() as (ranks, device):
                if self.rehearse is not None:
                    self._rehearse(config, steps=self.rehearse, device=device, ranks=ranks)
                else:
                    self._train(config, device=device, ranks=ranks)
        return 0

    def _train(self, config: TrainConfig, *, device: torch.device, ranks: Ranks) -> None:
        from worldgen.cli.progress import bar
        from worldgen.training.record import Record

        out = self.out or Path("runs") / self.config.stem
        if not ranks.is_first:
            # Only the first rank prints and writes.
            deque(self._steps(config, out, device=device, ranks=ranks), maxlen=0)
            return
        out.mkdir(parents=True, exist_ok=True)
        machine, taken = _machine(config, device=device, ranks=ranks), []
        with (
            bar("training", total=config.total_frames) as progress,
            Record(out) as record,
            stopped_between_steps(ranks) as is_stopping,
        ):
            for step in self._steps(config, out, device=device, ranks=ranks, is_stopping=is_stopping):
                taken.append(step)
                recent = machine.throughput(taken[-RECENT_STEPS:])
                progress.to(step.progress.frames, f"{step.size} px, loss {step.loss:.3f}, {_told(recent)}")
                record.add(step, recent)
        done = f"{len(taken)} steps, {_told(machine.throughput(taken))}" if taken else "nothing left to do"
        print(f"{done}; weights and curves are in {out}")  # noqa: T201

    def _rehearse(self, config: TrainConfig, *, steps: int, device: torch.device, ranks: Ranks) -> None:
        from worldgen.cli.progress import bar
        from worldgen.training.rehearsal import rehearsal_of, rehearsed

        short = rehearsed(config, steps=steps, device=device, ranks=ranks)
        taken = []
        with tempfile.TemporaryDirectory() as folder, bar("rehearsing", total=steps) as progress:
            for step in self._steps(short, Path(folder), device=device, ranks=ranks):
                taken.append(step)
                progress.step(f"loss {step.loss:.3f}")
            if ranks.is_first:
                machine = _machine(config, device=device, ranks=ranks)
                _show(
                    rehearsal_of(taken, Path(folder), stage=short.stages[0], machine=machine, device=device),
                    machine,
                )

    def _steps(
        self,
        config: TrainConfig,
        out: Path,
        *,
        device: torch.device,
        ranks: Ranks,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> Iterator[Step]:
        from worldgen.training.trainer import train

        return train(
            config,
            out,
            device=device,
            save_every=self.save_every,
            workers=self.workers,
            start_from=self.start_from,
            ranks=ranks,
            is_stopping=is_stopping,
        )


@contextmanager
def stopped_between_steps(ranks: Ranks) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C and SIGTERM wait for the end of the step, where a checkpoint can be written.

    The second signal does not wait. Several processes are stopped at once: they would not hear it after the
    same step.

    Raises:
        KeyboardInterrupt: at the end, if there was a signal.
    """
    if ranks.count > 1 or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    heard: list[int] = []

    def hear(number: int, frame: object) -> None:
        heard.append(number)
        if len(heard) > 1:
            raise _interruption(number)("stopped at once; what came after the last checkpoint is lost")
        sys.stderr.write("worldgen: this step is the last; once more to stop at once\n")

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(heard)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard:
        raise _interruption(heard[0])("stopped; the same command goes on from here")


def _interruption(number: int) -> type[KeyboardInterrupt]:
    from worldgen.cli import Terminated

    return Terminated if number == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def _first_speaks() -> Iterator[None]:
    """Of the processes that torchrun started, let the first say what went wrong: it is the same for all."""
    try:
        yield
    except (ValueError, KeyboardInterrupt) as error:
        if int(os.environ.get("RANK", "0")) == 0:
            raise
        sys.exit(2 if isinstance(error, ValueError) else 130)


def _machine(config: TrainConfig, *, device: torch.device, ranks: Ranks) -> Machine:
    from worldgen.training.throughput import Machine, matrix_rate

    return Machine(
        model=config.model,
        clip_frames=config.clip_frames,
        matrix_rate=matrix_rate(device),
        ranks=ranks.count,
    )


def _told(throughput: Throughput) -> str:
    return (
        f"{throughput.frames_a_second:.3g} frames/s, {throughput.waiting:.0%} waiting for clips, "
        f"{throughput.utilisation:.0%} utilised"
    )


def _show(rehearsal: Rehearsal, machine: Machine) -> None:
    stage = rehearsal.stage
    print(  # noqa: T201
        f"{rehearsal.parameters / 1e6:.1f} M parameters; weights of {rehearsal.weights_bytes / 1e6:.0f} MB, "
        f"checkpoint of {rehearsal.checkpoint_bytes / 1e6:.0f} MB\n"
        f"batches of {stage.batch_clips} clips of {machine.clip_frames} frames at {stage.size} px: "
        f"loss {rehearsal.first_loss:.3f} to {rehearsal.last_loss:.3f}\n"
        f"peak memory {rehearsal.peak_bytes / 1e9:.2f} GB\n"
        f"{_told(rehearsal.throughput)} (of {machine.matrix_rate / 1e9:.0f} GFLOP/s in matrix products)"
    )
