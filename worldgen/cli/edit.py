"""``worldgen edit``: put something into a world, or take something out of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from memory.boxes import Corner
    from memory.world import World


@dataclass(frozen=True)
class Place:
    """Stand a mesh in the world: glTF, OBJ, PLY or STL, +y up, facing +z.

    The file is not needed afterwards. What it hides stays hidden, whatever is imagined later.
    """

    mesh: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MESH")]
    """File that ends in .glb, .gltf, .obj, .ply or .stl."""

    at: Annotated[tuple[float, float, float], tyro.conf.arg(metavar="X Y Z")]
    """Where the centre of its bottom stands, in world units."""

    yaw_deg: float = 0.0
    """Turns it about the up direction, counter-clockwise as seen from above; at 0 it faces the world's -z."""

    scale: float = 1.0
    """World units in a unit of the mesh: above 1 makes it larger."""

    def run(self, place: Path) -> str:
        """Edit the world at ``place`` and say what was done."""
        from memory.world import World
        from reconstruct.meshes import read_mesh, stood
        from reconstruct.sampling import points_of_mesh, spacing_of

        mesh = read_mesh(self.mesh)
        with World.open(place, writable=True) as world:
            check_begun(world, place)
            up, scale = world.scene.up, world.scene.scale
            standing = stood(mesh, at=self.at, up=up, yaw_deg=self.yaw_deg, scale=self.scale)
            spacing = spacing_of(world.cameras(world.frame_ids()[-1:]), scale=scale)
            chunk, placed = world.place(
                points_of_mesh(standing, spacing=spacing),
                settings={
                    "mesh": self.mesh.name,
                    "at": list(self.at),
                    "yaw_deg": self.yaw_deg,
                    "scale": self.scale,
                },
            )
        return f"placed {len(placed):,} points of {self.mesh.name} as chunk {chunk.id}"


@dataclass(frozen=True)
class Remove:
    """Take everything inside a box out of the world; what grows there later is imagined anew."""

    box: Annotated[
        tuple[float, float, float, float, float, float], tyro.conf.arg(metavar="X0 Y0 Z0 X1 Y1 Z1")
    ]
    """Its low corner and its high one, in world units, along the world's axes."""

    def run(self, place: Path) -> str:
        """Edit the world at ``place`` and say what was done."""
        from memory.boxes import Box
        from memory.restore import restored_cache
        from memory.world import World
        from worldgen.rollout import nothing_in

        box = Box(low=_corner(self.box[:3]), high=_corner(self.box[3:]))
        with World.open(place, writable=True) as world:
            check_begun(world, place)
            removed = restored_cache(world).remove(box.low, box.high)
            if not removed:
                raise nothing_in(box)
            chunk = world.remove(box, settings={})
        return f"removed {removed:,} points as chunk {chunk.id}"


@dataclass(frozen=True)
class Edit:
    """Put a mesh into a world, or take what is inside a box out of it; undo takes either back.

    The axes of a world are those of its first camera, which looks along +z: x to its right, y down.
    A path that was interrupted can still be finished with extend --resume, and sees the edit.

    Examples:
        worldgen edit my-world place chair.glb --at 0.2 0.4 0.8 --yaw-deg 30 --scale 0.4
        worldgen edit my-world remove --box -0.5 -0.5 1.5 0.5 1 2.5
        worldgen undo my-world
    """

    world: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
    """Folder of the world."""

    change: tyro.conf.OmitSubcommandPrefixes[
        Annotated[Place, tyro.conf.subcommand("place")] | Annotated[Remove, tyro.conf.subcommand("remove")]
    ]

    def run(self) -> int:
        done = self.change.run(self.world)
        print(f"{self.world}: {done}; taken back with: worldgen undo {self.world}")  # noqa: T201
        return 0


def check_begun(world: World, place: Path) -> None:
    """Refuse a world without a frame: there is nothing yet that an edit could change."""
    from memory.world import WorldError

    if world.head is None:
        raise WorldError(f"{place} was interrupted before its first frame; delete it and grow it again")


def _corner(values: tuple[float, ...]) -> Corner:
    x, y, z = values
    return x, y, z
