"""Edits of a world: what is placed or removed follows every head, and nothing of it is lost or comes back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from memory._surfaces import bytes_from_points
from memory.bank import MemoryBank
from memory.boxes import Box, within
from memory.cache import WorldCache
from memory.points import FIELDS, Points, concatenated
from memory.rehearsal import Rehearsal
from memory.restore import restored, restored_bank, restored_cache
from memory.retrieval import retrieve
from memory.world import MAX_POINTS, PLACE, REMOVE, World, WorldError
from render.cameras import Cameras, intrinsics_from_fov
from render.frames import Frames
from tests.memory.test_world import ORIGIN, SCENE, commit, make_frames
from tests.memory.test_world_crash import failing, largest_file
from tests.memory.test_world_hostile import assert_one_sentence, contents, sql

SETTINGS = {"mesh": "crate.ply", "at": [0.0, 0.0, 2.0]}
BOX = Box(low=(-1.0, -1.0, 1.0), high=(1.0, 1.0, 3.0))


def square(n: int = 5, *, z: float = 2.0, seed: int = 0) -> Points:
    """``n * n`` points on a square that faces -z, in random colours."""
    rng = torch.Generator().manual_seed(seed)
    at = torch.linspace(-0.4, 0.4, n)
    x, y = (grid.flatten() for grid in torch.meshgrid(at, at, indexing="ij"))
    half = 0.4 / max(n - 1, 1)
    axes = torch.tensor([[0.0, half, 0.0], [half, 0.0, 0.0]]).expand(n * n, 2, 3)
    return Points(
        positions=torch.stack([x, y, torch.full_like(x, z)], dim=1),
        rgb=torch.rand(n * n, 3, generator=rng),
        normals=torch.tensor([0.0, 0.0, -1.0]).expand(n * n, 3),
        confidence=torch.full((n * n,), 0.3),
        axes=axes,
        source=torch.full((n * n,), 77),
    )


def camera(*, z: float = 0.0, size: int = 24) -> Cameras:
    c2w = torch.eye(4)[None]
    c2w[0, 2, 3] = z
    return Cameras(c2w=c2w, K=intrinsics_from_fov(1.0, width=size, height=size), width=size, height=size)


def wall(depth: float, cameras: Cameras | None = None, *, rgb: float = 0.5) -> Frames:
    """A frontal wall that fills the view."""
    cameras = camera() if cameras is None else cameras
    shape = (len(cameras), cameras.height, cameras.width)
    return Frames(
        rgb=torch.full((*shape, 3), rgb),
        depth=torch.full((*shape, 1), depth),
        valid=torch.ones(*shape, 1, dtype=torch.bool),
        confidence=torch.ones(*shape, 1),
        cameras=cameras,
    )


def grow(world: World, frames: Frames) -> None:
    world.commit(frames, given=False, **ORIGIN)


def same(a: Points, b: Points) -> bool:
    return len(a) == len(b) and all(torch.equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


def in_order_of_place(points: Points) -> Points:
    return points[torch.from_numpy(np.lexsort(points.positions.T.numpy()))]


def files(world: World) -> list[str]:
    return sorted(os.listdir(world.path / "edits")) if (world.path / "edits").exists() else []


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world with one view of a wall three units away."""
    with World.create(tmp_path / "world", SCENE) as world:
        grow(world, wall(3.0))
        yield world


def test_what_is_placed_is_read_back_as_it_entered(world: World):
    chunk, placed = world.place(square(), settings=SETTINGS)
    assert (chunk.id, chunk.parent, chunk.frame_ids, chunk.given, chunk.settings) == (
        1,
        0,
        (),
        True,
        SETTINGS,
    )
    edit = chunk.edit
    assert edit is not None
    assert (edit.kind, edit.time, edit.points) == (PLACE, 1, 25)
    assert same(world.placed(edit), placed)
    assert (placed.source == -1 - edit.id).all()
    assert (placed.confidence == 1).all()
    torch.testing.assert_close(placed.positions, square().positions)
    torch.testing.assert_close(placed.normals, square().normals)
    assert (placed.rgb - square().rgb).abs().max() <= 0.5 / 255 + 1e-6
    assert within(placed.positions, edit.box.low, edit.box.high).all()
    with World.open(world.path) as reader:
        assert reader.chunks() == world.chunks()
        assert same(reader.placed(edit), placed)
        assert reader.verify() == []
    cache, _ = restored(world)
    held = cache.points[cache.points.source == placed.source[0]]
    assert same(in_order_of_place(held), in_order_of_place(placed))


