"""Pages on the command line: what ``worldgen export`` does for .html."""

from __future__ import annotations

from pathlib import Path

PAGE_ENDING = ".html"


def export_page(place: Path, dest: Path, *, max_splats: int | None) -> int:
    """Write the splats of the world at ``place`` as one page, and say what there is then."""
    import torch

    from memory.restore import restored_cache
    from memory.world import World
    from reconstruct.fitted import splats_of
    from reconstruct.formats.atomic import check_parent, replacing
    from viewer.conventions import poses_from_cameras
    from viewer.layers import MOST_SPLATS
    from viewer.page import page_of
    from worldgen.cli.progress import bar

    check_parent(dest)
    with World.open(place) as world, bar(f"exporting {place.name}", total=2) as progress:
        splats = splats_of(world, restored_cache(world).points)
        progress.step(f"{len(splats):,} splats")
        content, count = page_of(
            splats,
            start=poses_from_cameras(world.cameras(world.frame_ids()[:1]))[0],
            up=torch.tensor(world.scene.up),
            scale=world.scene.scale,
            title=place.resolve().name,
            most=MOST_SPLATS if max_splats is None else max_splats,
        )
        with replacing(dest) as temporary:
            temporary.write_bytes(content)
        progress.step(f"{count:,} splats")
    print(f"{dest}: {count:,} splats, {len(content) / 2**20:.1f} MiB; open it in a browser")  # noqa: T201
    return 0
