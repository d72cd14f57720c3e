"""Containers: parts of a film on their own, and parts joined to one file without any loss.

Room: reconstruct. Private to its folder. A part lies in NUT, which keeps times exactly; its pictures need no
others, so that parts join by copying what the encoder wrote. A GIF is encoded when its parts, losslessly
packed, are all there: only then is it known what changes from picture to picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.container
import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream
from PIL import Image

from reconstruct.formats.video import Codec, Picture, encode, mark_colours, rate_of, shown_size

REPEATABLE = {"fflags": "+bitexact"}
"""No time and no random name is written into a file."""

COLOURS = 256
PALETTE_PIXELS = 1 << 14
"""Pixels that each picture of the sample has a say with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """An MP4 or a WebM."""

    format: str
    options: dict[str, str]
    codec: tuple[str, Codec]
    fps: float

    def write_part(self, file: Path, pictures: Iterator[Picture]) -> None:
        """Write some pictures on their own."""
        with av.open(str(file), "w", format="nut", options=REPEATABLE) as container:
            encode(container, pictures, codec=self.codec, fps=self.fps)

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """Write the file that shows the pictures of all parts."""
        done, stream = 0, None
        with av.open(str(target), "w", format=self.format, options=REPEATABLE | self.options) as container:
            for part in parts:
                with av.open(str(part)) as source:
                    track = source.streams.video[0]
                    if stream is None:
                        stream = container.add_stream_from_template(track)
                        mark_colours(stream)
                    packets = [packet for packet in source.demux(track) if packet.size]
                    container.mux(self._timed(packets, stream, done))
                    done += len(packets)

    def _timed(self, packets: list[Packet], stream: VideoStream, before: int) -> list[Packet]:
        """The packets of a part, each one picture, with their times in a film that has so many before."""
        times = [(packet.pts or 0) * packet.time_base for packet in packets]
        for row, packet in enumerate(packets):
            shown = round((times[row] - min(times)) * rate_of(self.fps))
            packet.stream, packet.time_base = stream, 1 / rate_of(self.fps)
            packet.pts, packet.dts = before + shown, before + row - self.codec[1].lead
            packet.duration = 1
        return packets

    def shown_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the film, where its pictures are of this size."""
        return shown_size(width, height, self.codec[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Gif:
    """A GIF that repeats for ever, with one palette."""

    palette: Image.Image
    fps: float

    def write_part(self, file: Path, pictures: Iterator[Picture]) -> None:
        """Write some pictures on their own."""
        with av.open(str(file), "w", format="nut", options=REPEATABLE) as container:
            self._encode(container, map(self._indexed, pictures), codec="png")

    def _indexed(self, picture: Picture) -> av.VideoFrame:
        """A picture in the colours of the palette, dithered."""
        image = Image.fromarray(picture).quantize(palette=self.palette, dither=Image.Dither.FLOYDSTEINBERG)
        entries = np.zeros((COLOURS, 4), np.uint8)
        given = np.array(self.palette.getpalette("RGB"), np.uint8).reshape(-1, 3)
        entries[: len(given), 1:], entries[:, 0] = given, 255  # alpha first
        both: Any = (np.asarray(image), entries)
        return av.VideoFrame.from_ndarray(both, format="pal8")

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """Write the file that shows the pictures of all parts."""
        frames = itertools.chain.from_iterable(map(_frames_of, parts))
        with av.open(str(target), "w", format="gif", options=REPEATABLE | {"loop": "0"}) as container:
            self._encode(container, frames, codec="gif")

    def _encode(
        self, container: av.container.OutputContainer, frames: Iterator[av.VideoFrame], *, codec: str
    ) -> None:
        """Write frames that have palettes as the only track of a container."""
        stream = container.add_stream(codec, rate=rate_of(self.fps))
        assert isinstance(stream, VideoStream)
        for row, frame in enumerate(frames):
            if row == 0:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "pal8"
            frame.pts, frame.time_base = row, 1 / rate_of(self.fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

    def shown_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the film, where its pictures are of this size."""
        return width, height


Container = Video | Gif


def _frames_of(part: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(part)) as source:
        yield from source.decode(video=0)


def palette_of(pictures: Iterator[Picture]) -> Image.Image:
    """The 256 colours that stand for those of some pictures best, as Pillow takes a palette."""
    samples = []
    for picture in pictures:
        step = max(1, round((picture.shape[0] * picture.shape[1] / PALETTE_PIXELS) ** 0.5))
        samples.append(picture[::step, ::step].reshape(1, -1, 3))
    image = Image.fromarray(np.concatenate(samples, axis=1))
    return image.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=2)
