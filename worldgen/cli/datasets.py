"""Datasets on the command line: what ``worldgen export --format`` does for folders."""

from __future__ import annotations

from pathlib import Path


def export_dataset(place: Path, dest: Path, kind: str) -> int:
    """Write the frames of the world at ``place`` as a dataset, and say what there is then."""
    from memory.restore import restored_cache
    from memory.world import World
    from reconstruct.datasets import check_dataset, depth_unit, only_lens, steps_a_unit, write_dataset
    from worldgen.cli.progress import bar

    check_dataset(kind, dest)
    with World.open(place) as world, bar(f"exporting {place.name}", total=2) as progress:
        cache = restored_cache(world)
        progress.step(f"{len(cache):,} points")
        count = write_dataset(world, cache.points, dest, kind=kind)
        progress.step(f"{count:,} frames")
        more = ""
        if kind == "nerfstudio":
            more = f"; a step of depth is {depth_unit(world.scene.scale):g} world units"
        if kind == "tum":
            lens = " ".join(f"{number:g}" for number in only_lens(world))
            steps = steps_a_unit(world.scene.scale)
            more = f"; worldgen import takes --intrinsics {lens} --depth-units {steps:g}"
    print(f"{dest}: {count:,} frames for {kind}{more}")  # noqa: T201
    return 0
