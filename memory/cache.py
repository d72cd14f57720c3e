"""The world cache: what is known of the world's surfaces, as one pruned point cloud.

Room: memory. Imports render. A frame adds only points that show something new (Voyager section 4.3;
algorithms A1.4). The cache is derived state: inserting the committed frames again, in order, gives
the same cache bit for bit.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from memory.points import Points, concatenated
from render.cameras import Cameras, project, resized, unproject
from render.frames import Frames
from render.geometry import MIN_INCIDENCE, incidence, normals, off_edges
from render.points import PointImage, render_points

CULL_SCALE = 2
"""New pixels are compared with the cache at 1 / CULL_SCALE of the resolution, which closes cracks."""

MIN_CONFIDENCE = 0.1
NEARER = 0.05
"""Rule 3: a surface this much nearer than the cached one is new."""

IMAGINED_CONFIDENCE = 0.5
CONFIDENCE_PER_GENERATION = 0.1
CONFIDENCE_FLOOR = 0.2
DEPTH_AGREEMENT = 0.05
"""Relative depth difference at which trust in an imagined pixel falls to 1/e (A12.2)."""

MAX_OFFSET_PX = 2.0
FINE_EDGE_SIZE = 256
"""Below this many pixels a side an edge band is one pixel wide instead of two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the cache shows to a batch of cameras."""

    rgb: Float[Tensor, "n h w 3"]
    """Colour in [0, 1]; 0 where ``mask`` is not set."""

    depth: Float[Tensor, "n h w 1"]
    """Z-depth in world units; 0 where ``mask`` is not set."""

    mask: Bool[Tensor, "n h w 1"]
    """Where a surface is known and faces the camera."""

    confidence: Float[Tensor, "n h w 1"]
    """Trust in [0, 1]; 0 where ``mask`` is not set."""

    offset: Float[Tensor, "n h w 2"]
    """From the pixel's centre to where its point projects, in pixels, within [-2, 2]."""

    winner: Int[Tensor, "n h w"]
    """Index of the point that each pixel shows, whether it faces the camera or not; -1 for none."""

    cameras: Cameras


