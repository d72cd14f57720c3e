"""Conditions: what is known about a frame, as the channels that the model reads.

Room: worldgen. Two separate masks, of colour and of depth, make picture-only input the same task as
a novel view (architecture, the generator). Beside the render the model sees where inside its pixel
each point really lies: without that, a hard z-buffer's half pixel of error cannot be undone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memory.cache import Seen
from render.cameras import Cameras, rays_cam
from render.frames import Frames
from worldgen.depth import DepthRange, decode, encode
from worldgen.resample import push_pull, recentred

FEW_KNOWN = 0.3
"""Share of a view below which hardly anything is known of it: it is imagined whole, not gone on with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneUnits:
    """How a world's depths and positions become numbers for the model."""

    scale: float
    """World units in a scene unit (the median depth of the first view)."""

    span: DepthRange
    """What the depth code spreads over [-1, 1], in 1 / scene units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a batch of views before the model imagines the rest."""

    rgb: Float[Tensor, "n h w 3"]
    """Colour in [0, 1]; anything where it is not known."""

    depth: Float[Tensor, "n h w 1"]
    """Z-depth in world units; anything where it is not known."""

    has_rgb: Bool[Tensor, "n h w 1"]
    """Where the colour is known."""

    has_depth: Bool[Tensor, "n h w 1"]
    """Where the depth is known."""

    confidence: Float[Tensor, "n h w 1"]
    """Trust in what is known, in [0, 1]; anything where the colour is not known."""

    offset: Float[Tensor, "n h w 2"]
    """From the pixel's centre to where the point it shows lies, in pixels; 0 for pictures."""

    cameras: Cameras


def known_from_cache(seen: Seen) -> Known:
    """Novel views: what the cache shows."""
    return Known(
        rgb=seen.rgb,
        depth=seen.depth,
        has_rgb=seen.mask,
        has_depth=seen.mask,
        confidence=seen.confidence,
        offset=seen.offset,
        cameras=seen.cameras,
    )


def known_pictures(frames: Frames) -> Known:
    """Pictures: colour everywhere, depth where it is valid (nowhere, if only a picture was given)."""
    return Known(
        rgb=frames.rgb,
        depth=frames.depth,
        has_rgb=torch.ones_like(frames.valid),
        has_depth=frames.valid,
        confidence=torch.ones_like(frames.depth),
        offset=torch.zeros_like(frames.rgb[..., :2]),
        cameras=frames.cameras,
    )


def nothing_known(cameras: Cameras) -> Known:
    """Views of which nothing is known but the camera."""
    shape = (len(cameras), cameras.height, cameras.width)
    nowhere = torch.zeros(*shape, 1, dtype=torch.bool)
    return Known(
        rgb=torch.zeros(*shape, 3),
        depth=torch.zeros(*shape, 1),
        has_rgb=nowhere,
        has_depth=nowhere,
        confidence=torch.zeros(*shape, 1),
        offset=torch.zeros(*shape, 2),
        cameras=cameras,
    )


def channels_of(known: Known, units: SceneUnits) -> Float[Tensor, "1 n 11 h w"]:
    """The model's condition channels, in the order of ``rgbd.CONDITION_CHANNELS``.

    Colour in [-1, 1] and the depth code, brought to the pixel centres and filled where they are not
    known; the masks of colour and of depth; confidence in [0, 1]; x and y of the ray with z = 1; and
    the offset in pixels. Confidence and offset are 0 where the colour is not known.
    """
    has_rgb, has_depth = (_channels_first(mask.float()) for mask in (known.has_rgb, known.has_depth))
    offset = _channels_first(known.offset.masked_fill(~known.has_rgb, 0.0))
    rgb = _channels_first((2.0 * known.rgb - 1.0).masked_fill(~known.has_rgb, 0.0))
    code = encode(known.depth / units.scale, units.span).masked_fill(~known.has_depth, 0.0)
    stacked = [
        push_pull(recentred(rgb, has_rgb, offset).clamp(-1.0, 1.0), has_rgb),
        push_pull(recentred(_channels_first(code), has_depth, offset), has_depth),
        has_rgb,
        has_depth,
        _channels_first(known.confidence.masked_fill(~known.has_rgb, 0.0)),
        _channels_first(rays_cam(known.cameras)[..., :2]),
        offset,
    ]
    return torch.cat(stacked, dim=1)[None]


def _channels_first(image: Float[Tensor, "n h w c"]) -> Float[Tensor, "n c h w"]:
    return image.permute(0, 3, 1, 2).contiguous()


def images_of(frames: Frames, units: SceneUnits) -> Float[Tensor, "1 n 4 h w"]:
    """Frames as the model predicts them: colour in [-1, 1] and the depth code (-1 where invalid)."""
    code = encode(frames.depth / units.scale, units.span).masked_fill(~frames.valid, -1.0)
    return torch.cat([2.0 * frames.rgb - 1.0, code], dim=-1).permute(0, 3, 1, 2)[None]


def frames_of(images: Float[Tensor, "1 n 4 h w"], cameras: Cameras, units: SceneUnits) -> Frames:
    """What the model predicted, as frames; colour is clipped to [0, 1].

    A pixel is valid where its code is a depth at all: the code alone does not say where a picture that
    went in had no depth.
    """
    channels = images[0].permute(0, 2, 3, 1).float()
    depth, valid = decode(channels[..., 3:], units.span)
    return Frames(
        rgb=((channels[..., :3] + 1.0) * 0.5).clamp(0.0, 1.0),
        depth=depth * units.scale,
        valid=valid,
        confidence=valid.float(),
        cameras=cameras,
    )
