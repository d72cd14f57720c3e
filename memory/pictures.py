"""Pictures: files from people, read at the door, and pictures of frames for people to look at.

Room: memory. Used by the command line, the viewer and importers. Files are not trusted: size and
kind are checked before anything is decoded. Every error is a ValueError of one sentence that names
the file, what was expected, what came, and what to do.
"""

from __future__ import annotations

import io
import secrets
import stat
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageOps
from torch import Tensor

from memory._png import DAMAGED, MAX_SIDE, bytes_from_rgb, in_one_line, png_from_pixels
from render.frames import Frames

MAX_PIXELS = 50_000_000
MAX_FILE_BYTES = 512 << 20

RGB_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "GIF")
DEPTH_MODES = {"I;16", "I;16B", "I;16L", "I", "F"}
NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
WHITE = (255, 255, 255, 255)

GUTTER = 2
"""Pixels between the pictures of a contact sheet."""

GUTTER_RGB = 0.5

# Polynomial fit of the turbo colour map, powers 0 to 5 down the rows, R G B across; A. Mikhailov and
# R. Kiiskila, Google, 2019, Apache-2.0.
TURBO = (
    (0.13572138, 0.09140261, 0.10667330),
    (4.61539260, 2.19418839, 12.64194608),
    (-42.66032258, 4.84296658, -60.58204836),
    (132.13108234, -14.18503333, 110.36276771),
    (-152.94239396, 4.27729857, -89.90310912),
    (59.28637943, 2.82956604, 27.34824973),
)


def read_rgb(path: Path | str) -> Float[Tensor, "1 h w 3"]:
    """A picture as it is meant to be seen: turned as its EXIF says, transparency over white.

    Raises:
        ValueError: if the file is missing, damaged, not a picture, or larger than 8192 pixels a
            side or 50 megapixels.
    """
    file = _plain_file(path)
    image = _image(file, formats=RGB_FORMATS, expected="a PNG, JPEG, WebP, TIFF or BMP picture")
    with image:
        _check_size(file, *image.size)
        if image.mode in ("F", "I"):
            raise ValueError(
                f"{file} should be a picture, but holds numbers without a range (mode {image.mode}); "
                "save it with 8 or 16 bits a channel"
            )
        try:
            pixels = _rgb_pixels(ImageOps.exif_transpose(image))
        except DAMAGED as error:
            raise _unreadable(file, "a complete picture", error) from error
    return torch.from_numpy(pixels)[None]


def _rgb_pixels(image: Image.Image) -> Float[np.ndarray, "h w 3"]:
    if image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.float32) / np.float32(65535.0)
        return np.repeat(gray[..., None], 3, axis=-1)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, WHITE), layer)
    return np.asarray(image.convert("RGB")).astype(np.float32) / np.float32(255.0)


def read_depth(
    path: Path | str, *, units_per_metre: float = 1000.0
) -> tuple[Float[Tensor, "1 h w 1"], Bool[Tensor, "1 h w 1"]]:
    """Z-depth in metres, and where it was measured; 0 in the file means "not measured".

    A 16-bit PNG or an integer TIFF holds ``units_per_metre`` steps a metre (1000: millimetres). A
    ``.npy`` array and a floating-point TIFF hold metres.

    Raises:
        ValueError: if the file is missing, damaged, of another kind or too large, or if a depth is
            negative or not finite, or if none is measured.
    """
    file = _plain_file(path)
    if not 0.0 < units_per_metre < float("inf"):
        raise ValueError(
            f"depth in {file} needs a finite number of units per metre above 0, got {units_per_metre}; "
            "millimetres are 1000"
        )
    values = _npy_values(file) if file.suffix.lower() == ".npy" else _depth_image(file)
    scale = units_per_metre if np.issubdtype(values.dtype, np.integer) else 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        depth = (values.astype(np.float64) / scale).astype(np.float32)
    if not np.isfinite(depth).all() or (depth < 0).any():
        raise ValueError(
            f"{file} should hold finite depths of 0 or more, but has NaN, infinite or negative ones; "
            "write 0 where nothing was measured"
        )
    valid = depth > 0
    if not valid.any():
        raise ValueError(f"{file} should hold some depth, but every pixel is 0; give another file, or none")
    return torch.from_numpy(depth)[None, ..., None], torch.from_numpy(valid)[None, ..., None]


