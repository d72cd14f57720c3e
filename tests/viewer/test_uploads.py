"""Uploads as scoundrels send them."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import trimesh
import viser
from viser import UploadedFile
from viser._messages import FileTransferPart, FileTransferStartUpload

from viewer.uploads import MOST_AT_ONCE, MOST_BYTES, bound_uploads, check_self_contained, kept


@pytest.fixture(scope="module")
def server(server: viser.ViserServer) -> viser.ViserServer:
    bound_uploads(server)
    return server


class Sender:
    """Sends messages as if a browser had."""

    def __init__(self, server: viser.ViserServer) -> None:
        self._server = server
        self.button = server.gui.add_upload_button("Upload")
        self.coming = server.gui._current_file_upload_states

    def send(self, message: FileTransferStartUpload | FileTransferPart) -> None:
        handling = self._server._websock_server._handle_incoming_message(0, message)
        asyncio.run_coroutine_threadsafe(handling, self._server.get_event_loop()).result(10)

    def begin(self, name: str, *, size: int, parts: int = 3) -> None:
        self.send(
            FileTransferStartUpload(
                source_component_uuid=self.button._impl.uuid,
                transfer_uuid=name,
                filename="a.glb",
                mime_type="",
                part_count=parts,
                size_bytes=size,
            )
        )

    def part(self, name: str, index: int, content: bytes) -> None:
        self.send(
            FileTransferPart(
                source_component_uuid=self.button._impl.uuid,
                transfer_uuid=name,
                part_index=index,
                content=content,
            )
        )


@pytest.fixture
def sender(server: viser.ViserServer) -> Iterator[Sender]:
    sender = Sender(server)
    yield sender
    sender.coming.clear()


def test_what_is_announced_too_large_is_dropped_at_once(sender: Sender):
    sender.begin("fits", size=MOST_BYTES)
    sender.begin("large", size=MOST_BYTES + 1)
    assert list(sender.coming) == ["fits"]


def test_what_grows_beyond_what_was_announced_is_dropped(sender: Sender):
    sender.begin("liar", size=10)
    sender.part("liar", 0, b"x" * 20)
    assert "liar" in sender.coming
    sender.part("liar", 1, b"x" * MOST_BYTES)
    assert not sender.coming


def test_only_so_many_are_on_their_way(sender: Sender):
    for i in range(MOST_AT_ONCE + 3):
        sender.begin(f"upload-{i}", size=100)
    assert len(sender.coming) == MOST_AT_ONCE


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chair.glb", "chair.glb"),
        ("../../etc/passwd.glb", "passwd.glb"),
        ("a b$c.PLY", "abc.ply"),
        ("\u0000.ply", "upload.ply"),
        ("x" * 999 + ".ply", "x" * 80 + ".ply"),
    ],
)
def test_names_are_made_harmless(name: str, expected: str, tmp_path: Path):
    path = kept(UploadedFile(name, b"mesh"), tmp_path, endings=(".glb", ".ply"))
    assert path == tmp_path / expected
    assert path.read_bytes() == b"mesh"


@pytest.mark.parametrize(("name", "content"), [("a.exe", b"x"), ("a", b"x"), ("a.ply", b"")])
def test_other_kinds_and_nothing_are_refused(name: str, content: bytes, tmp_path: Path):
    with pytest.raises(ValueError, match="is needed"):
        kept(UploadedFile(name, content), tmp_path, endings=(".ply",))
    assert not list(tmp_path.iterdir())


def glb(content: object) -> bytes:
    body = json.dumps(content).encode()
    return struct.pack("<5I", 0x46546C67, 2, 20 + len(body), len(body), 0x4E4F534A) + body


def test_a_mesh_that_trimesh_wrote_holds_all_it_needs():
    written = trimesh.creation.box().export(file_type="glb")
    assert isinstance(written, bytes)
    check_self_contained(written)


@pytest.mark.parametrize("part", ["buffers", "images"])
def test_a_mesh_that_names_other_files_is_refused(part: str):
    check_self_contained(glb({part: [{"uri": "data:;base64,AA=="}, {}]}))
    with pytest.raises(ValueError, match="names other files"):
        check_self_contained(glb({part: [{"uri": "../../../etc/passwd"}]}))


@pytest.mark.parametrize(
    "content", [b"", b"glTF", b"x" * 64, glb([1]), glb({"images": 3}), glb({"images": [7]})], ids=range(6)
)
def test_what_is_no_gltf_is_refused_in_a_sentence(content: bytes):
    with pytest.raises(ValueError, match="no binary glTF"):
        check_self_contained(content)
