"""Recall: views of the past as they would look now, where an edit has changed what they showed.

Room: memory. Used by worldgen before a generator attends to remembered frames: a view that still
showed what was removed would bring it back, one that shows the wall behind a thing placed since would
make it transparent.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool
from torch import Tensor

from memory.bank import Change, MemoryBank
from memory.boxes import within
from memory.cache import Seen, WorldCache
from render.cameras import unproject
from render.frames import Frames

UNKNOWN_RGB = 0.5
"""Where something was removed and nothing is known yet."""

IN_FRONT = 0.98
"""What the cache shows inside a box hides what a view showed there if it is nearer by this factor."""


def up_to_date(frames: Frames, *, ids: list[int], bank: MemoryBank, cache: WorldCache) -> Frames:
    """Frames with what edits changed after them painted over by what the cache shows there now.

    Args:
        frames: as read back from the world folder.
        ids: their frame ids, which the bank holds.
        bank: knows when each view and each edit came.
        cache: the world as it is.

    Returns:
        The same frames, bit for bit, where no later edit touches what they show. What was removed and is
        not known anew is grey and has no valid depth.
    """
    if not bank.changes:
        return frames
    times = dict(zip(bank.units.ids.tolist(), bank.units.times.tolist(), strict=True))
    parts = []
    for i, number in enumerate(ids):
        later = [change for change in bank.changes if change.time > times[number]]
        parts.append(_repainted(frames[i : i + 1], later, cache) if later else frames[i : i + 1])
    rgb, depth, valid, confidence = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("rgb", "depth", "valid", "confidence")
    )
    return dataclasses.replace(frames, rgb=rgb, depth=depth, valid=valid, confidence=confidence)


def _repainted(frame: Frames, changes: list[Change], cache: WorldCache) -> Frames:
    seen = cache.render(frame.cameras)
    changed = _changed(frame, seen, changes)
    known = seen.mask
    return dataclasses.replace(
        frame,
        rgb=torch.where(changed, torch.where(known, seen.rgb, UNKNOWN_RGB), frame.rgb),
        depth=torch.where(changed, seen.depth, frame.depth),
        valid=torch.where(changed, known, frame.valid),
        confidence=torch.where(changed, seen.confidence, frame.confidence),
    )


def _changed(frame: Frames, seen: Seen, changes: list[Change]) -> Bool[Tensor, "1 h w 1"]:
    """Where a view shows the inside of a box, or where something inside one now hides what it shows."""
    was = unproject(torch.where(frame.valid, frame.depth, 0.0), frame.cameras)
    now = unproject(seen.depth, frame.cameras)
    hides = seen.mask & ((seen.depth < IN_FRONT * frame.depth) | ~frame.valid)
    changed = torch.zeros_like(frame.valid)
    for change in changes:
        low, high = change.box.low, change.box.high
        for points, counts in ((was, frame.valid), (now, hides)):
            changed |= within(points.reshape(-1, 3), low, high).view(frame.valid.shape) & counts
    return changed
