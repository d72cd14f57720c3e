"""Meshed: the frames of a world as one mesh, from settings: fused, tidied, with fewer faces or a texture.

Room: reconstruct; the command line and the viewer may import this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from reconstruct.closed import closed
from reconstruct.manifold import closed_decimated
from reconstruct.painted import check_size, painted
from reconstruct.surface import Surface, surface_of
from reconstruct.tidy import check_faces, decimated, without_islands
from reconstruct.tsdf import Fusion, fuse
from render.frames import Frames

TEXTURED_FACES, COLLIDER_FACES = 20_000, 5_000
"""Faces of a mesh with a texture and of one to bump into, where their number is not given."""

STEPS = 2
"""How often ``meshed`` tells how far it is."""

CLOSING = 0.6
"""Share of the memory that is kept for closing a mesh: the lattice of the solid beside that of the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshSettings:
    """What mesh is made of frames."""

    fusion: Fusion = dataclasses.field(default_factory=Fusion)

    faces: int | None = None
    """At most about so many; where not given all, or what is usual with a texture and for a collider."""

    texture: int | None = None
    """Colours in a picture with about so many texels a side; at the corners where not given. It has seams,
    where vertices at one place are several: a watertight mesh is so once they are merged."""

    collider: bool = False
    """Few faces and no colours, for physics."""

    watertight: bool = False
    """A closed solid: the wall behind what was seen, with holes spanned that no frame looks through."""

    def __post_init__(self) -> None:
        if self.faces is not None:
            check_faces(self.faces)
        if self.texture is not None:
            check_size(self.texture)
            if self.collider:
                raise ValueError("a collider has no colours; leave out the texture, or the collider")

    @property
    def most_faces(self) -> int | None:
        """How many faces the mesh has at most, about; ``None`` for as many as there are."""
        if self.faces is not None:
            return self.faces
        return COLLIDER_FACES if self.collider else None if self.texture is None else TEXTURED_FACES


@dataclass(frozen=True, slots=True, kw_only=True)
class Meshed:
    """A mesh, and how it was made."""

    surface: Surface
    """At least one face."""

    voxel: float
    """Distance between the lattice points that it was fused on, world units."""


def meshed(
    batches: Iterable[Frames], settings: MeshSettings, *, tell: Callable[[str], None] = lambda step: None
) -> Meshed:
    """Make one mesh of frames.

    Args:
        batches: gone through several times, one batch in memory at a time, as ``fuse`` does.
        settings: what mesh is wanted.
        tell: called ``STEPS`` times, with what was just done.

    Raises:
        ValueError: if there are no frames, or none that shows a surface, or if it does not fit into memory.
    """
    fusion, kept = settings.fusion, 0
    if settings.watertight:
        kept = int(CLOSING * fusion.memory_bytes)
        fusion = dataclasses.replace(fusion, memory_bytes=fusion.memory_bytes - kept)
    field = fuse(batches, fusion)
    tell(f"{len(field):,} blocks")
    surface = without_islands(surface_of(field))
    if not len(surface):
        raise ValueError(
            f"the frames show no surface that voxels of {field.voxel:.3g} can hold; "
            "grow the world on, or choose voxels of another size"
        )
    if settings.watertight:
        surface = closed(field, surface, batches, memory_bytes=kept)
    if settings.collider:
        surface = dataclasses.replace(surface, rgb=None)
    if settings.most_faces is not None:
        fewer = closed_decimated if settings.watertight else decimated
        surface = fewer(surface, settings.most_faces)
    if settings.texture is not None:
        surface = painted(surface, field, batches, size=settings.texture)
    tell("surface")
    return Meshed(surface=surface, voxel=field.voxel)
