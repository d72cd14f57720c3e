"""Pages on the command line: what ``worldgen export`` and ``worldgen convert`` do for .html."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from render.cameras import Cameras
    from render.gaussians import Gaussians

PAGE_ENDING = ".html"


def is_page(dest: Path) -> bool:
    """Whether a file is to be a page."""
    return dest.suffix.lower() == PAGE_ENDING


def export_page(place: Path, dest: Path, *, max_splats: int | None) -> int:
    """Write the splats of the world at ``place`` as one page, and say what there is then."""
    from memory.restore import restored_cache
    from memory.world import World
    from reconstruct.fitted import splats_of
    from worldgen.cli.progress import bar

    with World.open(place) as world, bar(f"exporting {place.name}", total=2) as progress:
        splats = splats_of(world, restored_cache(world).points)
        progress.step(f"{len(splats):,} splats")
        start, scene = world.cameras(world.frame_ids()[:1]), world.scene
        told = _written(splats, dest, start, scene.up, scene.scale, place.resolve().name, max_splats)
        progress.step()
    print(told)  # noqa: T201
    return 0


def convert_page(splats: Gaussians, dest: Path, *, title: str, max_splats: int | None) -> int:
    """Write splats of which nothing else is known as one page: its reader stands before their middle."""
    from reconstruct.shots import ring_around
    from render.paths import WORLD_UP

    start = ring_around(splats, n=1, size=512)
    middle = splats.means.detach().median(dim=0).values
    scale = float((start.origins[0] - middle).norm())
    up = (float(WORLD_UP[0]), float(WORLD_UP[1]), float(WORLD_UP[2]))
    print(_written(splats, dest, start, up, scale, title, max_splats))  # noqa: T201
    return 0


def _written(
    splats: Gaussians,
    dest: Path,
    start: Cameras,
    up: tuple[float, float, float],
    scale: float,
    title: str,
    max_splats: int | None,
) -> str:
    """Write the page, and say what there is then."""
    import torch

    from reconstruct.formats.atomic import replacing
    from viewer.conventions import poses_from_cameras
    from viewer.layers import MOST_SPLATS
    from viewer.page import page_of

    content, count = page_of(
        splats,
        start=poses_from_cameras(start)[0],
        up=torch.tensor(up),
        scale=scale,
        title=title,
        most=MOST_SPLATS if max_splats is None else max_splats,
    )
    with replacing(dest) as temporary:
        temporary.write_bytes(content)
    return f"{dest}: {count:,} splats, {len(content) / 2**20:.1f} MiB; open it in a browser"
