"""COLMAP path: the cameras of a sparse model as a camera path, in the order of the names of its photographs.

Room: reconstruct; the command line may import this. Files are not trusted.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from reconstruct.formats.colmap import Lens, Photograph, model_in, read_photographs
from render.cameras import Cameras, checked
from render.path_files import MAX_CAMERAS

FILES = ("images.txt", "images.bin")
"""Those of a model that stand for it as a path."""


def is_colmap(path: Path) -> bool:
    """Whether this is a sparse model, a capture that holds one, or the file of one that has the poses."""
    return model_in(path) is not None if path.is_dir() else path.name in FILES and path.is_file()


def load_colmap_path(path: Path) -> Cameras:
    """Read the path of a model; poses stay in the world and the units of the files.

    All cameras have the picture size of the first photograph, and lenses that bend nothing and are centred.

    Raises:
        ValueError: one sentence about the first thing that is wrong with the files.
    """
    folder = model_in(path) if path.is_dir() else path.parent
    if folder is None:
        raise ValueError(f"{path} is no usable camera path: it holds no COLMAP model")
    photographs = sorted(read_photographs(folder), key=_in_order)
    try:
        if not 1 <= len(photographs) <= MAX_CAMERAS:
            raise ValueError(f"it should have 1 to {MAX_CAMERAS} photographs, got {len(photographs)}")
        return checked(_cameras(photographs))
    except ValueError as error:
        raise ValueError(f"{folder} is no usable camera path: {error}") from None


def _cameras(photographs: list[Photograph]) -> Cameras:
    width, height = photographs[0].lens.width, photographs[0].lens.height
    w2c = torch.from_numpy(np.stack([photograph.w2c for photograph in photographs]))
    c2w = torch.zeros_like(w2c)
    c2w[:, :3, :3] = w2c[:, :3, :3].mT
    c2w[:, :3, 3:] = -c2w[:, :3, :3] @ w2c[:, :3, 3:]
    c2w[:, 3, 3] = 1.0
    K = torch.stack([_centred(photograph.lens, width=width, height=height) for photograph in photographs])
    return Cameras(c2w=c2w.float(), K=K, width=width, height=height)


def _centred(lens: Lens, *, width: int, height: int) -> torch.Tensor:
    """Every camera model of COLMAP begins with a focal length in pixels."""
    focal = lens.params[0] * width / lens.width
    return torch.tensor([[focal, 0.0, 0.5 * width], [0.0, focal, 0.5 * height], [0.0, 0.0, 1.0]])


def _in_order(photograph: Photograph) -> list[tuple[int, str]]:
    """Names by what they say, numbers in them by how large they are: 9.png comes before 10.png."""
    return [
        (int(word), "") if word.isdecimal() and word.isascii() else (-1, word)
        for word in re.split(r"([0-9]+)", photograph.name)
    ]
