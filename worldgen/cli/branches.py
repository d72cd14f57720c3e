"""Branches on the terminal: where the head is, the list of heads, and the tree as a drawing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memory.world import Chunk, Head, Tree, World


def counted(number: int, thing: str) -> str:
    """So many things, in words."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def moved_head(place: Path, move: Callable[[Tree], object]) -> int:
    """Move the head of the world at ``place``, and say where it is now and what can still be taken back."""
    from memory.world import World

    with World.open(place, writable=True) as world:
        move(world.tree)
        tell_head(world, place)
    return 0


def tell_head(world: World, place: Path) -> None:
    """Say where the head of the world at ``place`` is now, and what can still be taken back."""
    head = world.tree.current
    ahead = len(world.tree.ahead(head))
    more = f"; {counted(ahead, 'undone chunk')}, taken back with: worldgen redo {place}" if ahead else ""
    print(f"{head.name} is at chunk {head.chunk}, {counted(len(world.frame_ids()), 'frame')}{more}")  # noqa: T201


def lines_of_heads(world: World, place: Path) -> list[str]:
    """A line a head, the current one marked, and a line for every end that no head reaches."""
    chunks, heads = world.tree.whole()
    parents = {chunk.id: chunk for chunk in chunks}
    width = max(len(head.name) for head in heads)
    lines = []
    for head in heads:
        mark = "*" if head.is_current else " "
        lines.append(f"{mark} {head.name:<{width}}  {_extent(head.chunk, parents)}")
        if head.tip is not None:
            lines[-1] += f", undone from chunk {head.tip}"
    for end in abandoned_ends(chunks, heads):
        back = f"worldgen heads {place} --new NAME --at {end}"
        lines.append(f"  {'-':<{width}}  {_extent(end, parents)}, abandoned; bring it back with: {back}")
    return lines


def abandoned_ends(chunks: list[Chunk], heads: list[Head]) -> list[int]:
    """The chunks without children that no head reaches, and that no head can be taken forward to."""
    inner = {chunk.parent for chunk in chunks}
    kept = {end for head in heads for end in (head.chunk, head.tip)}
    return [chunk.id for chunk in chunks if chunk.id not in inner and chunk.id not in kept]


def _extent(end: int | None, chunks: dict[int, Chunk]) -> str:
    if end is None:
        return "empty"
    frames, number = 0, end
    while number is not None:
        frames += len(chunks[number].frame_ids)
        number = chunks[number].parent
    return f"chunk {end}, {counted(frames, 'frame')}"


def drawing(chunks: list[Chunk], heads: list[Head]) -> list[str]:
    """The tree of chunks, a line for every run of chunks between two forks or heads."""
    children: dict[int | None, list[Chunk]] = {}
    for chunk in chunks:
        children.setdefault(chunk.parent, []).append(chunk)
    names: dict[int | None, list[str]] = {}
    for head in heads:
        names.setdefault(head.chunk, []).append(f"{head.name} *" if head.is_current else head.name)
    lines, ahead = [], [(chunk, "", "") for chunk in reversed(children.get(None, []))]
    while ahead:
        chunk, elbow, indent = ahead.pop()
        run = [chunk]
        while len(children.get(run[-1].id, [])) == 1 and run[-1].id not in names:
            run.append(children[run[-1].id][0])
        lines.append(f"{elbow}{_run(run)}{_label(names.get(run[-1].id, []))}")
        following = children.get(run[-1].id, [])
        for i, child in reversed(list(enumerate(following))):
            is_last = i == len(following) - 1
            if len(following) == 1:
                ahead.append((child, indent, indent))
            else:
                ahead.append(
                    (child, indent + ("└ " if is_last else "├ "), indent + ("  " if is_last else "│ "))
                )
    return lines


def _run(run: list[Chunk]) -> str:
    frames = sum(len(chunk.frame_ids) for chunk in run)
    given = sum(len(chunk.frame_ids) for chunk in run if chunk.given)
    which = f"chunk {run[0].id}" if len(run) == 1 else f"chunks {run[0].id} to {run[-1].id}"
    edits = sum(chunk.edit is not None for chunk in run)
    changed = f", {counted(edits, 'edit')}" if edits else ""
    return f"{which}, {counted(frames, 'frame')}" + (f" ({given} given)" if given else "") + changed


def lines_of_edits(chunks: list[Chunk]) -> list[str]:
    """A line for every edit: where it stands among the chunks, and what it did."""
    lines = []
    for chunk in chunks:
        if chunk.edit is not None:
            low, high = (
                " ".join(f"{x:.3g}" for x in end) for end in (chunk.edit.box.low, chunk.edit.box.high)
            )
            what = f"{chunk.edit.points:,} points of {_name(chunk)}" if chunk.edit.points else "everything"
            did = "placed" if chunk.edit.points else "removed"
            lines.append(f"chunk {chunk.id}: {did} {what} in the box {low} to {high}")
    return lines


def _name(chunk: Chunk) -> str:
    name = chunk.settings.get("mesh")
    return name if isinstance(name, str) and name.isprintable() else "a mesh"


def _label(names: list[str]) -> str:
    return f"  <- {', '.join(names)}" if names else ""
