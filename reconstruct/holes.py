"""Holes: the rims of a surface, and films that span them as soap does.

Room: reconstruct; the command line and the viewer may import this. A film is the harmonic map of a disc whose
edge is the rim, which Fourier coefficients give in closed form: ``x(r, a) = sum_k c_k r^|k| exp(i k a)``. A
film that frames look through is none: there is an opening, and not a place that nobody saw.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from reconstruct.surface import Surface
from reconstruct.tsdf import FRONT, known, views_of
from render.frames import Frames

SHORTEST, LONGEST = 10.0, 4000.0
"""Voxels around a hole that gets a film: walls close over smaller ones, and larger ones stay open."""

RINGS = 0.2
"""Of a film, for each voxel around it; a flat disc has 0.16 voxels of radius for each."""

MOST_SEEN_THROUGH = 0.05
"""Share of a film that frames may look through: rims are ragged."""

TRIED = 400
"""Places of a film, about, on which that is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Places on a surface."""

    points: Float64[np.ndarray, "p 3"]
    """World units."""

    normals: Float64[np.ndarray, "p 3"]
    """Unit vectors, towards the side that was seen."""

    rgb: Float64[np.ndarray, "p 3"]
    """As displays show it (sRGB), in [0, 1]."""

    def __len__(self) -> int:
        return len(self.points)


def joined(parts: list[Places]) -> Places:
    """Places of several things, in their order."""
    return Places(
        points=np.concatenate([part.points for part in parts]),
        normals=np.concatenate([part.normals for part in parts]),
        rgb=np.concatenate([part.rgb for part in parts]),
    )


def rims(surface: Surface) -> list[Int64[np.ndarray, " v"]]:
    """Loops of vertices around holes, in the direction that faces which fill them would have."""
    faces, count = surface.faces.astype(np.int64), len(surface.vertices)
    begins, ends = faces.reshape(-1), faces[:, [1, 2, 0]].reshape(-1)
    single = ~np.isin(begins * count + ends, ends * count + begins)
    following: dict[int, list[int]] = {}
    for begin, end in zip(ends[single].tolist(), begins[single].tolist(), strict=True):
        following.setdefault(begin, []).append(end)
    loops = []
    while following:
        start = next(iter(following))
        loop, at = [], start
        while at in following:  # each vertex has as many edges that come as edges that go
            loop.append(at)
            ways = following[at]
            after = ways.pop()
            if not ways:
                del following[at]
            at = after
        loops.append(np.array(loop, np.int64))
    return loops


def film(surface: Surface, rim: Int64[np.ndarray, " v"], *, spacing: float) -> Places:
    """Places on the film that spans a rim, about ``spacing`` world units apart; colours change smoothly."""
    rgb = np.full((len(rim), 3), 0.5) if surface.rgb is None else surface.rgb[rim].astype(np.float64)
    corners = np.concatenate([surface.vertices[rim].astype(np.float64), rgb], axis=1)
    corners = np.concatenate([corners, corners[:1]])
    way = np.concatenate([[0.0], np.cumsum(_steps(corners))])
    count = _odd(way[-1] / spacing)
    at = np.arange(count) * way[-1] / count
    edge = np.stack([np.interp(at, way, column) for column in corners.T], axis=1)
    waves = np.fft.rfft(edge, axis=0) / count
    return joined([_ring(waves, r, _odd(count * r)) for r in _radii(count)])


def films(surface: Surface, batches: Iterable[Frames], *, voxel: float) -> list[Places]:
    """Films over the holes of a surface that no frame looks through, up to ``LONGEST`` around."""
    spans = []
    for rim in rims(surface):
        around = _steps(surface.vertices[np.append(rim, rim[0])].astype(np.float64)).sum() / voxel
        if SHORTEST <= around <= LONGEST:
            spans.append(film(surface, rim, spacing=voxel))
    if not spans:
        return []
    tried = [span.points[:: max(1, len(span) // TRIED)] for span in spans]
    through = seen_through(np.concatenate(tried), batches, voxel=voxel)
    shares = [part.mean() for part in np.split(through, np.cumsum([len(one) for one in tried])[:-1])]
    return [span for span, share in zip(spans, shares, strict=True) if share <= MOST_SEEN_THROUGH]


def seen_through(
    points: Float64[np.ndarray, "p 3"], batches: Iterable[Frames], *, voxel: float
) -> Bool[np.ndarray, " p"]:
    """Which points are free: a frame shows what lies well behind them."""
    found = np.zeros(len(points), bool)
    for frames in batches:
        w2c, lens = views_of(frames.cameras)
        depths = frames.depth.masked_fill(~known(frames), 0.0)[..., 0].double().numpy()
        height, width = depths.shape[1:]
        for n in range(len(frames)):
            x, y, z = (points @ w2c[n, :3, :3].T + w2c[n, :3, 3]).T
            fx, fy, cx, cy = lens[n]
            ahead = np.maximum(z, 1e-3 * voxel)
            u, v = fx * x / ahead + cx, fy * y / ahead + cy
            inside = (z > 1e-3 * voxel) & (u >= 0) & (v >= 0) & (u < width) & (v < height)
            shown = depths[n, np.where(inside, v, 0).astype(int), np.where(inside, u, 0).astype(int)]
            found |= inside & (shown - z > FRONT * np.maximum(voxel, shown / fx))
    return found


def _steps(corners: Float64[np.ndarray, "v c"]) -> Float64[np.ndarray, " e"]:
    return np.linalg.norm(np.diff(corners[:, :3], axis=0), axis=1)


def _odd(count: float) -> int:
    """So many or one more: of an odd number of samples no wave is its own mirror image."""
    return 2 * math.ceil(max(count, 3.0) / 2) + 1


def _radii(count: int) -> Float64[np.ndarray, " r"]:
    rings = math.ceil(RINGS * count)
    return (np.arange(rings) + 0.5) / rings


def _ring(waves: np.ndarray, r: float, count: int) -> Places:
    """Places on a film at one radius of its disc."""
    waves = waves[: count // 2 + 1]
    k = np.arange(len(waves))[:, None]
    scaled = waves * r**k

    def values(of: np.ndarray) -> np.ndarray:
        return np.fft.irfft(of, n=count, axis=0) * count

    at = values(scaled)
    outwards, along = values(scaled[:, :3] * k), values(scaled[:, :3] * (1j * k))
    across = np.cross(outwards, along)
    normals = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-30)
    return Places(points=at[:, :3], normals=normals, rgb=at[:, 3:].clip(0.0, 1.0))
