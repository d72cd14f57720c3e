"""Fitted: the splats of a world, as they were fitted at its head or as its points give them.

Room: reconstruct; the viewer and the command line may import this. Fitted splats lie in ``splats/``, named
after the chunk that they were fitted at: a world that grew on or went back has its first ones again until it
is fitted there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor

from memory.boxes import Box
from memory.points import Points
from memory.world import World
from reconstruct.formats.ply import read_own_ply, write_ply
from reconstruct.init import gaussians_from_points
from render.cameras import rays_cam
from render.frames import Frames
from render.gaussians import Gaussians

FOLDER = "splats"


def frames_to_fit(world: World, ids: Sequence[int]) -> Frames:
    """Frames with no confidence where they show, or look through, what was changed after they were made."""
    frames = world.frames(ids)
    confidence = frames.confidence.masked_fill(outdated(world, frames, ids=ids), 0.0)
    return dataclasses.replace(frames, confidence=confidence)


def outdated(world: World, frames: Frames, *, ids: Sequence[int]) -> Bool[Tensor, "n h w 1"]:
    """Where frames of a world show, or look through, what was changed after they were made."""
    row, older = {number: i for i, number in enumerate(ids)}, []
    found = torch.zeros_like(frames.valid)
    for chunk in world.chunks():
        if chunk.edit is not None and older:
            found[older] |= _passes(frames[older], chunk.edit.box)
        older += [row[number] for number in chunk.frame_ids if number in row]
    return found


def _passes(frames: Frames, box: Box) -> Bool[Tensor, "n h w 1"]:
    """Pixels whose ray meets a box no farther off than what it shows, or anywhere if it shows nothing."""
    ahead = rays_cam(frames.cameras) @ frames.cameras.c2w[:, None, :3, :3].mT  # one unit of depth
    origins = frames.cameras.origins[:, None, None]
    low, high = ((torch.tensor(corner) - origins) / ahead for corner in (box.low, box.high))
    enters = torch.minimum(low, high).amax(dim=-1, keepdim=True).clamp_min(0.0)
    leaves = torch.maximum(low, high).amin(dim=-1, keepdim=True)
    return (enters <= leaves) & (~frames.valid | (enters <= frames.depth))


def fitted_file(world: World) -> Path:
    """Where splats that are fitted at the head lie.

    Raises:
        ValueError: if the world is empty.
    """
    if world.head is None:
        raise ValueError(f"{world.path} has no frames yet, so there is nothing to fit; grow it first")
    return world.path / FOLDER / f"{world.head:06d}.ply"


def checkpoint_file(world: World) -> Path:
    """Where a fit at the head keeps what going on needs."""
    return fitted_file(world).with_suffix(".safetensors")


def keep_fitted(world: World, gaussians: Gaussians) -> Path:
    """Write splats fitted at the head, whole or not at all; where they lie."""
    file = fitted_file(world)
    file.parent.mkdir(exist_ok=True)
    write_ply(gaussians, file)
    return file


def has_fitted(world: World) -> bool:
    """Whether the world is fitted at its head."""
    return world.head is not None and fitted_file(world).is_file()


def splats_of(world: World, points: Points) -> Gaussians:
    """The splats to show: fitted ones, if there are any for the head, else one a point.

    Raises:
        ValueError: if the file of fitted splats is damaged.
    """
    if not has_fitted(world):
        return gaussians_from_points(points)
    file = fitted_file(world)
    try:
        return read_own_ply(file)
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}); fit the world again, or delete the file") from error
