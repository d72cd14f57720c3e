"""Recall: views of the past as they would look now, where an edit has changed what they showed.

Room: worldgen. Used before a generator attends to remembered frames: a view that still showed what was
removed would bring it back, one that shows the wall behind a thing placed since would make it transparent.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memory.bank import Change, MemoryBank
from memory.boxes import within
from memory.cache import Seen, WorldCache
from render.cameras import unproject
from render.frames import Frames
from worldgen.resample import push_pull

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
        The same frames, bit for bit, where no later edit touches what they show. Where something was
        removed and nothing is known anew, what is around goes on smoothly, with confidence 0: a model takes
        a hole in a remembered depth for something far away.
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
    hole = changed & ~seen.mask
    rgb = torch.where(changed, seen.rgb, frame.rgb)
    depth = torch.where(changed, seen.depth, frame.depth)
    known = torch.where(changed, seen.mask, frame.valid)
    inverse = torch.where(known, 1.0 / depth.clamp_min(1e-12), 0.0)
    around = _filled(inverse, known)
    return dataclasses.replace(
        frame,
        rgb=torch.where(hole, _filled(rgb, ~hole).clamp(0.0, 1.0), rgb),
        depth=torch.where(hole & (around > 0), 1.0 / around.clamp_min(1e-12), depth),
        valid=torch.where(hole, around > 0, known),
        confidence=torch.where(changed, seen.confidence, frame.confidence),
    )


def _filled(image: Float[Tensor, "1 h w c"], known: Bool[Tensor, "1 h w 1"]) -> Float[Tensor, "1 h w c"]:
    """Smoothly continued from where it is known; inverse depth continues as a plane does."""
    channels, mask = image.permute(0, 3, 1, 2), known.permute(0, 3, 1, 2).float()
    return push_pull(channels * mask, mask).permute(0, 2, 3, 1)


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
