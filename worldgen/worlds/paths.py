"""Camera paths: a person who walks through a scene and looks around.

Room: worldgen.worlds; training and tests call ``random_walk_cameras``. Every step is proposed at random
and kept if it stays clear of things, looks at something, and overlaps the view before it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from render.cameras import Cameras, intrinsics_from_fov
from worldgen.worlds.queries import follow, nearest, things
from worldgen.worlds.scene import Scene

MIN_CLEARANCE_M = 0.3
FOV_X_DEGREES = (55.0, 95.0)
STEP_M = (0.05, 0.8)
MAX_TURN = math.radians(45.0)
MAX_CLIMB_M = 0.55
"""How much higher or lower the ground may be after a step: a terrace or a kerb, not a cliff."""

OVERLAP = (0.3, 0.97)
"""Share of a view's points that should lie in the next view's image."""

PROBE = (10, 8)
"""Rays with which a view is judged, across and down."""

TRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Taste:
    """Which views a walk looks for; depths in metres, of the rays that probe a view."""

    least_depth: float
    """Of the nearest twentieth."""
    least_median: float
    good_median: float
    """From here on there is nothing to wish for; views between the two are taken for want of better ones."""
    most_median: float
    things: int
    """Different shapes that the rays should meet."""


WIDE = Taste(least_depth=0.45, least_median=0.96, good_median=1.7, most_median=math.inf, things=7)
"""Views that show a place: a bare wall is none."""

CLOSE = Taste(least_depth=0.25, least_median=0.4, good_median=0.4, most_median=1.3, things=1)
"""Views of what is within reach, be it a bare wall: what somebody sees who comes too near."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stance:
    """Where a person stands and looks."""

    at: Float[np.ndarray, " 3"]
    yaw: float
    """About the vertical; 0 looks along +z, radians."""
    pitch: float
    """Positive looks down, radians."""
    roll: float

    def c2w(self) -> Float[np.ndarray, "4 4"]:
        cy, sy, cp, sp = math.cos(self.yaw), math.sin(self.yaw), math.cos(self.pitch), math.sin(self.pitch)
        cr, sr = math.cos(self.roll), math.sin(self.roll)
        turn = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
        nod = np.array([[1.0, 0.0, 0.0], [0.0, cp, sp], [0.0, -sp, cp]])
        tilt = np.array([[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]])
        out = np.eye(4)
        out[:3, :3], out[:3, 3] = turn @ nod @ tilt, self.at
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a stance sees, roughly."""

    stance: Stance
    points: Float[np.ndarray, "r 3"]
    score: float
    """0 for a good view; how far it is from being one otherwise."""
    lean: float
    """+1 if there is more room to the right, -1 if to the left."""


def random_walk_cameras(
    scene: Scene, *, n: int, seed: int, width: int, height: int, taste: Taste = WIDE
) -> Cameras:
    """``n`` cameras along a walk through free space, one lens for all; deterministic in ``seed``.

    Neighbours are 0.05 to 0.8 m and up to 45 degrees apart. Where no step fits after some tries (a
    nook), the walk turns on the spot. A ``taste`` is looked for and not enforced.
    """
    rng = np.random.Generator(np.random.PCG64([seed, scene.seed]))
    fov = math.radians(rng.uniform(*FOV_X_DEGREES))
    K = intrinsics_from_fov(fov, width=width, height=height, n=n)
    half = (math.tan(0.5 * fov), math.tan(0.5 * fov) * height / width)
    view = _best([_seen(scene, _anywhere(scene, rng), half, taste) for _ in range(TRIES)])
    poses = [view.stance.c2w()]
    pace, swing = _habits(rng)
    for _ in range(n - 1):
        if rng.random() < 0.2:
            pace, swing = _habits(rng)
        view = _next(scene, view, rng, half, pace, swing, taste)
        poses.append(view.stance.c2w())
    c2w = torch.from_numpy(np.stack(poses).astype(np.float32))
    return Cameras(c2w=c2w, K=K, width=width, height=height)


def _habits(rng: np.random.Generator) -> tuple[tuple[float, float], float]:
    """How the person moves for a while: a velocity (right, forward) in metres per view, and a turn."""
    length = math.exp(rng.uniform(math.log(STEP_M[0]), math.log(STEP_M[1])))
    heading = rng.normal(0.0, 0.5) if rng.random() < 0.6 else rng.uniform(-math.pi, math.pi)
    turn = rng.normal(0.0, 0.12) if rng.random() < 0.5 else rng.uniform(-0.6, 0.6)
    return (length * math.sin(heading), length * math.cos(heading)), turn


def _anywhere(scene: Scene, rng: np.random.Generator) -> Stance:
    """A random stance in free space (or the freest of a few)."""
    areas = scene.walk_areas
    sizes = (areas[:, 2] - areas[:, 0]) * (areas[:, 3] - areas[:, 1])
    chosen = rng.choice(len(areas), size=12, p=sizes / sizes.sum())
    rows = areas[chosen]
    f = rng.uniform(0.05, 0.95, (12, 2))
    heights = np.clip(rng.normal(-1.5, 0.25, 12), -min(2.1, scene.ceiling - 0.4), -0.7)
    heights = scene.walk_levels[chosen] + heights
    ground = rows[:, :2] + f * (rows[:, 2:] - rows[:, :2])
    points = np.stack([ground[:, 0], heights, ground[:, 1]], axis=1)
    free = nearest(scene.world, points)
    at = points[
        np.argmax(free > 1.5 * MIN_CLEARANCE_M) if (free > 1.5 * MIN_CLEARANCE_M).any() else np.argmax(free)
    ]
    pitch = float(np.clip(rng.normal(0.08, 0.18), -0.5, 0.6))
    return Stance(
        at=at, yaw=float(rng.uniform(-math.pi, math.pi)), pitch=pitch, roll=float(rng.normal(0, 0.02))
    )


def _seen(scene: Scene, stance: Stance, half: tuple[float, float], taste: Taste) -> View:
    """Probe a stance with a few rays, and judge it."""
    u = (np.arange(PROBE[0]) + 0.5) / PROBE[0] * 2 - 1
    v = (np.arange(PROBE[1]) + 0.5) / PROBE[1] * 2 - 1
    x, y = np.meshgrid(u * half[0], v * half[1])
    rays = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], axis=1)
    length = np.linalg.norm(rays, axis=1)
    directions = (rays / length[:, None]) @ stance.c2w()[:3, :3].T
    origins = np.broadcast_to(stance.at, directions.shape).copy()
    distance, ids = follow(scene.world, origins, directions)
    depth = distance / length
    free = float(nearest(scene.world, stance.at[None])[0])
    columns = np.median(depth.reshape(PROBE[1], PROBE[0]), axis=0)
    median = float(np.median(depth))
    faults = (
        10.0 * max(0.0, MIN_CLEARANCE_M - free),
        max(0.0, taste.least_median - median) + 0.3 * max(0.0, taste.good_median - median),
        0.3 * max(0.0, median - taste.most_median),
        max(0.0, taste.least_depth - float(np.quantile(depth, 0.05))),
        2.0 * max(0.0, float(np.mean(ids < 0)) - 0.45),
        0.1 * max(0, taste.things - len(np.unique(things(scene.world, ids)))),
    )
    score = sum(faults)
    lean = 1.0 if columns[PROBE[0] // 2 :].sum() > columns[: PROBE[0] // 2].sum() else -1.0
    return View(stance=stance, points=origins + directions * distance[:, None], score=score, lean=lean)


def _best(views: list[View]) -> View:
    return min(views, key=lambda view: view.score)


def _overlap(view: View, stance: Stance, half: tuple[float, float]) -> float:
    """Share of a view's points that lie in the image from ``stance`` (hidden or not)."""
    c2w = stance.c2w()
    points = (view.points - stance.at) @ c2w[:3, :3]
    z = np.maximum(points[:, 2], 1e-6)
    inside = (
        (np.abs(points[:, 0]) < half[0] * z) & (np.abs(points[:, 1]) < half[1] * z) & (points[:, 2] > 0.05)
    )
    return float(inside.mean())


