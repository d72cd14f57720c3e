"""Throughput: frames a second, time lost to waiting, and how much of the machine's arithmetic is used.

Room: worldgen. Utilisation is what "PaLM" (Chowdhery et al. 2022, appendix B) calls the model's: the
floating-point operations that the model needs, over those that the device could have done in the same time.
Here the device's rate is measured with a large matrix product, not read from a data sheet.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from worldgen.model.attention import Views
from worldgen.model.rgbd import CONDITION_CHANNELS, IMAGE_CHANNELS, ModelConfig, RGBDModel
from worldgen.model.trunk import Links
from worldgen.model.weights import compute_dtype
from worldgen.training.trainer import Step
from worldgen.training.update import LINK_CHANCE

MATRIX_SIDE = {"cpu": 1024, "cuda": 8192}
"""Side of the matrices whose product is timed; larger ones are hardly faster."""

MEASURED_S = 0.3
"""How long products are timed; the fastest counts, for others are slowed by whatever else runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """How fast some steps of training went."""

    frames_a_second: float
    """All ranks together, all time counted."""

    waiting: float
    """Share of the time in which this rank waited for clips."""

    utilisation: float
    """Share of the rate of matrix products that forward and backward passes reached, waiting included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What throughput is measured against."""

    model: ModelConfig
    clip_frames: int
    matrix_rate: float
    """Floating-point operations a second of a large matrix product on one rank's device."""

    ranks: int = 1

    def throughput(self, steps: Iterable[Step]) -> Throughput:
        """Throughput of steps that followed each other, at least one."""
        steps = list(steps)
        seconds = sum(step.elapsed_s + step.waited_s for step in steps)
        operations = sum(
            step.frames * flops_a_frame(self.model, size=step.size, clip_frames=self.clip_frames)
            for step in steps
        )
        return Throughput(
            frames_a_second=sum(step.frames for step in steps) / seconds,
            waiting=sum(step.waited_s for step in steps) / seconds,
            utilisation=operations / (seconds * self.ranks * self.matrix_rate),
        )


@cache
def flops_a_frame(model: ModelConfig, *, size: int, clip_frames: int) -> float:
    """Floating-point operations of the forward and backward pass over one frame of a training clip.

    Counted are the multiplications and additions (two operations a pair) of matrix products and convolutions,
    and of attention, with as many links between frames as are drawn on average. Not counted are what works on
    single values (norms, activations, the loss), the optimisers (Muon's products too), the model's own frames
    in resampled batches, and the half steps of shortcut training. Nothing is computed: the passes run on
    tensors without content.
    """
    with torch.device("meta"):
        network = RGBDModel(model)
    none: Links = ((),) * clip_frames
    every: Links = tuple(tuple(range(i)) for i in range(clip_frames))
    without, linked = (_flops(network, links, size=size) for links in (none, every))
    return (without + LINK_CHANCE * (linked - without)) / clip_frames


def _flops(network: RGBDModel, links: Links, *, size: int) -> int:
    """Operations of one clip; they are linear in the number of links."""
    f = len(links)
    with torch.device("meta"):
        views = Views(w2c=torch.empty(1, f, 4, 4), K_norm=torch.empty(1, f, 4))
        x = torch.empty(1, f, IMAGE_CHANNELS, size, size)
        condition = torch.empty(1, f, CONDITION_CHANNELS, size, size)
        with FlopCounterMode(display=False) as counter:
            network(x, torch.empty(1, f), condition=condition, views=views, links=links).sum().backward()
    return counter.get_total_flops()


def matrix_rate(device: torch.device) -> float:
    """Floating-point operations a second of a large matrix product, in the type that training computes in."""
    side = MATRIX_SIDE[device.type]
    a = torch.ones(side, side, dtype=compute_dtype(device), device=device)
    fastest, begin = float("inf"), time.perf_counter()
    while time.perf_counter() - begin < MEASURED_S or fastest == float("inf"):
        fastest = min(fastest, _timed_product(a))
    return 2.0 * side**3 / fastest


def _timed_product(a: torch.Tensor) -> float:
    """Seconds that the square of a matrix takes."""
    started = time.perf_counter()
    _ = a @ a
    if a.device.type == "cuda":
        torch.cuda.synchronize(a.device)
    return time.perf_counter() - started
