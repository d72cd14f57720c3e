"""Video: pictures as an MP4 or WebM that every browser plays.

Room: reconstruct; the viewer and the command line may import this. Pictures are sRGB in [0, 1], or its bytes;
an MP4 is H.264 (MPEG-4 part 2 if this machine lacks that encoder), a WebM is VP9, with BT.709 colour, marked
as such, so that players show the colours given.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
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

Picture = UInt8[np.ndarray, "h w 3"]
"""The bytes of a picture, sRGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """How pictures are encoded."""

    options: dict[str, str] = field(default_factory=dict)

    narrow_options: dict[str, str] = field(default_factory=dict)
    """More of them, where the width is no multiple of ``WIDE``."""

    lead: int = 0
    """By how many pictures decoding runs ahead of showing, where pictures are predicted from later ones."""

    is_even: bool = False
    """Whether both sides of a picture must be even."""


WIDE = 256
"""With AVX-512, what x264 finds of later pictures (mbtree) depends, in rows of blocks that do not fill its
registers, on what lay in memory: files of the same pictures differ. Without it they are larger by a third."""

CODECS = {
    "libx264": Codec(
        options={"crf": "18", "rc-lookahead": "20"},
        narrow_options={"crf": "20", "mbtree": "0"},
        lead=2,
        is_even=True,
    ),
    "mpeg4": Codec(options={"qmin": "2", "qmax": "3"}, is_even=True),
}
"""Encoders of an MP4 in order of preference, each set to a loss the eye does not see. The lookahead is what
takes memory: 20 pictures of 4K are 250 MB."""

VP9 = {
    "libvpx-vp9": Codec(
        options={"crf": "22", "b": "0", "deadline": "good", "cpu-used": "4", "lag-in-frames": "16"}
    )
}
"""The encoder of a WebM."""

THREADS = 4
"""Of an encoder. Fixed, because what it writes depends on them."""

FPS_LIMITS = (0.1, 1000.0)


def write_mp4(path: Path, pictures: Iterable[Float[Tensor, "h w 3"]], *, fps: float) -> None:
    """Write pictures of one size as a video, whole or not at all; ``fps`` is frames a second.

    An odd height or width grows by one pixel that repeats the last row or column, because video
    stores colour at half resolution.

    Raises:
        ValueError: if there is no picture, the sizes differ, a colour is NaN, or ``fps`` is no frame rate.
    """
    check_fps(fps)
    remaining = (picture_bytes(picture) for picture in pictures)
    first = next(remaining, None)
    if first is None:
        raise ValueError("a video needs at least one picture")
    options = {"movflags": "+faststart"}
    with (
        replacing(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options=options) as container,
    ):
        encode(container, itertools.chain([first], remaining), codec=first_available(CODECS), fps=fps)


def check_fps(fps: float) -> None:
    """Refuse what is no frame rate.

    Raises:
        ValueError: if it is none.
    """
    if not FPS_LIMITS[0] <= fps <= FPS_LIMITS[1]:
        raise ValueError(f"a frame rate lies between {FPS_LIMITS[0]:g} and {FPS_LIMITS[1]:g}, got {fps:g}")


def first_available(codecs: dict[str, Codec]) -> tuple[str, Codec]:
    """The first of these encoders that this machine has, and how to set it.

    Raises:
        ValueError: if it has none of them.
    """
    for name, codec in codecs.items():
        if name in av.codecs_available:
            return name, codec
    raise ValueError(f"this machine has no encoder {' or '.join(codecs)}; reinstall av, or film a .mp4")


def rate_of(fps: float) -> Fraction:
    """The frame rate that is written down."""
    return Fraction(fps).limit_denominator(1001)


def encode(
    container: av.container.OutputContainer,
    pictures: Iterator[Picture],
    *,
    codec: tuple[str, Codec],
    fps: float,
) -> int:
    """Write pictures as the only track of a container, one after the other; returns how many that were.

    Raises:
        ValueError: if there is no picture, or the sizes differ.
    """
    first = next(pictures, None)
    if first is None:
        raise ValueError("a video needs at least one picture")
    stream, count = _add_stream(container, first, codec=codec, fps=fps), 0
    for picture in itertools.chain([first], pictures):
        if picture.shape != first.shape:
            raise ValueError(f"a video has one size, got {picture.shape} after {first.shape}")
        frame = _video_frame(picture, is_even=codec[1].is_even)
        frame.pts, frame.time_base = count, 1 / rate_of(fps)
        container.mux(stream.encode(frame))
        count += 1
    container.mux(stream.encode())
    return count


def _add_stream(
    container: av.container.OutputContainer, picture: Picture, *, codec: tuple[str, Codec], fps: float
) -> VideoStream:
    """The video track, with the colour space written into it."""
    width, height = shown_size(picture.shape[1], picture.shape[0], codec[1])
    options = codec[1].options | (codec[1].narrow_options if width % WIDE else {})
    stream = container.add_stream(codec[0], rate=rate_of(fps), options=options)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = width, height
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = THREADS
    mark_colours(stream)
    return stream


def mark_colours(stream: VideoStream) -> None:
    """Say what the numbers of a track mean."""
    context = stream.codec_context
    context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.IEC61966_2_1


def shown_size(width: int, height: int, codec: Codec) -> tuple[int, int]:
    """Width and height of a video of pictures of this size."""
    return (width + width % 2, height + height % 2) if codec.is_even else (width, height)


def _video_frame(picture: Picture, *, is_even: bool) -> av.VideoFrame:
    height, width = picture.shape[:2]
    if is_even and (height % 2 or width % 2):
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)


def picture_bytes(picture: Float[Tensor, "h w 3"]) -> Picture:
    """Colour in [0, 1] as bytes; what lies outside is clamped.

    Raises:
        ValueError: if a colour is NaN or infinite.
    """
    if not torch.isfinite(picture).all():
        raise ValueError("a picture holds NaN or infinite numbers; colour must lie in [0, 1]")
    return (picture.detach().cpu().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).numpy()
