"""``worldgen export``: a world as a file for other tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from reconstruct.meshed import MeshSettings

MESH_ENDINGS = (".glb", ".obj", ".stl")
"""File names that mean a mesh where nothing else is said."""


PATH_FPS = 24.0
"""Pictures a second that are written to a path; frames have no pace of their own."""


@dataclass(frozen=True)
class Export:
    """Write a world as a file for other tools; the suffix decides the format.

    Splats: .ply keeps everything and opens everywhere, .compressed.ply, .spz and .sog are small, .splat has
    plain colours, .ksplat is for three.js, .glb with --format splats is glTF (KHR_gaussian_splatting). .html
    is one page that shows them in any browser, offline.

    Meshes: .glb, .obj and .stl, or .ply with --format mesh: the frames are fused into one surface with
    colours. glTF, OBJ and STL stand upright (+y is up); PLY keeps the axes of the world, as splats do. STL
    has no colours.

    Datasets: with --format nerfstudio, colmap, colmap-text or tum the frames are written as a folder that
    trainers read.

    Path: with --format path the cameras of the frames are written as JSON, which --path takes.
    """

    world: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
    """Folder of the world."""

    dest: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DEST")]
    """File to write; a new folder for datasets."""

    format: Literal["splats", "mesh", "nerfstudio", "colmap", "colmap-text", "tum", "path"] | None = None
    """What to write where a suffix cannot tell."""

    max_splats: int | None = None
    """At most so many splats, neighbours merged to cover as much; all where not given."""

    voxel: float | None = None
    """Mesh: detail in world units; one and a half pixels at a typical distance where not given."""

    max_depth: float | None = None
    """Mesh: nothing further than this from a camera, world units; five typical distances where not given."""

    faces: int | None = None
    """Mesh: at most about so many faces; all where not given, 20,000 with a texture, 5,000 as a collider."""

    texture: int | None = None
    """Mesh: colours in a picture with so many texels a side, such as 2048, not at the corners (.glb)."""

    collider: bool = False
    """Mesh: a shape with few faces and no colours, for physics."""

    watertight: bool = False
    """Mesh: a closed solid for printers and boolean operations, the wall behind what was seen. Holes are
    spanned, except where a frame looks through."""

    memory_mib: int = 1024
    """Mesh: what fusing may take; voxels grow until they fit, if --voxel is not given."""

    def run(self) -> int:
        from worldgen.cli.datasets import export_dataset
        from worldgen.cli.inputs import check_dest
        from worldgen.cli.page import export_page, is_page

        check_dest(self.dest, world=self.world)
        kind = self.format or ("mesh" if self.dest.suffix.lower() in MESH_ENDINGS else "splats")
        if kind == "mesh":
            return self._run_mesh()
        of_meshes = (self.voxel, self.max_depth, self.faces, self.texture)
        if self.collider or self.watertight or any(option is not None for option in of_meshes):
            raise ValueError(
                "--voxel, --max-depth, --faces, --texture, --collider and --watertight are for meshes: "
                f"name a file that ends in {', '.join(MESH_ENDINGS)}, or add --format mesh"
            )
        if kind == "splats" and is_page(self.dest):
            return export_page(self.world, self.dest, max_splats=self.max_splats)
        if kind == "splats":
            self._check_ending()
            return self._run_splats()
        if self.max_splats is not None:
            raise ValueError(f"--max-splats is for splats; --format {kind} holds all frames")
        if kind == "path":
            return self._run_path()
        return export_dataset(self.world, self.dest, kind)

    def _check_ending(self) -> None:
        """Refuse a name that says nothing, with all that it could say."""
        from reconstruct.formats import WRITERS
        from worldgen.cli.page import PAGE_ENDING

        endings = (*WRITERS, PAGE_ENDING, *(() if self.format else MESH_ENDINGS))
        if not self.dest.name.lower().endswith(endings):
            raise ValueError(
                f"a world is written to a file that ends in {', '.join(sorted({*endings}))}, or as --format "
                f"says; {self.dest.name!r} ends in none of these"
            )

    def _run_splats(self) -> int:
        from memory.restore import restored_cache
        from memory.world import World
        from reconstruct.fitted import splats_of
        from reconstruct.formats import check_splat_file, export_splats
        from reconstruct.levels import thinned
        from worldgen.cli.progress import bar

        check_splat_file(self.dest)
        with World.open(self.world) as world, bar(f"exporting {self.world.name}", total=2) as progress:
            cache = restored_cache(world)
            progress.step(f"{len(cache):,} points")
            gaussians = splats_of(world, cache.points)
            if self.max_splats is not None:
                gaussians = thinned(gaussians, self.max_splats)
            export_splats(gaussians, self.dest)
            progress.step(f"{len(gaussians):,} splats")
        print(f"{self.dest}: {len(gaussians):,} splats")  # noqa: T201
        return 0

    def _run_path(self) -> int:
        from memory.world import World
        from reconstruct.formats.atomic import replacing
        from render.path_files import save_path

        with World.open(self.world) as world, replacing(self.dest) as temporary:
            cameras = world.cameras(world.walked_ids())
            save_path(temporary, cameras, fps=PATH_FPS)
        print(f"{self.dest}: {len(cameras)} cameras")  # noqa: T201
        return 0

    def _run_mesh(self) -> int:
        from memory.world import World
        from reconstruct.mesh_files import PLAIN_ENDINGS, write_mesh
        from reconstruct.meshed import STEPS, meshed
        from reconstruct.seen import SeenFrames
        from worldgen.cli.progress import bar

        settings = self._mesh_settings()
        with (
            World.open(self.world) as world,
            bar(f"exporting {self.world.name}", total=STEPS + 1) as progress,
        ):
            made = meshed(SeenFrames(world), settings, tell=progress.step)
            surface = made.surface
            write_mesh(surface, self.dest, up=world.scene.up)
            progress.step(f"{len(surface):,} faces")
            unit = "m" if world.scene.units == "metres" else "units"
        body = "watertight, " if self.watertight else ""
        is_plain = surface.rgb is None or self.dest.suffix.lower() in PLAIN_ENDINGS
        look = "no colours" if is_plain else "a texture" if surface.texture else "colours"
        print(  # noqa: T201
            f"{self.dest}: {len(surface):,} faces with {look}, {body}from voxels of {made.voxel:.3g} {unit}"
        )
        return 0

    def _mesh_settings(self) -> MeshSettings:
        """What mesh is asked for; what does not go together is refused before the work is done."""
        from reconstruct.mesh_files import check_mesh_file
        from reconstruct.meshed import MeshSettings
        from reconstruct.tsdf import Fusion

        check_mesh_file(self.dest)
        if self.max_splats is not None:
            raise ValueError("--max-splats is for splats; --faces limits a mesh")
        if self.texture is not None and self.collider:
            raise ValueError("a collider has no colours; leave --texture or --collider out")
        fusion = Fusion(
            voxel=self.voxel, max_depth=self.max_depth, memory_bytes=max(self.memory_mib, 0) << 20
        )
        settings = MeshSettings(
            fusion=fusion,
            faces=self.faces,
            texture=self.texture,
            collider=self.collider,
            watertight=self.watertight,
        )
        if self.texture is not None and self.dest.suffix.lower() != ".glb":
            raise ValueError(f"only .glb holds a mesh with its texture, and {self.dest.name} is none")
        return settings