def _step(
    scene: Scene, stance: Stance, rng: np.random.Generator, pace: tuple[float, float], turn: float
) -> Stance:
    """A proposal for the next stance."""
    yaw = stance.yaw + float(np.clip(turn + rng.normal(0.0, 0.1), -MAX_TURN, MAX_TURN))
    across, ahead = pace[0] + rng.normal(0.0, 0.03), pace[1] + rng.normal(0.0, 0.03)
    length = math.hypot(across, ahead)
    scale = min(max(length, STEP_M[0]), 0.98 * STEP_M[1]) / max(length, 1e-6)
    cos, sin = math.cos(yaw), math.sin(yaw)
    move = np.array([cos * across + sin * ahead, 0.0, cos * ahead - sin * across]) * scale
    at = stance.at + move
    under, ahead_of = scene.ground_under(stance.at[0], stance.at[2]), scene.ground_under(at[0], at[2])
    under = 0.0 if under is None else under
    eye = np.clip(at[1] - under + rng.normal(0.0, 0.02), -min(2.1, scene.ceiling - 0.35), -0.6)
    at[1] = (under if ahead_of is None else ahead_of) + eye  # eyes follow the ground
    pitch = float(np.clip(0.9 * stance.pitch + rng.normal(0.01, 0.05), -0.55, 0.65))
    return Stance(at=at, yaw=yaw, pitch=pitch, roll=float(0.7 * stance.roll + rng.normal(0.0, 0.012)))


