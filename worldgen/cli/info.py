"""``worldgen info``: what is in a world."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from memory.world import Chunk, Edit, World

SHEET_COLUMNS = 8


@dataclass(frozen=True)
class Info:
    """Say what is in a world."""

    world: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
    """Folder of the world."""

    json: bool = False
    """Print JSON with stable names instead of text."""

    verify: bool = False
    """Check every file against its checksum; exit status 1 if one is damaged."""

    sheet: Path | None = None
    """Also write a contact sheet of all frames, colour over depth, as a PNG; views ahead come last."""

    def run(self) -> int:
        from memory.pictures import contact_sheet, write_png
        from memory.world import World
        from worldgen.cli.branches import drawing, lines_of_edits
        from worldgen.cli.inputs import check_dest

        if self.sheet is not None:
            check_dest(self.sheet, world=self.world, ending=".png")
        with World.open(self.world) as world:
            faults = world.verify() if self.verify else []
            facts = _facts(world, is_sound=not faults)
            drawn = drawing(*world.tree.whole())
            edits = lines_of_edits(world.chunks())
            if self.verify:
                facts["faults"] = faults
            if self.sheet is not None and not faults:
                frames = world.frames(_walked_first(world))
                write_png(self.sheet, contact_sheet(frames, columns=SHEET_COLUMNS))
                facts["sheet"] = str(self.sheet)
        if self.json:
            print(json.dumps(facts, indent=2))  # noqa: T201
        else:
            del facts["heads"]
            facts["tree"], facts["edits"] = drawn, edits
            if not edits:
                del facts["edits"]
            for name, value in facts.items():
                text = "\n              ".join(value) if name in ("tree", "edits") else value
                print(f"{name.replace('_', ' '):>12}  {text}")  # noqa: T201
        return 1 if faults else 0


def _walked_first(world: World) -> list[int]:
    """Numbers of the frames at the head: as they were walked through, and then the views ahead."""
    walked = world.walked_ids()
    return walked + sorted(set(world.frame_ids()) - set(walked))


def _facts(world: World, *, is_sound: bool) -> dict[str, Any]:
    """What there is to say; points are counted by rebuilding the cache, which needs sound frames."""
    from memory.restore import restored_cache

    ids, pending = world.frame_ids(), world.pending()
    facts: dict[str, Any] = {
        "world": str(world.path),
        "frames": len(ids),
        "ahead": len(ids) - len(world.walked_ids()),
        "chunks": len(world.chunks()),
        "points": int((restored_cache(world).points.confidence > 0).sum()) if ids and is_sound else None,
        "units": world.scene.units,
        "scale": world.scene.scale,
        "pending": 0 if pending is None else len(pending.cameras) - pending.done,
        "bytes": world.bytes_on_disk(),
        "head": world.tree.current.name,
        **_branches(world),
        "edits": [_edit(chunk, chunk.edit) for chunk in world.chunks() if chunk.edit is not None],
    }
    if ids:
        cameras = world.cameras(ids[:1])
        facts["size"] = [cameras.width, cameras.height]
        facts["generators"] = sorted({chunk.generator for chunk in world.chunks() if chunk.edit is None})
    return facts


def _edit(chunk: Chunk, edit: Edit) -> dict[str, Any]:
    return {
        "chunk": chunk.id,
        "time": edit.time,
        "kind": edit.kind,
        "box": [list(edit.box.low), list(edit.box.high)],
        "points": edit.points,
        "settings": chunk.settings,
    }


def _branches(world: World) -> dict[str, Any]:
    """Heads and the whole tree of chunks, as they stand at one moment."""
    chunks, heads = world.tree.whole()
    names = {chunk.id: [head.name for head in heads if head.chunk == chunk.id] for chunk in chunks}
    current = next(head for head in heads if head.is_current)
    return {
        "heads": [
            {"name": head.name, "chunk": head.chunk, "tip": head.tip, "current": head.is_current}
            for head in heads
        ],
        "tree": [
            {
                "id": chunk.id,
                "parent": chunk.parent,
                "frames": list(chunk.frame_ids),
                "given": chunk.given,
                "edit": None if chunk.edit is None else chunk.edit.kind,
                "heads": names[chunk.id],
                "current": chunk.id == current.chunk,
            }
            for chunk in chunks
        ],
    }
