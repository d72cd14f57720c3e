"""The world cache: what is known of the world's surfaces, as one pruned point cloud.

Room: memory. Imports render. A frame adds only points that show something new (Voyager section 4.3;
algorithms A1.4). The cache is derived state: inserting the committed frames again, in order, gives
the same cache bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from memory._cache_kernels import find_known, show_winners
from memory.boxes import Corner
from memory.points import Points, concatenated
from memory.tiles import TileStore
from render.cameras import Cameras, rows_of, unproject
from render.frames import Frames
from render.geometry import (
    MIN_INCIDENCE,
    continues_in_front,
    incidence,
    normals_of_points,
    off_edges,
    patch_axes,
)
from render.points import PointImage

SAME_DEPTH = 1e-4
"""Relative; the two sides of a sheet may differ by so much."""

RIM_SETBACK = 1.01
"""Rims are set back by this factor of their depth, so that the surface they belong to hides them."""

RIM_ROOM = 1.06
"""A rim is of use where what is drawn already is further away than this factor of its depth."""

MIN_CONFIDENCE = 0.1
NEARER = 0.02
"""Rule 3: a surface this much nearer than the cached one is new. At 0.05, pictures from new places lose
0.3 dB against keeping every pixel; at this, nothing (``benchmarks.culling``)."""

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

    source: Int[Tensor, "n h w"]
    """Id of the frame that brought the point which each pixel shows; 0 where ``mask`` is not set."""

    cameras: Cameras


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdrop:
    """What is cached already where a frame looks, pixel by pixel."""

    depth: Float[Tensor, "1 h w 1"]
    """Z-depth; infinite where nothing is cached."""

    known: Bool[Tensor, "1 h w 1"]
    """Where what is cached faces the camera and is no rim."""


class WorldCache:
    """A growing set of points; state in place, because a copy a frame would cost more than a render."""

    def __init__(self, store: TileStore | None = None) -> None:
        """Start empty; ``store`` holds the points, by default one of :class:`TileStore`'s own settings."""
        self.store = TileStore() if store is None else store
        self._generations: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.store)

    @property
    def points(self) -> Points:
        """Everything the cache holds, frame by frame in the order they came; a copy."""
        return self.store.points

    def render(self, cameras: Cameras) -> Seen:
        """Draw the cache; what faces away from a camera, or is a rim, hides what is behind it, unknown."""
        return _looked_up(self.store.rows, self.store.draw(cameras), cameras)

    def render_bands(self, camera: Cameras, *, rows: int) -> Iterator[tuple[Seen, Float[Tensor, "1 h w 3"]]]:
        """What :meth:`render` shows to one camera, in bands of so many rows from the top.

        Beside each band the unit normals of its points, in the world; 0 where nothing is known.
        """
        image, held = self.store.draw(camera), self.store.rows
        for top in range(0, camera.height, rows):
            depth, winner = image.depth[:, top : top + rows], image.winner[:, top : top + rows]
            band = rows_of(camera, top, height=depth.shape[1])
            seen = _looked_up(held, PointImage(depth=depth, winner=winner), band)
            yield seen, torch.where(seen.mask, held.normals[winner], 0.0)

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
            generation = self._generation_of(seen.source[i][seen.mask[i, ..., 0]])
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
        judged = self.judge(frames, seen, ids=ids, given=given)
        nearer = NEARER if given else None
        return concatenated(
            [self._insert(judged[i : i + 1], frame_id=number, nearer=nearer) for i, number in enumerate(ids)]
        )

    def take(self, points: Points) -> None:
        """Add points as they are, whatever the cache shows there."""
        self.store.append(points)

    def forget(self, ids: list[int]) -> int:
        """Delete every point that one of these frames brought, and return how many that is."""
        return self.store.forget(ids)

    def count_within(self, low: Corner, high: Corner) -> int:
        """How many points lie between two corners, both included."""
        return self.store.count_within(low, high)

    def remove(self, low: Corner, high: Corner) -> int:
        """Forget every point between two corners, both included; returns how many that were.

        What comes later may fill the place again; what was forgotten never comes back.
        """
        return self.store.remove(low, high)

    def insert(
        self, frames: Frames, *, ids: list[int], nearer: float | None = None, with_edges: bool = False
    ) -> int:
        """Add what each frame shows that the cache does not have, and return how many points that is.

        A pixel is added where nothing is cached (rule 1), where the cached surface faces away
        (rule 2), or, if asked for, where it is nearer than the cached one (rule 3). Frame by frame:
        each sees the result of the one before.

        Args:
            frames: judged frames.
            ids: their frame ids.
            nearer: relative depth of rule 3, for example ``NEARER``; off where None. Right for what was
                measured: what comes between a camera and a known surface is new. What is imagined in
                front of a known surface is an error more often than not.
            with_edges: that of :func:`new_points`.
        """
        if len(ids) != len(frames):
            raise ValueError(f"one id a frame: got {len(ids)} ids for {len(frames)} frames")
        return sum(
            len(self._insert(frames[i : i + 1], frame_id=frame_id, nearer=nearer, with_edges=with_edges))
            for i, frame_id in enumerate(ids)
        )

    def _insert(
        self, frame: Frames, *, frame_id: int, nearer: float | None, with_edges: bool = False
    ) -> Points:
        behind = backdrop(self.store.rows, self.store.draw(frame.cameras), frame.cameras)
        points = new_points(frame, frame_id=frame_id, behind=behind, nearer=nearer, with_edges=with_edges)
        self.store.append(points)
        return points

    def _generation_of(self, sources: Int[Tensor, " p"]) -> int:
        """One more than the median generation of what is seen; 0 if there is nothing.

        What an edit placed has generation 0, like what was measured.
        """
        if sources.numel() == 0:
            return 0
        found, counts = sources.unique(return_counts=True)
        generations = torch.tensor([self._generations.get(int(source), 0) for source in found])
        return 1 + int(generations.repeat_interleave(counts).median())


