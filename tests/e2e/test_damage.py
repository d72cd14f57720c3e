"""Damage, as a user meets it: every verb ends in what it would have done, or in one sentence.

So do a folder that may only be read, another writer, another place and another format.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memory.world import FORMAT, World
from tests.e2e.verbs import Done, Words, assert_one_sentence, assert_refused, forked, pictures_of
from tests.memory.test_world_formats import OLD
from tests.memory.test_world_hostile import contents


@pytest.fixture(scope="module")
def sound(walked: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of two frames along a path of three."""
    folder = Path(shutil.copytree(walked(3), tmp_path_factory.mktemp("worlds") / "sound"))
    assert forked("undo", folder).returncode == 0
    return folder


@pytest.fixture
def world(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "w"))


def verbs(world: Path, out: Path, model: Words) -> dict[str, Words]:
    """One request of every kind; ``out`` is a folder for what is made."""
    return {
        "info": (world, "--verify", "--sheet", out / "w.png"),
        "export": (world, out / "w.ply"),
        "fly": (world, out / "w.mp4", "--render", "frames", "--fps", 10),
        "replay": (world, *model[:2]),
        "undo": (world,),
        "redo": (world,),
        "heads": (world, "--new", "west"),
        "gc": (world,),
        "extend": (world, "--resume", *model),
    }


READING = ("info", "export", "fly", "replay")
WRITING = ("undo", "redo", "heads", "gc", "extend")


def outcome(
    verb: str, world: Path, out: Path, model: Words, *, obeys_permissions: bool = False
) -> tuple[Done, object]:
    """What a verb did, and what there is afterwards."""
    out.mkdir()
    done = forked(verb, *verbs(world, out, model)[verb], obeys_permissions=obeys_permissions)
    made = sorted((file.name, file.read_bytes()) for file in out.iterdir())
    return done, made


@pytest.fixture(scope="module")
def expected(sound: Path, model: Words, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple]:
    """What every verb makes of the sound world: files, and pictures of the world afterwards."""
    found = {}
    for verb in (*READING, *WRITING):
        place = tmp_path_factory.mktemp("expected")
        world = Path(shutil.copytree(sound, place / "w"))
        done, made = outcome(verb, world, place / "out", model)
        assert done.returncode == 0, done.stderr
        found[verb] = (made, pictures_of(world))
    return found


FRAME_FILES = ("000000.png", "000000.depth.png", "000001.png", "000001.depth.png")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["truncated", "flipped"])
@pytest.mark.parametrize("name", FRAME_FILES)
def test_a_damaged_picture_is_named_by_whoever_reads_it(
    name: str, kind: str, world: Path, tmp_path: Path, model: Words
):
    file = world / "frames" / name
    data = bytearray(file.read_bytes())
    if kind == "truncated":
        del data[-1]
    else:
        data[random.Random(name).randrange(len(data))] ^= 0x10
    file.write_bytes(data)
    before = contents(world)
    for verb in (*READING, "extend"):
        done, made = outcome(verb, world, tmp_path / verb, model)
        assert made == []
        if verb == "info":
            assert (done.returncode, done.stderr) == (1, "")
            assert done.stdout.count("is damaged") == 1
            assert name in done.stdout
        else:
            assert_refused(done, about=f"frame {int(name[:6])} is damaged")
            assert name in done.stderr
    assert contents(world) == before


def assert_as_expected_or_refused(verb: str, world: Path, out: Path, model: Words, expected: dict) -> bool:
    """Whether a verb did what it does to a sound world; otherwise it said why and left no picture out."""
    before = contents(world / "frames")
    done, made = outcome(verb, world, out, model)
    if done.returncode == 0:
        assert (made, pictures_of(world)) == expected[verb]
        return True
    assert_refused(done)
    assert made == []
    assert contents(world / "frames") == before
    return False


@pytest.mark.slow
@pytest.mark.parametrize("verb", [*READING, *WRITING])
def test_a_flipped_bit_in_the_index_never_changes_what_a_verb_does(
    verb: str, sound: Path, tmp_path: Path, model: Words, expected: dict[str, tuple]
):
    data, rng = (sound / "world.db").read_bytes(), random.Random(verb)
    places = [place for place, byte in enumerate(data) if byte]
    refused = 0
    for number in range(3):
        world = Path(shutil.copytree(sound, tmp_path / f"{number}"))
        broken = bytearray(data)
        broken[rng.choice(places)] ^= 1 << rng.randrange(8)
        (world / "world.db").write_bytes(broken)
        out = tmp_path / f"out-{number}"
        refused += not assert_as_expected_or_refused(verb, world, out, model, expected)
    assert refused > 0


