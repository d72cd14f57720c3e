"""Recorded: posed pictures with measured depth become a world as they are, one committed chunk each.

Room: worldgen. Nothing is aligned or imagined: what the pictures say of depth and poses is the truth. What
is committed stays, and the rest can be given later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from memory.world import SceneInfo, World, WorldError
from render.cameras import Cameras
from render.frames import Frames, median_depth
from worldgen.depth import range_of
from worldgen.generator import Generator
from worldgen.rollout import Growth, drafted

NAME = "imported"
"""What a chunk's settings call the file that it came from."""

FARTHEST = 1e5
"""Scene lengths from the origin beyond which single precision no longer tells pixels apart."""


def scene_of(
    frames: Frames, *, units: str = "metres", up: tuple[float, float, float] | None = None
) -> SceneInfo:
    """What the first of some frames fixes for a world; its own up, where no other is known.

    Raises:
        ValueError: if the cameras stand too far from the origin for what they see.
    """
    scale = median_depth(frames[:1])
    reach = float(frames.cameras.origins.abs().amax())
    if reach > FARTHEST * scale:
        raise ValueError(
            f"cameras stand up to {reach:g} from the origin and see things {scale:g} away; "
            "move the origin nearer to them"
        )
    if up is None:
        x, y, z = torch.nn.functional.normalize(-frames.cameras.c2w[0, :3, 1].double(), dim=0).tolist()
        up = (x + 0.0, y + 0.0, z + 0.0)  # no minus zero
    return SceneInfo(units=units, scale=scale, up=up)


def begin_recorded(
    path: Path, info: SceneInfo, frames: Frames, *, names: Sequence[str], generator: Generator
) -> None:
    """Make a world of the first of some frames; all of them decide its range of depths.

    Args:
        path: folder of the new world.
        info: see :func:`scene_of`.
        frames: at the size of the generator.
        names: of the files that the frames came from.
        generator: will grow the world; nothing is asked of it yet.

    Raises:
        WorldError: if there is something at ``path``, or the world cannot keep the frame.
    """
    span = range_of(frames.depth / info.scale, frames.valid)
    settings = {"depth_range": [span.low, span.high], "first_view": "rgbd", NAME: names[0]}
    with drafted(path) as draft, World.create(draft, info) as world:
        Growth(world, generator).give(frames[:1], settings=settings)


def give_rest(growth: Growth, frames: Frames, *, names: Sequence[str]) -> Iterator[Frames]:
    """Commit what a world does not have yet of frames that it was begun with, and yield each as it is stored.

    Raises:
        WorldError: if the world holds anything else than the first of these frames.
    """
    done = [chunk.settings.get(NAME) for chunk in growth.world.chunks()]
    if done != list(names[: len(done)]) or not _alike(growth.world.cameras(), frames.cameras[: len(done)]):
        raise WorldError(
            f"{growth.world.path} does not hold the first of these {len(names)} pictures and nothing else, "
            "so the rest cannot follow; repeat the words that it was begun with, or name another folder"
        )
    for i in range(len(done), len(frames)):
        yield growth.give(frames[i : i + 1], settings={NAME: names[i]})


def _alike(held: Cameras, cameras: Cameras) -> bool:
    """Whether cameras are the same to the last bit; files of other recordings have the same names."""
    return (
        (held.width, held.height) == (cameras.width, cameras.height)
        and torch.equal(held.c2w, cameras.c2w)
        and torch.equal(held.K, cameras.K)
    )
