"""The same views of a room as folders in every layout of posed pictures with depth, written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from render.cameras import Cameras
from render.frames import Frames
from tests.oracles.box_room import raycast, room_mesh

WIDTH, HEIGHT, COUNT = 64, 48, 6
K = (52.0, 47.0, 29.3, 26.1)
"""fx, fy, cx, cy; centres of pixels at halves."""


def room_views() -> Frames:
    """A short walk through the painted room, nothing level; two pixels of each depth are not measured."""
    c2w = torch.eye(4).repeat(COUNT, 1, 1)
    for i in range(COUNT):
        turn = Rotation.from_euler("YXZ", (0.2 + 0.04 * i, -0.1 + 0.02 * i, 0.05)).as_matrix()
        c2w[i, :3, :3] = torch.from_numpy(turn)
        c2w[i, :3, 3] = torch.tensor([-0.6 + 0.1 * i, 0.2 - 0.03 * i, -1.1 + 0.05 * i])
    lens = torch.tensor([[K[0], 0.0, K[2]], [0.0, K[1], K[3]], [0.0, 0.0, 1.0]])
    cameras = Cameras(c2w=c2w, K=lens.repeat(COUNT, 1, 1), width=WIDTH, height=HEIGHT)
    frames = raycast(room_mesh(), cameras).frames
    frames.valid[:, 20, 30:32] = False
    return Frames(
        rgb=frames.rgb,
        depth=frames.depth.masked_fill(~frames.valid, 0.0),
        valid=frames.valid,
        confidence=frames.valid.float(),
        cameras=cameras,
    )


def write_pictures(
    folder: Path, frames: Frames, at: int, *, rgb: str, depth: str, steps: float, blank: int = 0
) -> None:
    """A colour PNG, and a depth PNG with so many steps in a unit."""
    for name in (rgb, depth):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((frames.rgb[at] * 255).round().byte().numpy()).save(folder / rgb)
    values = (frames.depth[at, ..., 0].double() * steps).round().numpy().astype(np.uint16)
    values[~frames.valid[at, ..., 0].numpy()] = blank
    Image.fromarray(values).save(folder / depth)


def sequence_json(folder: Path, frames: Frames) -> None:
    said = []
    for i in range(len(frames)):
        names = {"color": f"color/{i}.png", "depth": f"depth/{i}.png"}
        write_pictures(folder, frames, i, rgb=names["color"], depth=names["depth"], steps=2000.0)
        said.append({"id": str(i), **names, "c2w": frames.cameras.c2w[i].tolist()})
    lens = [[K[0], 0.0, K[2] - 0.5], [0.0, K[1], K[3] - 0.5], [0.0, 0.0, 1.0]]
    head = {"width": WIDTH, "height": HEIGHT, "depth_scale": 2000.0, "K": lens}
    (folder / "sequence.json").write_text(json.dumps(head | {"frames": said}))


def nerfstudio(folder: Path, frames: Frames) -> None:
    said = []
    for i in range(len(frames)):
        names = {"file_path": f"images/{i}.png", "depth_file_path": f"depth/{i}.png"}
        write_pictures(
            folder, frames, i, rgb=names["file_path"], depth=names["depth_file_path"], steps=1000.0
        )
        c2w = frames.cameras.c2w[i].double().numpy() @ np.diag([1.0, -1.0, -1.0, 1.0])
        said.append(names | {"transform_matrix": c2w.tolist()})
    lens = dict(zip(("fl_x", "fl_y", "cx", "cy"), K, strict=True))
    head = {"camera_model": "PINHOLE", "w": WIDTH, "h": HEIGHT, **lens}
    (folder / "transforms.json").write_text(json.dumps(head | {"frames": said}))


def tum(folder: Path, frames: Frames) -> None:
    """Depth comes a little after colour, poses three times as often as either, in no order."""
    lists: dict[str, list[str]] = {"rgb": ["# color images", "# timestamp filename"], "depth": []}
    poses = []
    for i in range(len(frames)):
        second = 1305031102.175304 + i / 30
        names = {"rgb": f"rgb/{second:.6f}.png", "depth": f"depth/{second + 0.009:.6f}.png"}
        write_pictures(folder, frames, i, rgb=names["rgb"], depth=names["depth"], steps=5000.0)
        lists["rgb"].append(f"{second:.6f} {names['rgb']}")
        lists["depth"].append(f"{second + 0.009:.6f} {names['depth']}")
        c2w = frames.cameras.c2w[i].double().numpy()
        quat = Rotation.from_matrix(c2w[:3, :3]).as_quat()
        said = " ".join(f"{x:.9f}" for x in (*c2w[:3, 3], *quat))
        poses += [f"{second - 0.003:.4f} {said}", f"{second + 0.01:.4f} 9 9 9 0 0 0 1"]
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (folder / "groundtruth.txt").write_text("\n".join(["# ground truth", *poses[::-1]]) + "\n")


def seven_scenes(folder: Path, frames: Frames) -> None:
    for i in range(len(frames)):
        stem = f"frame-{i:06d}"
        write_pictures(
            folder,
            frames,
            i,
            rgb=f"{stem}.color.png",
            depth=f"{stem}.depth.png",
            steps=1000.0,
            blank=65_535,
        )
        rows = ["\t ".join(f"{x:.9e}" for x in row) + "\t" for row in frames.cameras.c2w[i].tolist()]
        (folder / f"{stem}.pose.txt").write_text("\r\n".join(rows) + "\r\n")


LAYOUTS: dict[str, Callable[[Path, Frames], None]] = {
    "sequence": sequence_json,
    "nerfstudio": nerfstudio,
    "tum": tum,
    "7-scenes": seven_scenes,
}
"""Names to what writes a folder."""