def new_points(
    frame: Frames,
    *,
    frame_id: int,
    behind: Backdrop,
    nearer: float | None = None,
    with_edges: bool = False,
) -> Points:
    """What a batch of one frame shows that is not cached, and that can be trusted.

    Pixels beside an edge show a mixture, so they are left out. But where they belong to the surface in
    front, they come in with confidence 0: nothing is known of them, and yet they hide what is behind,
    which would otherwise shine through all round every object seen from a little aside.

    Args:
        frame: what is seen now.
        frame_id: its id.
        behind: what is cached there.
        nearer: that of :meth:`WorldCache.insert`.
        with_edges: whether to trust every pixel, those beside edges and those seen at a glance too. They
            become points in the air; training shows the model what that looks like.
    """
    depth = frame.depth.masked_fill(~frame.valid, 0.0)
    positions = unproject(depth, frame.cameras)
    normals = normals_of_points(positions, depth, frame.cameras, valid=frame.valid)
    axes = patch_axes(positions, normals, depth, frame.cameras)
    is_small = min(frame.cameras.width, frame.cameras.height) < FINE_EDGE_SIZE
    radius = 1 if is_small else 2
    is_smooth = frame.valid if with_edges else off_edges(depth, frame.valid, radius=radius)
    is_rim = ~is_smooth & continues_in_front(depth, is_smooth, radius=radius)
    is_new = (is_smooth & _unknown(frame, behind, nearer=nearer)) | (
        is_rim & (behind.depth > RIM_ROOM * depth)
    )
    is_new &= frame.valid & (frame.confidence > MIN_CONFIDENCE)
    rows = is_new.flatten().nonzero()[:, 0]
    if not with_edges:
        rows = rows[_seen_well(normals.reshape(-1, 3)[rows], positions.reshape(-1, 3)[rows], frame.cameras)]
    hides_only = is_rim.flatten()[rows]
    origin = frame.cameras.origins
    seen_at = positions.reshape(-1, 3)[rows]
    return Points(
        positions=torch.where(
            hides_only[:, None], origin + RIM_SETBACK * (seen_at - origin), seen_at
        ).float(),
        rgb=frame.rgb.reshape(-1, 3)[rows].float(),
        normals=_filled(normals.reshape(-1, 3)[rows], seen_at, origin).float(),
        confidence=frame.confidence.flatten()[rows].masked_fill(hides_only, 0.0).float(),
        axes=axes.reshape(-1, 2, 3)[rows].float(),
        source=torch.full((len(rows),), frame_id, dtype=torch.int64),
    )


