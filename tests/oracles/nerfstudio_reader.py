"""What nerfstudio makes of a dataset, as a file of arrays. Runs in an environment that has none of ours.

Usage: nerfstudio_reader.py DATASET OUT.npz DEPTH_UNIT
"""

import sys
from pathlib import Path

import numpy as np
import torch
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.data.utils.data_utils import get_depth_image_from_path, get_image_mask_tensor_from_path
from PIL import Image


def read(folder: Path, out: Path, depth_unit: float) -> None:
    """Cameras, pictures, depths, masks, and the ray of every pixel."""
    parsed = NerfstudioDataParserConfig(
        data=folder,
        orientation_method="none",
        center_method="none",
        auto_scale_poses=False,
        eval_mode="all",
        load_3D_points=False,  # by open3d, which is larger than all the rest
    ).setup()
    parsed = parsed.get_dataparser_outputs(split="train")
    cameras = parsed.cameras
    height, width = int(cameras.height[0]), int(cameras.width[0])
    rays = [cameras.generate_rays(camera_indices=i) for i in range(len(cameras))]
    arrays = {
        "names": np.array([path.name for path in parsed.image_filenames]),
        "rgb": np.stack([np.asarray(Image.open(path)) for path in parsed.image_filenames]),
        "depth": np.stack(
            [
                get_depth_image_from_path(path, height, width, depth_unit).numpy()
                for path in parsed.metadata["depth_filenames"]
            ]
        ),
        "origins": torch.stack([ray.origins for ray in rays]).numpy(),
        # Of a ray that reaches 1 ahead of the camera: z-depth times this is where the surface is.
        "directions": torch.stack([ray.directions * ray.metadata["directions_norm"] for ray in rays]).numpy(),
    }
    if parsed.mask_filenames:
        masks = [get_image_mask_tensor_from_path(path).numpy() for path in parsed.mask_filenames]
        arrays["masks"] = np.stack(masks)
    np.savez(out, **arrays)


if __name__ == "__main__":
    read(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
