"""Fit: splats moved until they show what the frames of a world show (algorithms A12.5).

Room: reconstruct; the command line may import this. Starts from the splats of the world cache, which lie on
the surfaces already, and keeps to the world's exact cameras and depths. Every step draws one frame and moves
what it saw.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from reconstruct.adam import SelectiveAdam
from reconstruct.formats.atomic import replacing
from reconstruct.photometric import STRUCTURE, photometric_loss
from render.frames import Frames
from render.gaussians import Gaussians
from render.metrics import psnr
from render.splats import SplatTrace, available_threads, render_splats

NAMES = tuple(field.name for field in fields(Gaussians))

SLOWEST = 0.01
"""Share of their first learning rate at which positions end."""

SOLID = 0.5
"""Depth is compared where the splats hide at least this much of what is behind them."""

PATIENCE = 5
"""Looks at the held-out frames without a better score after which a fit ends early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How splats are moved. Rates are those of the customary recipe where nothing else is said."""

    steps: int
    """Frames to draw and learn from."""

    look_every: int = 100
    """Steps between looks at the held-out frames."""

    means_rate: float = 1.6e-4
    """A step of a position, in the world's scale; it falls exponentially."""

    scales_rate: float = 5e-3
    quats_rate: float = 1e-3

    opacities_rate: float = 2e-2
    """Less than the customary 0.05: our first splats are nearly right."""

    colours_rate: float = 2.5e-3
    structure: float = STRUCTURE

    depth_weight: float = 0.01
    """Weight of the mean error of inverse depth, in inverse scales."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.look_every < 1:
            raise ValueError(f"a fit takes at least one step and one between looks, got {self}")


QUALITIES = {
    "preview": FitSettings(steps=300),
    "standard": FitSettings(steps=3_000, look_every=200),
    "high": FitSettings(steps=15_000, look_every=500),
}
"""Settings by the names that the command line uses."""


def held_out_frames(count: int) -> list[int]:
    """One frame of eight, none of fewer than four: those that a fit is judged by and never learns from."""
    return list(range(4, count, 8)) if count > 4 else []


class Fit:
    """A fit in progress. The same start, frames, settings and seed give the same splats bit for bit."""

    def __init__(
        self,
        start: Gaussians,
        frames: Frames,
        *,
        held_out: Sequence[int],
        settings: FitSettings,
        scale: float,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        """Begin.

        Args:
            start: splats to begin with.
            frames: what they should show; how much a pixel counts is its confidence.
            held_out: numbers of the frames that nothing is learned from.
            settings: how splats are moved.
            scale: a length of the world, such as the median depth of its first view.
            seed: decides the order of frames and the backgrounds.
            threads: of the CPU's kernels; all cores where not given. Splats do not depend on it.

        Raises:
            ValueError: if there is nothing to fit, or nothing to learn from.
        """
        self.learned = sorted(set(range(len(frames))) - set(held_out))
        if not len(start) or not self.learned:
            raise ValueError(
                f"a fit needs splats and frames to learn from, got {len(start)} and {len(self.learned)}"
            )
        self.frames, self.held_out, self.settings = frames, list(held_out), settings
        self._values = {
            name: getattr(start, name).detach().clone().contiguous().requires_grad_() for name in NAMES
        }
        self._adam = SelectiveAdam(self._values)
        self._scale, self._seed = scale, seed
        self._threads = available_threads() if threads is None else threads
        self.steps, self.saved = 0, 0
        self.best, self.best_score, self.worse = self.splats, -math.inf, 0

    @property
    def splats(self) -> Gaussians:
        """As they are now, a copy."""
        return Gaussians(**{name: value.detach().clone() for name, value in self._values.items()})

    @property
    def is_done(self) -> bool:
        """Whether all steps are taken, or the held-out frames have not got better for long."""
        return self.steps >= self.settings.steps or self.worse >= PATIENCE

    def step(self) -> float:
        """Learn from one frame; the loss before."""
        rng = torch.Generator().manual_seed(self._seed * 1_000_003 + self.steps)
        frame = self.frames[[self._number()]]
        splats = Gaussians(**self._values)
        trace = SplatTrace(len(splats), splats.means.device)
        # Another colour behind the splats every time: what is solid has to hide it.
        background = torch.rand(3, generator=rng).to(splats.means)
        image = render_splats(
            splats, frame.cameras, background=background, threads=self._threads, trace=trace
        )
        loss = photometric_loss(
            image.rgb[0],
            frame.rgb[0],
            weight=frame.confidence[0],
            structure=self.settings.structure,
            threads=self._threads,
        )
        loss = loss + self.settings.depth_weight * self._depth_error(image.depth, image.alpha, frame)
        loss.backward()
        seen = trace.views.nonzero()[:, 0]
        self._adam.step(self._values, seen=seen, rates=self._rates(), threads=self._threads)
        for value in self._values.values():
            value.grad = None
        self.steps += 1
        return float(loss.detach())

    def look(self) -> float:
        """Mean PSNR of the held-out frames, of some others where there are none; keeps the best splats."""
        splats, scores = self.splats, []
        for i in self.held_out or self.learned[:: max(1, len(self.learned) // 8)]:
            frame = self.frames[[i]]
            with torch.no_grad():
                rgb = render_splats(splats, frame.cameras, threads=self._threads).rgb
            scores.append(psnr(rgb.clamp(0.0, 1.0), frame.rgb, mask=frame.confidence > 0))
        score = float(torch.cat(scores).nanmean())
        if score > self.best_score:
            self.best, self.best_score, self.worse = splats, score, 0
        else:
            self.worse += 1
        return score

    def save(self, path: Path) -> None:
        """Write everything that going on needs, whole or not at all."""
        tensors = {f"values.{name}": value.detach() for name, value in self._values.items()}
        tensors |= {f"best.{name}": getattr(self.best, name) for name in NAMES}
        tensors |= {f"first.{name}": value for name, value in self._adam.first.items()}
        tensors |= {f"second.{name}": value for name, value in self._adam.second.items()}
        tensors["counts"] = self._adam.counts
        tensors["progress"] = torch.tensor([self.steps, self.best_score, self.worse], dtype=torch.float64)
        tensors["recipe"] = self._recipe()
        with replacing(path) as temporary:
            save_file(tensors, temporary)
        self.saved = self.steps

    def resume(self, path: Path) -> bool:
        """Go on from a file that :meth:`save` wrote for this very fit; whether it was one."""
        try:
            tensors = load_file(path)
            if not torch.equal(tensors["recipe"], self._recipe()):
                return False
            values, best = (
                {name: tensors[f"{part}.{name}"] for name in NAMES} for part in ("values", "best")
            )
            first, second = (
                {name: tensors[f"{part}.{name}"] for name in NAMES} for part in ("first", "second")
            )
            counts, progress = tensors["counts"], tensors["progress"].tolist()
        except (OSError, SafetensorError, KeyError):
            return False
        self._values = {name: value.requires_grad_() for name, value in values.items()}
        self.best = Gaussians(**best)
        self._adam.first, self._adam.second, self._adam.counts = first, second, counts
        self.steps, self.best_score, self.worse = int(progress[0]), progress[1], int(progress[2])
        self.saved = self.steps
        return True

    def _number(self) -> int:
        """The frame of this step: all of them in a new order, again and again."""
        turn, place = divmod(self.steps, len(self.learned))
        order = torch.randperm(
            len(self.learned), generator=torch.Generator().manual_seed(self._seed * 7_919 + turn)
        )
        return self.learned[int(order[place])]

    def _depth_error(
        self, depth: Float[Tensor, "1 h w 1"], alpha: Float[Tensor, "1 h w 1"], frame: Frames
    ) -> Float[Tensor, ""]:
        """Mean difference of inverse depths where both show a surface, weighted by confidence."""
        known = frame.valid & (alpha.detach() > SOLID) & (depth.detach() > 0)
        weight = torch.where(known, frame.confidence, 0.0)
        inverse, expected = (
            self._scale / torch.where(known, values, self._scale) for values in (depth, frame.depth)
        )
        return (weight * (inverse - expected).abs()).sum() / weight.sum().clamp_min(1e-12)

    def _rates(self) -> dict[str, float]:
        settings = self.settings
        return {
            "means": settings.means_rate * self._scale * SLOWEST ** (self.steps / settings.steps),
            "quats": settings.quats_rate,
            "log_scales": settings.scales_rate,
            "logit_opacities": settings.opacities_rate,
            "sh": settings.colours_rate,
        }

    def _recipe(self) -> Float[Tensor, " n"]:
        """Numbers that differ where a fit would take another course."""
        numbers = [
            *dataclasses.astuple(self.settings),
            self._scale,
            self._seed,
            len(self.best),
            *self.learned,
        ]
        return torch.tensor(numbers, dtype=torch.float64)


def fitted(fit: Fit, *, checkpoint: Path | None = None) -> Iterator[tuple[int, float]]:
    """Take a fit to its end: steps taken, and the score of its last look, after every step.

    Args:
        fit: begun or resumed.
        checkpoint: written at every look.
    """
    score = fit.look() if fit.steps == 0 else fit.best_score
    yield fit.steps, score
    while not fit.is_done:
        fit.step()
        if fit.steps % fit.settings.look_every == 0 or fit.steps == fit.settings.steps:
            score = fit.look()
            if checkpoint is not None:
                fit.save(checkpoint)
        yield fit.steps, score