def test_any_program_that_reads_ply_shows_what_was_placed(world: World):
    _, placed = world.place(square(), settings={})
    cloud = trimesh.load(world.path / "edits" / "000000.ply")
    assert isinstance(cloud, trimesh.PointCloud)
    np.testing.assert_array_equal(cloud.vertices, placed.positions.numpy())
    np.testing.assert_array_equal(cloud.colors[:, :3], np.rint(placed.rgb.numpy() * 255))


def test_what_is_placed_hides_what_is_behind_it_and_undo_shows_that_again(world: World):
    before = restored_cache(world).render(camera())
    world.place(square(), settings={})
    after = restored_cache(world).render(camera())
    middle = (0, slice(8, 16), slice(8, 16), 0)
    assert torch.allclose(before.depth[middle], torch.tensor(3.0), rtol=1e-3)
    assert (after.depth[middle] == 2.0).all()
    assert (after.confidence[middle] == 1.0).all()
    world.tree.undo()
    assert torch.equal(restored_cache(world).render(camera()).depth, before.depth)
    world.tree.redo()
    assert torch.equal(restored_cache(world).render(camera()).depth, after.depth)


def test_what_was_removed_is_gone_for_good_and_later_frames_fill_the_place_anew(world: World):
    grow(world, wall(2.0, camera(z=0.5)))
    kept = ~within(restored_cache(world).points.positions, *ends(BOX))
    assert 0 < int(kept.sum()) < len(kept)
    chunk = world.remove(BOX, settings={})
    assert chunk.edit is not None
    assert (chunk.edit.kind, chunk.edit.box, chunk.edit.points) == (REMOVE, BOX, 0)
    cache = restored_cache(world)
    assert len(cache) == int(kept.sum())
    assert not within(cache.points.positions, *ends(BOX)).any()
    grow(world, wall(2.0, rgb=0.9))
    for _ in range(2):
        world.close()
        world = World.open(world.path, writable=True)
        points = restored_cache(world).points
        inside = points[within(points.positions, *ends(BOX))]
        assert len(inside) > 0
        assert (inside.source == 2).all(), "only the frame that came after the edit is seen there"
    world.tree.undo(2)
    assert len(restored_cache(world)) == len(kept)
    world.close()


def ends(box: Box) -> tuple:
    return box.low, box.high


def test_removing_takes_what_was_placed_as_well(world: World):
    world.place(square(), settings={})
    assert (restored_cache(world).points.source == -1).sum() == 25
    world.remove(BOX, settings={})
    assert (restored_cache(world).points.source >= 0).all()
    world.place(square(), settings={})
    assert (restored_cache(world).points.source == -3).sum() == 25


def test_edits_happen_in_order_among_the_frames_of_each_head(world: World):
    """The oracle keeps a cache by hand while the world grows, on two branches."""
    by_hand = {}
    cache = WorldCache()

    def grown(frames: Frames) -> None:
        chunk, stored = world.commit(frames, given=False, **ORIGIN)
        cache.remember(stored, cache.render(stored.cameras), ids=list(chunk.frame_ids), given=False)

    stored = world.frames([0])
    cache.remember(stored, cache.render(stored.cameras), ids=[0], given=False)
    _, placed = world.place(square(), settings={})
    cache.take(placed)
    grown(wall(2.5, camera(z=0.2)))
    by_hand["main"] = cache.points
    world.tree.branch("west", at=1)
    cache = WorldCache()
    cache.remember(stored, cache.render(stored.cameras), ids=[0], given=False)
    cache.take(placed)
    world.remove(Box(low=(-1.0, -1.0, 1.0), high=(0.0, 1.0, 4.0)), settings={})
    cache.remove((-1.0, -1.0, 1.0), (0.0, 1.0, 4.0))
    grown(wall(2.7, camera(z=0.1)))
    by_hand["west"] = cache.points
    for name, points in by_hand.items():
        world.tree.switch(name)
        assert same(restored_cache(world).points, points)
        assert same(restored(world)[0].points, points)


