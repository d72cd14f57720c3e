"""Write a world in every format there is, and let other programs' readers say what is in the files.

Run it as it is: ``python examples/07_export_everything.py [--faces N] [--texture N] [--out FOLDER]``. A world
is grown into ``FOLDER/world`` if there is none. GaussForge and pycolmap, which the extra "dev" installs, are
asked if they are there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import trimesh

import worldgen as wg
from worldgen.cli import main as worldgen_main

SPLATS = ("compressed.ply", "splat", "spz", "sog", "ksplat", "glb")
MESHES = ("mesh.glb", "mesh.obj", "mesh.ply")
DATASETS = ("nerfstudio", "colmap", "tum")

COLMAP = "import sys, pycolmap; print(len(pycolmap.Reconstruction(sys.argv[1]).images))"
"""In a process of its own: pycolmap does not stand every library beside it."""


def worldgen(*arguments: object) -> None:
    """Run one verb of the command line in this process, which saves two seconds a verb."""
    try:
        worldgen_main([str(argument) for argument in arguments])
    except SystemExit as done:
        if done.code:
            raise


def splats_in(file: Path) -> str:
    """Splats, as GaussForge counts them; it does not know glTF, where trimesh counts points."""
    if file.suffix == ".glb":
        return f"{sum(len(each.vertices) for each in trimesh.load_scene(file).dump()):,} splats (trimesh)"
    if find_spec("gaussforge") is None:
        return f"{len(wg.read_splats(file)):,} splats (worldgen)"
    forge = importlib.import_module("gaussforge").GaussForge()
    told = forge.get_model_info(file.read_bytes(), file.name.partition(".")[2])
    return f"{told['data']['basic']['numPoints']:,} splats (GaussForge)"


def faces_in(file: Path) -> str:
    """Triangles, as trimesh counts them, and whether they bound a solid."""
    found = trimesh.load_scene(file).dump()
    body = ", watertight" if all(each.is_watertight for each in found) else ""
    return f"{sum(len(each.faces) for each in found):,} faces (trimesh{body})"


def scripts_in(file: Path) -> str:
    """What a parser of HTML finds on the page: scripts, and none of them from elsewhere."""
    found: list[bool] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.extend(["src" in dict(attrs)] * (tag == "script"))
    parser.feed(file.read_text())
    return f"{len(found)} scripts, {sum(found)} from elsewhere (html.parser)"


def frames_in(folder: Path) -> str:
    """Frames of a dataset, as pycolmap, a reader of JSON or whoever counts lines finds them."""
    if (folder / "rgb.txt").is_file():
        lines = (folder / "rgb.txt").read_text().splitlines()
        return f"{sum(not line.startswith('#') for line in lines)} frames (lines)"
    if not (folder / "sparse").is_dir():
        return f"{len(json.loads((folder / 'transforms.json').read_text())['frames'])} frames (json)"
    if find_spec("pycolmap") is None:
        return f"{len(list((folder / 'images').iterdir()))} pictures (the folder)"
    words = [sys.executable, "-c", COLMAP, str(folder / "sparse" / "0")]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return f"{done.stdout.split()[-1]} frames (pycolmap)"


def exported(world: Path, out: Path, *, faces: int, texture: int) -> dict[str, Callable[[Path], str]]:
    """Write all files; their names, with what reads each."""
    first = out / "world.ply"
    worldgen("export", world, first)
    for ending in SPLATS:
        worldgen("convert", first, out / f"world.{ending}")
    worldgen("export", world, out / "world.html")
    for name in MESHES:
        worldgen("export", world, out / name, "--format", "mesh", "--faces", faces)
    worldgen("export", world, out / "textured.glb", "--faces", faces, "--texture", texture)
    worldgen("export", world, out / "collider.glb", "--collider", "--faces", faces // 4)
    worldgen("export", world, out / "solid.stl", "--watertight", "--faces", faces)
    for kind in DATASETS:
        shutil.rmtree(out / kind, ignore_errors=True)
        worldgen("export", world, out / kind, "--format", kind)
    readers = dict.fromkeys(("world.ply", *(f"world.{ending}" for ending in SPLATS)), splats_in)
    readers |= {"world.html": scripts_in}
    readers |= dict.fromkeys((*MESHES, "textured.glb", "collider.glb", "solid.stl"), faces_in)
    return readers | dict.fromkeys(DATASETS, frames_in)


def main() -> None:
    """Export, read back, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=20_000, help="of the meshes, at most about so many")
    parser.add_argument("--texture", type=int, default=1024, help="texels along a side")
    parser.add_argument("--out", type=Path, default=Path("demo/exports"), help="folder for everything")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    world = options.out / "world"
    if not world.exists():
        worldgen("grow", world, "--seed", 3, "--path", "orbit:degrees=90", "--frames", 12)
    readers = exported(world, options.out, faces=options.faces, texture=options.texture)
    told = {name: read(options.out / name) for name, read in readers.items()}
    print("\nfile                      KiB  what another reader finds")
    for name, found in told.items():
        place = options.out / name
        files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
        print(f"{name:20}  {sum(file.stat().st_size for file in files) / 1024:7,.0f}  {found}")


if __name__ == "__main__":
    main()
