""".splat: 32 bytes a splat and no header, as antimatter15's viewer reads them.

Room: reconstruct; the viewer and the command line may import this. Position and standard deviations in
float32, base colour and opacity in 8 bits, rotation wxyz in 8 bits a number. World axes and units are kept
as they are. The largest and most opaque splats come first, because viewers draw while they load.

Precision: positions exact, standard deviations to the last digit of float32, colours within [0, 1] to
1/510, opacities to 1/255, rotations to 1 degree. View-dependent colour is not kept.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from reconstruct.formats.atomic import replacing
from reconstruct.formats.quantised import bytes_of, log_scales_of, logits_of_bytes, opacity_bytes, scales_of
from reconstruct.formats.soundness import check_count, check_writable, opened, sound, warn_of_trailing
from render.gaussians import Gaussians, sh_from_rgb
from render.json_files import MAX_NUMBER

RECORD = np.dtype(
    [("mean", "<f4", 3), ("scale", "<f4", 3), ("rgb", "u1", 3), ("opacity", "u1"), ("quat", "u1", 4)]
)


def write_splat(gaussians: Gaussians, path: Path) -> None:
    """Write splats to ``path``, whole or not at all, the most visible first.

    Raises:
        ValueError: if there are no splats, a number is NaN or infinite, or a rotation has length zero.
    """
    check_writable(gaussians)
    scales = scales_of(gaussians.log_scales.detach().cpu().numpy())
    logits = gaussians.logit_opacities.detach().cpu().numpy()
    visible = np.log(scales).sum(axis=1) - np.logaddexp(0.0, -logits.astype(np.float64))
    quats = torch.nn.functional.normalize(gaussians.quats.detach().cpu().double(), dim=1)
    records = np.empty(len(gaussians), RECORD)
    records["mean"] = gaussians.means.detach().cpu().numpy()
    records["scale"] = scales
    records["rgb"] = bytes_of(gaussians.base_rgb.detach().cpu().double().numpy() * 255.0)
    records["opacity"] = opacity_bytes(logits)
    records["quat"] = bytes_of(quats.numpy() * 128.0 + 128.0)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(records[np.argsort(-visible, kind="stable")].tobytes())


def read_splat(path: Path) -> Gaussians:
    """Read splats; the file is checked as if it came from a stranger.

    Splats with numbers that are not finite, negative sizes, or rotations of length zero are left out with a
    warning; so are bytes that follow the last whole splat.

    Raises:
        ValueError: if the file is empty, or less than half of it could be splats: nothing else tells.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        count, trailing = divmod(size, RECORD.itemsize)
        if count == 0:
            raise ValueError(f"a .splat file holds {RECORD.itemsize} bytes a splat, but this one has {size}")
        check_count(count, 1)
        records = np.fromfile(file, dtype=RECORD, count=count)
    scales = records["scale"].astype(np.float64)
    likely = (np.abs(records["mean"]) < MAX_NUMBER).all(axis=1)
    likely &= ((scales >= 0.0) & (scales < MAX_NUMBER)).all(axis=1)
    if 2 * likely.sum() < count:
        raise ValueError("this is no .splat file: most of it makes no sense as positions and sizes of splats")
    if trailing:
        warn_of_trailing(path, trailing)
    return sound(
        Gaussians(
            means=torch.from_numpy(records["mean"].astype(np.float32)),
            quats=torch.from_numpy((records["quat"].astype(np.float32) - 128.0) / 128.0),
            log_scales=torch.from_numpy(log_scales_of(scales)).float(),
            logit_opacities=torch.from_numpy(logits_of_bytes(records["opacity"])).float(),
            sh=sh_from_rgb(torch.from_numpy(records["rgb"] / 255.0)).float(),
        ),
        path,
    )