def test_time_counts_the_edits_on_the_way(world: World):
    world.place(square(), settings={})
    grow(world, wall(2.0))
    world.remove(BOX, settings={})
    grow(world, wall(2.0))
    world.tree.branch("west", at=0)
    grow(world, wall(2.0))
    world.place(square(), settings={})
    with closing(sqlite3.connect(world.path / "world.db")) as db:
        frames = db.execute("SELECT time FROM frames ORDER BY id").fetchall()
        events = db.execute("SELECT time, kind FROM events ORDER BY id").fetchall()
    assert frames == [(0,), (1,), (2,), (0,)]
    assert events == [(1, "place"), (2, "remove"), (1, "place")]


def test_a_path_that_is_pending_goes_on_after_an_edit_and_undo_goes_back_over_it(world: World):
    cameras = make_frames(3).cameras
    path = world.plan(cameras, **ORIGIN)
    world.commit(make_frames(1), given=False, path=path, path_start=0, **ORIGIN)
    world.place(square(), settings={})
    pending = world.pending()
    assert pending is not None
    assert (pending.id, pending.done) == (path, 1)
    world.commit(make_frames(1), given=False, path=path, path_start=1, **ORIGIN)
    world.tree.undo(2)
    pending = world.pending()
    assert pending is not None
    assert pending.done == 1
    assert world.frame_ids() == [0, 1]


def test_collecting_deletes_the_file_of_an_edit_that_no_head_reaches(world: World):
    world.place(square(), settings={})
    world.place(square(6), settings={})
    world.remove(BOX, settings={})
    size = (world.path / "edits" / "000001.ply").stat().st_size
    world.tree.undo(2)
    assert files(world) == ["000000.ply", "000001.ply"]
    assert world.tree.waste().bytes == size
    freed = world.tree.collect()
    assert (freed.chunks, freed.frames, freed.bytes) == (2, 0, size)
    assert files(world) == ["000000.ply"]
    assert world.verify() == []
    chunk, _ = world.place(square(), settings={})
    assert chunk.edit is not None
    assert chunk.edit.id == 3, "numbers of deleted edits are not used again"
    assert files(world) == ["000000.ply", "000003.ply"]


def test_verify_notices_a_flipped_bit_and_a_missing_file(world: World):
    chunk, _ = world.place(square(), settings={})
    file = world.path / "edits" / "000000.ply"
    sound = file.read_bytes()
    file.write_bytes(sound[:-5] + bytes([sound[-5] ^ 1]) + sound[-4:])
    assert len(world.verify()) == 1
    assert "edit 0 is damaged" in world.verify()[0]
    assert chunk.edit is not None
    with pytest.raises(WorldError, match=r"edit 0 is damaged.*checksum"):
        world.placed(chunk.edit)
    with pytest.raises(WorldError, match="edit 0 is damaged"):
        restored_cache(world)
    file.unlink()
    assert "edit 0 is missing" in world.verify()[0]


def flawed(**changes: torch.Tensor) -> Points:
    return Points(**{name: changes.get(name, getattr(square(), name)) for name in FIELDS})


BAD_POINTS = {
    "none": (square()[:0], "1 to .* points can be placed at once, got 0"),
    "NaN": (flawed(positions=square().positions * math.nan), "finite coordinates"),
    "too far": (flawed(positions=square().positions * 1e7), "finite coordinates up to"),
    "no area": (flawed(axes=torch.zeros(25, 2, 3)), "patches with an area"),
    "endless patches": (flawed(axes=square().axes * math.inf), "finite coordinates"),
}


@pytest.mark.parametrize("name", BAD_POINTS)
def test_points_that_could_not_be_drawn_are_not_placed(world: World, name: str):
    points, expected = BAD_POINTS[name]
    before = state(world)
    with pytest.raises(WorldError, match=expected):
        world.place(points, settings={})
    assert state(world) == before