def _is_clear(scene: Scene, start: Float[np.ndarray, " 3"], end: Float[np.ndarray, " 3"]) -> bool:
    """Whether a straight step stays clear of everything, inside the walkable areas, and is no climb."""
    here, there = scene.ground_under(start[0], start[2]), scene.ground_under(end[0], end[2])
    if there is None or np.linalg.norm(end - start) >= STEP_M[1]:
        return False
    if here is not None and abs(there - here) > MAX_CLIMB_M:
        return False
    points = start + (end - start) * np.linspace(0.2, 1.0, 5)[:, None]
    return bool((nearest(scene.world, points) > MIN_CLEARANCE_M).all())


def _next(
    scene: Scene,
    view: View,
    rng: np.random.Generator,
    half: tuple[float, float],
    pace: tuple[float, float],
    turn: float,
    taste: Taste,
) -> View:
    """The first good view after ``view``, or the best of those tried."""
    tried: list[View] = []
    for attempt in range(TRIES):
        stance = _step(scene, view.stance, rng, pace, turn)
        if _is_clear(scene, view.stance.at, stance.at):
            overlap = _overlap(view, stance, half)
            missed = max(0.0, OVERLAP[0] - overlap, overlap - OVERLAP[1])
            seen = _seen(scene, stance, half, taste)
            seen = dataclasses.replace(seen, score=seen.score + 3.0 * missed)
            if seen.score == 0.0:
                return seen
            tried.append(seen)
        if attempt % 3 == 2:  # no luck: move otherwise, and turn to where there is more to see
            pace, turn = _habits(rng)
            turn = view.lean * abs(turn)
    if tried:
        return _best(tried)
    way = float(rng.choice([-1.0, 1.0]))
    spins = [
        Stance(at=view.stance.at, yaw=view.stance.yaw + way * angle, pitch=view.stance.pitch, roll=0.0)
        for angle in (0.3, 0.5, 0.7)
    ]
    return _best([_seen(scene, stance, half, taste) for stance in spins])
