"""Video: what PyAV decodes from the file is what went in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from reconstruct.formats import write_mp4
from reconstruct.formats.video import CODECS


def pictures(count: int, *, height: int, width: int) -> Iterator[torch.Tensor]:
    """Three colour bars over a slope that brightens with time."""
    bars = torch.eye(3).repeat_interleave(-(-width // 3), dim=0)[:width]
    for i in range(count):
        yield (0.25 + 0.5 * bars).expand(height, width, 3) * (0.5 + 0.5 * (i + 1) / count)


def decoded(path: Path) -> tuple[np.ndarray, float]:
    """Every picture of a video, and the frames a second."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]), rate


@pytest.mark.parametrize(("height", "width"), [(48, 66), (47, 65), (1, 1)])
def test_the_video_shows_the_pictures(tmp_path: Path, height: int, width: int):
    write_mp4(tmp_path / "a.mp4", pictures(7, height=height, width=width), fps=12.5)
    shown, rate = decoded(tmp_path / "a.mp4")
    given = torch.stack(list(pictures(7, height=height, width=width))).numpy() * 255
    assert shown.shape == (7, height + height % 2, width + width % 2, 3)
    assert rate == 12.5
    np.testing.assert_allclose(shown[:, :height, :width].mean((1, 2)), given.mean((1, 2)), atol=3.0)
    if width > 60:  # the middles of the bars: no colour has leaked, no channel is swapped
        middles = [width // 6, width // 2, 5 * width // 6]
        np.testing.assert_allclose(shown[:, 20, middles], given[:, 20, middles], atol=6.0)
    np.testing.assert_allclose(shown[:, -1, -1], shown[:, height - 1, width - 1], atol=6.0)


def test_the_second_choice_of_encoder_shows_the_same(tmp_path: Path, monkeypatch):
    monkeypatch.delitem(CODECS, "libx264")
    write_mp4(tmp_path / "a.mp4", pictures(30, height=47, width=65), fps=25.0)
    shown, _ = decoded(tmp_path / "a.mp4")
    given = torch.stack(list(pictures(30, height=47, width=65))).numpy() * 255
    np.testing.assert_allclose(shown[:, 20, [10, 32, 54]], given[:, 20, [10, 32, 54]], atol=8.0)


def test_the_index_comes_first_and_colour_is_marked(tmp_path: Path):
    write_mp4(tmp_path / "a.mp4", pictures(2, height=32, width=32), fps=30.0)
    file = (tmp_path / "a.mp4").read_bytes()
    assert file.find(b"moov") < file.find(b"mdat")  # a browser starts before the whole file is there
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_range) == (
            1,
            1,
            1,
        )  # BT.709, limited


@pytest.mark.parametrize("good", [0, 1, 20])
def test_a_crash_leaves_the_file_from_before(tmp_path: Path, good: int):
    (tmp_path / "a.mp4").write_text("the file from before")

    def breaking() -> Iterator[torch.Tensor]:
        yield from pictures(good, height=32, width=32)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        write_mp4(tmp_path / "a.mp4", breaking(), fps=30.0)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["the file from before"]


@pytest.mark.parametrize(
    ("given", "fps", "message"),
    [
        ([], 30.0, "at least one picture"),
        ([torch.zeros(8, 8, 3), torch.zeros(8, 9, 3)], 30.0, "one size"),
        ([torch.full((8, 8, 3), torch.nan)], 30.0, "NaN"),
        ([torch.zeros(8, 8, 3)], 0.0, "frame rate"),
        ([torch.zeros(8, 8, 3)], float("nan"), "frame rate"),
    ],
)
def test_what_makes_no_video_is_refused(tmp_path: Path, given: list[torch.Tensor], fps: float, message: str):
    with pytest.raises(ValueError, match=message):
        write_mp4(tmp_path / "a.mp4", given, fps=fps)
    assert not list(tmp_path.iterdir())
