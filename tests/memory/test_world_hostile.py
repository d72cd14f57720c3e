"""World folders that are garbage, or worse: each is refused with one sentence and left as it was."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memory import _seals
from memory.world import FORMAT, World, WorldError
from tests.memory.test_world import ORIGIN, SCENE, make_frames


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A world of three frames in two chunks, with a path that is half done."""
    folder = tmp_path_factory.mktemp("worlds") / "sound"
    with World.create(folder, SCENE) as world:
        world.commit(make_frames(1), given=True, **ORIGIN)
        path = world.plan(make_frames(4).cameras, **ORIGIN)
        world.commit(make_frames(2), given=False, path=path, **ORIGIN)
    return folder


@pytest.fixture
def folder(sound, tmp_path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "world"))


def contents(folder: Path) -> dict[str, object]:
    """Every name below a folder, with what it holds."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else path.lstat().st_mode
        for path in sorted(folder.rglob("*"))
    }


def read_everything(folder: Path, *, writable: bool) -> None:
    with World.open(folder, writable=writable) as world:
        world.chunks()
        world.frames()
        world.pending()
        if writable:
            world.commit(make_frames(1), given=False, **ORIGIN)


def assert_one_sentence(error: Exception) -> None:
    message = str(error)
    assert "\n" not in message
    assert "Traceback" not in message
    assert len(message) < 700
    assert not message.endswith(".")


def seal(db: sqlite3.Connection) -> None:
    """Let the checksums fit what was done, as a forger would."""
    with suppress(sqlite3.OperationalError):  # a missing table, or text that cannot be read
        _seals.seal_all(db)


def sql(*statements: str):
    def damage(folder: Path) -> None:
        db = sqlite3.connect(folder / "world.db", isolation_level=None)
        db.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            db.execute(statement)
        seal(db)
        db.close()

    return damage


def blob_in_index(query: str, matrix: np.ndarray):
    def damage(folder: Path) -> None:
        db = sqlite3.connect(folder / "world.db", isolation_level=None)
        db.execute(query, (matrix.tobytes(),))
        seal(db)
        db.close()

    return damage


def overwrite(name: str, data: bytes, *, at: int | None = None):
    def damage(folder: Path) -> None:
        old = (folder / name).read_bytes()
        (folder / name).write_bytes(data if at is None else old[:at] + data + old[at + len(data) :])

    return damage


def link(name: str):
    def damage(folder: Path) -> None:
        moved = folder.parent / "elsewhere"
        if (folder / name).exists():
            shutil.move(folder / name, moved)
        else:
            moved.write_bytes(b"precious")
        (folder / name).symlink_to(moved)

    return damage


def remove(name: str):
    return lambda folder: (folder / name).unlink()


def picture(name: str, pixels: np.ndarray, *, kind: str = "PNG"):
    """Replace a picture of frame 1, and its checksum with it, as a forger would."""

    def damage(folder: Path) -> None:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format=kind)
        forge(folder, name, file.getvalue())

    return damage


def forge(folder: Path, name: str, data: bytes) -> None:
    (folder / "frames" / name).write_bytes(data)
    column = "depth_sha256" if "depth" in name else "rgb_sha256"
    db = sqlite3.connect(folder / "world.db", isolation_level=None)
    db.execute(f"UPDATE frames SET {column} = ? WHERE id = 1", (hashlib.sha256(data).digest(),))
    seal(db)
    db.close()


RIGID = np.eye(4, dtype=np.float32)
RGB, DEPTH = np.zeros((6, 9, 3), np.uint8), np.zeros((6, 9), np.uint16)
UPDATE_POSE = "UPDATE frames SET c2w = ? WHERE id = 1"

NOT_A_WORLD = {
    "a folder of something else": (remove("world.db"), "holds no world.db"),
    "text": (overwrite("world.db", b"hello " * 100), "not a SQLite file"),
    "an empty file": (overwrite("world.db", b""), "not a SQLite file"),
    "a header only": (lambda folder: os.truncate(folder / "world.db", 100), "cannot be read"),
    "another program's database": (sql("PRAGMA application_id = 1"), "of another program"),
    "a newer format": (sql(f"PRAGMA user_version = {FORMAT + 1}"), "update worldgen"),
    "a format that never was": (sql("PRAGMA user_version = 0"), "never existed"),
    "a trigger": (
        sql("CREATE TRIGGER t AFTER INSERT ON frames BEGIN DELETE FROM frames; END"),
        "changed by another program",
    ),
    "a missing table": (sql("DROP TABLE events"), "changed by another program"),
    "a view for a table": (
        sql("DROP TABLE events", "CREATE VIEW events AS SELECT 1"),
        "changed by another program",
    ),
    "broken pages": (overwrite("world.db", b"\xff" * 3000, at=100), "cannot be read|changed by another"),
    "no scene": (sql("DELETE FROM meta WHERE key = 'scale'"), "meta lacks scale"),
    "a scene that is not JSON": (sql("UPDATE meta SET value = '{' WHERE key = 'up'"), "should be JSON"),
    "nested JSON": (sql(f"UPDATE meta SET value = '{'[' * 100_000}'"), "should be JSON"),
    "an up of text": (sql("""UPDATE meta SET value = '["a", 1, 2]' WHERE key = 'up'"""), "three numbers"),
    "a NaN scale": (sql("UPDATE meta SET value = 'NaN' WHERE key = 'scale'"), "above 0"),
    "feet": (sql("""UPDATE meta SET value = '"feet"' WHERE key = 'units'"""), "no usable scene"),
    "scene bytes": (sql("UPDATE meta SET value = x'00' WHERE key = 'scale'"), "should be text"),
    "no head": (sql("DELETE FROM heads"), "no head"),
    "no current head": (sql("UPDATE heads SET current = NULL"), "no head that is the current one"),
    "a head without a name": (sql("UPDATE heads SET name = NULL"), "the name of a head"),
    "a tip of text": (sql("PRAGMA foreign_keys = OFF", "UPDATE heads SET tip = 'x'"), "the tip of a head"),
    "a head of text": (
        sql("PRAGMA foreign_keys = OFF", "UPDATE heads SET chunk = 'x'"),
        "the head should be",
    ),
    "a linked index": (link("world.db"), "plain file"),
    "a linked log": (link("world.db-wal"), "plain file"),
    "a linked lock": (link("world.lock"), "plain file"),
    "linked frames": (link("frames"), "plain folder"),
    "a pipe for an index": (
        lambda folder: [(folder / "world.db").unlink(), os.mkfifo(folder / "world.db")],
        "plain file",
    ),
}

BROKEN_WITHIN = {
    "a missing picture": (remove("frames/000001.png"), "frame 1 is missing"),
    "a missing depth": (remove("frames/000002.depth.png"), "frame 2 is missing"),
    "a linked picture": (link("frames/000001.png"), "frame 1 is missing"),
    "another picture": (overwrite("frames/000001.png", b"PNG"), "frame 1 is damaged.*checksum"),
    "a picture of another size": (picture("000001.png", RGB[:5]), "frame 1 is damaged.*9x6.*9x5"),
    "a gray picture": (picture("000001.png", RGB[..., 0]), "mode RGB.*mode L"),
    "8-bit depth": (picture("000001.depth.png", RGB[..., 0]), "mode I;16.*mode L"),
    "a JPEG": (picture("000001.png", RGB, kind="JPEG"), "not a PNG"),
    "no picture at all": (lambda folder: forge(folder, "000001.png", b"x" * 99), "not a PNG"),
    "a truncated picture": (
        lambda folder: forge(folder, "000001.png", (folder / "frames/000001.png").read_bytes()[:-30]),
        "not a PNG",
    ),
    "depth without a range": (sql("UPDATE frames SET near = NULL, far = NULL WHERE id = 1"), "no range"),
    "half a range": (sql("UPDATE frames SET near = NULL WHERE id = 1"), "half a depth range"),
    "a range upside down": (sql("UPDATE frames SET near = 9e9 WHERE id = 1"), "upside down"),
    "a range below zero": (sql("UPDATE frames SET near = -1 WHERE id = 1"), "above 0"),
    "a range beyond float32": (sql("UPDATE frames SET far = 1e300 WHERE id = 1"), "above 0"),
    "an infinite range": (sql("UPDATE frames SET far = 9e999 WHERE id = 1"), "above 0"),
    "a range of text": (sql("UPDATE frames SET far = 'far' WHERE id = 1"), "above 0"),
    "NaN in a pose": (blob_in_index(UPDATE_POSE, RIGID * np.nan), "cameras of frame 1.*NaN"),
    "a mirror for a pose": (blob_in_index(UPDATE_POSE, -RIGID), "rigid"),
    "a scaled pose": (blob_in_index(UPDATE_POSE, 2 * RIGID), "rigid"),
    "half a pose": (blob_in_index(UPDATE_POSE, RIGID[:2]), "c2w of frame 1"),
    "a pose of text": (sql("UPDATE frames SET c2w = 'x' WHERE id = 1"), "should be bytes"),
    "a normalised K": (blob_in_index("UPDATE frames SET k = ?", np.eye(3, dtype=np.float32)), "normalised"),
    "an absurd size": (sql("UPDATE frames SET width = 8193"), "from 1 to 8192"),
    "no size": (sql("UPDATE frames SET width = 0"), "from 1 to 8192"),
    "a size of text": (sql("UPDATE frames SET height = 'tall'"), "should be an integer"),
    "a size with a fraction": (sql("UPDATE frames SET height = 6.5"), "should be an integer"),
    "no number of bytes": (sql("UPDATE costs SET memory_bytes = 'much' WHERE chunk = 1"), "memory_bytes in"),
    "a machine of text": (sql("UPDATE costs SET machine = 'Z80' WHERE chunk = 1"), "should be JSON"),
    "half a machine": (sql("""UPDATE costs SET machine = '{"cpu": "Z80"}'"""), "a dict with cpu, cores, gpu"),
    "a machine without cores": (
        sql("""UPDATE costs SET machine = '{"cpu": "Z80", "cores": 0, "gpu": null}'"""),
        "cores in costs.machine",
    ),
    "another confidence": (sql("UPDATE frames SET confidence = 2 WHERE id = 1"), "from 0 to 1"),
    "frames without a chunk": (
        sql(
            "PRAGMA foreign_keys = OFF",
            "UPDATE frames SET chunk = 0 WHERE id = 2",
            "DELETE FROM chunks WHERE id = 1",
        ),
        "chunk 1 is missing",
    ),
    "a circle of chunks": (
        sql("PRAGMA foreign_keys = OFF", "UPDATE chunks SET parent = 1"),
        "parent of chunk 1",
    ),
    "a parent of text": (
        sql("PRAGMA foreign_keys = OFF", "UPDATE chunks SET parent = 'x'"),
        "parent of chunk",
    ),
    "settings that are not JSON": (sql("UPDATE chunks SET settings = 'x'"), "should be JSON"),
    "settings that are a list": (sql("UPDATE chunks SET settings = '[]'"), "should be a dict"),
    "text that is not UTF-8": (sql("UPDATE chunks SET generator = CAST(x'ff' AS TEXT)"), "cannot be read"),
    "bytes for a seed": (sql("UPDATE chunks SET seed = x'00'"), "seed of chunk"),
    "a coding of the future": (sql("UPDATE chunks SET coding = 2"), "update worldgen"),
    "an endless path": (sql("UPDATE paths SET cameras = 1000000000"), "cameras of path 0"),
    "a path of few poses": (sql("UPDATE paths SET cameras = 3, c2w = x'00'"), "c2w of path 0"),
    "a path without sense": (
        blob_in_index("UPDATE paths SET c2w = ?", np.zeros((4, 4, 4), np.float32)),
        "cameras of path 0.*rigid",
    ),
    "more progress than path": (
        sql("UPDATE chunks SET path_start = -9 WHERE id = 1"),
        "path_start of chunk 1",
    ),
}

BREAKS_REDO = {
    "a tip on another branch": sql("UPDATE heads SET chunk = 1, tip = 0"),
    "a tip that is missing": sql("PRAGMA foreign_keys = OFF", "UPDATE heads SET tip = 77"),
}

BREAKS_COLLECTING = {
    "a head that is missing": sql("PRAGMA foreign_keys = OFF", "UPDATE heads SET chunk = 77"),
    "a parent that is missing": sql("PRAGMA foreign_keys = OFF", "DELETE FROM chunks WHERE id = 0"),
}

BREAKS_WRITING = {
    "frames numbered to the end": (sql("UPDATE sqlite_sequence SET seq = 9223372036854775807"), "frames.id"),
    "frames numbered by text": (sql("UPDATE sqlite_sequence SET seq = 'x'"), "frames.id"),
}


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("name", NOT_A_WORLD)
def test_what_is_not_a_world_is_refused_and_not_touched(folder, name, writable):
    damage, expected = NOT_A_WORLD[name]
    damage(folder)
    before = contents(folder.parent)
    with pytest.raises(WorldError, match=expected) as caught:
        World.open(folder, writable=writable)
    assert_one_sentence(caught.value)
    assert contents(folder.parent) == before


@pytest.mark.parametrize("name", BROKEN_WITHIN)
def test_a_world_that_is_broken_within_is_refused_and_not_touched(folder, name):
    damage, expected = BROKEN_WITHIN[name]
    damage(folder)
    before = contents(folder.parent)
    with pytest.raises(WorldError, match=expected) as caught:
        read_everything(folder, writable=False)
    assert_one_sentence(caught.value)
    assert contents(folder.parent) == before


@pytest.mark.parametrize("name", BREAKS_WRITING)
def test_a_world_that_cannot_be_grown_is_read_but_not_grown(folder, name):
    damage, expected = BREAKS_WRITING[name]
    damage(folder)
    read_everything(folder, writable=False)
    with pytest.raises(WorldError, match=expected) as caught:
        read_everything(folder, writable=True)
    assert_one_sentence(caught.value)
    with World.open(folder) as world:
        assert world.frame_ids() == [0, 1, 2]
        assert world.verify() == []


@pytest.mark.parametrize("name", BREAKS_COLLECTING)
def test_a_world_with_a_gap_is_not_collected_lest_the_rest_of_it_goes_too(folder, name):
    BREAKS_COLLECTING[name](folder)
    before = contents(folder / "frames")
    with World.open(folder, writable=True) as world:
        for use in (world.tree.collect, world.tree.waste, world.tree.abandoned):
            with pytest.raises(WorldError, match=r"chunk (0|77) is missing") as caught:
                use()
            assert_one_sentence(caught.value)
    assert contents(folder / "frames") == before


@pytest.mark.parametrize("name", BREAKS_REDO)
def test_a_tip_that_cannot_be_is_refused_and_the_world_still_grows(folder, name):
    BREAKS_REDO[name](folder)
    with World.open(folder, writable=True) as world:
        with pytest.raises(WorldError, match=r"on another branch|chunk 77 is missing") as caught:
            world.tree.redo()
        assert_one_sentence(caught.value)
        assert world.head == 1
    read_everything(folder, writable=True)


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("place", ["nothing", "a/file/within", "file", "nul\0", "x" * 300, "loop", ""])
def test_a_place_without_a_world_is_refused(tmp_path, place, writable):
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = contents(tmp_path)
    with pytest.raises(WorldError) as caught:
        World.open(tmp_path / place, writable=writable)
    assert_one_sentence(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("place", ["file/within", "nul\0", "x" * 300, "loop"])
def test_a_place_where_no_world_can_be_is_refused(tmp_path, place):
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = contents(tmp_path)
    with pytest.raises(WorldError) as caught:
        World.create(tmp_path / place, SCENE)
    assert_one_sentence(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", [".000003.png.tmp", "000003.png", ".000003.depth.png.tmp"])
def test_a_trap_under_the_name_of_the_next_picture_catches_nothing(folder, tmp_path, name):
    (tmp_path / "precious").write_text("mine")
    (folder / "frames" / name).symlink_to(tmp_path / "precious")
    os.mkfifo(folder / "frames" / "000003.depth.png")
    read_everything(folder, writable=True)
    assert (tmp_path / "precious").read_text() == "mine"
    with World.open(folder) as world:
        assert world.verify() == []
        assert len(world.frames()) == 4


def test_a_log_of_garbage_hides_nothing(folder):
    (folder / "world.db-wal").write_bytes(b"\x37\x7f\x06\x82" + b"\xff" * 4096)
    with World.open(folder) as world:
        assert world.frame_ids() == [0, 1, 2]


def everything(folder: Path) -> tuple:
    """All that a world says of itself."""
    with World.open(folder) as world:
        frames, pending = world.frames(), world.pending()
        assert pending is not None
        tensors = (frames.rgb, frames.depth, frames.valid, frames.cameras.c2w, frames.cameras.K)
        numbers = [tensor.numpy().tobytes() for tensor in (*tensors, pending.cameras.c2w, pending.cameras.K)]
        plan = (pending.id, pending.done, pending.seed, pending.generator, pending.settings)
        return numbers, plan, world.chunks(), world.tree.whole(), world.scene


def test_a_flipped_bit_in_the_index_never_changes_what_a_world_says(folder):
    """Poses, seeds and depth ranges have no wrong values that could be told from right ones by looking."""
    rng, sound, before = random.Random(1), (folder / "world.db").read_bytes(), everything(folder)
    places = [place for place, byte in enumerate(sound) if byte]
    refused = 0
    for place in rng.sample(places, 200):
        broken = bytearray(sound)
        broken[place] ^= 1 << rng.randrange(8)
        (folder / "world.db").write_bytes(broken)
        try:
            assert everything(folder) == before
        except WorldError as error:
            assert_one_sentence(error)
            refused += 1
    assert refused > 100


def test_a_row_that_changed_is_missed_although_nothing_about_it_is_impossible(folder):
    db = sqlite3.connect(folder / "world.db", isolation_level=None)
    db.execute("UPDATE frames SET far = far * 1.5 WHERE id = 1")
    db.close()
    before = contents(folder)
    for writable in (False, True):
        with pytest.raises(WorldError, match="table frames does not hold what was committed"):
            World.open(folder, writable=writable)
    assert contents(folder) == before


@pytest.mark.parametrize("index", ["frames_by_chunk", "chunks_by_parent"])
def test_a_damaged_lookup_of_sound_rows_does_not_cost_a_picture(folder, index):
    """A writer sweeps pictures without a row, and SQLite may look rows up where they are not stored."""
    db = sqlite3.connect(folder / "world.db")
    ((root,),) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (index,)).fetchall()
    ((size,),) = db.execute("PRAGMA page_size").fetchall()
    db.close()
    data = bytearray((folder / "world.db").read_bytes())
    data[root * size - 1] ^= 0x40
    (folder / "world.db").write_bytes(data)
    before = contents(folder / "frames")
    for writable in (False, True):
        with pytest.raises(WorldError, match=r"world\.db is damaged") as caught:
            World.open(folder, writable=writable)
        assert_one_sentence(caught.value)
    assert contents(folder / "frames") == before


def test_any_flipped_bytes_in_the_index_are_refused_or_harmless(folder):
    """Whatever the file says, nothing but a WorldError comes out."""
    rng, sound = random.Random(0), (folder / "world.db").read_bytes()
    messages = []
    for _ in range(60):
        broken = bytearray(sound)
        for _ in range(rng.randint(1, 12)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        (folder / "world.db").write_bytes(broken)
        try:
            read_everything(folder, writable=False)
        except WorldError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert not any("\n" in message for message in messages)


def test_verify_tells_of_a_damaged_index(folder):
    sql("PRAGMA foreign_keys = OFF", "UPDATE frames SET chunk = 77 WHERE id = 2")(folder)
    with World.open(folder) as world:
        faults = world.verify()
    assert any("row 2 of frames" in fault for fault in faults)
