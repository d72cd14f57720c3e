"""Replay: the same world comes out again bit for bit, and the first frame that does not is named."""

from __future__ import annotations

import dataclasses
import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from memory.boxes import Box
from memory.points import Points
from memory.rehearsal import Rehearsal, difference
from memory.world import SceneInfo, World, WorldError, quantised
from render.cameras import Cameras, intrinsics_from_fov
from render.frames import Frames
from render.paths import path_named
from tests.memory.test_world_hostile import contents, seal
from worldgen.conditions import Known, SceneUnits
from worldgen.replay import lines, replay, replay_newest
from worldgen.rollout import Growth, start

SIZE = 32
INFO = SceneInfo(units="scene", scale=1.0, up=(0.0, -1.0, 0.0))


class Painter:
    """A ``Generator`` whose pictures depend on everything it is told: a wall, and paint from all there is."""

    size = SIZE

    def __init__(self, name: str = "painter", *, slips_at: int | None = None):
        self.name = name
        self.slips_at = slips_at
        self.calls = 0

    def __call__(self, known: Known, recall: Frames | None, *, units: SceneUnits, seed: int) -> Frames:
        """Paint."""
        rng = torch.Generator().manual_seed(seed)
        seen = known.has_rgb * known.rgb
        rgb = torch.rand(known.rgb.shape, generator=rng) + seen + 0.01 * known.offset.abs().sum()
        depth = 2.0 + 0.1 * torch.rand(known.depth.shape, generator=rng) + 0.1 * seen[..., :1]
        depth = depth + 0.2 * known.has_depth * known.depth
        if recall is not None:
            weights = torch.arange(1.0, len(recall) + 1).view(-1, 1, 1, 1)
            rgb = rgb + (weights * recall.rgb).mean(dim=0)
            depth = depth + 0.1 * (weights * recall.depth).mean(dim=0)
        rgb = torch.frac(rgb + abs(units.span.low))
        self.calls += 1
        if self.calls == self.slips_at:
            rgb[0, 3, 4] = torch.frac(rgb[0, 3, 4] + 0.3)
        valid = torch.ones_like(depth, dtype=torch.bool)
        valid[:, :2] = known.has_depth[:, :2]
        return Frames(
            rgb=rgb,
            depth=depth.masked_fill(~valid, 0.0),
            valid=valid,
            confidence=valid.float(),
            cameras=known.cameras,
        )


def camera() -> Cameras:
    K = intrinsics_from_fov(1.2, width=SIZE, height=SIZE)
    return Cameras(c2w=torch.eye(4)[None], K=K, width=SIZE, height=SIZE)


def picture(*, holes: float) -> Frames:
    """A first view, as a file would give it; the share ``holes`` of it has no depth."""
    rng = torch.Generator().manual_seed(5)
    depth = 1.0 + torch.rand(1, SIZE, SIZE, 1, generator=rng)
    valid = torch.rand(1, SIZE, SIZE, 1, generator=rng) >= holes
    frames = Frames(
        rgb=torch.rand(1, SIZE, SIZE, 3, generator=rng),
        depth=depth.masked_fill(~valid, 0.0),
        valid=valid,
        confidence=valid.float(),
        cameras=camera(),
    )
    return quantised(frames, given=True)


STARTS: dict[str, Callable[[], Frames | Cameras]] = {
    "a camera": camera,
    "a picture": lambda: picture(holes=1.0),
    "a measured picture": lambda: picture(holes=0.0),
    "a measured picture with holes": lambda: picture(holes=0.3),
}


def grown(folder: Path, first: Frames | Cameras, *, frames: int = 5) -> Path:
    """A world that was grown along one path to its end."""
    cameras = path_named("turn", camera(), n=frames)
    start(folder, INFO, first, cameras=cameras, generator=Painter(), seed=3, name="turn")
    with World.open(folder, writable=True) as world:
        list(Growth(world, Painter()).follow())
    return folder


def extend(world: World, n: int, *, seed: int, painter: Painter | None = None) -> None:
    """Grow along a path of its own, and stop one camera before its end."""
    growth = Growth(world, painter or Painter())
    last = world.cameras(world.frame_ids()[-1:])
    growth.plan(path_named("walk", last, n=n + 2)[1:], seed=seed, name="walk")
    for _, _ in zip(range(n), growth.follow(), strict=False):
        pass


