"""Splines: a smooth path through a few cameras at an even pace.

Room: render (ground floor). Imports cameras; every other room may import this. Kochanek-Bartels curves, which
without tension, continuity and bias are Catmull-Rom curves, over centripetal knots: between two keyframes
they have neither cusps nor loops (Yuksel et al. 2011). Rotations follow the same curve on the rotation
group, as cumulative Bezier curves (Kim et al. 1995): they keep an even turn even.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from render._poses import check_count, poses_of
from render.cameras import Cameras
from render.timing import STEADY, Ease, Real, eased

CENTRIPETAL = 0.5
"""Power of the way between two keyframes that is the distance of their knots."""

STILL = 1e-9
"""Way, as a share of the longest between two keyframes, and turn in radians, that count as none."""

FINE, COARSE, MOST_SAMPLES = 256, 8, 2**16
"""Samples a gap that its length is measured with: most, fewest, and those of a whole path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a curve behaves at its keyframes (Kochanek and Bartels 1984); each number lies in [-1, 1]."""

    tension: Real = 0.0
    """1 comes to rest in every keyframe and goes straight between them; negative numbers swing out."""

    continuity: Real = 0.0
    """What is not 0 makes a corner: inwards if negative, and -1 goes straight from one to the next."""

    bias: Real = 0.0
    """Above 0 the curve goes on as it came and turns late; below 0 it turns early."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not -1.0 <= getattr(self, field.name) <= 1.0:
                raise ValueError(f"{field.name} lies between -1 and 1, got {getattr(self, field.name):g}")


ROUND = Shape()


def smooth(
    keys: Cameras,
    n: int,
    *,
    shape: Shape = ROUND,
    ease: Ease = STEADY,
    closed: bool = False,
    turn_length: float = 0.0,
) -> Cameras:
    """``n`` cameras on a smooth curve through ``keys``, equally far apart but for ``ease``.

    The first and the last are the first and the last keyframe, bit for bit. Intrinsics change linearly from
    each keyframe to the next.

    Args:
        keys: at least one.
        n: how many cameras.
        shape: of the curve.
        ease: where it gathers speed and slows down.
        closed: comes back to the first keyframe, smoothly; the last camera is a step before it.
        turn_length: way in world units that a turn by one radian counts as, where it is more than the way
            that is gone meanwhile; with 0 a turn on the spot takes no time, unless it is all there is.
    """
    check_count(n)
    if not len(keys):
        raise ValueError("a path needs at least one camera to pass through, got none")
    if len(keys) == 1:
        return keys[[0] * n]
    shares = eased(np.linspace(0.0, 1.0, n + closed)[:n], ease)
    curve = _curve(keys, shape=shape, closed=closed, turn_length=turn_length)
    cameras = curve.cameras(np.interp(shares, *curve.pace(turn_length)), like=keys)
    cameras.c2w[0], cameras.K[0] = keys.c2w[0], keys.K[0]
    if n > 1 and not closed:
        cameras.c2w[-1], cameras.K[-1] = keys.c2w[-1], keys.K[-1]
    return cameras


def way(
    positions: Float[np.ndarray, "n 3"], rotations: Float[np.ndarray, "n 3 3"], *, turn_length: float
) -> Float[np.ndarray, " n-1"]:
    """How far it is from each pose to the next, in world units; see :func:`smooth` for ``turn_length``."""
    return np.maximum(np.linalg.norm(np.diff(positions, axis=0), axis=1), turn_length * turns(rotations))


