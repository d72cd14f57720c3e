"""Moves: they go all of their way, and say what is wrong with their numbers."""

import math

import pytest
import torch

from render.cameras import checked
from render.moves import MOVES, Move, parsed_move
from render.paths import orbit
from tests.oracles.box_room import room_cameras

UP = torch.tensor([0.2, -1.0, 0.1])


def moved(text: str, *, n: int = 41, scale: float = 2.0) -> torch.Tensor:
    """Poses of a move."""
    return parsed_move(text).cameras(room_cameras(torch.float64)[:1], n=n, up=UP, scale=scale).c2w


@pytest.mark.parametrize("name", sorted(MOVES))
@pytest.mark.parametrize("n", [1, 2, 40])
def test_every_move_is_rigid_and_begins_at_its_start_bit_for_bit(name: str, n: int):
    start = room_cameras()[:1]
    path = Move(name=name).cameras(start, n=n, up=UP, scale=1.7)
    assert len(checked(path)) == n
    assert torch.equal(path.c2w[:1], start.c2w)


@pytest.mark.parametrize(
    "text", ["orbit", "turn", "loop", "loop:laps=2,radius=0.3", "there-and-back", "hold"]
)
def test_what_goes_round_ends_where_it_began(text: str):
    c2w = moved(text)
    torch.testing.assert_close(c2w[-1], c2w[0], atol=1e-6, rtol=0)
    assert text == "hold" or not torch.allclose(c2w[20], c2w[0], atol=0.1) or "laps=2" in text


@pytest.mark.parametrize(("text", "length"), [("walk:length=3", 3.0), ("arc:degrees=0,length=-2", 2.0)])
@pytest.mark.parametrize("n", [2, 5, 100])
def test_lengths_are_those_of_the_whole_way_however_many_cameras(text: str, length: float, n: int):
    c2w = moved(text, n=n)
    assert float((c2w[-1, :3, 3] - c2w[0, :3, 3]).norm()) == pytest.approx(2.0 * length, rel=1e-6)


def test_half_an_orbit_is_half_of_an_orbit():
    whole = orbit(room_cameras(torch.float64)[:1], n=80, up=UP, scale=2.0).c2w
    torch.testing.assert_close(moved("orbit:degrees=180", n=41), whole[:41], atol=1e-6, rtol=0)


def test_a_loop_has_its_radius():
    places = moved("loop:radius=0.7", n=400)[:-1, :3, 3]
    radii = (places - places.mean(dim=0)).norm(dim=1)
    torch.testing.assert_close(radii, torch.full_like(radii, 1.4), rtol=1e-3, atol=0)


def test_there_and_back_is_half_way_at_its_length():
    places = moved("there-and-back:length=1.5", n=41)[:, :3, 3]
    assert float((places[20] - places[0]).norm()) == pytest.approx(3.0, rel=1e-6)


def test_words_are_read():
    assert parsed_move("orbit") == Move(name="orbit")
    assert parsed_move("arc:degrees=90, length=-2e0") == Move(
        name="arc", numbers=(("degrees", 90.0), ("length", -2.0))
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("dance", "no move named 'dance'; there are arc, dolly"),
        ("orbit:speed=3", "orbit has no number 'speed'; it has degrees"),
        ("orbit:degrees", "written like orbit:degrees=180"),
        ("orbit:degrees=much", "written like orbit:degrees=180"),
        ("orbit:degrees=nan", "written like orbit:degrees=180"),
        ("orbit:degrees=1e99", "degrees of orbit lies between -36000 and 36000"),
        ("loop:radius=0", "radius of loop lies between 0.001"),
        ("spiral:closer=1", "closer of spiral lies between -100 and 0.99"),
        ("hold:x=1", "hold has no number 'x'; it has none"),
    ],
)
def test_words_that_are_no_move_are_refused(text: str, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        parsed_move(text)


def test_numbers_that_are_none_are_refused():
    with pytest.raises(ValueError, match="lies between"):
        Move(name="walk", numbers=(("length", math.nan),))