def outcome(folder: Path, **painters: Painter) -> tuple[list[int], str | None]:
    """The chunks that were looked at, and how the last one differs."""
    made = {"painter": Painter()} | painters
    replayed = list(replay(folder, generator_of=made.__getitem__))
    assert all(each.difference is None for each in replayed[:-1])
    return [each.chunk.id for each in replayed], replayed[-1].difference


@pytest.mark.parametrize("name", STARTS)
def test_every_kind_of_start_comes_out_the_same(tmp_path: Path, name: str):
    folder = grown(tmp_path / "w", STARTS[name]())
    before = contents(folder)
    chunks, differs = outcome(folder)
    assert (chunks, differs) == ([0, 1, 2, 3, 4], None)
    assert contents(folder) == before, "replay only reads"


def test_a_tree_with_gaps_comes_out_the_same(tmp_path: Path):
    """Undo, regrowth, branches, resumed paths, deleted chunks and other weights on a branch."""
    folder = grown(tmp_path / "w", picture(holes=0.3))
    with World.open(folder, writable=True) as world:
        extend(world, 3, seed=1)
        world.tree.undo(2)
        list(Growth(world, Painter()).follow())
        extend(world, 2, seed=2)
        world.tree.branch("west", at=3)
        list(Growth(world, Painter()).follow())
        extend(world, 2, seed=4, painter=Painter("other"))
        world.tree.branch("north", at=2)
        extend(world, 1, seed=5)
        world.tree.undo()
        extend(world, 1, seed=6)
        world.tree.collect()
        world.tree.switch("main")
        expected = {number for head in world.tree.heads() for number in ids(world, head.chunk)}
    chunks, differs = outcome(folder, other=Painter("other"))
    assert differs is None
    assert set(chunks) == expected
    assert len(chunks) == len(expected)


def ids(world: World, end: int | None) -> list[int]:
    return [chunk.id for chunk in world.chunks(to=end)]


def test_lines_hold_every_chunk_that_a_head_reaches_once_and_parents_first(tmp_path: Path):
    folder = grown(tmp_path / "w", camera())
    with World.open(folder, writable=True) as world:
        world.tree.branch("west", at=2)
        extend(world, 2, seed=4)
        world.tree.undo()
        found = [[chunk.id for chunk in line] for line in lines(world)]
    assert found == [[0, 1, 2, 5], [3, 4]]


@pytest.mark.parametrize("slip", [1, 2, 4])
def test_a_generator_that_slips_once_is_caught_at_that_frame(tmp_path: Path, slip: int):
    folder = grown(tmp_path / "w", camera())
    chunks, differs = outcome(folder, painter=Painter(slips_at=slip))
    assert chunks == list(range(slip))
    assert str(differs).startswith(f"frame {slip - 1} differs: ")


def test_a_world_of_another_seed_differs_from_its_first_imagined_frame_on(tmp_path: Path):
    folder = grown(tmp_path / "w", camera())
    with closing(sqlite3.connect(folder / "world.db", isolation_level=None)) as db:
        db.execute("UPDATE paths SET seed = seed + 1")
        seal(db)
    chunks, differs = outcome(folder)
    assert chunks == [0, 1]
    assert "frame 1 differs: colour in" in str(differs)
    assert "depth in" in str(differs)


def forged(folder: Path, frame: int) -> None:
    """One level more red in one pixel, and a checksum to match."""
    file = folder / "frames" / f"{frame:06d}.png"
    with Image.open(file) as image:
        pixels = np.array(image)
    pixels[5, 6, 0] ^= 1
    Image.fromarray(pixels).save(file)
    with closing(sqlite3.connect(folder / "world.db", isolation_level=None)) as db:
        digest = hashlib.sha256(file.read_bytes()).digest()
        db.execute("UPDATE frames SET rgb_sha256 = ? WHERE id = ?", (digest, frame))
        seal(db)


