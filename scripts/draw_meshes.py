"""Draws docs/images/meshes.webp: a frame of a walk, and meshes of the walk from there and from outside.

Run from the root of the repository with the development tools: ``python -m scripts.draw_meshes``.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from PIL import Image

from benchmarks.meshes import walk
from reconstruct.closed import closed
from reconstruct.painted import painted
from reconstruct.surface import Surface, surface_of
from reconstruct.tidy import decimated, without_islands
from reconstruct.tsdf import Fusion, fuse
from render.cameras import Cameras, intrinsics_from_fov, rays_cam, resized

SIDE = 320
OUT = Path("docs/images/meshes.webp")
LAYERS = 40
"""Surfaces that are looked through from behind, at most."""


def drawn(surface: Surface, camera: Cameras, *, shaded: bool) -> Float[np.ndarray, "h w 3"]:
    """A surface as a viewer shows it that draws no backs: its colours, or grey by how it is turned."""
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    rays = (rays_cam(camera) @ camera.c2w[:, None, :3, :3].mT)[0].double().reshape(-1, 3).numpy()
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    starts = np.tile(camera.origins[0].double().numpy(), (len(rays), 1))
    image, left = np.ones((len(rays), 3)), np.arange(len(rays))
    for _ in range(LAYERS):
        places, which, faces = mesh.ray.intersects_location(starts[left], rays[left], multiple_hits=False)
        if not len(which):
            break
        hit = left[which]
        facing = -(mesh.face_normals[faces] * rays[hit]).sum(axis=1)
        front = facing > 0
        shares = trimesh.triangles.points_to_barycentric(mesh.triangles[faces[front]], places[front])
        grey = np.repeat(0.3 + 0.6 * facing[front, None], 3, axis=1)
        image[hit[front]] = grey if shaded else coloured(surface, faces[front], shares)
        left = hit[~front]
        starts[left] = places[~front] + 1e-4 * rays[left]
    return image.reshape(camera.height, camera.width, 3)


def coloured(surface: Surface, faces: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Colours at places on faces."""
    corners = surface.faces[faces]
    if surface.texture is None:
        assert surface.rgb is not None
        return (surface.rgb[corners] * shares[:, :, None]).sum(axis=1)
    image = surface.texture.image
    size = np.array([image.shape[1], image.shape[0]])
    uv = (surface.texture.uv[corners] * shares[:, :, None]).sum(axis=1)
    columns, rows = (uv * size).astype(int).clip(0, size - 1).T
    return image[rows, columns] / 255.0


def from_above(surface: Surface) -> Cameras:
    """A camera outside that looks down into what was meshed; the world's +y is down."""
    low, high = np.quantile(surface.vertices, (0.02, 0.98), axis=0)
    middle, reach = (low + high) / 2, np.linalg.norm(high - low)
    origin = middle + reach * np.array([0.45, -0.75, -0.65])
    forward = (middle - origin) / np.linalg.norm(middle - origin)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    c2w = torch.eye(4)[None]
    c2w[0, :3, :3] = torch.from_numpy(np.stack([right, np.cross(forward, right), forward], axis=1))
    c2w[0, :3, 3] = torch.from_numpy(origin)
    return Cameras(c2w=c2w, K=intrinsics_from_fov(0.9, width=SIDE, height=SIDE), width=SIDE, height=SIDE)


def main() -> None:
    """Mesh a walk in four ways and draw them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=903)
    parser.add_argument("--frame", type=int, default=10)
    options = parser.parse_args()
    _, frames = walk(options.seed)
    field = fuse([frames], Fusion())
    full = without_islands(surface_of(field))
    textured = painted(decimated(full, 20_000), field, [frames], size=1024)
    solid = closed(field, full, [frames], memory_bytes=1 << 30)
    collider = decimated(dataclasses.replace(full, rgb=None), 5_000)
    inside = resized(frames.cameras[[options.frame]], width=SIDE, height=SIDE)
    outside = from_above(full)
    shown = Image.fromarray((255 * frames.rgb[options.frame].numpy()).astype(np.uint8))
    panels = [
        np.asarray(shown.resize((SIDE, SIDE), Image.Resampling.NEAREST)) / 255.0,
        drawn(full, inside, shaded=False),
        drawn(full, inside, shaded=True),
        drawn(textured, inside, shaded=False),
        drawn(solid, inside, shaded=False),
        drawn(textured, outside, shaded=False),
        drawn(solid, outside, shaded=False),
        drawn(collider, outside, shaded=True),
    ]
    rows = [np.concatenate(panels[i : i + 4], axis=1) for i in (0, 4)]
    sheet = np.rint(255.0 * np.concatenate(rows).clip(0.0, 1.0)).astype(np.uint8)
    Image.fromarray(sheet).save(OUT, quality=80, method=6)


if __name__ == "__main__":
    main()
