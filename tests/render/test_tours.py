"""Tours: where they lead, at which speed, and what is said of those that cannot be flown."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from render.cameras import Cameras, checked, intrinsics_from_fov, project, resized
from render.gazes import fov_of
from render.moves import MOVES
from render.paths import orbit
from render.splines import turns
from render.timing import Ease
from render.tours import TURN_SPEED, Key, Setting, Tour

UP = torch.tensor([0.2, -1.0, 0.1])


def setting(*, scale: float = 2.0) -> Setting:
    """A start, and a world of five frames with numbers of their own round a point ahead."""
    K = intrinsics_from_fov(math.radians(60.0), width=64, height=48)
    start = Cameras(c2w=torch.eye(4)[None], K=K, width=64, height=48)
    frames = orbit(start, n=5, up=UP, scale=scale, degrees=200.0)
    frames = resized(frames, width=32, height=24)
    return Setting(start=start, up=UP, scale=scale, frames=frames, ids=(3, 4, 7, 8, 12))


def speeds(cameras: Cameras, *, fps: float = 24.0) -> np.ndarray:
    """World units a second from each picture to the next."""
    return fps * cameras.origins.double().diff(dim=0).norm(dim=1).numpy()


def rates(cameras: Cameras, *, fps: float = 24.0) -> np.ndarray:
    """Radians a second from each picture to the next."""
    return fps * turns(cameras.c2w[:, :3, :3].double().numpy())


LONG = (
    Tour(ease=Ease(start=0.2, end=0.2))
    .then("walk", length=2, frames=300)
    .then("orbit", degrees=-90, frames=500, look_at=(0.5, 0.0, 4.0))
    .hold(2.0, look_at=12, fov_deg=35)
    .through(8, 4, frames=402, fov_deg=60)
    .through(Key(place=(1, 0, 0), look_at=3), Key(c2w=torch.eye(4)), frames=400)
    .then("spiral", degrees=200, frames=350)
)


def test_a_long_tour_has_as_many_pictures_as_it_says_and_never_jumps():
    here = setting()
    path = LONG.cameras(here)
    assert len(checked(path)) == 2000
    assert torch.equal(path.c2w[:1], here.start.c2w)
    assert (path.width, path.height) == (64, 48)
    steps = speeds(path) / 24.0
    assert steps.max() < 0.1
    assert rates(path).max() < 2.0
    zoom = path.K[1:, 0, 0] / path.K[:-1, 0, 0]
    assert float((zoom - 1.0).abs().max()) < 0.03
    assert torch.equal(LONG.cameras(here).c2w, path.c2w), "and is the same each time"


def test_every_segment_ends_where_it_says():
    here = setting()
    path = LONG.cameras(here)
    torch.testing.assert_close(path.origins[299], torch.tensor([0.0, 0.0, 4.0]), atol=0.9, rtol=0)
    assert float((path.origins[299]).norm()) == pytest.approx(4.0, abs=1e-4)
    uv, _ = project(torch.tensor([[0.5, 0.0, 4.0]]), path[799:800])
    assert uv[0, 0].tolist() == pytest.approx([32.0, 24.0], abs=1e-3)
    seen = here.place_of(12)[None].float()
    uv, _ = project(seen, path[847:848])
    assert uv[0, 0].tolist() == pytest.approx([32.0, 24.0], abs=1e-3)
    assert fov_of(path[847:848]) == pytest.approx(math.radians(35.0), abs=1e-5)
    torch.testing.assert_close(path.c2w[1249:1250], here.frame(4).c2w, atol=1e-6, rtol=0)
    near = (path.c2w[848:1250] - here.frame(8).c2w).abs().amax(dim=(1, 2)).min()
    assert float(near) < 0.03, "and passes the keyframe before"
    assert torch.equal(path.c2w[1649], torch.eye(4))


def test_what_is_looked_at_stays_in_the_middle_once_it_is_there():
    here, target = setting(), (1.0, -0.5, 5.0)
    path = Tour().then("dolly", ahead=0, right=1, seconds=5, look_at=target).cameras(here)
    uv, _ = project(torch.tensor([target]), path)
    off = (uv[:, 0] - torch.tensor([32.0, 24.0])).norm(dim=1)
    assert off[0] > 5.0
    assert off[24:].max() < 1e-3
    assert rates(path).max() < 1.8 * TURN_SPEED


def test_seconds_and_frames_are_counted_in_pictures():
    here = setting()
    assert len(Tour(fps=30).then("walk", seconds=2).cameras(here)) == 60
    assert len(Tour(fps=30).then("walk", seconds=2).hold(0.5).cameras(here)) == 75
    assert len(Tour().then("turn", frames=7).cameras(here)) == 7
    assert len(Tour().then("turn", seconds=0.001).cameras(here)) == 1


@pytest.mark.parametrize("ease", [(0.0, 0.0), (0.3, 0.3)])
@pytest.mark.parametrize("kind", ["walk", "loop", "curve"])
def test_a_speed_is_the_top_speed_of_a_segment(kind: str, ease: tuple[float, float]):
    here, tour = setting(), Tour(ease=Ease(start=ease[0], end=ease[1]))
    if kind == "curve":
        tour = tour.through(Key(place=(1, 0, 0)), Key(place=(3, 0, 1)), Key(place=(3, 0, 6)), speed=0.25)
    else:
        tour = tour.then(kind, speed=0.25, **({"radius": 1.0} if kind == "loop" else {}))
    fast = speeds(tour.cameras(here))
    assert fast.max() == pytest.approx(0.25 * 2.0, rel=0.02)
    assert fast[0] < 0.05 or ease == (0.0, 0.0)


def test_segments_without_a_pace_have_the_speed_of_the_tour():
    slow, fast = (Tour(speed=speed).then("walk", length=2).cameras(setting()) for speed in (0.25, 1.0))
    assert len(slow) == 192
    assert len(fast) == 48


def test_a_turn_takes_time_too():
    path = Tour(speed=0.5).then("turn", degrees=90).cameras(setting())
    assert len(path) == 48, "a turn by 90 degrees is as long as a scene length"


def test_the_same_tour_in_a_larger_world_is_a_larger_tour():
    tour = Tour(ease=Ease(start=0.1, end=0.1)).then("walk", length=1).then("arc").then("spiral", speed=1.0)
    small, large = tour.cameras(setting(scale=1.0)), tour.cameras(setting(scale=8.0))
    assert len(small) == len(large)
    torch.testing.assert_close(large.origins, 8.0 * small.origins, atol=1e-4, rtol=0)
    torch.testing.assert_close(large.c2w[:, :3, :3], small.c2w[:, :3, :3], atol=1e-5, rtol=0)


def test_a_loop_comes_back_and_goes_round_through_the_very_same_poses():
    tour = Tour(ease=Ease(start=0.2, end=0.2)).then("walk", length=1, seconds=2)
    tour = tour.then("turn", degrees=50, fov_deg=40)
    once, thrice = tour.looped().cameras(setting()), tour.looped(3).cameras(setting())
    assert torch.equal(thrice.c2w, once.c2w.repeat(3, 1, 1))
    joined = Cameras(
        c2w=torch.cat([once.c2w[-1:], once.c2w[:1]]), K=once.K[:2], width=once.width, height=once.height
    )
    assert not torch.equal(joined.c2w[0], joined.c2w[1]), "no picture is doubled"
    assert speeds(joined)[0] <= speeds(once).max()
    assert speeds(once).max() < 1.3
    assert float(once.K[:, 0, 0].max() / once.K[0, 0, 0]) > 1.5
    assert float(once.K[-1, 0, 0] / once.K[0, 0, 0]) == pytest.approx(1.0, abs=0.01), (
        "the lens comes back too"
    )


def test_the_way_home_doubles_no_picture():
    path = Tour().then("walk", length=1).looped().cameras(setting())
    assert len(path) == 48 + 48 - 1, "there in 48 pictures, and back without the first"
    assert speeds(path).min() == pytest.approx(1.0, rel=0.03)


def test_a_curve_that_turns_on_the_spot_takes_its_time():
    place = (2.0, 0.0, 0.0)
    path = Tour().through(Key(place=place), Key(place=place, look_at=(9.0, 0.0, 0.0)), speed=0.5)
    assert rates(path.cameras(setting())).max() < 1.2 * math.radians(45.0), "a scene length is 90 degrees"


def test_a_frame_that_is_looked_at_is_the_point_ahead_of_it():
    here = setting()
    for number in here.ids:
        torch.testing.assert_close(
            here.place_of(number), torch.tensor([0.0, 0.0, 2.0]).double(), atol=1e-5, rtol=0
        )


def test_a_tour_that_ends_where_it_began_loops_as_it_is():
    tour = Tour().then("orbit", frames=100)
    assert len(tour.looped().cameras(setting())) == 99
    assert len(tour.cameras(setting())) == 100
    zooms_back = Tour().then("orbit", frames=100, fov_deg=30).looped().cameras(setting()).K[:, 0, 0]
    assert len(zooms_back) == 100 + 23
    assert float((zooms_back[1:] / zooms_back[:-1] - 1.0).abs().max()) < 0.1


@pytest.mark.parametrize("move", sorted(MOVES))
def test_every_move_can_be_a_segment_after_any_other(move: str):
    path = Tour().then("arc", frames=20).then(move, frames=40).then("walk", frames=5).cameras(setting())
    assert len(checked(path)) == 65


@pytest.mark.parametrize(
    ("tour", "complaint"),
    [
        (Tour(), "at least one segment"),
        (
            Tour().then("walk").through(5),
            "segment 2: there is no frame 5 in the world; there are frames 3 to 12",
        ),
        (Tour().then("hold"), "segment 1: what goes nowhere needs seconds or frames"),
        (Tour().hold(1).then("walk", look_at=9, seconds=1), "segment 2: there is no frame 9"),
        (Tour().then("walk", length=1e4, speed=1e-4), "segment 1: a path holds 1 to 100000 cameras"),
        (
            Tour(fps=1000).then("walk", seconds=60).hold(60),
            "segment 2: with this the tour has 120,000 pictures",
        ),
        (Tour().then("walk", seconds=2000).looped(1000), "the tour has .* pictures, more than"),
    ],
)
def test_tours_that_cannot_be_flown_say_which_segment_is_to_blame(tour: Tour, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        tour.cameras(setting())


def test_frames_are_missed_where_there_is_no_world():
    nowhere = Setting(start=setting().start)
    with pytest.raises(ValueError, match="there is no frame 0 in the world; there are none here"):
        Tour().through(0).cameras(nowhere)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Tour(fps=0), "fps is more than 0"),
        (lambda: Tour(fps=math.nan), "fps is more than 0"),
        (lambda: Tour(speed=0), "speed lies between"),
        (lambda: Tour(rounds=-1), "goes round up to 1000 times"),
        (lambda: Tour().then("dance"), "no move named 'dance'"),
        (lambda: Tour().then("walk", width=3), "walk has no number 'width'"),
        (lambda: Tour().then("walk", seconds=1, frames=4), "one of seconds, frames and speed"),
        (lambda: Tour().then("walk", seconds=math.nan), "seconds are more than 0"),
        (lambda: Tour().then("walk", frames=0), "frames are 1 to 100000, got 0"),
        (lambda: Tour().then("walk", fov_deg=180), "fov lies between 1 and 170 degrees, got 180"),
        (lambda: Tour().through(), "1 to 1000 keyframes, got 0"),
        (Key, "one of frame, c2w and place"),
        (lambda: Key(frame=2, place=(1, 2, 3)), "one of frame, c2w and place"),
        (lambda: dataclasses.replace(LONG, segments=LONG.segments * 200), "at most 1000 segments"),
    ],
)
def test_senseless_tours_are_refused_at_once(make: Callable[[], object], complaint: str):
    with pytest.raises(ValueError, match=complaint):
        make()
