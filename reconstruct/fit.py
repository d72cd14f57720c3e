"""Fit: splats moved until they show what the frames of a world show (algorithms A12.5).

Room: reconstruct; the command line may import this. Starts from the splats of the world cache, which lie on
the surfaces already, and keeps to the world's exact cameras and depths. Every step draws one frame and moves
what it saw.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from reconstruct.adam import SelectiveAdam
from reconstruct.densify import Stage, Strategy
from reconstruct.formats.atomic import replacing
from reconstruct.photometric import STRUCTURE, photometric_loss
from render.frames import Frames
from render.gaussians import Gaussians
from render.metrics import psnr
from render.splats import SplatTrace, available_threads, render_splats

NAMES = tuple(field.name for field in fields(Gaussians))

SLOWEST = 0.01
"""Share of their first learning rate at which positions end."""

REST_SLOWER = 20.0
"""How many times slower colours learn to change with the direction than to change at all."""

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

    opacity_weight: float = 0.0
    """Weight of the mean opacity: what is not needed disappears, and may be used elsewhere."""

    scale_weight: float = 0.0
    """Weight of the mean standard deviation, in the world's scale."""

    strategy: Strategy | None = None
    """How splats are added and moved about; none are where it is not given."""

    cap: float = 1.2
    """Splats that a strategy may end with, over those at the start."""

    degree: int = 0
    """Of the spherical harmonics in the end; more than 0 where colours change with the direction."""

    degree_every: int = 1_000
    """Steps between one degree and the next."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.look_every < 1 or self.degree_every < 1:
            raise ValueError(
                "a fit takes at least one step, one between looks and one a degree, got "
                f"{self.steps}, {self.look_every} and {self.degree_every}"
            )
        if self.cap < 1.0 or not 0 <= self.degree <= 3:
            raise ValueError(
                f"a fit keeps its splats or adds some, of degree 0 to 3, got {self.cap:g} and {self.degree}"
            )


QUALITIES = {
    "preview": FitSettings(steps=300),
    "standard": FitSettings(steps=3_000, look_every=200),
    "high": FitSettings(steps=15_000, look_every=500),
}
"""Settings for worlds, by the names of the command line; ``reconstruct.captured`` has those of captures.