@pytest.mark.parametrize("frame", [2, 4])
def test_a_forged_pixel_is_found_though_its_checksum_is_right(tmp_path: Path, frame: int):
    folder = grown(tmp_path / "w", camera())
    forged(folder, frame)
    with World.open(folder) as world:
        assert world.verify() == []
    chunks, differs = outcome(folder)
    assert chunks == list(range(frame + 1))
    assert differs == f"frame {frame} differs: colour in 1 of {SIZE * SIZE} pixels, by up to 1 of 255"


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize("frames", [2, 5])
def test_the_newest_chunk_alone_comes_out_the_same_unless_it_is_forged(
    tmp_path: Path, name: str, frames: int
):
    folder = grown(tmp_path / "w", STARTS[name](), frames=frames)
    again = replay_newest(folder, generator_of={"painter": Painter()}.__getitem__)
    assert (again.chunk.id, again.difference) == (frames - 1, None)
    forged(folder, frames - 1)
    again = replay_newest(folder, generator_of={"painter": Painter()}.__getitem__)
    assert again.difference is not None
    assert f"frame {frames - 1} differs: colour in 1 of" in again.difference


def test_what_was_given_has_no_newest_imagined_chunk(tmp_path: Path):
    folder = grown(tmp_path / "w", picture(holes=0.0))
    with World.open(folder, writable=True) as world:
        world.tree.undo(4)
    with pytest.raises(WorldError, match="nothing at this head was imagined"):
        replay_newest(folder, generator_of={"painter": Painter()}.__getitem__)


@pytest.mark.parametrize("frame", [0, 3])
def test_a_damaged_file_is_a_difference_whether_given_or_imagined(tmp_path: Path, frame: int):
    folder = grown(tmp_path / "w", picture(holes=0.0))
    (folder / "frames" / f"{frame:06d}.depth.png").write_bytes(b"x")
    chunks, differs = outcome(folder)
    assert chunks == list(range(frame + 1))
    assert f"frame {frame} is damaged" in str(differs)


def test_frames_that_did_not_grow_are_said_to_be_so(tmp_path: Path):
    folder = grown(tmp_path / "w", camera())
    with World.open(folder, writable=True) as world:
        world.commit(world.frames([4]), given=False, generator="painter", seed=0, settings={})
    with pytest.raises(WorldError, match="frame 5 is neither a first view nor the next on a path"):
        outcome(folder)


def test_given_frames_in_the_middle_are_compared_with_their_checksums(tmp_path: Path):
    folder = grown(tmp_path / "w", camera())
    with World.open(folder, writable=True) as world:
        world.commit(world.frames([4]), given=True, generator="input", seed=0, settings={})
        extend(world, 2, seed=8)
    assert outcome(folder) == ([0, 1, 2, 3, 4, 5, 6, 7], None)


def edited(folder: Path) -> Path:
    """A world in which things are placed and removed along a path, between paths and on a branch."""
    grown(folder, picture(holes=0.3))
    with World.open(folder, writable=True) as world:
        growth = Growth(world, Painter())
        last = world.cameras(world.frame_ids()[-1:])
        growth.plan(path_named("walk", last, n=5)[1:], seed=1, name="walk")
        path = growth.follow()
        next(path)
        growth.place(surface(world), settings={})
        next(path)
        growth.remove(Box(low=(-9.0, -9.0, 0.5), high=(9.0, 9.0, 1.6)), settings={})
        next(path)
        world.tree.branch("west", at=6)
        growth = Growth(world, Painter())
        list(growth.follow())
        growth.place(surface(world), settings={})
        extend(world, 2, seed=2)
    return folder


def surface(world: World) -> Points:
    """A square before the last camera."""
    x, y = (grid.flatten() for grid in torch.meshgrid(*[torch.linspace(-0.3, 0.3, 20)] * 2, indexing="ij"))
    c2w = world.cameras(world.frame_ids()[-1:]).c2w[0]
    axes = torch.tensor([[0.0, 0.016, 0.0], [0.016, 0.0, 0.0]]) @ c2w[:3, :3].T
    return Points(
        positions=torch.stack([x, y, torch.full_like(x, 1.2)], dim=1) @ c2w[:3, :3].T + c2w[:3, 3],
        rgb=torch.stack([x + 0.3, y + 0.3, 0.0 * x], dim=1),
        normals=torch.zeros(400, 3),
        confidence=torch.ones(400),
        axes=axes.expand(400, 2, 3),
        source=torch.zeros(400, dtype=torch.int64),
    )


