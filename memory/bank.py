"""The memory bank: every view that a world is made of, in a few hundred bytes each.

Room: memory. Imports render. A unit is what retrieval has to know of a view (WorldMem section 3;
algorithms A2.1): where it looked from, how deep, how far it is to be trusted and when; the picture
itself stays in the world folder. Units are appended in the order of the head and never changed; the
bank is derived state, so the committed frames in order give the same bank bit for bit.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt16

from memory._retrieval_kernels import bound_blocks, draw_thumbnails
from memory.boxes import Box
from memory.cache import MIN_CONFIDENCE
from render.cameras import Cameras, resized
from render.frames import Frames

THUMBNAIL = 16
"""Rows and columns of what a unit keeps of a depth map, whatever the size of the picture."""

GLANCE = 4
"""Rows and columns of the coarser one that very many views are judged by first: half a cache line."""

NEAR = 0.1
"""Nearest depth that a view is believed to show, in scene units."""

FAR_QUANTILE, FAR_REACH = 0.95, 1.5
"""A view shows nothing beyond ``FAR_REACH`` times this quantile of its depths (A2.2)."""

BLOCK = 64
"""Units in a row that share one bounding sphere: views that follow each other lie close together."""

MIN_ROOM = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """What is kept of a row of views, oldest first."""

    ids: Int64[np.ndarray, " u"]
    """Frame ids, ascending."""

    times: Int64[np.ndarray, " u"]
    """When each view came, as the caller counts; ascending."""

    w2c: Float32[np.ndarray, "u 3 4"]
    """World-to-camera, without its last row."""

    lens: Float32[np.ndarray, "u 4"]
    """fx, fy, cx, cy over the image size: a picture is the square from 0 to 1."""

    span: Float32[np.ndarray, "u 2"]
    """Near and far end of what the view shows, z-depth in world units."""

    depth: UInt16[np.ndarray, "u 16 16"]
    """Median z-depth of each cell in 1 / 65535 of ``far``, and no more than that; 0 where none is trusted."""

    glance: UInt16[np.ndarray, "u 4 4"]
    """The deepest but one of the ``depth`` in each of fewer cells: near enough for a first choice."""

    confidence: Float32[np.ndarray, " u"]
    """Mean trust in the pixels, in [0, 1]."""

    spheres: Float32[np.ndarray, "u 4"]
    """Centre and radius of a sphere around what the view shows."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: slice | np.ndarray) -> Units:
        return Units(**{name: getattr(self, name)[index] for name in FIELDS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An edit: views that came before it show the inside of its box as it is no more."""

    time: int
    """When it came, in the time of the views; every view has another one."""

    box: Box


FIELDS = tuple(field.name for field in dataclasses.fields(Units))

UNIT_BYTES = 2 * 8 + 4 * (12 + 4 + 2 + 1 + 4) + 2 * (THUMBNAIL**2 + GLANCE**2)
"""What one unit takes: 652 bytes, 65 MB for 100,000 views. Room doubles, so up to twice that is held."""


class MemoryBank:
    """A growing row of units with an index over where they look; state in place, like the cache."""

    def __init__(self, *, scale: float = 1.0):
        """Start empty.

        Args:
            scale: world units in a scene unit.
        """
        self.scale = scale
        self.changes: list[Change] = []
        """Every edit so far, oldest first."""
        self._room = units_with_room(0)
        self._blocks = np.empty((0, 4), dtype=np.float32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def units(self) -> Units:
        """All units, as views that nothing done to the bank later changes."""
        return self._room[: self._count]

    @property
    def blocks(self) -> Float32[np.ndarray, "b 4"]:
        """The index: centre and radius of a sphere around every ``BLOCK`` units in a row."""
        return self._blocks[: -(-self._count // BLOCK)]

    @property
    def now(self) -> int:
        """The time after all that has happened: a view takes one step of it, and so does an edit."""
        views = int(self.units.times[-1]) if len(self) else -1
        return 1 + max([views, *(change.time for change in self.changes[-1:])])

    def change(self, box: Box) -> None:
        """Note an edit: what earlier views show inside the box counts no more when views are recalled."""
        self.changes.append(Change(time=self.now, box=box))

    def append(self, frames: Frames, *, ids: list[int], times: list[int] | None = None) -> None:
        """Add committed views at the end, as read back from the world folder.

        Args:
            frames: any size; nothing of their colour is kept.
            ids: their frame ids, above all that are held.
            times: when they came, not before what is held; one after the other from ``now`` on where None, so
                that a world that is replayed elsewhere, under other ids, recalls the same.
        """
        if times is None:
            times = list(range(self.now, self.now + len(frames)))
        if not len(ids) == len(times) == len(frames):
            raise ValueError(
                f"one id and one time a frame: got {len(ids)} ids, {len(times)} times, {len(frames)} frames"
            )
        if not (_ascends(self.units.ids, ids, least=1) and _ascends(self.units.times, times, least=0)):
            raise ValueError(
                f"ids {ids} at times {times} do not come after what the bank holds; views are appended in "
                "order, so remove what was undone first"
            )
        self._extend(units_of(frames, ids=ids, times=times, scale=self.scale))

    def remove(self, ids: list[int]) -> None:
        """Forget views, as if they had never been appended (A13.2); the others keep their times."""
        missing = sorted(set(ids) - set(self.units.ids.tolist()))
        if missing:
            raise ValueError(f"the bank does not hold the frames {missing}; name frames that it holds")
        kept = self.units[~np.isin(self.units.ids, ids)]
        self._room, self._count = units_with_room(0), 0
        self._blocks = np.empty((0, 4), dtype=np.float32)
        self._extend(kept)

    def _extend(self, units: Units) -> None:
        """Write units behind the last one, and widen the spheres of the blocks that they fall in."""
        start, end = self._count, self._count + len(units)
        if end > len(self._room):
            room = units_with_room(max(end, 2 * len(self._room), MIN_ROOM))
            _write(self.units, room, start=0)
            blocks = np.empty((-(-len(room) // BLOCK), 4), dtype=np.float32)
            blocks[: len(self.blocks)] = self.blocks
            self._room, self._blocks = room, blocks
        _write(units, self._room, start=start)
        self._count = end
        bound_blocks(self.units.spheres, BLOCK, start // BLOCK, self.blocks)


def units_with_room(capacity: int) -> Units:
    """Room for units that are still to be written."""
    return Units(
        ids=np.empty(capacity, dtype=np.int64),
        times=np.empty(capacity, dtype=np.int64),
        w2c=np.empty((capacity, 3, 4), dtype=np.float32),
        lens=np.empty((capacity, 4), dtype=np.float32),
        span=np.empty((capacity, 2), dtype=np.float32),
        depth=np.empty((capacity, THUMBNAIL, THUMBNAIL), dtype=np.uint16),
        glance=np.empty((capacity, GLANCE, GLANCE), dtype=np.uint16),
        confidence=np.empty(capacity, dtype=np.float32),
        spheres=np.empty((capacity, 4), dtype=np.float32),
    )


def units_of(frames: Frames, *, ids: list[int], times: list[int], scale: float) -> Units:
    """What a bank keeps of frames; each depends on its own frame alone."""
    units = units_with_room(len(frames))
    cameras = frames.cameras
    units.ids[:], units.times[:] = ids, times
    units.w2c[:] = cameras.w2c[:, :3].numpy()
    units.lens[:] = lens_of(cameras)
    depth = torch.where(frames.valid, frames.depth, 0.0)[..., 0].float().numpy()
    confidence = torch.where(frames.valid, frames.confidence, 0.0)[..., 0].float().numpy()
    near = NEAR * scale
    for i in range(len(frames)):
        units.span[i] = near, max(near, reach_of(depth[i]))
    units.confidence[:] = confidence.mean(axis=(1, 2))
    draw_thumbnails(depth, confidence, units.span[:, 1], MIN_CONFIDENCE, units.depth)
    units.glance[:] = _deepest_but_one(units.depth)
    units.spheres[:] = _spheres(cameras, units)
    return units


def _deepest_but_one(depth: UInt16[np.ndarray, "n 16 16"]) -> UInt16[np.ndarray, "n 4 4"]:
    side = THUMBNAIL // GLANCE
    cells = depth.reshape(-1, GLANCE, side, GLANCE, side).swapaxes(2, 3).reshape(-1, GLANCE, GLANCE, side**2)
    return np.partition(cells, -2, axis=-1)[..., -2]


def reach_of(depth: np.ndarray) -> float:
    """How deep a depth map is believed to show things; 0 if it knows no depth."""
    known = depth[depth > 0]
    return FAR_REACH * float(np.quantile(known, FAR_QUANTILE)) if known.size else 0.0


def lens_of(cameras: Cameras) -> Float32[np.ndarray, "n 4"]:
    """fx, fy, cx, cy over the image size."""
    K = resized(cameras, width=1, height=1).K.float().numpy()
    return np.stack([K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2]], axis=1)


def _spheres(cameras: Cameras, units: Units) -> Float32[np.ndarray, "n 4"]:
    """Spheres around what views show: about the mean of a frustum's corners, to the farthest of them."""
    corners = np.array([(x, y) for x in (0.0, 1.0) for y in (0.0, 1.0)], dtype=np.float32)
    rays = np.ones((len(units), 4, 3), dtype=np.float32)
    rays[..., :2] = (corners - units.lens[:, None, 2:]) / units.lens[:, None, :2]
    points_cam = (rays[:, None] * units.span[:, :, None, None]).reshape(-1, 8, 3)
    c2w = cameras.c2w.float().numpy()
    points = points_cam @ c2w[:, :3, :3].transpose(0, 2, 1) + c2w[:, None, :3, 3]
    centres = points.mean(axis=1)
    radii = np.linalg.norm(points - centres[:, None], axis=-1).max(axis=1)
    return np.concatenate([centres, radii[:, None]], axis=1)


def _ascends(held: Int64[np.ndarray, " u"], new: list[int], *, least: int) -> bool:
    """Whether numbers go on from those that are held, by at least ``least`` each."""
    row = np.array([*held[-1:], *new], dtype=np.int64)
    return bool((np.diff(row) >= least).all())


def _write(units: Units, room: Units, *, start: int) -> None:
    for name in FIELDS:
        getattr(room, name)[start : start + len(units)] = getattr(units, name)
