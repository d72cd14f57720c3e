"""Sweep: places on surfaces from posed photographs alone, by trying depths (plane sweep).

Room: reconstruct; ``reconstruct.sparse`` and ``.stereo`` import this. Around many pixels a patch is compared
with what neighbouring photographs show where it would be at each of many depths (A space-sweep approach to
true multi-image matching, Collins 1996; by normalised correlation). Where one depth is much like it, and
plainly more so than the others, a point is kept. Enough for splats to begin with; nothing to measure by.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from scipy.spatial import KDTree
from torch import Tensor

from reconstruct._sweep_kernel import likeness_along
from render.cameras import Cameras, resized
from render.frames import Frames
from render.jobs import spread

LONGEST = 256
"""Pixels of the longer side of the pictures that are compared."""

STRIDE, RADIUS = 5, 2
"""Pixels between patches, and from the middle of one to its edge."""

OTHERS = 3
"""Photographs that each one is compared with."""

APART = 0.2
"""Distance of the other cameras that is looked for, over the size of the capture."""

NEAREST = 1.5
"""Smallest depth that is tried, over the distance of the nearest of the other cameras."""

TEXTURE = 0.02
"""Least standard deviation of a patch; anything looks like a plain wall."""

ALIKE = 0.85
"""Least likeness of a point."""

PLAIN = 0.05
"""By how much any other depth, but those beside it, must be less alike."""

COMPANY, NEAR = 5, 2.5
"""Points that must lie near one, and how near, over the distance of neighbours in the lattice."""

TURNED = 0.5
"""Least cosine of the angle between two photographs that are compared."""


def swept_points(frames: Frames, *, threads: int = 1) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 3"]]:
    """Places on surfaces, and their colours; none where photographs have too little in common.

    Args:
        frames: photographs; those without confidence at a pixel find nothing there.
        threads: a photograph a job.
    """
    share = min(1.0, LONGEST / max(frames.cameras.width, frames.cameras.height))
    height, width = (max(16, round(side * share)) for side in frames.rgb.shape[1:3])
    image = torch.cat([frames.rgb, frames.confidence], dim=-1).permute(0, 3, 1, 2)
    small = F.interpolate(image, (height, width), mode="area").permute(0, 2, 3, 1)
    cameras = resized(frames.cameras, width=width, height=height)
    greys = small[..., :3].mean(dim=-1).contiguous().numpy()
    found = spread(lambda i: _swept(i, greys, small, cameras), range(len(frames)), threads=threads)
    places, rgb, reach = (torch.cat(parts) for parts in zip(*found, strict=True))
    kept = _company(places, reach)
    return places[kept], rgb[kept]


def _swept(
    i: int, greys: Float[np.ndarray, "n h w"], small: Float[Tensor, "n h w 4"], cameras: Cameras
) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 3"], Float[Tensor, " p"]]:
    """What one photograph finds: places, colours, and how far neighbours of the lattice are from each."""
    others, gap = other_views(i, cameras, most=OTHERS)
    pixels = _textured(greys[i], small[i, ..., 3].numpy())
    if len(others) < 2 or not len(pixels):
        return torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0)
    K = cameras.K.double()
    other_from_this = cameras.w2c[others].double() @ cameras.c2w[i].double()
    turns = K[others] @ other_from_this[:, :3, :3] @ torch.linalg.inv(K[i])
    shifts = (K[others] @ other_from_this[:, :3, 3:])[..., 0]
    # A step moves what is seen by the nearest of the others by less than a pixel.
    count = max(16, int(float(K[i, 0, 0]) / NEAREST))
    nearest = 1.0 / (NEAREST * gap)
    likeness = likeness_along(
        greys[i], pixels, greys[others], turns.numpy(), shifts.numpy(), RADIUS, count, nearest
    )
    kept, inverse = _peaks(torch.from_numpy(likeness), nearest)
    at = torch.from_numpy(pixels)[kept]
    rays = torch.cat([at + 0.5, torch.ones(len(at), 1)], dim=1) @ torch.linalg.inv(cameras.K[i]).mT
    places = (rays / inverse[:, None]) @ cameras.c2w[i, :3, :3].mT + cameras.origins[i]
    return places, small[i, at[:, 1], at[:, 0], :3], STRIDE / (inverse * cameras.K[i, 0, 0])


def _company(places: Float[Tensor, "p 3"], reach: Float[Tensor, " p"]) -> Bool[Tensor, " p"]:
    """Which points have others near them, as points of a surface have; chance hits are alone."""
    if len(places) <= COMPANY:
        return torch.zeros(len(places), dtype=torch.bool)
    distances, _ = KDTree(places.numpy()).query(places.numpy(), k=COMPANY + 1)
    return torch.from_numpy(np.asarray(distances)[:, -1]).float() < NEAR * reach


def other_views(i: int, cameras: Cameras, *, most: int) -> tuple[list[int], float]:
    """Cameras neither too near nor too far that look the same way, and how far the nearest of them is."""
    distances = (cameras.origins - cameras.origins[i]).norm(dim=1)
    size = (cameras.origins - cameras.origins.mean(dim=0)).norm(dim=1).amax()
    alike = (cameras.forwards @ cameras.forwards[i] > TURNED) & (distances > 1e-6 * size)
    odd = (distances - APART * size).abs().masked_fill(~alike, torch.inf)
    order = odd.argsort(stable=True)[: min(most, int(alike.sum()))]
    return order.tolist(), float(distances[order].amin()) if len(order) else 0.0


def _textured(grey: Float[np.ndarray, "h w"], cover: Float[np.ndarray, "h w"]) -> Int64[np.ndarray, "p 2"]:
    """Pixels (x, y) of a lattice around which there is something to recognise."""
    height, width = grey.shape
    rows, columns = (np.arange(RADIUS, side - RADIUS, STRIDE) for side in (height, width))
    y, x = (part.reshape(-1) for part in np.meshgrid(rows, columns, indexing="ij"))
    windows = np.lib.stride_tricks.sliding_window_view(grey, (2 * RADIUS + 1, 2 * RADIUS + 1))
    kept = (windows[y - RADIUS, x - RADIUS].std(axis=(1, 2)) > TEXTURE) & (cover[y, x] > 0.99)
    return np.stack([x[kept], y[kept]], axis=1).astype(np.int64)


def _peaks(likeness: Float[Tensor, "p k"], nearest: float) -> tuple[Tensor, Tensor]:
    """Which patches have one depth, and the inverse of it between the steps that were tried."""
    count = likeness.shape[1]
    best, at = likeness.max(dim=1)
    steps = torch.arange(count)
    rivals = likeness.masked_fill((steps - at[:, None]).abs() <= max(2, count // 50), -1.0).amax(dim=1)
    kept = ((best > ALIKE) & (rivals < best - PLAIN) & (at > 0) & (at < count - 1)).nonzero()[:, 0]
    place = at[kept]
    before, top, after = (likeness[kept, place + shift] for shift in (-1, 0, 1))
    curve = (before - 2.0 * top + after).clamp(max=-1e-6)
    offset = (0.5 * (before - after) / curve).clamp(-0.5, 0.5)
    return kept, nearest * (place + 1 + offset) / count
