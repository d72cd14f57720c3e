"""Uploads: files from a browser, which may be anybody's: bounded while they come, and looked at before use.

Room: viewer. Viser keeps whatever a browser sends until it is complete, so what is too large is dropped here
with its first message, and what turns out larger than announced when it does.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import viser
from viser import UploadedFile
from viser._messages import FileTransferPart, FileTransferStartUpload

MOST_BYTES = 32 * 2**20
"""Of one uploaded file."""

MOST_AT_ONCE = 8
"""Uploads on their way; a browser that begins more has them dropped."""

GLB_MAGIC, GLB_JSON = 0x46546C67, 0x4E4F534A

LONGEST_NAME = 80


def bound_uploads(server: viser.ViserServer) -> None:
    """Drop uploads to ``server`` that are too large or too many, before they fill the memory."""
    coming = server.gui._current_file_upload_states

    def begun(client: int, message: FileTransferStartUpload) -> None:
        if message.size_bytes > MOST_BYTES or len(coming) > MOST_AT_ONCE:
            coming.pop(message.transfer_uuid, None)

    def came(client: int, message: FileTransferPart) -> None:
        state = coming.get(message.transfer_uuid)
        if state is not None and state["transferred_bytes"] > MOST_BYTES:
            coming.pop(message.transfer_uuid, None)

    server._websock_server.register_handler(FileTransferStartUpload, begun)
    server._websock_server.register_handler(FileTransferPart, came)


def kept(file: UploadedFile, folder: Path, *, endings: tuple[str, ...]) -> Path:
    """An uploaded file under a harmless name in ``folder``.

    Raises:
        ValueError: if it is too large, empty, or of another kind than ``endings``.
    """
    ending = Path(file.name).suffix.lower()
    if ending not in endings:
        raise ValueError(f"a file that ends in {' or '.join(endings)} is needed, got {file.name!r:.80}")
    if not 0 < len(file.content) <= MOST_BYTES:
        raise ValueError(
            f"a file of 1 byte to {MOST_BYTES >> 20} MiB is needed, got {len(file.content):,} bytes"
        )
    stem = "".join(c for c in Path(file.name).stem if c.isascii() and (c.isalnum() or c in "-_"))
    path = folder / f"{stem[:LONGEST_NAME] or 'upload'}{ending}"
    path.write_bytes(file.content)
    return path


def check_self_contained(glb: bytes) -> None:
    """Refuse a binary glTF that names other files: whoever sent it must not choose what we read.

    Raises:
        ValueError: if it does, or is no binary glTF.
    """
    try:
        magic, _, _, length, kind = struct.unpack_from("<5I", glb)
        if magic != GLB_MAGIC or kind != GLB_JSON:
            raise ValueError("its header is another one")
        content = json.loads(glb[20 : 20 + length])
        named = [
            thing.get("uri", "data:") for part in ("buffers", "images") for thing in content.get(part, [])
        ]
    except (struct.error, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError("the file is no binary glTF that can be read; export it again") from error
    if not all(isinstance(uri, str) and uri.startswith("data:") for uri in named):
        raise ValueError("the glTF names other files; export it with everything inside (.glb)")
