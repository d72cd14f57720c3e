"""Inflated: compressed bytes of strangers, taken out no further than somebody asked for.

Room: reconstruct; only the formats beside it import this. A small file can inflate to more than any memory
holds, so nothing is taken out before it is known how much there may be.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import BinaryIO

import zstandard

PIECE = 1 << 20
"""Bytes that are read, and bytes that are taken out, at a time."""

SLACK = 1 << 20
"""Bytes that may follow what is asked for; a file that inflates to more was made to harm."""

WINDOW = 1 << 27
"""Bytes of memory that a zstd stream may ask for."""

ZSTD_HEADER = 32
STREAM = struct.Struct("<QQ")
"""Compressed and inflated bytes of one column."""

DAMAGED = "its compressed data is damaged or no gzip"


class GzipStream:
    """A gzip file, read from its beginning; memory grows with what is read, not with what is promised."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def read(self, size: int) -> bytearray:
        """The next bytes.

        Raises:
            ValueError: if the file is damaged, or ends before.
        """
        taken = self._upto(size)
        if len(taken) < size:
            raise ValueError(f"the file is cut short: {size} bytes should follow, but {len(taken)} do")
        return taken

    def rest(self) -> int:
        """How many bytes are left; the file's checksum is verified.

        Raises:
            ValueError: if the file is damaged or cut short, or inflates to far more than was asked for.
        """
        left = len(self._upto(SLACK + 1))
        if left > SLACK:
            raise ValueError("it inflates to far more than the splats that its header speaks of")
        if not self._inflater.eof:
            raise ValueError("the file is cut short: its checksum is missing")
        return left + len(self._inflater.unused_data) + len(self._file.read(SLACK))

    def _upto(self, size: int) -> bytearray:
        taken = bytearray()
        while len(taken) < size and not self._inflater.eof:
            raw = self._inflater.unconsumed_tail or self._file.read(PIECE)
            if not raw:
                break
            try:
                taken += self._inflater.decompress(raw, min(PIECE, size - len(taken)))
            except zlib.error:
                raise ValueError(DAMAGED) from None
        return taken


def zstd_columns(file: BinaryIO, sizes: list[int], streams: int) -> tuple[list[bytearray], int]:
    """The columns of an SPZ file of version 4, and how many bytes follow them.

    Args:
        file: stands after the first half of the header.
        sizes: bytes that each column has to have; columns of none may be missing.
        streams: how many the header says there are.

    Raises:
        ValueError: if the table of streams contradicts the header, or a stream is damaged.
    """
    length = os.fstat(file.fileno()).st_size
    file.seek(16)
    start = int.from_bytes(file.read(4), "little")
    wanted = sum(size > 0 for size in sizes)
    if not ZSTD_HEADER <= start <= length or not wanted <= streams <= len(sizes):
        raise ValueError(f"its table of streams contradicts its header: {streams} streams from byte {start}")
    file.seek(start)
    table = file.read(STREAM.size * streams)
    if len(table) < STREAM.size * streams:
        raise ValueError(
            f"the file is cut short: its table of {streams} streams ends after {len(table)} bytes"
        )
    found = [_zstd(file, *STREAM.unpack_from(table, STREAM.size * i), size=sizes[i]) for i in range(streams)]
    return found + [bytearray()] * (len(sizes) - streams), length - file.tell()


def _zstd(file: BinaryIO, compressed: int, inflated: int, *, size: int) -> bytearray:
    """One column."""
    if inflated != size:
        raise ValueError(f"a stream of {inflated} bytes should have {size}, going by the number of splats")
    if compressed > os.fstat(file.fileno()).st_size - file.tell():
        raise ValueError(f"the file is cut short: a stream of {compressed} bytes should follow")
    source, taken = io.BytesIO(file.read(compressed)), bytearray()
    if size == 0:
        return taken
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(source)
        while piece := reader.read(min(PIECE, size + 1 - len(taken))):  # a byte more tells that there is more
            taken += piece
    except zstandard.ZstdError:
        raise ValueError("its compressed data is damaged or no zstd") from None
    if len(taken) != size:
        raise ValueError(f"a stream should inflate to {size} bytes, and does not")
    return taken
