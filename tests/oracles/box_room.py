"""A painted room with a crate in it, seen by casting rays with embree.

Nothing here uses the camera arithmetic of ``render``: rays are built from ``c2w`` and ``K`` in numpy,
and trimesh finds where they end. Paint is a function of the point hit, so that colour is exact.
"""

from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from render.cameras import Cameras
from render.frames import Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxRoom:
    """What the cameras see, and what they look at."""

    mesh: trimesh.Trimesh
    frames: Frames

    points: Float[Tensor, "n h w 3"]
    """World points that the pixels show."""

    normals: Float[Tensor, "n h w 3"]
    """Unit surface normals, towards the camera."""

    @property
    def cameras(self) -> Cameras:
        return self.frames.cameras


def room_mesh() -> trimesh.Trimesh:
    """A room of 4 by 3 by 5 and a turned crate in one corner of it."""
    crate = trimesh.creation.box(extents=(0.9, 0.7, 0.8))
    crate.apply_transform(trimesh.transformations.rotation_matrix(0.4, (0, 1, 0), (0, 0, 0)))
    crate.apply_translation((0.7, 0.9, 1.3))
    return trimesh.util.concatenate([trimesh.creation.box(extents=(4.0, 3.0, 5.0)), crate])


def room_cameras(dtype: torch.dtype = torch.float32) -> Cameras:
    """Three cameras in the room: fx is not fy, the centre is off, nothing is square or level."""
    angles = [(0.31, -0.12, 0.05), (0.55, 0.07, -0.04), (-0.23, 0.15, 0.11)]
    origins = [(-0.6, 0.2, -1.1), (-0.9, -0.3, -0.4), (0.5, 0.1, -1.6)]
    c2w = torch.eye(4, dtype=dtype).repeat(3, 1, 1)
    c2w[:, :3, :3] = torch.from_numpy(Rotation.from_euler("YXZ", angles).as_matrix())
    c2w[:, :3, 3] = torch.tensor(origins)
    K = torch.tensor([[52.0, 0.0, 27.3], [0.0, 47.0, 24.1], [0.0, 0.0, 1.0]], dtype=dtype).repeat(3, 1, 1)
    K[1, 0, 0], K[2, 1, 2] = 61.0, 19.6
    return Cameras(c2w=c2w, K=K, width=60, height=44)


def paint(points: np.ndarray) -> np.ndarray:
    """Colour in [0, 1] of points on the walls."""
    waves = np.sin(points * (3.1, 4.3, 2.7) + (0.3, 1.1, 2.0))
    return 0.5 + 0.3 * waves + 0.15 * np.roll(waves, 1, axis=-1)


def raycast(mesh: trimesh.Trimesh, cameras: Cameras) -> BoxRoom:
    """See ``mesh`` through ``cameras``; ``valid`` is where a ray ends."""
    c2w, K = cameras.c2w.double().numpy(), cameras.K.double().numpy()
    rows, columns = np.meshgrid(np.arange(cameras.height), np.arange(cameras.width), indexing="ij")
    views = [_cast(mesh, c2w[i], K[i], rows.ravel(), columns.ravel()) for i in range(len(cameras))]
    shape = len(cameras), cameras.height, cameras.width
    hit, depth, points, normals = (np.stack(part).reshape(*shape, -1) for part in zip(*views, strict=True))
    frames = Frames(
        rgb=torch.from_numpy(paint(points)).float(),
        depth=torch.from_numpy(depth).float(),
        valid=torch.from_numpy(hit),
        confidence=torch.from_numpy(hit).float(),
        cameras=cameras,
    )
    return BoxRoom(
        mesh=mesh,
        frames=frames,
        points=torch.from_numpy(points).float(),
        normals=torch.from_numpy(normals).float(),
    )


def _cast(mesh: trimesh.Trimesh, c2w: np.ndarray, K: np.ndarray, rows: np.ndarray, columns: np.ndarray):
    """Hit, z-depth, point and normal of every pixel of one camera."""
    x = (columns + 0.5 - K[0, 2]) / K[0, 0]
    y = (rows + 0.5 - K[1, 2]) / K[1, 1]
    directions = np.stack([x, y, np.ones_like(x)], axis=-1) @ c2w[:3, :3].T
    origins = np.broadcast_to(c2w[:3, 3], directions.shape)
    found, ray, triangle = mesh.ray.intersects_location(origins, directions, multiple_hits=False)
    hit, points, normals = np.zeros(len(x), bool), np.zeros((len(x), 3)), np.zeros((len(x), 3))
    hit[ray], points[ray], normals[ray] = True, found, mesh.face_normals[triangle]
    depth = np.where(hit, (points - c2w[:3, 3]) @ c2w[:3, 2], 0.0)
    normals *= -np.sign((normals * directions).sum(axis=-1, keepdims=True))
    return hit, depth, points, normals
