"""Seen: the frames of a world as they would be if its edits had been there from the beginning.

Room: reconstruct; the command line and the viewer may import this. What was removed is unknown in frames from
before, and what was placed is drawn into them, so a mesh of the frames holds the one and lacks the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import final

from memory.boxes import Box, within
from memory.points import Points
from memory.world import PLACE, Edit, World
from render.cameras import unproject
from render.frames import Frames
from render.points import render_points

BATCH = 32
"""Frames that are held in memory at a time."""


@final
class SeenFrames:
    """The frames at the head of a world, batch after batch, read anew each time they are gone through."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ids = world.frame_ids()
        self._edits = _edits_of(world)

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[Frames]:
        for start in range(0, len(self._ids), BATCH):
            ids = self._ids[start : start + BATCH]
            frames = self._world.frames(ids)
            for earlier, edit, placed in self._edits:
                older = [row for row, number in enumerate(ids) if number in earlier]
                if older:
                    frames = _edited(frames, older, edit, placed)
            yield frames


def _edits_of(world: World) -> list[tuple[frozenset[int], Edit, Points | None]]:
    """Every edit, with the frames from before it and what it placed."""
    found, before = [], []
    for chunk in world.chunks():
        before += chunk.frame_ids
        if chunk.edit is not None:
            placed = world.placed(chunk.edit) if chunk.edit.kind == PLACE else None
            found.append((frozenset(before), chunk.edit, placed))
    return found


def _edited(frames: Frames, rows: list[int], edit: Edit, placed: Points | None) -> Frames:
    """Frames with some of them changed by an edit that came after them."""
    older = frames[rows]
    changed = _without(older, edit.box) if placed is None else _with(older, placed)
    fields = {name: getattr(frames, name).clone() for name in ("rgb", "depth", "valid", "confidence")}
    for name, values in fields.items():
        values[rows] = getattr(changed, name)
    return dataclasses.replace(frames, **fields)


def _without(frames: Frames, box: Box) -> Frames:
    """Frames that do not know what lies in a box."""
    points = unproject(frames.depth, frames.cameras)
    gone = within(points.reshape(-1, 3), box.low, box.high).reshape(frames.valid.shape)
    return dataclasses.replace(
        frames,
        depth=frames.depth.masked_fill(gone, 0.0),
        valid=frames.valid & ~gone,
        confidence=frames.confidence.masked_fill(gone, 0.0),
    )


def _with(frames: Frames, placed: Points) -> Frames:
    """Frames that show points where nothing is before them."""
    image = render_points(placed.positions, frames.cameras, axes=placed.axes)
    shown = (image.winner >= 0)[..., None] & (~frames.valid | (image.depth < frames.depth))
    return dataclasses.replace(
        frames,
        rgb=placed.rgb[image.winner.clamp_min(0)].where(shown, frames.rgb),
        depth=image.depth.where(shown, frames.depth),
        valid=frames.valid | shown,
        confidence=frames.confidence.masked_fill(shown, 1.0),
    )