class WorldCache:
    """A growing set of points; state in place, because a copy a frame would cost more than a render."""

    def __init__(self, *, nearer: float | None = None):
        """Start empty.

        Args:
            nearer: relative depth of rule 3 (a nearer surface in front of a cached one is new), for
                example ``NEARER``; off where None.
        """
        self._nearer = nearer
        self._parts: list[Points] = []
        self._generations: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    @property
    def points(self) -> Points:
        """Everything the cache holds, in the order it came."""
        if len(self._parts) > 1:
            self._parts = [concatenated(self._parts)]
        return self._parts[0] if self._parts else _no_points()

    def render(self, cameras: Cameras) -> Seen:
        """Draw the cache; what faces away from a camera hides what is behind it, but is not known."""
        points = self.points
        image = render_points(points.positions, cameras, footprint=points.footprint)
        mask = _facing(points, image, cameras)
        index = image.winner.clamp_min(0)
        if not len(points):
            points, index = _one_unseen_point(), torch.zeros_like(index)
        blank = ~mask
        return Seen(
            rgb=points.rgb[index].masked_fill(blank, 0.0),
            depth=image.depth.masked_fill(blank, 0.0),
            mask=mask,
            confidence=points.confidence[index][..., None].masked_fill(blank, 0.0),
            offset=_offsets(points.positions[index], cameras).masked_fill(blank, 0.0),
            winner=image.winner,
            cameras=cameras,
        )

    def judge(self, frames: Frames, seen: Seen, *, ids: list[int], given: bool) -> Frames:
        """Fill in the confidence of frames about to be inserted (A12.2).

        What was measured has confidence 1. What was imagined is trusted by how well its depth agrees
        with what the cache knew, and a little less with every generation that it is away from a
        measured frame.
        """
        if given:
            self._generations.update(dict.fromkeys(ids, 0))
            return dataclasses.replace(frames, confidence=frames.valid.float())
        confidences = []
        for i, frame_id in enumerate(ids):
            generation = self._generation_of(seen.winner[i][seen.mask[i, ..., 0]])
            self._generations[frame_id] = generation
            gap = (frames.depth[i] - seen.depth[i]).abs() / frames.depth[i].clamp_min(1e-6)
            agreement = torch.exp(-gap / DEPTH_AGREEMENT)
            trust = torch.where(seen.mask[i], agreement, torch.full_like(agreement, IMAGINED_CONFIDENCE))
            trust = (trust - CONFIDENCE_PER_GENERATION * generation).clamp_min(CONFIDENCE_FLOOR)
            confidences.append(trust * frames.valid[i])
        return dataclasses.replace(frames, confidence=torch.stack(confidences))

    def remember(self, frames: Frames, seen: Seen, *, ids: list[int], given: bool) -> Points:
        """Judge and insert committed frames; returns the points that they added.

        Args:
            frames: as read back from the world folder.
            seen: what the cache showed to their cameras before any of them was inserted.
            ids: their frame ids.
            given: whether they were measured.
        """
        added = self.insert(self.judge(frames, seen, ids=ids, given=given), ids=ids)
        return self.points[len(self) - added :]

    def insert(self, frames: Frames, *, ids: list[int]) -> int:
        """Add what each frame shows that the cache does not have, and return how many points that is.

        A pixel is added where nothing is cached (rule 1), where the cached surface faces away
        (rule 2), or, if asked for, where it is nearer than the cached one (rule 3). Frame by frame:
        each sees the result of the one before.
        """
        if len(ids) != len(frames):
            raise ValueError(f"one id a frame: got {len(ids)} ids for {len(frames)} frames")
        before = len(self)
        radius = 2 if min(frames.cameras.width, frames.cameras.height) >= FINE_EDGE_SIZE else 1
        for i, frame_id in enumerate(ids):
            frame = frames[i : i + 1]
            candidates, trusted = _lifted(frame, frame_id=frame_id, edge_radius=radius)
            is_new = trusted & self._unknown(frame)
            self._parts.append(candidates[is_new.flatten()])
        return len(self) - before

    def _unknown(self, frame: Frames) -> Bool[Tensor, "1 h w 1"]:
        """Rules 1 to 3 for every pixel of one frame."""
        points, cameras = self.points, frame.cameras
        width, height = -(-cameras.width // CULL_SCALE), -(-cameras.height // CULL_SCALE)
        small = resized(cameras, width=width, height=height)
        image = render_points(points.positions, small, footprint=points.footprint)
        known = _facing(points, image, small)
        if self._nearer is not None:
            cached = _enlarged(image.depth, cameras)
            is_nearer = frame.depth < (1.0 - self._nearer) * cached
            return ~_enlarged(known, cameras) | is_nearer
        return ~_enlarged(known, cameras)

    def _generation_of(self, winners: Int[Tensor, " p"]) -> int:
        """One more than the median generation of the frames whose points are seen; 0 if there are none."""
        if winners.numel() == 0:
            return 0
        sources, counts = self.points.source[winners].unique(return_counts=True)
        generations = torch.tensor([self._generations.get(int(source), 0) for source in sources])
        return 1 + int(generations.repeat_interleave(counts).median())


def _lifted(frame: Frames, *, frame_id: int, edge_radius: int) -> tuple[Points, Bool[Tensor, "1 h w 1"]]:
    """All pixels of one frame as points, and which of them can be trusted."""
    depth = frame.depth.masked_fill(~frame.valid, 0.0)
    positions = unproject(depth, frame.cameras)
    to_camera = frame.cameras.origins[:, None, None] - positions
    towards = normals(depth, frame.cameras, valid=frame.valid)
    cosine = incidence(towards, positions, frame.cameras)
    has_normal = (towards != 0).any(dim=-1, keepdim=True)
    towards = torch.where(has_normal, towards, torch.nn.functional.normalize(to_camera, dim=-1))
    trusted = frame.valid & (frame.confidence > MIN_CONFIDENCE) & (~has_normal | (cosine > MIN_INCIDENCE))
    trusted &= off_edges(depth, frame.valid, radius=edge_radius)
    count = depth.numel()
    points = Points(
        positions=positions.reshape(-1, 3).float(),
        rgb=frame.rgb.reshape(-1, 3).float(),
        normals=towards.reshape(-1, 3).float(),
        confidence=frame.confidence.reshape(-1).float(),
        footprint=(depth / frame.cameras.K[:, 0, 0].view(-1, 1, 1, 1)).reshape(-1).float(),
        source=torch.full((count,), frame_id, dtype=torch.int64),
    )
    return points, trusted


def _facing(points: Points, image: PointImage, cameras: Cameras) -> Bool[Tensor, "n h w 1"]:
    """Where the winning point exists and its surface faces the camera."""
    if not len(points):
        return torch.zeros(*image.winner.shape, 1, dtype=torch.bool)
    index = image.winner.clamp_min(0)
    to_camera = cameras.origins[:, None, None] - points.positions[index]
    is_facing = (points.normals[index] * to_camera).sum(dim=-1) > 0
    return (is_facing & (image.winner >= 0))[..., None]


def _offsets(positions: Float[Tensor, "n h w 3"], cameras: Cameras) -> Float[Tensor, "n h w 2"]:
    """From each pixel's centre to the projection of the point it shows."""
    n, h, w, _ = positions.shape
    uv = torch.stack(
        [project(positions[i].reshape(-1, 3), cameras[i : i + 1])[0].view(h, w, 2) for i in range(n)]
    )
    rows, columns = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    return (uv - torch.stack([columns, rows], dim=-1)).clamp(-MAX_OFFSET_PX, MAX_OFFSET_PX)


def _enlarged(small: Tensor, cameras: Cameras) -> Tensor:
    """Nearest-neighbour enlargement from the culling resolution to the frame's."""
    large = small.repeat_interleave(CULL_SCALE, dim=1).repeat_interleave(CULL_SCALE, dim=2)
    return large[:, : cameras.height, : cameras.width]


def _no_points() -> Points:
    return Points(
        positions=torch.empty(0, 3),
        rgb=torch.empty(0, 3),
        normals=torch.empty(0, 3),
        confidence=torch.empty(0),
        footprint=torch.empty(0),
        source=torch.empty(0, dtype=torch.int64),
    )


def _one_unseen_point() -> Points:
    """A stand-in to index while the cache is empty; every pixel that shows it is masked."""
    return Points(
        positions=torch.zeros(1, 3),
        rgb=torch.zeros(1, 3),
        normals=torch.zeros(1, 3),
        confidence=torch.zeros(1),
        footprint=torch.zeros(1),
        source=torch.zeros(1, dtype=torch.int64),
    )