def test_more_points_than_an_edit_may_have_are_refused(world: World):
    many = concatenated([square(103)] * 25)
    assert len(many) > MAX_POINTS
    with pytest.raises(WorldError, match="place fewer"):
        world.place(many, settings={})
    assert (world.head, files(world)) == (0, [])


def test_an_empty_world_and_one_open_for_reading_are_not_edited(tmp_path: Path, world: World):
    with World.create(tmp_path / "empty", SCENE) as empty:
        for use in (lambda: empty.place(square(), settings={}), lambda: empty.remove(BOX, settings={})):
            with pytest.raises(WorldError, match="has no frames yet"):
                use()
    with World.open(world.path) as reader, pytest.raises(WorldError, match="not open for writing"):
        reader.remove(BOX, settings={})
    with Rehearsal(world.path) as rehearsal:
        for use in (
            lambda: rehearsal.world.place(square(), settings={}),
            lambda: rehearsal.world.remove(BOX, settings={}),
        ):
            with pytest.raises(WorldError, match="a rehearsal cannot be edited"):
                use()
    assert world.head == 0


@pytest.mark.parametrize(
    ("low", "high"),
    [((0, 0, 0), (1, 1, 0)), ((0, 0, 2), (1, 1, 1)), ((0, 0, math.nan), (1, 1, 1)), ((0, 0, 0), (1, 1, 1e9))],
)
def test_boxes_without_an_inside_or_an_end_are_refused(low: tuple, high: tuple):
    with pytest.raises(ValueError, match="corner"):
        Box(low=tuple(map(float, low)), high=tuple(map(float, high)))


def state(world: World) -> tuple:
    return world.chunks(), world.tree.heads(), files(world), world.verify()


STEPS = [("replace", 0), ("fsync", 0), ("fsync", 1), ("fsync", 2)]
"""The folder of the world, the file, and the folder of the edits are synced; the file is renamed."""


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "^C"]
)
@pytest.mark.parametrize(("call", "step"), STEPS)
def test_a_failure_at_any_step_of_placing_leaves_the_old_world(
    world: World, monkeypatch: pytest.MonkeyPatch, call: str, step: int, error: BaseException
):
    before = state(world)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(getattr(os, call), after=step, error=error))
        with pytest.raises(type(error)):
            world.place(square(), settings={})
    assert state(world) == before
    world.place(square(), settings={})
    assert world.verify() == []


def test_a_disk_that_refuses_the_transaction_leaves_the_old_world(world: World):
    before = world.chunks()
    with largest_file((world.path / "world.db-wal").stat().st_size):
        for use in (lambda: world.place(square(1), settings={}), lambda: world.remove(BOX, settings={})):
            with pytest.raises(WorldError, match="the world is as it was"):
                use()
    assert world.chunks() == before
    chunk, _ = world.place(square(), settings={})
    assert chunk.edit is not None
    assert chunk.edit.id > 0, "a power cut may yet complete what failed; its file must stay"
    world.close()
    with World.open(world.path, writable=True) as again:
        assert files(again) == [f"{chunk.edit.id:06d}.ply"]
        assert again.verify() == []