def _depth_image(file: Path) -> np.ndarray:
    image = _image(
        file, formats=("PNG", "TIFF"), expected="depth as a 16-bit PNG, a .npy array or a floating-point TIFF"
    )
    with image:
        _check_size(file, *image.size)
        if image.mode not in DEPTH_MODES:
            raise ValueError(
                f"{file} should hold depth in one channel of 16 or more bits, but is a picture of mode "
                f"{image.mode}; save depth as a 16-bit gray PNG in millimetres"
            )
        try:
            return np.array(image)
        except DAMAGED as error:
            raise _unreadable(file, "a complete depth picture", error) from error


def _npy_values(file: Path) -> np.ndarray:
    try:
        with file.open("rb") as source:
            read_header = NPY_HEADERS[np.lib.format.read_magic(source)]
            shape, _, dtype = read_header(source)
    except (*DAMAGED, TokenError) as error:
        raise _unreadable(file, "a .npy array of plain numbers", error) from error
    sides = shape[:2] if len(shape) == 3 and shape[2] == 1 else shape
    is_number = dtype.kind in "fiu" and dtype.itemsize > 1
    if len(sides) != 2 or not is_number:
        raise ValueError(
            f"{file} should be numbers of 16 or more bits in the shape (height, width), but is {dtype} in "
            f"the shape {shape}; save it as float32 in metres"
        )
    _check_size(file, sides[1], sides[0])
    try:
        return np.load(file, allow_pickle=False).reshape(sides)
    except DAMAGED as error:
        raise _unreadable(file, "a complete .npy array", error) from error


def write_png(path: Path | str, rgb: Float[Tensor, "1 h w 3"]) -> None:
    """Write one picture as an 8-bit PNG, whole or not at all; colour outside [0, 1] is clamped.

    Raises:
        ValueError: if the colour is not finite, or the file cannot be written.
    """
    if not torch.isfinite(rgb).all():
        raise ValueError(f"{path} should get finite colours, but some are NaN or infinite; fix the picture")
    data = png_from_pixels(bytes_from_rgb(rgb[0]))
    try:
        _write(Path(path).resolve(), data)
    except OSError as error:
        raise ValueError(
            f"{path} should be a file that can be written, but that failed ({error.strerror or error}); "
            "name another one"
        ) from error


