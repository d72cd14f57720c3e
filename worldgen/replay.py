"""Replay: imagine every frame of a world again, from what the world recorded, and compare.

Room: worldgen. Drives the same ``Growth`` that made the world, over a rehearsal of it. Each chunk grows
from the stored ones before it, so the first frame that differs says where, not what followed from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from memory.rehearsal import Rehearsal
from memory.world import Chunk, World, WorldError
from render.frames import Frames
from worldgen.generator import Generator
from worldgen.rollout import Growth


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One chunk that was looked at again."""

    chunk: Chunk
    difference: str | None
    """How it differs from what is stored, a sentence; ``None`` if it does not."""


def lines(world: World) -> list[list[Chunk]]:
    """Every chunk that a head reaches, once, in lines in which each chunk is the next one's parent."""
    found: list[list[Chunk]] = []
    held: set[int] = set()
    for head in sorted(world.tree.heads(), key=lambda head: (not head.is_current, head.name)):
        chain = [] if head.chunk is None else world.chunks(to=head.chunk)
        line = [chunk for chunk in chain if chunk.id not in held]
        held.update(chunk.id for chunk in line)
        if line:
            found.append(line)
    return found


def replay(path: Path, *, generator_of: Callable[[str], Generator]) -> Iterator[Replayed]:
    """Every chunk that a head reaches, grown again; ends with the first that differs.

    What was given is compared with its checksum. The world is only read.

    Args:
        path: folder of the world.
        generator_of: the generator that calls itself by a name that the world recorded.

    Raises:
        WorldError: if a frame did not come from growing along a path, so that it cannot be grown again.
    """
    with Rehearsal(path) as rehearsal:
        yield from _again(rehearsal, lines(rehearsal.world), generator_of)


def replay_newest(path: Path, *, generator_of: Callable[[str], Generator]) -> Replayed:
    """The newest chunk at the head that was imagined, grown again; see :func:`replay`.

    Raises:
        WorldError: if nothing at the head was imagined, or it cannot be grown again.
    """
    with Rehearsal(path) as rehearsal:
        imagined = [chunk for chunk in rehearsal.world.chunks() if not chunk.given]
        if not imagined:
            raise WorldError("nothing at this head was imagined, so there is nothing to imagine again")
        return next(_again(rehearsal, [imagined[-1:]], generator_of))


def _again(
    rehearsal: Rehearsal, found: list[list[Chunk]], generator_of: Callable[[str], Generator]
) -> Iterator[Replayed]:
    names = {chunk.generator for line in found for chunk in line if not chunk.given}
    generators = {name: generator_of(name) for name in sorted(names)}
    for line in found:
        for replayed in _replayed(rehearsal, line, generators):
            yield replayed
            if replayed.difference is not None:
                return


def _replayed(
    rehearsal: Rehearsal, line: list[Chunk], generators: dict[str, Generator]
) -> Iterator[Replayed]:
    growth: Growth | None = None
    rehearsal.expect(line)
    while (chunk := rehearsal.next) is not None:
        fault = rehearsal.damage(chunk)
        if fault is not None or chunk.given:
            growth = None
            rehearsal.skip()
            yield Replayed(chunk=chunk, difference=fault)
            continue
        generator = generators[chunk.generator]
        if chunk.path is None:
            growth = None
            difference = _first_view(rehearsal, line[line.index(chunk) :], generator)
            yield Replayed(chunk=chunk, difference=difference)
            continue
        if growth is None or growth.generator is not generator:
            growth = Growth(rehearsal.world, generator)
        yield from _along_a_path(rehearsal, growth)
        if rehearsal.next is chunk:
            raise _not_grown(chunk)


def _not_grown(chunk: Chunk) -> WorldError:
    return WorldError(
        f"frame {chunk.frame_ids[0]} is neither a first view nor the next on a path, so it cannot be grown "
        "again; only what grow and extend made can be replayed"
    )


def _along_a_path(rehearsal: Rehearsal, growth: Growth) -> Iterator[Replayed]:
    """As far as the stored chunks follow one path with whole files."""
    for grown in growth.follow():
        yield Replayed(chunk=grown.chunk, difference=rehearsal.difference)
        ahead = rehearsal.next
        if ahead is None or ahead.path != grown.chunk.path or rehearsal.damage(ahead) is not None:
            return


def _first_view(rehearsal: Rehearsal, line: Sequence[Chunk], generator: Generator) -> str | None:
    """How an imagined first view differs, or the imagined half of a measured one."""
    chunk, world = line[0], rehearsal.world
    before = world.chunks()
    if len(before) > 1 or (before and not before[0].given):
        raise _not_grown(chunk)
    if before:
        measured = world.frames(before[0].frame_ids)
        return _begun(rehearsal, [*before, *line], measured, generator)
    is_picture = chunk.settings.get("first_view") == "picture"
    first = _without_depth(world.frames(chunk.frame_ids)) if is_picture else None
    return _begun(rehearsal, line, first, generator)


def _begun(
    rehearsal: Rehearsal, line: Sequence[Chunk], first: Frames | None, generator: Generator
) -> str | None:
    """How the last of the chunks that make the first view differs, when it is made from ``first``."""
    imagined = next(chunk for chunk in line if not chunk.given)
    rehearsal.expect(line)
    start = rehearsal.world.cameras(imagined.frame_ids) if first is None else first
    Growth(rehearsal.world, generator).begin(start, seed=imagined.seed)
    if rehearsal.next is imagined:
        return f"frame {imagined.frame_ids[0]} differs: nothing is imagined there any more"
    return rehearsal.difference


def _without_depth(frames: Frames) -> Frames:
    """The colours of frames, as a picture that was given."""
    nowhere = torch.zeros_like(frames.valid)
    blank = torch.zeros_like(frames.depth)
    return dataclasses.replace(frames, depth=blank, valid=nowhere, confidence=blank)