def test_files_that_a_killed_process_left_are_swept_and_those_of_others_are_not(world: World):
    world.place(square(), settings={})
    world.close()
    for name in ("000001.ply", ".000000.ply.tmp", ".000002.ply.tmp", "mine.ply", "1.ply"):
        (world.path / "edits" / name).write_bytes(b"x")
    with World.open(world.path) as reader:
        assert len(files(reader)) == 6, "a reader deletes nothing"
    with World.open(world.path, writable=True) as again:
        assert files(again) == ["000000.ply", "1.ply", "mine.ply"]
        assert again.verify() == []


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world with a frame, something placed, a frame, and something removed."""
    folder = tmp_path_factory.mktemp("worlds") / "sound"
    with World.create(folder, SCENE) as world:
        commit(world, 1)
        world.place(square(), settings={})
        commit(world, 1)
        world.remove(BOX, settings={})
    return folder


def data(**changes: object) -> str:
    """SQL that changes what the first event says of itself."""
    table = {"box": [[0, 0, 0], [1, 1, 1]], "points": 25, "sha256": "0" * 64} | changes
    return f"UPDATE events SET data = '{json.dumps(table)}' WHERE id = 0"


def forge(file: bytes) -> Callable[[Path], None]:
    """Another file for the first edit, and the checksum to match."""

    def damage(folder: Path) -> None:
        (folder / "edits" / "000000.ply").write_bytes(file)
        sql(data(sha256=hashlib.sha256(file).hexdigest()))(folder)

    return damage


GOOD = bytes_from_points(square())
NAN = np.full(3, np.nan, dtype="<f4").tobytes()

HOSTILE = {
    "no file": (lambda folder: (folder / "edits/000000.ply").unlink(), "edit 0 is missing"),
    "no edits at all": (lambda folder: shutil.rmtree(folder / "edits"), "edit 0 is missing"),
    "NaN": (forge(GOOD[:-39] + NAN + GOOD[-27:]), "finite coordinates"),
    "flat patches": (forge(GOOD[:-27] + bytes(27)), "patches with an area"),
    "too short": (forge(GOOD[:-1]), "should hold 25 points"),
    "too long": (forge(GOOD + b"x"), "checksum|should hold 25 points"),
    "more points than there are": (sql(data(points=26)), "checksum|header"),
    "another header": (forge(GOOD.replace(b"float x", b"float w")), "header"),
    "a pickle": (forge(b"\x80\x04."), "header"),
    "endless points": (sql(data(points=10**15)), "points of event 0"),
    "no points": (sql(data(points=0)), "points of event 0"),
    "points of text": (sql(data(points="x")), "points of event 0"),
    "no checksum": (sql(data(sha256="")), "sha256 of event 0"),
    "a checksum that is none": (sql(data(sha256="é" * 64)), "sha256 of event 0"),
    "a box of text": (sql(data(box="low, high")), "box of event 0"),
    "half a box": (sql(data(box=[[0, 0, 0]])), "box of event 0"),
    "a flat box": (sql(data(box=[[0, 0, 0], [1, 1, 0]])), "box of event 0"),
    "a box with text": (sql(data(box=[[0, 0, "0"], [1, 1, 1]])), "box of event 0"),
    "an endless box": (
        sql("""UPDATE events SET data = '{"box": [[0,0,0],[1,1,Infinity]]}' WHERE id = 1"""),
        "box of event 1",
    ),
    "a huge box": (
        sql(f"""UPDATE events SET data = '{{"box": [[0,0,0],[1,1,1{"0" * 400}]]}}' WHERE id = 1"""),
        "box of event 1",
    ),
    "data that is a list": (sql("UPDATE events SET data = '[]'"), "data of event 0"),
    "data that is not JSON": (sql("UPDATE events SET data = '{'"), "should be JSON"),
    "more data": (sql(data(more=1)), "data of event 0"),
    "a kind of the future": (sql("UPDATE events SET kind = 'paint' WHERE id = 0"), "update worldgen"),
    "a kind in bytes": (sql("UPDATE events SET kind = x'00' WHERE id = 0"), "update worldgen"),
    "no time": (sql("UPDATE events SET time = -1 WHERE id = 0"), "time of event 0"),
    "an edit that is gone": (sql("DELETE FROM events WHERE id = 0"), "chunk 1 should have frames or an edit"),
    "an edit of frames": (
        sql("UPDATE events SET chunk = 0 WHERE id = 0"),
        "chunk 0 should have|chunk 1 should",
    ),
    "two edits at once": (sql("UPDATE events SET chunk = 1"), "more than one event"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_edits_are_refused_in_one_sentence_and_not_touched(sound: Path, tmp_path: Path, name: str):
    folder = Path(shutil.copytree(sound, tmp_path / "world"))
    damage, expected = HOSTILE[name]
    damage(folder)
    before = contents(folder)
    with World.open(folder) as world, pytest.raises(WorldError, match=expected) as caught:
        restored_cache(world)
    assert_one_sentence(caught.value)
    assert contents(folder) == before


def test_a_linked_edit_and_a_linked_folder_lead_nowhere(sound: Path, tmp_path: Path):
    folder = Path(shutil.copytree(sound, tmp_path / "world"))
    shutil.move(folder / "edits" / "000000.ply", tmp_path / "precious")
    (folder / "edits" / "000000.ply").symlink_to(tmp_path / "precious")
    with World.open(folder) as world, pytest.raises(WorldError, match="edit 0 is missing"):
        restored_cache(world)
    shutil.move(folder / "edits", tmp_path / "elsewhere")
    (folder / "edits").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorldError, match="plain folder"):
        World.open(folder, writable=True)
    assert os.listdir(tmp_path / "elsewhere") == ["000000.ply"]


def test_a_cache_from_which_a_box_was_removed_draws_what_is_left():
    cache = WorldCache()
    cache.take(concatenated([square(40, z=2.0), square(40, z=3.0, seed=1)]))
    alone = WorldCache()
    alone.take(square(40, z=3.0, seed=1))
    assert cache.remove((-1.0, -1.0, 1.5), (1.0, 1.0, 2.5)) == 1600
    assert same(cache.points, alone.points)
    for name in ("rgb", "depth", "mask", "source"):
        assert torch.equal(getattr(cache.render(camera()), name), getattr(alone.render(camera()), name))
    assert cache.remove((-1.0, -1.0, 1.5), (1.0, 1.0, 2.5)) == 0
    assert cache.remove((-1.0, -1.0, 2.5), (1.0, 1.0, 3.0)) == 1600, "both corners belong to the box"
    assert len(cache) == 0
    assert not cache.render(camera()).mask.any()
    assert (cache.store.draw(camera()).winner == -1).all()


def test_what_is_imagined_of_something_placed_is_as_good_as_measured_once_removed():
    """Generation 1: one away from what somebody knows."""
    cache = WorldCache()
    placed = square(40)
    cache.take(dataclasses.replace(placed, source=torch.full((1600,), -5)))
    frames = wall(2.0)
    judged = cache.judge(frames, cache.render(frames.cameras), ids=[0], given=False)
    known = cache.render(frames.cameras).mask
    assert known.any()
    torch.testing.assert_close(judged.confidence[known], torch.tensor(0.9).expand(int(known.sum())))


@pytest.mark.parametrize("seed", range(4))
def test_of_two_views_at_one_pose_the_one_after_the_edit_is_recalled(world: World, seed: int):
    """The newer one has a hole, so without the edit the older one would show more."""
    half = square(60)
    wide = dataclasses.replace(half, positions=half.positions * torch.tensor([2, 2, 1]), axes=half.axes * 2)
    world.place(wide, settings={})
    valid = torch.ones(1, 24, 24, 1, dtype=torch.bool)
    valid[:, 14:17] = False
    full = wall(2.0)
    grow(world, dataclasses.replace(full, depth=full.depth * valid, valid=valid, confidence=valid.float()))
    cache, bank = restored(world)
    seen = cache.render(camera())
    chosen = retrieve(bank, seen, k=2, seed=seed)
    assert [view.frame_id for view in chosen] == [1, 0]
    unaware = MemoryBank()
    unaware.append(world.frames(), ids=[0, 1])
    assert [view.frame_id for view in retrieve(unaware, seen, k=2, seed=seed)] == [0, 1]


def test_an_edit_takes_a_step_of_time_and_changes_no_view(world: World):
    world.place(square(), settings={})
    grow(world, wall(2.0))
    world.remove(BOX, settings={})
    bank = restored_bank(world)
    assert bank.units.times.tolist() == [0, 2]
    assert [change.time for change in bank.changes] == [1, 3]
    assert bank.changes[1].box == BOX
    assert bank.now == 4
    plain = MemoryBank()
    plain.append(world.frames(), ids=[0, 1])
    np.testing.assert_array_equal(bank.units.depth, plain.units.depth)
    empty = MemoryBank()
    assert empty.now == 0