def backdrop(points: Points, image: PointImage, cameras: Cameras) -> Backdrop:
    """What an image of points, as ``cameras`` see them, says of them."""
    known = np.empty(tuple(image.winner.shape), dtype=np.bool_)
    positions, towards, trusts = (
        column.numpy() for column in (points.positions, points.normals, points.confidence)
    )
    winner, origins = image.winner.numpy(), cameras.origins.float().numpy()
    for i in range(len(cameras)):
        find_known(winner[i], positions, towards, trusts, origins[i], known[i])
    return Backdrop(depth=image.depth, known=torch.from_numpy(known)[..., None])


def _seen_well(
    normals: Float[Tensor, "p 3"], positions: Float[Tensor, "p 3"], cameras: Cameras
) -> Bool[Tensor, " p"]:
    """Which points lie on a surface that is not seen at a glance; those without a normal pass."""
    cosine = incidence(normals.view(1, 1, -1, 3), positions.view(1, 1, -1, 3), cameras).flatten()
    return (cosine > MIN_INCIDENCE) | (normals == 0).all(dim=-1)


def _filled(
    normals: Float[Tensor, "p 3"], positions: Float[Tensor, "p 3"], origin: Float[Tensor, "1 3"]
) -> Float[Tensor, "p 3"]:
    """Normals, and the direction to the camera where there is none."""
    missing = (normals == 0).all(dim=-1).nonzero()[:, 0]
    to_camera = torch.nn.functional.normalize(origin - positions[missing], dim=-1)
    return normals.index_copy(0, missing, to_camera.to(normals.dtype))


def _unknown(frame: Frames, behind: Backdrop, *, nearer: float | None) -> Bool[Tensor, "1 h w 1"]:
    """Where rules 1 to 3 say that a pixel of a frame is new."""
    # What lies behind a rim or a surface turned away would stay behind it, and come in with every frame.
    unknown = ~behind.known & (frame.depth < (1.0 + SAME_DEPTH) * behind.depth)
    if nearer is not None:
        unknown |= frame.depth < (1.0 - nearer) * behind.depth
    return unknown


def _looked_up(points: Points, image: PointImage, cameras: Cameras) -> Seen:
    """Colour, trust and offset of what was drawn and faces the camera."""
    shape = (len(cameras), cameras.height, cameras.width)
    seen = Seen(
        rgb=torch.empty(*shape, 3),
        depth=torch.empty(*shape, 1),
        mask=torch.empty(*shape, 1, dtype=torch.bool),
        confidence=torch.empty(*shape, 1),
        offset=torch.empty(*shape, 2),
        source=torch.empty(shape, dtype=torch.int64),
        cameras=cameras,
    )
    positions, normals, rgb, confidence, source = (
        column.numpy()
        for column in (points.positions, points.normals, points.rgb, points.confidence, points.source)
    )
    origins, w2c, K = (x.float().numpy() for x in (cameras.origins, cameras.w2c, cameras.K))
    for i in range(len(cameras)):
        show_winners(
            image.winner[i].numpy(),
            image.depth[i, ..., 0].numpy(),
            positions,
            normals,
            rgb,
            confidence,
            source,
            origins[i],
            w2c[i],
            K[i],
            np.float32(MAX_OFFSET_PX),
            seen.rgb[i].numpy(),
            seen.depth[i].numpy(),
            seen.mask[i, ..., 0].numpy(),
            seen.confidence[i].numpy(),
            seen.offset[i].numpy(),
            seen.source[i].numpy(),
        )
    return seen
