"""Video: pictures as an MP4 that every browser plays.

Room: reconstruct; the viewer and the command line may import this. Pictures are sRGB in [0, 1];
the file is H.264 (MPEG-4 part 2 if this machine lacks that encoder) with BT.709 colour, marked as
such, so that players show the colours given.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import av.container
import numpy as np
import torch
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream
from jaxtyping import Float, UInt8
from torch import Tensor

from reconstruct.formats.atomic import replacing

CODECS = {"libx264": {"crf": "18"}, "mpeg4": {"qmin": "2", "qmax": "3"}}
"""Encoders in order of preference, each set to a loss the eye does not see."""

FPS_LIMITS = (0.1, 1000.0)


def write_mp4(path: Path, pictures: Iterable[Float[Tensor, "h w 3"]], *, fps: float) -> None:
    """Write pictures of one size as a video, whole or not at all; ``fps`` is frames a second.

    An odd height or width grows by one pixel that repeats the last row or column, because video
    stores colour at half resolution.

    Raises:
        ValueError: if there is no picture, the sizes differ, a colour is NaN, or ``fps`` is no frame rate.
    """
    if not FPS_LIMITS[0] <= fps <= FPS_LIMITS[1]:
        raise ValueError(f"a frame rate lies between {FPS_LIMITS[0]:g} and {FPS_LIMITS[1]:g}, got {fps:g}")
    remaining = iter(pictures)
    first = next(remaining, None)
    if first is None:
        raise ValueError("a video needs at least one picture")
    with (
        replacing(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        stream = _add_stream(container, _even_bytes(first).shape, fps=fps)
        for picture in itertools.chain([first], remaining):
            if picture.shape != first.shape:
                raise ValueError(
                    f"a video has one size, got {tuple(picture.shape)} after {tuple(first.shape)}"
                )
            container.mux(stream.encode(_video_frame(picture)))
        container.mux(stream.encode())


def _add_stream(
    container: av.container.OutputContainer, shape: tuple[int, ...], *, fps: float
) -> VideoStream:
    """The video track, with the colour space written into it."""
    codec = next(name for name in CODECS if name in av.codecs_available)
    stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=CODECS[codec])
    assert isinstance(stream, VideoStream)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.IEC61966_2_1
    return stream


def _video_frame(picture: Float[Tensor, "h w 3"]) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(_even_bytes(picture), format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)


def _even_bytes(picture: Float[Tensor, "h w 3"]) -> UInt8[np.ndarray, "even_h even_w 3"]:
    """Bytes of a picture whose odd sides have grown by one repeated row or column."""
    if not torch.isfinite(picture).all():
        raise ValueError("a picture holds NaN or infinite numbers; colour must lie in [0, 1]")
    height, width = picture.shape[:2]
    pixels = (picture.detach().cpu().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).numpy()
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
