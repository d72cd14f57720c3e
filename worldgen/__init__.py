"""worldgen: grow 3D worlds one can walk through.

Room: worldgen. ``import worldgen`` re-exports what scripts need, lazily, so that scripts never import
the generic names ``memory``, ``render`` and ``viewer`` themselves, and ``worldgen --help`` is instant.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOMS = ("render", "memory", "worldgen", "reconstruct", "viewer")

_HOMES = {
    "Cameras": "render.cameras",
    "Ease": "render.timing",
    "Frames": "render.frames",
    "Gaussians": "render.gaussians",
    "Generator": "worldgen.generator",
    "Growth": "worldgen.rollout",
    "Key": "render.tours",
    "Known": "worldgen.conditions",
    "RGBDGenerator": "worldgen.generator",
    "SceneInfo": "memory.world",
    "SceneUnits": "worldgen.conditions",
    "Setting": "render.tours",
    "Shape": "render.splines",
    "Tour": "render.tours",
    "World": "memory.world",
    "WorldCache": "memory.cache",
    "WorldError": "memory.world",
    "arc": "render.paths",
    "concatenated": "render.frames",
    "contact_sheet": "memory.pictures",
    "dolly": "render.paths",
    "export_splats": "reconstruct",
    "gaussians_from_points": "reconstruct",
    "inspected": "render.inspections",
    "intrinsics_from_fov": "render.cameras",
    "load_path": "render.path_files",
    "load_tour": "render.tour_files",
    "looking_at": "render.gazes",
    "loop": "render.paths",
    "median_depth": "render.frames",
    "metric_scale": "worldgen.alignment.sequence",
    "orbit": "render.paths",
    "path_named": "render.paths",
    "plan_of": "render.plans",
    "points_of_mesh": "reconstruct.sampling",
    "psnr": "render.metrics",
    "random_scene": "worldgen.worlds",
    "random_walk_cameras": "worldgen.worlds",
    "read_mesh": "reconstruct.meshes",
    "read_splats": "reconstruct",
    "restored_cache": "memory.restore",
    "save_path": "render.path_files",
    "save_tour": "render.tour_files",
    "scaled": "worldgen.alignment.sequence",
    "setting_in": "memory.settings",
    "smooth": "render.splines",
    "spacing_of": "reconstruct.sampling",
    "spiral": "render.paths",
    "start": "worldgen.rollout",
    "stood": "reconstruct.meshes",
    "take_in": "worldgen.alignment.given",
    "there_and_back": "render.paths",
    "turn": "render.paths",
    "unproject": "render.cameras",
    "walk": "render.paths",
    "with_sky": "worldgen.alignment.sequence",
    "write_png": "memory.pictures",
}

__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'worldgen' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__


def _check_rooms() -> None:
    """Our packages have generic names: say so at once if another file answers to one of them."""
    home = Path(__file__).resolve().parent.parent
    for room in ROOMS:
        spec = find_spec(room)
        origin = None if spec is None or spec.origin is None else Path(spec.origin).resolve()
        if origin is None or origin.parent.parent != home:
            raise ImportError(
                f"worldgen needs its own package {room!r} beside it in {home}, but Python finds "
                f"{origin or 'nothing'}; rename or remove what shadows it"
            )


_check_rooms()