A world has a splat for every point of its cache, and gains nothing by more (``benchmarks/fit.py --growth``).
"""


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
            seed: decides the order of frames, the backgrounds, and where splats are added.
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
        self._values = _leaves(start)
        self._adam = SelectiveAdam(self._values)
        self._trace = SplatTrace(len(start), start.means.device)
        self._most, self._begun = max(len(start), int(settings.cap * len(start))), _checksum(start, frames)
        self._scale, self._seed = scale, seed
        self._threads = available_threads() if threads is None else threads
        self.steps, self.saved = 0, 0
        self.best, self.best_score, self.worse = self.splats, -math.inf, 0

    def __len__(self) -> int:
        """Splats that there are now."""
        return len(self._values["means"])

    @property
    def splats(self) -> Gaussians:
        """As they are now, a copy."""
        return Gaussians(**{name: value.detach().clone() for name, value in self._values.items()})

    @property
    def is_done(self) -> bool:
        """Whether all steps are taken, or the held-out frames have not got better for long."""
        return self.steps >= self.settings.steps or self.worse >= PATIENCE

    @property
    def is_settled(self) -> bool:
        """Whether looking is fair: no change of splats has disturbed the picture lately."""
        strategy = self.settings.strategy
        return strategy is None or strategy.is_settled(self._stage())

    def step(self) -> float:
        """Learn from one frame; the loss before."""
        rng = torch.Generator().manual_seed(self._seed * 1_000_003 + self.steps)
        # Another colour behind the splats every time: what is solid has to hide it.
        background = torch.rand(3, generator=rng).to(self._values["means"])
        self._widen()
        self._change(rng)
        loss, trace = self._learn(self.frames[[self._number()]], background)
        rates = self._rates()
        seen = trace.views.nonzero()[:, 0]
        self._adam.step(self._values, seen=seen, rates=rates, threads=self._threads)
        for value in self._values.values():
            value.grad = None
        self._trace.views += trace.views
        self._trace.slope += trace.slope
        self._shake(float(rates["means"]), rng)
        self.steps += 1
        return loss

    def _learn(self, frame: Frames, background: Float[Tensor, " 3"]) -> tuple[float, SplatTrace]:
        """Gradients by one frame; the loss, and what they say of each splat."""
        splats, settings = Gaussians(**self._values), self.settings
        trace = SplatTrace(len(splats), splats.means.device)
        image = render_splats(
            splats, frame.cameras, background=background, threads=self._threads, trace=trace
        )
        loss = photometric_loss(
            image.rgb[0],
            frame.rgb[0],
            weight=frame.confidence[0],
            structure=settings.structure,
            threads=self._threads,
        )
        if settings.depth_weight:
            loss = loss + settings.depth_weight * self._depth_error(image.depth, image.alpha, frame)
        if settings.opacity_weight:
            loss = loss + settings.opacity_weight * splats.opacities.mean()
        if settings.scale_weight:
            loss = loss + settings.scale_weight / self._scale * splats.scales.mean()
        loss.backward()
        return float(loss.detach()), trace

    @torch.no_grad()
    def _change(self, rng: torch.Generator) -> None:
        """Add, move and leave out splats, if it is time."""
        if self.settings.strategy is None:
            return
        change = self.settings.strategy.changed(
            Gaussians(**self._values), self._trace, stage=self._stage(), rng=rng
        )
        if change is not None:
            self._values = _leaves(change.splats)
            self._adam.kept(change.rows)
            self._adam.forget(change.anew.nonzero()[:, 0])
            self._trace = SplatTrace(len(change.splats), change.splats.means.device)

    @torch.no_grad()
    def _shake(self, rate: float, rng: torch.Generator) -> None:
        """Move splats at random, as the strategy wants it."""
        if self.settings.strategy is None:
            return
        noise = self.settings.strategy.noise(
            Gaussians(**self._values), stage=self._stage(), rate=rate, rng=rng
        )
        if noise is not None:
            self._values["means"][noise[0]] += noise[1]

    def _widen(self) -> None:
        """Let colours change with the direction, one degree after the other."""
        count = (1 + min(self.settings.degree, self.steps // self.settings.degree_every)) ** 2
        sh = self._values["sh"].detach()
        if count > sh.shape[1]:
            sh = F.pad(sh, (0, 0, 0, count - sh.shape[1]))
            self._values["sh"] = sh.requires_grad_()
            self._adam.widened("sh", sh)

    def _stage(self) -> Stage:
        cameras = self.frames.cameras
        return Stage(
            step=self.steps,
            steps=self.settings.steps,
            most=self._most,
            scale=self._scale,
            half_side=0.5 * max(cameras.width, cameras.height),
        )

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
        tensors |= {"counts": self._adam.counts, "views": self._trace.views, "slope": self._trace.slope}
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
            views, slope = tensors["views"], tensors["slope"]
        except (OSError, SafetensorError, KeyError):
            return False
        self._values = {name: value.requires_grad_() for name, value in values.items()}
        self.best = Gaussians(**best)
        self._adam.first, self._adam.second, self._adam.counts = first, second, counts
        self._trace.views, self._trace.slope = views, slope
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

    def _rates(self) -> dict[str, float | Float[Tensor, "k 3"]]:
        settings = self.settings
        colours = torch.full(self._values["sh"].shape[1:], settings.colours_rate / REST_SLOWER)
        colours[0] = settings.colours_rate
        return {
            "means": settings.means_rate * self._scale * SLOWEST ** (self.steps / settings.steps),
            "quats": settings.quats_rate,
            "log_scales": settings.scales_rate,
            "logit_opacities": settings.opacities_rate,
            "sh": colours,
        }

    def _recipe(self) -> UInt8[Tensor, " n"]:
        """Letters that differ where a fit would take another course."""
        recipe = repr((self.settings, self._scale, self._seed, self._begun, self.learned))
        return torch.frombuffer(bytearray(recipe.encode()), dtype=torch.uint8)


def _leaves(splats: Gaussians) -> dict[str, Tensor]:
    """Tensors of their own to learn."""
    return {name: getattr(splats, name).detach().clone().contiguous().requires_grad_() for name in NAMES}


def _checksum(start: Gaussians, frames: Frames) -> int:
    """A number that differs where splats or pictures do."""
    sums = 0
    for part in (*(getattr(start, name) for name in NAMES), frames.rgb, frames.cameras.c2w, frames.cameras.K):
        sums = zlib.crc32(part.detach().cpu().contiguous().numpy().data, sums)
    return sums


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
            score = fit.look() if fit.is_settled else score
            if checkpoint is not None:
                fit.save(checkpoint)
        yield fit.steps, score