@pytest.fixture
def readable(sound: Path, tmp_path: Path) -> Iterator[Path]:
    """A world that may be read and not changed."""
    world = Path(shutil.copytree(sound, tmp_path / "w"))
    for place in (world, world / "frames"):
        place.chmod(0o555)
    yield world
    for place in (world, world / "frames"):
        place.chmod(0o755)


@pytest.mark.parametrize("verb", [*READING, *WRITING])
def test_a_world_that_may_only_be_read_is_read_and_not_changed(
    verb: str, readable: Path, tmp_path: Path, model: Words, expected: dict[str, tuple]
):

    before = contents(readable)
    done, made = outcome(verb, readable, tmp_path / "out", model, obeys_permissions=True)
    assert contents(readable) == before
    if verb in READING:
        assert done.returncode == 0, done.stderr
        assert made == expected[verb][0]
    else:
        assert_one_sentence(done, status=2, about="check its permissions")
        assert made == []


@pytest.mark.parametrize("verb", ["export", "fly", "info"])
def test_a_place_that_may_not_be_written_is_refused(verb: str, readable: Path):
    shut = readable.parent / "shut"
    shut.mkdir(mode=0o555)
    done = forked(verb, *verbs(readable, shut, ())[verb], obeys_permissions=True)
    assert_one_sentence(done, status=2, about="Permission denied")


@pytest.mark.parametrize("verb", [*READING, *WRITING])
def test_beside_a_writer_a_world_is_read_and_not_changed(
    verb: str, world: Path, tmp_path: Path, model: Words, expected: dict[str, tuple]
):
    with World.open(world, writable=True) as writer:
        before = writer.tree.whole()
        done, made = outcome(verb, world, tmp_path / "out", model)
        if verb in READING:
            assert done.returncode == 0, done.stderr
            assert made == expected[verb][0]
        else:
            assert_one_sentence(done, status=2, about="another process is growing the world")
        assert writer.tree.whole() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["with a space", "wörld \U0001f30d", "-dash", "%41?mode=rw#x", "x" * 220, "a\nb"]
)
def test_a_world_that_was_moved_is_the_same_world_there(
    name: str, world: Path, tmp_path: Path, model: Words, expected: dict[str, tuple]
):
    moved = tmp_path / "elsewhere" / name
    moved.parent.mkdir()
    world.rename(moved)
    done, made = outcome("export", moved, tmp_path / "out", model)
    assert done.returncode == 0, done.stderr
    assert made == expected["export"][0]
    assert forked("extend", moved, "--resume", *model).returncode == 0
    assert pictures_of(moved) == expected["extend"][1]
    done = forked("grow", moved, "--frames", 1, *model)
    assert_one_sentence(done, status=2, about="already exists")
    assert forked("grow", moved.with_name(f"{name}2"), "--frames", 1, *model).returncode == 0


@pytest.mark.parametrize("verb", ["info", "export", "fly", "undo", "heads", "gc"])
def test_a_world_of_the_first_format_works_with_every_verb(verb: str, tmp_path: Path):
    with zipfile.ZipFile(OLD) as packed:
        packed.extractall(tmp_path)
    world = tmp_path / "world"
    pictures, before = pictures_of(world), contents(world)
    done, _ = outcome(verb, world, tmp_path / "out", ())
    assert done.returncode == 0, done.stderr
    if verb in READING:
        assert contents(world) == before
    else:
        with closing(sqlite3.connect(world / "world.db")) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    assert pictures_of(world) == (pictures[:3] if verb == "undo" else pictures)


def test_a_world_of_the_first_format_does_not_go_on_with_another_generator(tmp_path: Path, model: Words):
    with zipfile.ZipFile(OLD) as packed:
        packed.extractall(tmp_path)
    pictures = pictures_of(tmp_path / "world")
    for verb, arguments in (("extend", ("--resume", *model)), ("replay", ())):
        assert_one_sentence(forked(verb, tmp_path / "world", *arguments), status=2, about="tiny-v1")
    assert pictures_of(tmp_path / "world") == pictures