def _write(file: Path, data: bytes) -> None:
    """Write a file whole or not at all; a device is written as it is, not replaced."""
    if file.exists() and not file.is_file():
        file.write_bytes(data)
        return
    partial = file.with_name(f".{secrets.token_hex(8)}.part")
    try:
        partial.write_bytes(data)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def contact_sheet(frames: Frames, *, columns: int) -> Float[Tensor, "1 H W 3"]:
    """All frames on one page, row by row: colour above depth, near red and far blue, unknown black.

    The colours of depth span the 1st to the 99th percentile of inverse depth on the whole sheet.
    """
    if columns < 1 or len(frames) == 0:
        raise ValueError(
            f"a contact sheet needs frames and columns, got {len(frames)} frames in {columns} columns; "
            "give at least one of each"
        )
    height, width = frames.cameras.height, frames.cameras.width
    columns = min(columns, len(frames))
    rows = -(-len(frames) // columns)
    cell_height, cell_width = 2 * (height + GUTTER), width + GUTTER
    sheet = torch.full((1, rows * cell_height + GUTTER, columns * cell_width + GUTTER, 3), GUTTER_RGB)
    depth_rgb = depth_colours(frames)
    for index in range(len(frames)):
        top = GUTTER + index // columns * cell_height
        left = GUTTER + index % columns * cell_width
        below = top + height + GUTTER
        sheet[0, top : top + height, left : left + width] = frames.rgb[index].detach().cpu().float()
        sheet[0, below : below + height, left : left + width] = depth_rgb[index]
    return sheet.clamp(0.0, 1.0)


def depth_colours(frames: Frames) -> Float[Tensor, "n h w 3"]:
    """Inverse depth as colour, near red and far blue, with one range for all frames; unknown is black."""
    depth, valid = frames.depth.detach().cpu().float(), frames.valid.cpu()
    return coloured_depth(depth, valid, span=depth_span(depth[valid]))


def depth_span(depths: Float[Tensor, " p"]) -> tuple[float, float]:
    """The inverse depths that get the colours of what is farthest and of what is nearest.

    The 1st and the 99th percentile, so that a few pixels do not take all colours.
    """
    low, high = np.percentile(1.0 / depths.numpy(), [1.0, 99.0]).tolist() if len(depths) else (0.0, 1.0)
    return low, high


def coloured_depth(
    depth: Float[Tensor, "n h w 1"], valid: Bool[Tensor, "n h w 1"], *, span: tuple[float, float]
) -> Float[Tensor, "n h w 3"]:
    """Inverse depth as colour, near red and far blue, from ``span[0]`` to ``span[1]``; unknown is black."""
    near = torch.where(valid, 1.0 / torch.where(valid, depth, 1.0), 0.0)
    return torch.where(valid, turbo((near - span[0]) / max(span[1] - span[0], 1e-12)), 0.0)


def turbo(shares: Float[Tensor, "*n 1"]) -> Float[Tensor, "*n 3"]:
    """The turbo colour map, from blue at 0 or less over green to red at 1 or more.

    It goes through more hues than maps whose lightness only rises, so that steps far away can be told apart,
    where inverse depths lie close together.
    """
    t = shares.clamp(0.0, 1.0)
    powers = torch.cat([t**power for power in range(len(TURBO))], dim=-1)
    return (powers @ torch.tensor(TURBO).to(powers)).clamp(0.0, 1.0)


def coloured_normals(normals: Float[Tensor, "n h w 3"]) -> Float[Tensor, "n h w 3"]:
    """Unit normals in the world as colour, a channel an axis, dark at -1, bright at 1; black without one."""
    known = (normals != 0.0).any(dim=-1, keepdim=True)
    return torch.where(known, (0.5 + 0.5 * normals).clamp(0.0, 1.0), 0.0)


def _plain_file(path: Path | str) -> Path:
    file = Path(path)
    try:
        state = file.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{str(path)!r:.200} should be a file, but it cannot be found ({reason}); check the name"
        ) from error
    if not stat.S_ISREG(state.st_mode):
        raise ValueError(f"{file} should be a file, but is a folder or a device; name a picture")
    if state.st_size > MAX_FILE_BYTES:
        raise ValueError(
            f"{file} should have at most {MAX_FILE_BYTES >> 20} MiB, but has {state.st_size >> 20}; "
            "scale it down"
        )
    return file


def _image(file: Path, *, formats: tuple[str, ...], expected: str) -> Image.Image:
    """The picture in a file, its header read and nothing decoded."""
    Image.init()  # Pillow looks formats up by name, and knows the rarer ones only after this
    try:
        return Image.open(io.BytesIO(file.read_bytes()), formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"{file} should have at most {MAX_PIXELS // 1_000_000} megapixels, but has far more; "
            "scale it down"
        ) from error
    except DAMAGED as error:
        raise _unreadable(file, expected, error) from error


def _unreadable(file: Path, expected: str, error: Exception) -> ValueError:
    reason = "it is not one" if isinstance(error, Image.UnidentifiedImageError) else in_one_line(error)
    return ValueError(f"{file} should be {expected}, but it cannot be read ({reason}); save it again")


def _check_size(file: Path, width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS or min(width, height) < 1:
        raise ValueError(
            f"{file} should have 1 to {MAX_SIDE} pixels a side and {MAX_PIXELS // 1_000_000} megapixels at "
            f"most, but is {width}x{height}; resize it"
        )
