"""Pictures at the door: what is read is what a viewer shows, and what cannot be used is refused."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from memory.pictures import GUTTER, contact_sheet, depth_colours, read_depth, read_rgb, write_png
from render.frames import Frames
from tests.memory.test_world import make_frames

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (5, 8, 3), dtype=np.uint8)
MILLIMETRES = RNG.integers(1, 65536, (5, 8), dtype=np.uint16)

TURNED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}
"""How the EXIF standard says each orientation is shown."""


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def assert_pixels(rgb: torch.Tensor, expected: np.ndarray) -> None:
    assert rgb.dtype == torch.float32
    assert np.array_equal(np.rint(rgb[0].numpy() * 255.0), expected)
    assert 0.0 <= float(rgb.amin()) <= float(rgb.amax()) <= 1.0


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm"])
def test_lossless_pictures_are_read_exactly(tmp_path, suffix):
    assert_pixels(read_rgb(save(tmp_path / f"a.{suffix}", PICTURE)), PICTURE)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_pictures_are_read_closely(tmp_path, suffix):
    smooth = np.broadcast_to(np.linspace(20, 220, 32).astype(np.uint8)[None, :, None], (16, 32, 3)).copy()
    rgb = read_rgb(save(tmp_path / f"a.{suffix}", smooth, quality=95))
    assert np.abs(rgb[0].numpy() * 255.0 - smooth).max() < 12


@pytest.mark.parametrize("orientation", TURNED)
def test_pictures_are_turned_as_their_exif_says(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = save(tmp_path / "a.png", PICTURE, exif=exif)
    assert_pixels(read_rgb(file), TURNED[orientation](PICTURE))


def test_gray_pictures_of_8_and_16_bits_become_colour(tmp_path):
    gray = PICTURE[..., :1].repeat(3, axis=-1)
    assert_pixels(read_rgb(save(tmp_path / "8.png", PICTURE[..., 0])), gray)
    deep = read_rgb(save(tmp_path / "16.png", MILLIMETRES))
    np.testing.assert_allclose(deep[0, ..., 1].numpy(), MILLIMETRES / 65535.0, atol=1e-6)


def test_bilevel_and_palette_pictures_become_colour(tmp_path):
    few = (PICTURE // 128) * 255
    Image.fromarray(few).quantize(8).save(tmp_path / "p.png")
    assert_pixels(read_rgb(tmp_path / "p.png"), few)
    Image.fromarray(few[..., 0]).convert("1").save(tmp_path / "1.png")
    assert_pixels(read_rgb(tmp_path / "1.png"), few[..., :1].repeat(3, axis=-1))


def test_transparency_is_shown_over_white(tmp_path):
    alpha = RNG.integers(0, 256, (5, 8, 1), dtype=np.uint8)
    rgb = read_rgb(save(tmp_path / "a.png", np.concatenate([PICTURE, alpha], axis=-1)))
    opacity = alpha / 255.0
    np.testing.assert_allclose(rgb[0].numpy() * 255.0, PICTURE * opacity + 255.0 * (1 - opacity), atol=1.0)


def test_a_transparent_palette_is_shown_over_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "a.png", transparency=0)
    assert_pixels(read_rgb(tmp_path / "a.png"), np.array([[[255, 255, 255], [40, 50, 60]]]))


def test_a_written_picture_is_read_back(tmp_path):
    rgb = torch.from_numpy(PICTURE / np.float32(255.0))[None]
    write_png(tmp_path / "a.png", rgb)
    assert torch.equal(read_rgb(tmp_path / "a.png"), rgb)
    write_png(tmp_path / "b.png", torch.tensor([[[[-1.0, 0.5, 2.0]]]]))
    assert_pixels(read_rgb(tmp_path / "b.png"), np.array([[[0, 128, 255]]]))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_whole_numbers_of_depth_are_in_the_units_that_were_named(tmp_path, suffix):
    holed = MILLIMETRES.copy()
    holed[1, 2] = 0
    file = save(tmp_path / f"a.{suffix}", holed)
    depth, valid = read_depth(file)
    np.testing.assert_allclose(depth[0, ..., 0].numpy(), holed / 1000.0, rtol=1e-6)
    assert np.array_equal(valid[0, ..., 0].numpy(), holed > 0)
    torch.testing.assert_close(read_depth(file, units_per_metre=5000.0)[0], depth / 5)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize("shape", [(5, 8), (5, 8, 1)])
def test_arrays_of_depth_are_in_metres(tmp_path, dtype, shape):
    metres = RNG.uniform(0.5, 9.0, shape).astype(dtype)
    np.save(tmp_path / "a.npy", metres)
    depth, valid = read_depth(tmp_path / "a.npy")
    assert torch.equal(depth, torch.from_numpy(metres.astype(np.float32).reshape(1, 5, 8, 1)))
    assert valid.all()


def test_floating_point_tiffs_of_depth_are_in_metres(tmp_path):
    metres = RNG.uniform(0.0, 9.0, (5, 8)).astype(np.float32)
    metres[0, 0] = 0.0
    depth, valid = read_depth(save(tmp_path / "a.tiff", metres))
    assert torch.equal(depth[0, ..., 0], torch.from_numpy(metres))
    assert not valid[0, 0, 0, 0]
    assert valid.sum() == 39


def test_whole_numbers_in_an_array_are_in_the_units_that_were_named(tmp_path):
    np.save(tmp_path / "a.npy", MILLIMETRES)
    assert torch.equal(
        read_depth(tmp_path / "a.npy")[0], read_depth(save(tmp_path / "a.png", MILLIMETRES))[0]
    )


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing: a decoder would say so, a size check does not."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + part(b"IDAT", b"") + part(b"IEND", b"")


def array_header(descr: str, shape: str) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind)
    return file.getvalue()


def npy(values: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


BAD_PICTURES = {
    "empty.png": (b"", "should be a PNG, JPEG"),
    "text.png": (b"hello" * 50, "should be a PNG, JPEG"),
    "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "should be a PNG, JPEG"),
    "cut.png": (encoded(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))[:-4000], "complete picture"),
    "cut.jpg": (
        encoded(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), "JPEG")[:-2000],
        "complete picture",
    ),
    "long.png": (png_header(8193, 10), "8193x10; resize it"),
    "large.png": (png_header(8000, 8000), "8000x8000; resize it"),
    "bomb.png": (png_header(60000, 60000), "scale it down"),
    "warned.png": (png_header(10000, 10000), "it down|resize it"),
    "hollow.png": (png_header(10, 10), "complete picture"),
    "numbers.tiff": (encoded(np.ones((4, 4), np.float32), "TIFF"), "numbers without a range"),
}

BAD_DEPTHS = {
    "colour.png": (encoded(PICTURE), "one channel of 16 or more bits, but is a picture of mode RGB"),
    "eight.png": (encoded(PICTURE[..., 0]), "picture of mode L"),
    "nothing.png": (encoded(np.zeros((4, 4), np.uint16)), "every pixel is 0"),
    "photo.jpg": (encoded(PICTURE, "JPEG"), "16-bit PNG"),
    "cut.png": (encoded(RNG.integers(0, 65536, (64, 64), dtype=np.uint16))[:-4000], "complete depth picture"),
    "bomb.png": (png_header(60000, 60000), "scale it down"),
    "nan.npy": (npy(np.array([[1.0, np.nan]], np.float32)), "write 0 where nothing was measured"),
    "infinite.npy": (npy(np.array([[1.0, np.inf]], np.float32)), "write 0 where nothing was measured"),
    "huge.npy": (npy(np.array([[1.0, 1e300]])), "write 0 where nothing was measured"),
    "negative.npy": (npy(np.array([[1.0, -0.5]], np.float32)), "write 0 where nothing was measured"),
    "negative.tiff": (encoded(np.array([[1.0, -0.5]], np.float32), "TIFF"), "write 0 where nothing"),
    "pickle.npy": (npy(np.array([[{}]], dtype=object), allow_pickle=True), "is object"),
    "flat.npy": (npy(np.ones(5, np.float32)), r"in the shape \(5,\)"),
    "three.npy": (npy(np.ones((5, 5, 3), np.float32)), r"in the shape \(5, 5, 3\)"),
    "words.npy": (npy(np.array([["a", "b"]])), "is <U1"),
    "bytes.npy": (npy(np.ones((5, 5), np.uint8)), "is uint8"),
    "truths.npy": (npy(np.ones((5, 5), bool)), "is bool"),
    "none.npy": (npy(np.ones((0, 5), np.float32)), "5x0; resize it"),
    "long.npy": (npy(np.ones((1, 8193), np.float32)), "8193x1; resize it"),
    "claims.npy": (array_header("<f4", "(60000, 60000)"), "60000x60000; resize it"),
    "overflow.npy": (array_header("<f4", "(9223372036854775807, 9)"), "resize it"),
    "code.npy": (array_header("<f4", "__import__('os').abort()"), "array of plain numbers"),
    "cut.npy": (npy(np.ones((9, 9), np.float32))[:-5], "complete .npy array"),
    "zip.npy": (b"PK\x03\x04" + bytes(99), "array of plain numbers"),
}


def refusal(read, file: Path, expected: str) -> str:
    with pytest.raises(ValueError, match=expected) as caught:
        read(file)
    message = str(caught.value)
    assert file.name in message
    assert "; " in message
    assert "\n" not in message
    assert len(message) < 600
    return message


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_pictures_that_cannot_be_used_are_refused(tmp_path, name):
    data, expected = BAD_PICTURES[name]
    (tmp_path / name).write_bytes(data)
    refusal(read_rgb, tmp_path / name, expected)


@pytest.mark.parametrize("name", BAD_DEPTHS)
def test_depths_that_cannot_be_used_are_refused(tmp_path, name):
    data, expected = BAD_DEPTHS[name]
    (tmp_path / name).write_bytes(data)
    refusal(read_depth, tmp_path / name, expected)


@pytest.mark.parametrize("read", [read_rgb, read_depth])
def test_what_is_not_a_file_is_refused(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.npy").mkdir()
    refusal(read, tmp_path / "missing.png", "cannot be found")
    refusal(read, tmp_path / "pipe.png", "a folder or a device")
    refusal(read, tmp_path / "folder.npy", "a folder or a device")
    with pytest.raises(ValueError, match="null byte"):
        read(tmp_path / "nul\0.png")


@pytest.mark.parametrize("units", [0.0, -1.0, float("nan"), float("inf")])
def test_units_without_sense_are_refused(tmp_path, units):
    file = save(tmp_path / "a.png", MILLIMETRES)
    refusal(lambda file: read_depth(file, units_per_metre=units), file, "units per metre")


def test_a_picture_that_cannot_be_written_is_refused(tmp_path):
    rgb = torch.zeros(1, 2, 2, 3)
    refusal(lambda file: write_png(file, rgb), tmp_path / "no" / "a.png", "No such file")
    refusal(lambda file: write_png(file, rgb / 0), tmp_path / "a.png", "finite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow and numpy remark on what they forgive
@pytest.mark.parametrize(
    ("read", "name", "data"),
    [
        (read_rgb, "a.png", encoded(PICTURE)),
        (read_rgb, "a.jpg", encoded(PICTURE, "JPEG")),
        (read_rgb, "a.webp", encoded(PICTURE, "WEBP")),
        (read_rgb, "a.gif", encoded(PICTURE, "GIF")),
        (read_rgb, "a.tiff", encoded(PICTURE, "TIFF")),
        (read_rgb, "a.bmp", encoded(PICTURE, "BMP")),
        (read_depth, "d.png", encoded(MILLIMETRES)),
        (read_depth, "d.tiff", encoded(MILLIMETRES.astype(np.float32), "TIFF")),
        (read_depth, "d.npy", npy(MILLIMETRES.astype(np.float32))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_flipped_bytes_raise_nothing_but_a_value_error(tmp_path, read, name, data):
    rng, refused = random.Random(name), 0
    for _ in range(150):
        broken = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        (tmp_path / name).write_bytes(broken[: rng.randint(len(broken) // 2, 2 * len(broken))])
        try:
            read(tmp_path / name)
        except ValueError:
            refused += 1
    assert refused > 10


def test_a_contact_sheet_shows_every_frame_above_its_depth():
    frames = make_frames(5)
    sheet, colours = contact_sheet(frames, columns=2)[0], depth_colours(frames)
    assert sheet.shape == (3 * 2 * (6 + GUTTER) + GUTTER, 2 * (9 + GUTTER) + GUTTER, 3)
    for index, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]):
        top, left = GUTTER + row * 2 * (6 + GUTTER), GUTTER + column * (9 + GUTTER)
        below = top + 6 + GUTTER
        assert torch.equal(sheet[top : top + 6, left : left + 9], frames.rgb[index])
        assert torch.equal(sheet[below : below + 6, left : left + 9], colours[index])
    assert contact_sheet(frames, columns=9).shape[2] == 5 * (9 + GUTTER) + GUTTER


def test_near_depth_is_red_far_is_blue_unknown_is_black_on_one_scale():
    depth = torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0, 50.0]).view(2, 1, 3, 1).repeat_interleave(30, dim=1)
    frames = make_frames(2, height=30, width=3)
    valid = torch.ones_like(depth, dtype=torch.bool)
    valid[1, 0, 1] = False
    known = Frames(rgb=frames.rgb, depth=depth, valid=valid, confidence=depth * 0, cameras=frames.cameras)
    colours = depth_colours(known)
    red_less_blue = (colours[..., 0] - colours[..., 2])[:, 1]
    assert red_less_blue[0, 0] > 0.3
    assert (red_less_blue[1] < red_less_blue[0, 0]).all()
    assert torch.equal(colours[1, 0, 1], torch.zeros(3))
    assert (colours.amax(dim=-1)[valid[..., 0]] > 0.05).all()
    alone = depth_colours(known[[1]])
    assert not torch.equal(alone[0], colours[1]), "one range for the sheet, not one a frame"


def test_a_sheet_without_any_depth_is_black_below():
    frames = make_frames(1)
    unknown = Frames(
        rgb=frames.rgb,
        depth=frames.depth * 0,
        valid=frames.valid & False,
        confidence=frames.confidence,
        cameras=frames.cameras,
    )
    assert (depth_colours(unknown) == 0).all()


@pytest.mark.parametrize(("count", "columns"), [(0, 3), (2, 0), (2, -1)])
def test_a_sheet_of_nothing_is_refused(count, columns):
    with pytest.raises(ValueError, match="needs frames and columns"):
        contact_sheet(make_frames(2)[:count], columns=columns)