def test_a_world_that_was_edited_comes_out_the_same(tmp_path: Path):
    folder = edited(tmp_path / "w")
    before = contents(folder)
    chunks, differs = outcome(folder)
    assert differs is None
    with World.open(folder) as world:
        assert sorted(chunks) == [chunk.id for chunk in world.tree.chunks()]
        assert sum(chunk.edit is not None for chunk in world.tree.chunks()) == 3
    assert contents(folder) == before, "replay only reads"


def test_frames_depend_on_the_edits_before_them(tmp_path: Path):
    """Other colours are placed behind the world's back: what grew next does not come out the same."""
    folder = edited(tmp_path / "w")
    file = folder / "edits" / "000000.ply"
    data = bytearray(file.read_bytes())
    for point in range(400):
        data[-1 - 39 * point] ^= 128
    file.write_bytes(data)
    chunks, differs = outcome(folder)
    assert "edit 0 is damaged" in str(differs)
    with closing(sqlite3.connect(folder / "world.db", isolation_level=None)) as db:
        digest = hashlib.sha256(data).hexdigest()
        db.execute("UPDATE events SET data = json_set(data, '$.sha256', ?) WHERE id = 0", (digest,))
        seal(db)
    edit = chunks[-1]
    chunks, differs = outcome(folder)
    assert chunks[-2] == edit, "the first frame after it"
    assert "differs: colour in" in str(differs)


def test_a_generator_that_cannot_be_had_stops_replay_before_it_begins(tmp_path: Path):
    folder = grown(tmp_path / "w", camera())

    def refuse(name: str) -> Painter:
        raise ValueError(f"no {name} here")

    with pytest.raises(ValueError, match="no painter here"):
        next(replay(folder, generator_of=refuse))


def test_a_world_can_be_replayed_while_it_grows(tmp_path: Path):
    folder = grown(tmp_path / "w", camera())
    with World.open(folder, writable=True) as world:
        replaying = replay(folder, generator_of={"painter": Painter()}.__getitem__)
        assert next(replaying).difference is None
        extend(world, 2, seed=8)
        assert [each.chunk.id for each in replaying] == [1, 2, 3, 4]
    assert len(outcome(folder)[0]) == 7


def test_whatever_is_done_to_a_rehearsal_leaves_the_world_alone(tmp_path: Path):
    folder = grown(tmp_path / "w", camera())
    before = contents(folder)
    with Rehearsal(folder) as rehearsal:
        rehearsal.world.tree.undo(2)
        rehearsal.world.tree.branch("x", at=0)
        rehearsal.world.plan(camera(), seed=0, generator="g", settings={})
        assert rehearsal.world.frame_ids() == [0]
        with pytest.raises(WorldError, match="ends here"):
            rehearsal.world.commit(
                rehearsal.world.frames([0]), given=False, generator="g", seed=0, settings={}
            )
    assert contents(folder) == before


def test_a_difference_says_what_and_how_much():
    stored = picture(holes=0.2)
    assert difference(stored, stored, ids=[7]) is None
    moved = dataclasses.replace(stored.cameras, c2w=stored.cameras.c2w.clone())
    moved.c2w[0, 0, 3] += 1e-6
    assert difference(dataclasses.replace(stored, cameras=moved), stored, ids=[7]) == (
        "frame 7 differs: its camera is another one"
    )
    deeper = dataclasses.replace(stored, depth=stored.depth * 1.5)
    known = int(stored.valid.sum())
    assert difference(deeper, stored, ids=[7]) == (
        f"frame 7 differs: depth in {known} of {SIZE * SIZE} pixels, by up to 50 %"
    )
    assert "2 frames came out where 1 are stored" in str(
        difference(quantised(picture(holes=0.2)[[0, 0]]), stored, ids=[7])
    )
    filled = dataclasses.replace(stored, valid=torch.ones_like(stored.valid))
    assert f"depth in {SIZE * SIZE - known} of" in str(difference(filled, stored, ids=[7]))
