"""Tour files: they come back as they were, and what is wrong with one is said with its place."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from render.moves import MOVES
from render.splines import Shape
from render.timing import Ease
from render.tour_files import is_tour, load_tour, parsed_tour, save_tour
from render.tours import Curve, Key, Tour
from tests.render.test_tours import LONG, setting

SHORT = """{
  "format": "worldgen-tour", "ease": [0.1, 0.2], "loop": true,
  "segments": [
    {"move": "walk", "length": 2, "seconds": 8, "ease": 0},
    {"through": [4, {"place": [1, 0, 0], "look_at": 7}], "speed": 0.4, "tension": 0.5},
    {"move": "hold", "seconds": 1.5, "look_at": [0, 0, 4], "fov": 40}
  ]
}"""


WORDS = [
    *("format", "version", "fps", "speed", "ease", "loop", "segments", "move", "length", "seconds", "frames"),
    *("look_at", "fov", "through", "tension", "continuity", "bias", "frame", "c2w", "place"),
]


def written(folder: Path, thing: object) -> Path:
    file = folder / "tour.json"
    file.write_text(thing if isinstance(thing, str) else json.dumps(thing))
    return file


def test_a_file_says_what_the_builder_says(tmp_path: Path):
    built = (
        Tour(ease=Ease(start=0.1, end=0.2))
        .then("walk", length=2, seconds=8, ease=Ease())
        .through(4, Key(place=(1, 0, 0), look_at=7), speed=0.4, shape=Shape(tension=0.5))
        .hold(1.5, look_at=(0, 0, 4), fov_deg=40)
        .looped()
    )
    assert load_tour(written(tmp_path, SHORT)) == built
    assert is_tour(json.loads(SHORT))
    assert not is_tour([SHORT])


def test_a_tour_comes_back_as_it_was(tmp_path: Path):
    tour = dataclasses.replace(LONG, fps=30.0, speed=0.7, rounds=2)
    tour = tour.through(3, seconds=1.5, ease=Ease(start=0.5), shape=Shape(bias=-0.5, continuity=0.25))
    save_tour(tmp_path / "tour.json", tour)
    back = load_tour(tmp_path / "tour.json")
    curve = back.segments[4].what
    assert isinstance(curve, Curve)
    assert torch.equal(curve.keys[1].c2w, torch.eye(4).double())
    assert back.segments[:4] + back.segments[5:] == tour.segments[:4] + tour.segments[5:]
    assert dataclasses.replace(back, segments=()) == dataclasses.replace(tour, segments=())
    assert torch.equal(back.cameras(setting()).c2w, tour.cameras(setting()).c2w)
    assert len((tmp_path / "tour.json").read_text().splitlines()) < 8 + len(tour.segments) + 3


def changed(**changes: object) -> dict:
    return json.loads(SHORT) | changes


def one(**segment: object) -> dict:
    return changed(segments=[{"move": "hold", "seconds": 1}, segment])


def through(*keys: object) -> dict:
    return one(through=list(keys))


@pytest.mark.parametrize(
    ("thing", "complaint"),
    [
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ([], 'its "format" is not "worldgen-tour"'),
        (changed(version=2), 'its "version" is not 1'),
        (changed(version=True), 'its "version" is not 1'),
        (changed(segment=[]), "the tour has no 'segment'; it may have format, version"),
        (changed(segments=[]), "a list of 1 to 1000"),
        (changed(segments=[{"move": "turn"}] * 1001), "a list of 1 to 1000"),
        (changed(fps="24"), '"fps" must be a finite number'),
        (changed(fps=0), "fps is more than 0"),
        (changed(speed=-1), "speed lies between"),
        (changed(ease=[0.1]), '"ease" must be a share'),
        (changed(ease="in"), '"ease" must be a share'),
        (changed(ease=0.7), "at most 1 together"),
        (changed(loop=-1), '"loop" must be true, false'),
        (changed(loop=10**6), "goes round up to 1000 times"),
        (changed(segments=[[]]), "segment 1: it must be an object with either"),
        (one(), 'segment 2: it must be an object with either "move" or "through"'),
        (one(move="walk", through=[1]), "segment 2: it must be an object with either"),
        (one(move=3), 'segment 2: "move" must be a name, one of arc, dolly'),
        (one(move="dance"), "segment 2: there is no move named 'dance'"),
        (one(move="walk", lenght=3), "segment 2: the move walk has no 'lenght'; it may have move, length"),
        (one(move="walk", length=True), 'segment 2: "length" must be a finite number'),
        (one(move="walk", length=1e9), "segment 2: length of walk lies between"),
        (one(move="walk", seconds=1, speed=1), "segment 2: a segment has one of"),
        (one(move="walk", frames=1.5), 'segment 2: "frames" must be a whole number'),
        (one(move="walk", frames=10**9), "segment 2: frames are 1 to 100000"),
        (one(move="walk", fov=500), "segment 2: fov lies between"),
        (one(move="walk", look_at="door"), 'segment 2: "look_at" must be a point'),
        (one(move="walk", look_at=True), 'segment 2: "look_at" must be a point'),
        (one(move="walk", look_at=[1, 2]), 'segment 2: "look_at" must be a point of 3'),
        (one(move="walk", ease=[0.1, None]), 'segment 2: "ease" must be a share'),
        (one(through=[1], length=3), "segment 2: a curve has no 'length'"),
        (one(through=[1], tension=2), "segment 2: tension lies between"),
        (one(through=5), 'segment 2: "through" must be a list'),
        (through(), 'segment 2: "through" must be a list of 1'),
        (through(1, 2.5), "segment 2: keyframe 2: it must be the number of a frame"),
        (through(-1), "segment 2: keyframe 1: it must be the number of a frame"),
        (through({}), "segment 2: keyframe 1: a keyframe has one of"),
        (through({"frame": 1, "place": [0, 0, 0]}), "segment 2: keyframe 1: a keyframe has one of"),
        (through({"place": [0, 0, 1e99]}), 'segment 2: keyframe 1: "place" must be a point'),
        (through({"pose": []}), "segment 2: keyframe 1: a keyframe has no 'pose'"),
        (through({"c2w": [[1, 0, 0, 0]] * 3}), 'keyframe 1: "c2w" must have 4 rows of 4'),
        (through({"c2w": [[1, 0, 0, 0]] * 4}), "keyframe 1: c2w must be rigid"),
        (through({"c2w": [[1, 0, 0, 0]] * 4 + [5]}), 'keyframe 1: "c2w" must have 4 rows'),
    ],
)
def test_files_that_are_no_tour_say_what_is_wrong_and_where(tmp_path: Path, thing: object, complaint: str):
    with pytest.raises(ValueError, match=r"^tour.json is no usable tour: [^\n]*$") as refused:
        load_tour(written(tmp_path, thing))
    assert complaint in str(refused.value)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path):
    with pytest.raises(ValueError, match=r"none.json is no usable tour: there is no such file"):
        load_tour(tmp_path / "none.json")


def test_the_manual_tells_a_tour_that_can_be_read_and_every_move(tmp_path: Path):
    manual = (Path(__file__).parents[2] / "docs" / "paths.md").read_text()
    tour = load_tour(written(tmp_path, manual.split("```json\n")[1].split("```")[0]))
    assert len(tour.segments) == 4
    rows = dict(re.findall(r"^\| `([a-z-]+)` \|(.*?)\|", manual, flags=re.MULTILINE))
    for name, kind in MOVES.items():
        usual = [f"`{key}={number.usual:g}`" for key, number in kind.numbers.items()]
        assert rows[name].strip() == ", ".join(usual)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=8,
)


@given(st.data())
def test_whatever_a_file_says_it_is_a_tour_or_refused_with_a_reason(data: st.DataObject):
    tour = json.loads(SHORT)
    holders = [tour, *tour["segments"], tour["segments"][1]["through"], tour["segments"][1]["through"][1]]
    holder = data.draw(st.sampled_from(holders))
    known = range(len(holder)) if isinstance(holder, list) else WORDS
    holder[data.draw(st.sampled_from(known))] = data.draw(ANYTHING)
    said = "a tour"
    try:
        assert parsed_tour(tour).segments
    except ValueError as error:
        said = str(error)
    assert 0 < len(said) < 400


def test_names_of_files_may_be_text(tmp_path: Path):
    tour = parsed_tour(json.loads(SHORT))
    save_tour(str(tmp_path / "tour.json"), tour)
    assert load_tour(str(tmp_path / "tour.json")) == load_tour(tmp_path / "tour.json") == tour
    with pytest.raises(ValueError, match=r"^no\.json is no usable tour"):
        load_tour(str(tmp_path / "no.json"))
