"""Densify: where splats are added, moved or left out while a fit goes on (algorithms A12.5).

Room: reconstruct; ``reconstruct.fit`` and who chooses its settings import this. A strategy is a handful of
numbers: all that it goes by lies in the fit, so that a fit is cut in two anywhere and goes on alike. Two are
known: splats as samples ("3D Gaussian Splatting as Markov Chain Monte Carlo", Kheradmand et al. 2024), which
keeps the picture as it is, and that of the first paper ("3D Gaussian Splatting for Real-Time Radiance Field
Rendering", Kerbl et al. 2023, section 5.2), which does not.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from kornia.geometry.conversions import quaternion_to_rotation_matrix
from scipy.special import comb
from torch import Tensor

from render.gaussians import Gaussians, concatenated
from render.splats import SplatTrace

SETTLE = 100
"""Steps that a picture takes to recover from a change that disturbs it; nothing is judged before."""

FAINTEST = 0.005
"""Opacity up to which a splat counts for nothing."""

MAX_COPIES = 51
"""Splats in one place that are told apart, as in the customary implementation."""

VISIBLY = 0.15
"""Opacity from which noise moves a splat by less than a millionth of what it moves a transparent one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How far a fit is, and what bounds it."""

    step: int
    """Steps taken."""

    steps: int
    """Steps in all."""

    most: int
    """Splats that there may be."""

    scale: float
    """A length of the world, in its units."""

    half_side: float
    """Half of the larger side of the pictures, in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Splats as they should go on."""

    splats: Gaussians

    rows: Int[Tensor, " g"]
    """Which of the former splats each one is, or comes from."""

    anew: Bool[Tensor, " g"]
    """Those whose averages of gradients no longer tell anything."""


@runtime_checkable
class Strategy(Protocol):
    """Decides which splats a fit goes on with; has no state."""

    def changed(
        self, splats: Gaussians, trace: SplatTrace, *, stage: Stage, rng: torch.Generator
    ) -> Change | None:
        """What changes before the next step, if anything does.

        Args:
            splats: as they are; not written to.
            trace: what the gradients since the last change say of them.
            stage: how far the fit is.
            rng: on the CPU; where splats go depends on nothing else.
        """
        ...

    def noise(
        self, splats: Gaussians, *, stage: Stage, rate: float, rng: torch.Generator
    ) -> tuple[Int[Tensor, " k"], Float[Tensor, "k 3"]] | None:
        """Splats that are shaken after a step, and by how much; ``rate`` is that of positions."""
        ...

    def is_settled(self, stage: Stage) -> bool:
        """Whether pictures may be judged: nothing has disturbed them for ``SETTLE`` steps."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocation:
    """Splats as samples: those that have become invisible join others, some are added, all are shaken.

    Splats in one place share opacity and size so that the picture stays what it was.
    """

    start: int = 500
    """Steps before anything changes."""

    every: int = 100
    """Steps between changes."""

    stop: float = 0.8
    """Share of all steps after which nothing changes."""

    growth: float = 0.05
    """Splats that are added at a time, over those that there are."""

    noise_rate: float = 5e5
    """Noise over the rate of positions and the covariance of a splat."""

    noise_stop: float = 0.6
    """Share of all steps after which nothing is shaken."""

    def __post_init__(self) -> None:
        _check_times(self.start, self.every, self.stop)

    def changed(
        self, splats: Gaussians, trace: SplatTrace, *, stage: Stage, rng: torch.Generator
    ) -> Change | None:
        """Invisible splats join others, drawn by their opacity, and so do 5% new ones, up to the cap."""
        if not _is_due(self.start, self.every, self.stop, stage=stage):
            return None
        count, opacities = len(splats), splats.opacities
        dead = (opacities <= FAINTEST).nonzero()[:, 0]
        more = max(0, min(stage.most, int((1.0 + self.growth) * count)) - count)
        if len(dead) == count or not len(dead) + more:
            return None
        chances = opacities.masked_fill(opacities <= FAINTEST, 0.0).double().cpu()
        joined = torch.multinomial(chances, len(dead) + more, replacement=True, generator=rng)
        joined = joined.to(opacities.device)
        rows = torch.arange(count, device=opacities.device)
        rows[dead] = joined[: len(dead)]
        rows = torch.cat([rows, joined[len(dead) :]])
        copies = torch.bincount(rows, minlength=count)
        return Change(
            splats=shared(splats, copies.clamp(1, MAX_COPIES))[rows], rows=rows, anew=copies[rows] > 1
        )

    def noise(
        self, splats: Gaussians, *, stage: Stage, rate: float, rng: torch.Generator
    ) -> tuple[Int[Tensor, " k"], Float[Tensor, "k 3"]] | None:
        """Steps at random, as wide as the splat itself, of those that hardly show."""
        if stage.step >= self.noise_stop * stage.steps:
            return None
        faint = (splats.opacities < VISIBLY).nonzero()[:, 0]
        if not len(faint):
            return None
        few = splats[faint]
        turns = quaternion_to_rotation_matrix(F.normalize(few.quats, dim=1))
        axes = turns * few.scales[:, None]
        share = torch.sigmoid(100.0 * (FAINTEST - few.opacities))
        random = torch.randn(len(faint), 3, generator=rng).to(few.means)
        shaken = axes @ (axes.mT @ (random * share[:, None])[..., None])
        return faint, self.noise_rate * rate * shaken[..., 0]

    def is_settled(self, stage: Stage) -> bool:
        """Always: splats that share a place look like the one that was there."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloning:
    """The first paper's: where gradients on the screen are large, splats are doubled, or split if large."""

    start: int = 500
    """Steps before anything changes."""

    every: int = 100
    """Steps between changes."""

    stop: float = 0.5
    """Share of all steps after which nothing changes."""

    steep: float = 2e-4
    """Mean gradient by the place on the screen, of half a picture a unit, above which splats are added."""

    small: float = 0.01
    """Standard deviation, in the world's scale, above which a splat is split instead of doubled."""

    reset_every: int = 3_000
    """Steps after which all splats become nearly transparent once, and large ones begin to be left out."""

    large: float = 0.1
    """Standard deviation, in the world's scale, above which a splat is left out."""

    shrink: float = 1.6
    """How many times smaller the halves of a splat are."""

    def __post_init__(self) -> None:
        _check_times(self.start, self.every, self.stop)
        if self.reset_every < 1 or self.reset_every % self.every:
            raise ValueError(
                f"opacities are reset at a change; {self.reset_every} steps are no multiple of {self.every}"
            )

    def changed(
        self, splats: Gaussians, trace: SplatTrace, *, stage: Stage, rng: torch.Generator
    ) -> Change | None:
        """Double, split and leave out, the steepest first where room is short; now and then reset."""
        if not _is_due(self.start, self.every, self.stop, stage=stage):
            return None
        widest = splats.scales.amax(dim=1)
        kept = splats.opacities >= FAINTEST
        if stage.step > self.reset_every:
            kept &= widest <= self.large * stage.scale
        if not kept.any():
            return None
        slope = stage.half_side * trace.slope / trace.views.clamp_min(1.0)
        steep = kept & (slope > self.steep)
        room = max(0, stage.most - int(kept.sum()))
        if int(steep.sum()) > room:
            best = slope.masked_fill(~steep, 0.0).argsort(descending=True, stable=True)[:room]
            steep = torch.zeros_like(kept)
            steep[best] = True
        is_small = widest <= self.small * stage.scale
        change = self._divided(
            splats,
            whole=kept & ~(steep & ~is_small),
            doubled=steep & is_small,
            split=steep & ~is_small,
            rng=rng,
        )
        return _faded(change) if stage.step and stage.step % self.reset_every == 0 else change

    def noise(
        self, splats: Gaussians, *, stage: Stage, rate: float, rng: torch.Generator
    ) -> tuple[Int[Tensor, " k"], Float[Tensor, "k 3"]] | None:
        """Nothing is shaken."""
        return None

    def is_settled(self, stage: Stage) -> bool:
        """Whether the last change is long ago."""
        last = min((stage.step - 1) // self.every * self.every, _last(self.stop, stage))
        last -= last % self.every
        return last < self.start or stage.step - last >= SETTLE

    def _divided(
        self,
        splats: Gaussians,
        *,
        whole: Bool[Tensor, " g"],
        doubled: Bool[Tensor, " g"],
        split: Bool[Tensor, " g"],
        rng: torch.Generator,
    ) -> Change:
        """Splats that stay, then the doubles of some, then two halves of others at random places within."""
        stay, again, halves = (mask.nonzero()[:, 0] for mask in (whole, doubled, split))
        halves = halves.repeat(2)
        parts = splats[halves]
        turns = quaternion_to_rotation_matrix(F.normalize(parts.quats, dim=1))
        random = torch.randn(len(halves), 3, generator=rng).to(parts.means)
        parts = dataclasses.replace(
            parts,
            means=parts.means + (turns @ (parts.scales * random)[..., None])[..., 0],
            log_scales=parts.log_scales - math.log(self.shrink),
        )
        anew = torch.ones(len(stay) + len(again) + len(halves), dtype=torch.bool, device=parts.means.device)
        anew[: len(stay)] = False
        return Change(
            splats=concatenated([splats[stay], splats[again], parts]),
            rows=torch.cat([stay, again, halves]),
            anew=anew,
        )


def shared(splats: Gaussians, copies: Int[Tensor, " g"]) -> Gaussians:
    """Splats of which so many in one place show what one of them showed.

    Args:
        splats: to be shared out.
        copies: how many each becomes, 1 to ``MAX_COPIES``.
    """
    rows = (copies > 1).nonzero()[:, 0]
    opacities, narrower = shares(splats.logit_opacities[rows], copies[rows])
    logits, log_scales = splats.logit_opacities.clone(), splats.log_scales.clone()
    logits[rows] = torch.logit(opacities).to(logits)
    log_scales[rows] += narrower.log().to(log_scales)[:, None]
    return dataclasses.replace(splats, logit_opacities=logits, log_scales=log_scales)


def shares(
    logit_opacities: Float[Tensor, " g"], copies: Int[Tensor, " g"]
) -> tuple[Float[Tensor, " g"], Float[Tensor, " g"]]:
    """Opacity of each of some copies of a splat, and its scales over those of the one; in double precision.

    Equation 9 of Kheradmand et al. 2024: opacity ``1 - (1 - o)^(1/N)``, and scales that keep what a splat
    covers along a line through its middle. The double sum over binomials there is the single one here.
    """
    light = -F.softplus(logit_opacities.double())  # log(1 - o), exact where o is nearly 1
    opacity, new = -torch.expm1(light), -torch.expm1(light / copies)
    orders = torch.arange(1, MAX_COPIES + 1, device=new.device)
    ways = torch.from_numpy(comb(copies.cpu().numpy()[:, None], orders.cpu().numpy())).to(new)
    signs = 1.0 - 2.0 * ((orders + 1) % 2)
    area = (ways * signs * new[:, None] ** orders / orders.double().sqrt()).sum(dim=1)
    return new, opacity / area


def _faded(change: Change) -> Change:
    """All splats so transparent that they have to earn their opacity again."""
    most = math.log(2.0 * FAINTEST / (1.0 - 2.0 * FAINTEST))
    splats = dataclasses.replace(change.splats, logit_opacities=change.splats.logit_opacities.clamp(max=most))
    return dataclasses.replace(change, splats=splats, anew=torch.ones_like(change.anew))


def _last(stop: float, stage: Stage) -> int:
    """Steps after which nothing changes; never so late that the end could not be judged."""
    return min(int(stop * stage.steps), stage.steps - SETTLE)


def _is_due(start: int, every: int, stop: float, *, stage: Stage) -> bool:
    """Whether something changes at this step; never before the first."""
    return max(start, 1) <= stage.step <= _last(stop, stage) and stage.step % every == 0


def _check_times(start: int, every: int, stop: float) -> None:
    if start < 0 or every < 1 or not 0.0 <= stop <= 1.0:
        raise ValueError(
            f"splats change from a step on, every so many, for a share of all, got {start}, {every}, {stop:g}"
        )
