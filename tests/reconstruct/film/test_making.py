"""Films of every kind: what PyAV and Pillow read from them is what was drawn, once, in order, in time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from reconstruct.film import check_target, kind_of, making, write_film
from tests.reconstruct.film.pictures import decoded, film, picture

KINDS = [".mp4", ".webm", ".gif", ""]
LEAST_DB = {".mp4": 38.0, ".webm": 38.0, ".gif": 28.0, "": np.inf}


def silent(done: int) -> None:
    """For nobody who watches."""


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of four pictures, so that a short film has some."""
    monkeypatch.setattr(making, "PART", 4)


def psnr_db(shown: np.ndarray, drawn: np.ndarray) -> float:
    error = np.mean((shown.astype(float) - drawn) ** 2)
    return np.inf if error == 0 else 10 * np.log10(255.0**2 / error)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 11])
@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_is_there_once_in_order_and_in_time(tmp_path: Path, kind: str, count: int):
    target, told = tmp_path / f"film{kind}", []
    size = write_film(film(count, fps=12.5), target, kind=kind, tell=told.append)
    shown, times = decoded(target)
    assert size == (64, 48)
    assert shown.shape == (count, 48, 64, 3)
    for number in range(count):
        drawn = picture(number, width=64, height=48)
        assert psnr_db(shown[number], drawn) >= LEAST_DB[kind]
        others = [psnr_db(shown[number], picture(n, width=64, height=48)) for n in range(count)]
        assert np.argmax(others) == number
    if kind:
        expected = np.arange(count) / 12.5
        np.testing.assert_allclose(times, expected, atol=0.0051 if kind == ".gif" else 0.001)
    assert told == list(range(1, count + 1))
    assert [file.name for file in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize(("kind", "expected"), [(".mp4", (66, 48)), (".webm", (65, 47)), (".gif", (65, 47))])
def test_odd_sides_grow_only_where_the_codec_needs_it(tmp_path: Path, kind: str, expected: tuple[int, int]):
    target = tmp_path / f"film{kind}"
    assert write_film(film(5, width=65, height=47), target, kind=kind, tell=silent) == expected
    shown, _ = decoded(target)
    assert shown.shape == (5, *expected[::-1], 3)
    drawn = picture(3, width=65, height=47)
    assert psnr_db(shown[3, :47, :65], drawn) > LEAST_DB[kind]
    if kind == ".mp4":
        np.testing.assert_allclose(shown[3, 47, :65], shown[3, 46, :65], atol=12.0)


@pytest.mark.parametrize("kind", [".mp4", ".webm"])
def test_players_are_told_the_rate_the_colours_and_the_index_first(tmp_path: Path, kind: str):
    target = tmp_path / f"film{kind}"
    write_film(film(9, fps=23.976), target, kind=kind, tell=silent)
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert float(stream.average_rate) == pytest.approx(23.976, rel=1e-3)
        assert container.duration / 1e6 == pytest.approx(9 / 23.976, abs=0.002)
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 13)  # BT.709, sRGB
        assert (context.color_range, context.name) == (1, {".mp4": "h264", ".webm": "vp9"}[kind])
        assert context.format.name == "yuv420p"
    if kind == ".mp4":
        file = target.read_bytes()
        assert file.find(b"moov") < file.find(b"mdat")


def test_a_gif_repeats_for_ever_and_takes_as_long_as_it_should(tmp_path: Path):
    target = tmp_path / "film.gif"
    write_film(film(24, fps=24.0), target, kind=".gif", tell=silent)
    with Image.open(target) as image:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(image)]
        assert (image.n_frames, image.info["loop"]) == (24, 0)
    assert set(durations) == {40, 50}
    assert sum(durations) == pytest.approx(1000, abs=10)


def test_a_picture_that_stands_still_is_shown_as_often_as_it_was_drawn(tmp_path: Path):
    still = dataclasses.replace(film(9), draw=lambda number: picture(0, width=64, height=48))
    write_film(still, tmp_path / "film.gif", kind=".gif", tell=silent)
    with Image.open(tmp_path / "film.gif") as image:
        assert image.n_frames == 9


@pytest.mark.parametrize(
    ("name", "kind"), [("a.mp4", ".mp4"), ("a.WebM", ".webm"), ("a", ""), ("a.b/", ""), ("a.mp4/", "")]
)
def test_the_name_says_which_kind(name: str, kind: str):
    assert kind_of(name) == kind


@pytest.mark.parametrize("name", ["a.avi", "a.png", "a.mp4.txt"])
def test_other_endings_are_refused(name: str):
    with pytest.raises(ValueError, match=r"ends in .mp4, .webm, .gif, or in / for a folder"):
        kind_of(name)


@pytest.mark.parametrize(
    ("kind", "fps", "message"),
    [
        (".mp4", 0.0, "frame rate"),
        (".mp4", float("nan"), "frame rate"),
        (".gif", 60.0, "browsers slow down"),
        ("", 10.0, "no empty folder"),
        (".mp4", 10.0, "is a folder"),
    ],
)
def test_what_cannot_be_written_is_refused_before_it_is_made(
    tmp_path: Path, kind: str, fps: float, message: str
):
    target = tmp_path / "taken"
    target.mkdir()
    (target / "mine").write_text("mine")
    with pytest.raises(ValueError, match=message):
        check_target(target, kind=kind, fps=fps)
    with pytest.raises(ValueError, match=message):
        write_film(film(3, fps=fps), target, kind=kind, tell=silent)
    assert [file.name for file in tmp_path.rglob("*")] == ["taken", "mine"]


def test_a_link_is_no_place_for_a_folder(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="is a link"):
        write_film(film(3), tmp_path / "link", kind="", tell=silent)


def test_no_pictures_and_no_folder_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="at least one picture"):
        write_film(film(0), tmp_path / "a.mp4", kind=".mp4", tell=silent)
    with pytest.raises(ValueError, match="there is no folder"):
        write_film(film(1), tmp_path / "missing" / "a.mp4", kind=".mp4", tell=silent)
    assert list(tmp_path.iterdir()) == []
