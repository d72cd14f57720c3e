"""``worldgen train``: train the generator, on whatever this machine has."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Train:
    """Train the generator on procedural worlds; interrupt and start again as often as you like."""

    config: Annotated[Path, tyro.conf.Positional]
    """A TOML recipe, or the name of one that ships with the package, such as tiny."""

    out: Path = Path("runs/tiny")
    """Folder for the checkpoint and the log; an earlier run in it is continued."""

    threads: int = 1
    """Torch threads. One is best beside other work: two that wait for each other are far slower."""

    workers: int = 1
    """Processes that render training clips."""

    start_from: Path | None = None
    """Weights that a new run begins with, instead of random ones."""

    def run(self) -> int:
        import torch

        from worldgen.cli.progress import bar
        from worldgen.training.config import load_config
        from worldgen.training.trainer import train

        config = load_config(self.config)
        torch.set_num_threads(self.threads)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.out.mkdir(parents=True, exist_ok=True)
        with (
            bar("training", total=config.total_frames) as progress,
            (self.out / "log.jsonl").open("a") as log,
        ):
            for step in train(
                config, self.out, device=device, workers=self.workers, start_from=self.start_from
            ):
                done = step.progress.frames
                speed = step.elapsed_s / step.frames * 1e3
                progress.to(done, f"{step.size} px, loss {step.loss:.3f}, {speed:.0f} ms a frame")
                log.write(json.dumps(dataclasses.asdict(step)) + "\n")
                log.flush()
        return 0
