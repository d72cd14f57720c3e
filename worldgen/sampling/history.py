"""History: how finished frames are shown to the model, and guidance towards them.

Room: worldgen. *Stabilisation* shows imagined frames with a little noise, so that their errors are not taken
for the truth (algorithms A4.3). *History guidance* compares what the model says with several showings of
the history (History-Guided Video Diffusion, Song et al. 2025, section 4; A4.4). The history of a frame
is what it recalls and is linked to; what the cache shows is always there, for it says where the frame is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

CONTEXTS = ("off", "scale", "noise")

NEGLIGIBLE = 1e-9
"""Weights below this come from rounding."""


@dataclass(frozen=True, slots=True)
class Context:
    """How a finished frame is shown: as it is, or as if it still had a little noise."""

    kind: str = "off"
    """One of ``CONTEXTS``: ``scale`` takes signal away and adds nothing, ``noise`` replaces it."""

    level: float = 0.0
    """What the model is told, in [0, 1)."""

    def __post_init__(self) -> None:
        if self.kind not in CONTEXTS:
            raise ValueError(f"a context is one of {', '.join(CONTEXTS)}, got {self.kind!r}")
        if not 0.0 <= self.level < 1.0 or (self.kind == "off" and self.level != 0.0):
            raise ValueError(
                f"a context's level must lie in [0, 1), and be 0 where it is off, got {self.kind} "
                f"at {self.level:g}"
            )

    @property
    def label(self) -> str:
        """For names of generators: different for contexts that differ."""
        return f"{self.kind}{self.level!r}"

    def shown(
        self, clean: Float[Tensor, "b f c h w"], noise: Float[Tensor, "b f c h w"]
    ) -> Float[Tensor, "b f c h w"]:
        """Finished frames as the model sees them."""
        if self.level == 0.0:
            return clean
        scaled = (1.0 - self.level) * clean
        return scaled + self.level * noise if self.kind == "noise" else scaled

    def at(self, history: float) -> Context:
        """The showing of history noised to ``history`` in (0, 1), of this one at 0."""
        return self if history == 0.0 else Context("noise", max(history, self.level))


CLEAN = Context()
"""Finished frames as they are."""


@dataclass(frozen=True, slots=True)
class Showing:
    """One showing of the history."""

    levels: tuple[float, ...]
    """Noise level of every finished frame; at 1 it is not shown at all."""

    linked: bool
    """Whether the frames that are sampled together see each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A share of the guided answer."""

    weight: float

    level: float
    """Noise level of the history, in [0, 1]; at 1 there is none, and frames do not see each other."""

    frames: tuple[int, ...] | None = None
    """Which finished frames are shown at that level, from the end for negative numbers; all where None."""

    def showing(self, frames: int, *, linked: bool) -> Showing:
        """Of a history of so many frames."""
        chosen = range(frames) if self.frames is None else [k + frames if k < 0 else k for k in self.frames]
        levels = tuple(self.level if j in chosen else 1.0 for j in range(frames))
        return Showing(levels, linked and self.level < 1.0)


@dataclass(frozen=True, slots=True)
class Guidance:
    """A composition of answers to several showings of the history; the weights sum to 1."""

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        if abs(sum(term.weight for term in self.terms) - 1.0) > 1e-6:
            raise ValueError(f"the weights of a guidance must sum to 1, got {self.label}")
        if not all(0.0 <= term.level <= 1.0 for term in self.terms):
            raise ValueError(f"the history's noise levels must lie in [0, 1], got {self.label}")

    @property
    def label(self) -> str:
        """For names of generators: different for guidances that differ."""
        parts = []
        for term in self.terms:
            which = "" if term.frames is None else "of" + ",".join(map(str, term.frames))
            parts.append(f"{term.weight!r}@{term.level!r}{which}")
        return "+".join(parts)

    def weights(self, frames: int, *, linked: bool) -> dict[Showing, float]:
        """Every distinct showing once, with what it weighs; those that weigh nothing are left out.

        Args:
            frames: finished frames in the history.
            linked: whether the frames that are sampled now could see each other.
        """
        weights: dict[Showing, float] = {}
        for term in self.terms:
            showing = term.showing(frames, linked=linked)
            weights[showing] = weights.get(showing, 0.0) + term.weight
        return {showing: weight for showing, weight in weights.items() if abs(weight) > NEGLIGIBLE}


CONDITIONAL = Guidance((Term(weight=1.0, level=0.0),))
"""No guidance."""


def vanilla(weight: float) -> Guidance:
    """``w s(0) + (1 - w) s(1)``."""
    return Guidance((Term(weight=weight, level=0.0), Term(weight=1.0 - weight, level=1.0)))


def fractional(weight: float, level: float) -> Guidance:
    """``s(0) + (w - 1) s(level) + (1 - w) s(1)``: guided by the coarse part of the history only."""
    return Guidance(
        (
            Term(weight=1.0, level=0.0),
            Term(weight=weight - 1.0, level=level),
            Term(weight=1.0 - weight, level=1.0),
        )
    )


def temporal(weights: Mapping[tuple[int, ...], float]) -> Guidance:
    """A sum of ``w_k s(H_k)``, and what is missing to 1 of ``s(1)``; ``H_k`` shows the frames ``k`` alone."""
    shown = tuple(Term(weight=weight, level=0.0, frames=frames) for frames, weight in weights.items())
    return Guidance((*shown, Term(weight=1.0 - sum(weights.values()), level=1.0)))


def guided(weights: Mapping[Showing, float], answer: Callable[[Showing], Tensor]) -> Tensor:
    """The weighted sum of the answers, one evaluation a showing.

    Predictions of the clean frame may be composed as velocities and scores are: given the noisy frame,
    each of the three is an affine function of the others, and the weights sum to 1.
    """
    total: Tensor | None = None
    for showing, weight in weights.items():
        part = answer(showing)
        part = part if weight == 1.0 else weight * part
        total = part if total is None else total + part
    assert total is not None  # weights that sum to 1 are not all negligible
    return total


def noise_like(clean: Float[Tensor, "b f c h w"], *, key: bytes) -> Float[Tensor, "b f c h w"]:
    """Noise for a finished frame: the same whenever it is shown, so what was read of it stays valid."""
    rng = torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)
    return torch.randn(clean.shape, generator=rng)