def turns(rotations: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, " n-1"]:
    """Radians from each rotation to the next: |A - B| is sqrt(8) times the sine of half of them."""
    apart = np.linalg.norm(np.diff(rotations, axis=0), axis=(1, 2))
    return 2.0 * np.arcsin(np.minimum(apart / np.sqrt(8.0), 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curve:
    """Positions and rotations over gaps: gap i leads from keyframe i to the next."""

    starts: Float[np.ndarray, "m 3"]
    steps: Float[np.ndarray, "m 3"]
    step_from: Float[np.ndarray, "m 3"]
    """Velocity at the start of a gap, times its length in knots."""

    step_to: Float[np.ndarray, "m 3"]
    """The same at its end."""

    rotations: Float[np.ndarray, "m 3 3"]
    bends: Float[np.ndarray, "3 m 3"]
    """Rotation vectors between the control rotations of a gap, in the axes of each."""

    K: Float[np.ndarray, "m+1 3 3"]

    def cameras(self, at: Float[np.ndarray, " n"], *, like: Cameras) -> Cameras:
        """Cameras at places that are counted in keyframes."""
        gap = np.minimum(at.astype(np.int64), len(self.starts) - 1)
        share = (at - gap)[:, None]
        poses = poses_of(
            torch.from_numpy(self._rotations(gap, share)), torch.from_numpy(self._positions(gap, share))
        )
        K = torch.from_numpy(self.K[gap] + share[..., None] * (self.K[gap + 1] - self.K[gap]))
        return dataclasses.replace(like, c2w=poses.to(like.c2w), K=K.to(like.K))

    def pace(self, turn_length: float) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
        """Shares of the whole way, and the places at which so much of it is gone."""
        gaps = len(self.starts)
        at = np.linspace(0.0, gaps, gaps * int(np.clip(MOST_SAMPLES // gaps, COARSE, FINE)) + 1)
        gap = np.minimum(at.astype(np.int64), gaps - 1)
        share = (at - gap)[:, None]
        gone = way(self._positions(gap, share), self._rotations(gap, share), turn_length=turn_length)
        if not gone.any():
            gone = way(np.zeros((len(at), 3)), self._rotations(gap, share), turn_length=1.0)
        total = np.concatenate([[0.0], np.cumsum(gone)])
        return (total / total[-1], at) if total[-1] > 0.0 else (at / gaps, at)

    def _positions(
        self, gap: Int[np.ndarray, " n"], share: Float[np.ndarray, "n 1"]
    ) -> Float[np.ndarray, "n 3"]:
        """Cubic Hermite curves."""
        rest = 1.0 - share
        return (
            self.starts[gap]
            + share**2 * (3.0 - 2.0 * share) * self.steps[gap]
            + share * rest**2 * self.step_from[gap]
            - share**2 * rest * self.step_to[gap]
        )

    def _rotations(
        self, gap: Int[np.ndarray, " n"], share: Float[np.ndarray, "n 1"]
    ) -> Float[np.ndarray, "n 3 3"]:
        """Cumulative Bezier curves: the three turns between control rotations, each begun in its time."""
        begun = (1.0 - (1.0 - share) ** 3, share**2 * (3.0 - 2.0 * share), share**3)
        first, second, third = (
            Rotation.from_rotvec(part * bend[gap]) for part, bend in zip(begun, self.bends, strict=True)
        )
        return self.rotations[gap] @ (first * second * third).as_matrix()


def _curve(keys: Cameras, *, shape: Shape, closed: bool, turn_length: float) -> _Curve:
    """The curve through keyframes, in double precision."""
    round_trip = [*range(len(keys)), *([0] if closed else [])]
    c2w, K = (matrices[round_trip].double().cpu().numpy() for matrices in (keys.c2w, keys.K))
    positions, rotations = c2w[:, :3, 3], c2w[:, :3, :3]
    steps = np.diff(positions, axis=0)
    bends = (Rotation.from_matrix(rotations[:-1]).inv() * Rotation.from_matrix(rotations[1:])).as_rotvec()
    length = way(positions, rotations, turn_length=turn_length)
    longest = float(length.max())
    knots = np.maximum(length, STILL * longest if longest > 0.0 else 1.0) ** CENTRIPETAL
    step_from, step_to = _tangents(steps, knots, shape=shape, closed=closed, still=STILL * longest)
    turn_from, turn_to = _tangents(bends, knots, shape=shape, closed=closed, still=STILL)
    first, third = Rotation.from_rotvec(turn_from / 3.0), Rotation.from_rotvec(turn_to / 3.0)
    second = first.inv() * Rotation.from_rotvec(bends) * third.inv()
    return _Curve(
        starts=positions[:-1],
        steps=steps,
        step_from=step_from,
        step_to=step_to,
        rotations=rotations[:-1],
        bends=np.stack([turn_from / 3.0, second.as_rotvec(), turn_to / 3.0]),
        K=K,
    )


def _tangents(
    steps: Float[np.ndarray, "m 3"],
    knots: Float[np.ndarray, " m"],
    *,
    shape: Shape,
    closed: bool,
    still: float,
) -> tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, "m 3"]]:
    """Velocities at the start and the end of every gap, times its length in knots.

    Kochanek and Bartels with weights for uneven knots, which makes Catmull-Rom curves of what is round. An
    open path goes on straight beyond its ends. Where there is nothing to go, nothing moves.
    """
    speeds, moves = steps / knots[:, None], np.linalg.norm(steps, axis=1) > still
    rows = np.arange(len(steps) + 1)
    before, after = ((rows - 1) % len(steps), rows % len(steps)) if closed else _within(rows, len(steps))
    weight = (knots[after] / (knots[before] + knots[after]))[:, None]
    came, goes = weight * speeds[before], (1.0 - weight) * speeds[after]
    t, c, b = shape.tension, shape.continuity, shape.bias
    leaving = (1 - t) * ((1 + b) * (1 + c) * came + (1 - b) * (1 - c) * goes)
    arriving = (1 - t) * ((1 + b) * (1 - c) * came + (1 - b) * (1 + c) * goes)
    flows = (moves[before] & moves[after])[:, None]
    return (flows * leaving)[:-1] * knots[:, None], (flows * arriving)[1:] * knots[:, None]


def _within(rows: Int[np.ndarray, " k"], gaps: int) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """The gaps before and after every keyframe of an open path."""
    return np.maximum(rows - 1, 0), np.minimum(rows, gaps - 1)
