"""PNG: exact pictures of 8-bit colour and of 16-bit codes, and how colour becomes bytes.

Room: memory. Private to it; the world folder and the pictures at the door both write through here.
Decoding trusts nothing: the caller says what size and mode a picture must have before it is decoded.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from PIL import Image
from torch import Tensor

MAX_SIDE = 8192
"""Longest side of a picture, in pixels, that is read or written."""

RGB_MODE, CODE_MODE = "RGB", "I;16"

DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow raises on files that are not what they claim to be."""


def bytes_from_rgb(rgb: Float[Tensor, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colour in [0, 1] rounded to 8 bits; what lies outside is clamped."""
    return (rgb.detach().cpu().float().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).numpy()


def rgb_from_bytes(pixels: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "h w 3"]:
    """The colours that 8-bit values stand for."""
    return torch.from_numpy(pixels.astype(np.float32) / np.float32(255.0))


def png_from_pixels(pixels: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w"]) -> bytes:
    """A lossless PNG file: 8-bit colour or 16-bit gray."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def pixels_from_png(data: bytes, *, mode: str, width: int, height: int) -> np.ndarray:
    """Decode a PNG that must have exactly this mode and size.

    Raises:
        ValueError: if it does not, or if it cannot be decoded; the message is a clause that
            follows the name of the file.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            found = (image.mode, *image.size)
            pixels = np.array(image) if found == (mode, width, height) else None
    except DAMAGED as error:
        raise ValueError(f"is not a PNG that can be decoded ({in_one_line(error)})") from error
    if pixels is None:
        raise ValueError(
            f"should be a PNG of mode {mode} and {width}x{height} pixels, "
            f"but is of mode {found[0]} and {found[1]}x{found[2]}"
        )
    return pixels


def in_one_line(error: object) -> str:
    """What a library said, fit to be quoted inside a sentence."""
    return " ".join(str(error).split())[:200]
