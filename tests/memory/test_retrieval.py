"""Retrieval: what is recalled shows the target, is not hidden, shows no more of the same, and is newer."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

import memory.retrieval as retrieval_module
from memory._retrieval_kernels import DEPTH_CODES, glance_at, mark_seen
from memory.bank import MemoryBank
from memory.boxes import Box
from memory.cache import Seen, WorldCache
from memory.retrieval import (
    Coverage,
    Scorer,
    cover,
    fov,
    points_in_ball,
    retrieve,
    surface,
    votes,
    with_newest,
)
from render.cameras import Cameras, intrinsics_from_fov
from render.frames import Frames, concatenated, moved
from tests.oracles.box_room import BoxRoom, raycast, room_mesh

SCORERS = (fov, surface, votes)
FOV = math.radians(60.0)


def camera(*, at: tuple[float, float, float] = (0.0, 0.0, 0.0), yaw: float = 0.0) -> Cameras:
    """A level camera; yaw 0 looks along +z."""
    c2w = torch.eye(4)[None]
    c2w[0, :3, :3] = torch.from_numpy(Rotation.from_euler("Y", yaw).as_matrix())
    c2w[0, :3, 3] = torch.tensor(at)
    return Cameras(c2w=c2w, K=intrinsics_from_fov(FOV, width=40, height=32), width=40, height=32)


def wall(depth: float, cameras: Cameras) -> Frames:
    """A frontal wall that fills the view."""
    shape = (len(cameras), cameras.height, cameras.width)
    return Frames(
        rgb=torch.full((*shape, 3), 0.5),
        depth=torch.full((*shape, 1), depth),
        valid=torch.ones(*shape, 1, dtype=torch.bool),
        confidence=torch.ones(*shape, 1),
        cameras=cameras,
    )


def bank_of(*views: Frames, times: list[int] | None = None) -> MemoryBank:
    bank = MemoryBank()
    bank.append(concatenated(list(views)), ids=list(range(len(views))), times=times)
    return bank


def nothing_seen(cameras: Cameras) -> Seen:
    cache = WorldCache()
    return cache.render(cameras)


def cached(frames: Frames, cameras: Cameras) -> Seen:
    cache = WorldCache()
    cache.insert(frames, ids=list(range(len(frames))))
    return cache.render(cameras)


def overlaps(scorer: Scorer, bank: MemoryBank, seen: Seen, *, seed: int = 0) -> np.ndarray:
    found = scorer(bank, seen, rng=torch.Generator().manual_seed(seed))
    result = np.zeros(len(bank))
    result[found.rows] = found.shows.mean(axis=1)
    return result


def in_public_view(points: np.ndarray, *, at: tuple[float, float, float] = (0, 0, 0), yaw_deg: float = 0.0):
    """The view volume of WorldMem's code: 105 x 75 degrees of azimuth and elevation, without an end."""
    x, y, z = (points - np.array(at)).T
    azimuth = (np.degrees(np.arctan2(x, z)) - yaw_deg + 180.0) % 360.0 - 180.0
    elevation = np.degrees(np.arctan2(y, np.hypot(x, z)))
    return (np.abs(azimuth) <= 52.5) & (np.abs(elevation) <= 37.5)


def in_frustum(points: np.ndarray, view: Cameras, *, near: float, far: float) -> np.ndarray:
    """What a pinhole camera frames, straight from its definition."""
    local = np.linalg.inv(view.c2w[0].double().numpy()) @ np.c_[points, np.ones(len(points))].T
    u, v, w = view.K[0].double().numpy() @ local[:3]
    inside = (local[2] >= near) & (local[2] <= far)
    return inside & (u >= 0) & (u < view.width * w) & (v >= 0) & (v < view.height * w)


def test_points_fill_the_ball_evenly():
    points = points_in_ball(40_000, torch.Generator().manual_seed(0)).numpy()
    share = math.radians(105.0) / (2 * math.pi) * math.sin(math.radians(37.5))
    assert share == pytest.approx(0.1776, abs=1e-4)
    assert in_public_view(points).mean() == pytest.approx(share, abs=0.008)  # 4 standard deviations
    radius = np.linalg.norm(points, axis=1)
    assert [(radius < r).mean() for r in (0.5, 0.8, 1.0)] == pytest.approx([0.125, 0.512, 1.0], abs=0.01)


@pytest.mark.parametrize(("yaw", "expected"), [(26.25, 0.750), (52.5, 0.500), (90.0, 0.143), (105.0, 0.0)])
def test_overlap_in_the_public_view_volume_falls_linearly_with_yaw(yaw: float, expected: float):
    points = points_in_ball(60_000, torch.Generator().manual_seed(1)).numpy()
    target = in_public_view(points)
    overlap = (in_public_view(points, yaw_deg=yaw) & target).sum() / target.sum()
    assert overlap == pytest.approx(expected, abs=0.02)


def test_a_camera_far_behind_shows_all_in_the_public_view_volume_and_not_in_ours():
    points = 30.0 * points_in_ball(60_000, torch.Generator().manual_seed(2)).numpy()
    target = in_public_view(points)
    assert in_public_view(points, at=(0.0, 0.0, -30.0))[target].mean() > 0.999
    bank = bank_of(wall(20.0, camera(at=(0.0, 0.0, -30.0))), wall(20.0, camera()))
    behind, there = overlaps(fov, bank, nothing_seen(camera()))
    assert behind < 0.05
    assert there == 1.0


@pytest.mark.parametrize(
    ("yaw", "back"), [(0.0, 1.0), (0.3, 0.0), (0.6, 0.5), (-0.9, 0.2), (1.2, 0.0), (3.1, 0.0)]
)
def test_overlap_of_frusta_is_what_counting_many_points_gives(yaw: float, back: float):
    view, target = camera(at=(0.1, 0.2, -back), yaw=yaw), camera()
    points = 3.0 * points_in_ball(200_000, torch.Generator().manual_seed(3)).numpy()
    shown = points[in_frustum(points, target, near=0.1, far=3.0)]
    expected = in_frustum(shown, view, near=0.1, far=3.0).mean()
    found = overlaps(fov, bank_of(wall(2.0, view), wall(2.0, target)), nothing_seen(target))
    assert found[0] == pytest.approx(expected, abs=0.06)  # 800 points: 3 standard deviations
    assert found[1] == 1.0


def test_a_view_behind_a_wall_counts_by_frusta_and_not_by_surfaces():
    """The wall is 1.5 thick: its far side is seen from 3 away, turned round."""
    here, behind = wall(2.0, camera()), wall(3.0, camera(at=(0.0, 0.0, 6.5), yaw=math.pi))
    bank, shown = bank_of(behind, here), cached(here, camera())
    assert overlaps(fov, bank, shown)[0] > 0.5
    assert overlaps(surface, bank, shown)[0] < 0.1
    assert overlaps(surface, bank, shown)[1] > 0.98
    assert overlaps(votes, bank, cached(concatenated([behind, here]), camera())).tolist() == [0.0, 1.0]


def test_a_view_in_front_of_which_something_stands_does_not_show_what_is_behind_it():
    far, blocked = wall(2.0, camera()), wall(0.8, camera(at=(0.0, 0.0, 0.05)))
    found = overlaps(surface, bank_of(far, blocked, far), cached(far, camera()))
    assert found[1] < 0.1 * found[0]
    half = dataclasses.replace(far, depth=far.depth.clone())
    half.depth[:, :, 20:] = 0.8
    found = overlaps(surface, bank_of(far, half, far), cached(far, camera()))
    assert found[1] == pytest.approx(0.5, abs=0.06)


def test_a_view_whose_depth_is_unknown_shows_nothing_by_surfaces():
    far = wall(2.0, camera())
    unknown = dataclasses.replace(far, valid=torch.zeros_like(far.valid))
    assert overlaps(surface, bank_of(far, unknown, far), cached(far, camera())).tolist() == [1.0, 0.0, 1.0]


def test_of_two_equal_best_views_and_one_that_completes_them_the_latter_comes_second():
    shows = np.zeros((3, 10), dtype=np.bool_)
    shows[0, :6] = shows[1, :6] = shows[2, 6:] = True
    ages = np.array([1.0, 0.7, 0.3])
    assert cover(shows, ages=ages, k=2, time_weight=0.0) == [0, 2]
    assert np.argsort(-shows.sum(axis=1), kind="stable")[:2].tolist() == [0, 1]  # without a cover


@pytest.mark.parametrize("scorer", [fov, surface])
def test_the_view_that_completes_is_recalled_second(scorer: Scorer):
    left, right = (camera(yaw=yaw) for yaw in (-0.25, 0.35))
    views = [wall(2.0, each) for each in (right, left, left, camera(yaw=math.pi))]
    bank, target = bank_of(*views), camera()
    seen = cached(concatenated(views), target)
    first, second = retrieve(bank, seen, k=2, seed=0, scorer=scorer, time_weight=0.0)
    assert [first.frame_id, second.frame_id] == [1, 0]
    assert second.overlap > second.gain > 0
    assert first.overlap == first.gain > second.gain


@pytest.mark.parametrize("scorer", [fov, surface])
def test_of_two_views_of_one_pose_the_newer_is_recalled_unless_time_does_not_count(scorer: Scorer):
    here, away = wall(2.0, camera()), wall(2.0, camera(yaw=math.pi))
    bank = bank_of(here, here, away, times=[0, 6, 9])
    seen = cached(here, camera())
    newer = retrieve(bank, seen, k=1, seed=0, scorer=scorer)[0]
    assert (newer.frame_id, newer.age, newer.overlap) == (1, 4, 1.0)
    tie = overlaps(scorer, bank, seen)
    assert tie[0] == tie[1]
    assert retrieve(bank, seen, k=1, seed=0, scorer=scorer, time_weight=0.0)[0].frame_id == 0


def test_time_costs_a_share_of_the_target():
    shows = np.zeros((2, 100), dtype=np.bool_)
    shows[0, :60], shows[1, :50] = True, True
    for weight, first in ((0.0, 0), (0.1, 0), (0.12, 1), (0.2, 1)):
        assert cover(shows, ages=np.array([1.0, 0.1]), k=1, time_weight=weight) == [first]


@pytest.mark.parametrize("time_weight", [0.0, 0.2])
def test_where_nothing_is_left_to_show_the_nearest_in_time_follow(time_weight: float):
    shows = np.ones((5, 8), dtype=np.bool_)
    ages = np.array([1.0, 0.8, 0.6, 0.4, 0.2])
    assert cover(shows, ages=ages, k=3, time_weight=time_weight)[1:] == (
        [4, 3] if not time_weight else [3, 2]
    )
    assert cover(np.zeros_like(shows), ages=ages, k=3, time_weight=time_weight) == [4, 3, 2]
    assert cover(shows[:, :0], ages=ages, k=9, time_weight=time_weight) == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("scorer", SCORERS)
def test_a_target_that_no_view_shows_recalls_the_latest(scorer: Scorer):
    views = [wall(2.0, camera(yaw=yaw)) for yaw in (0.0, 0.1, 0.2)]
    seen = cached(concatenated(views), camera(at=(0.0, 0.0, -500.0), yaw=math.pi))
    recalled = retrieve(bank_of(*views), seen, k=2, seed=0, scorer=scorer)
    assert [(view.frame_id, view.overlap, view.gain, view.age) for view in recalled] == [
        (2, 0.0, 0.0, 1),
        (1, 0.0, 0.0, 2),
    ]


@pytest.mark.parametrize("scorer", SCORERS)
def test_all_are_recalled_if_there_are_fewer_and_none_from_an_empty_bank(scorer: Scorer):
    here = wall(2.0, camera())
    seen = cached(here, camera())
    recalled = retrieve(bank_of(here, here), seen, k=5, seed=0, scorer=scorer)
    assert sorted(view.frame_id for view in recalled) == [0, 1]
    assert retrieve(MemoryBank(), seen, k=5, seed=0, scorer=scorer) == []


def test_the_newest_are_always_to_choose_from():
    found = Coverage(rows=np.array([1, 4]), shows=np.array([[True, False], [False, True]]))
    more = with_newest(found, 2, of=6)
    assert more.rows.tolist() == [1, 4, 5]
    assert more.shows.tolist() == [[True, False], [False, True], [False, False]]


@pytest.fixture(scope="module")
def tour() -> BoxRoom:
    """40 views from here and there in the box room."""
    rng = np.random.default_rng(5)
    cameras = [
        camera(at=(x, y, z), yaw=yaw)
        for x, y, z, yaw in np.c_[
            rng.uniform(-1, 1, (40, 3)) * (1.5, 0.5, 1.8), rng.uniform(-3, 3, 40)
        ].tolist()
    ]
    c2w = torch.cat([each.c2w for each in cameras])
    K = cameras[0].K.expand(40, 3, 3).clone()
    K[:, 1, 1] *= 1.1
    K[:, 0, 2] += 2.7
    return raycast(room_mesh(), Cameras(c2w=c2w, K=K, width=40, height=32))


@pytest.mark.parametrize("scorer", SCORERS)
def test_what_is_recalled_depends_on_bank_target_and_seed_alone(tour: BoxRoom, scorer: Scorer):
    seen = cached(tour.frames[:39], tour.cameras[39:])
    torch.manual_seed(0)
    bank = bank_of(*(tour.frames[[i]] for i in range(39)))
    first = retrieve(bank, seen, k=8, seed=7, scorer=scorer)
    torch.manual_seed(1)
    again = MemoryBank()
    again.append(tour.frames[:39], ids=list(range(39)))
    assert retrieve(again, seen, k=8, seed=7, scorer=scorer) == first
    assert len({view.frame_id for view in first}) == 8


@pytest.mark.parametrize("scorer", SCORERS)
def test_one_rigid_motion_of_everything_changes_no_score(tour: BoxRoom, scorer: Scorer):
    b_from_a = torch.eye(4)
    b_from_a[:3, :3] = torch.from_numpy(Rotation.from_euler("YXZ", (0.7, -0.4, 1.1)).as_matrix())
    b_from_a[:3, 3] = torch.tensor([3.0, -1.0, 2.0])
    scores = []
    for frames in (tour.frames, moved(tour.frames, b_from_a)):
        bank = MemoryBank()
        bank.append(frames[:39], ids=list(range(39)))
        seen = cached(tour.frames[:39], tour.cameras[39:])
        there = dataclasses.replace(seen, cameras=frames.cameras[39:])  # the same pixels: no ties in between
        scores.append(overlaps(scorer, bank, there))
    assert np.abs(scores[0] - scores[1]).max() <= 2.5 / 1024  # a point on a border may change sides
    assert scores[0].max() > 0.25


def test_a_world_measured_in_other_units_changes_no_score(tour: BoxRoom):
    scores = []
    for scale in (1.0, 0.25):
        c2w = tour.cameras.c2w.clone()
        c2w[:, :3, 3] *= scale
        cameras = dataclasses.replace(tour.cameras, c2w=c2w)
        frames = dataclasses.replace(tour.frames, depth=scale * tour.frames.depth, cameras=cameras)
        bank = MemoryBank(scale=scale)
        bank.append(frames[:39], ids=list(range(39)))
        scores.append(overlaps(surface, bank, cached(frames[:39], cameras[39:])))
    assert np.abs(scores[0] - scores[1]).max() <= 2.5 / 1024


def test_views_left_out_by_the_index_show_nothing(tour: BoxRoom):
    """200 copies of the room, 10 apart in a row; only those near the target can show anything of it."""
    bank, frames = MemoryBank(), tour.frames[:39]
    for copy in range(20):
        shift = torch.eye(4)
        shift[0, 3] = 10.0 * copy
        bank.append(moved(frames, shift), ids=list(range(39 * copy, 39 * copy + 39)))
    alone = MemoryBank()
    alone.append(frames, ids=list(range(39)))
    seen = cached(frames, tour.cameras[39:])
    rng = torch.Generator()
    found = surface(bank, seen, rng=rng.manual_seed(0))
    assert len(found.rows) < 0.4 * len(bank)
    last = dataclasses.replace(seen, cameras=moved(tour.frames[39:], shift).cameras)
    assert surface(bank, last, rng=rng.manual_seed(0)).rows.min() > 0.6 * len(bank)
    np.testing.assert_array_equal(
        overlaps(surface, alone, seen)[:39] > 0, overlaps(surface, bank, seen)[:39] > 0
    )


def test_a_shortlist_recalls_views_that_show_as_much(tour: BoxRoom, monkeypatch: pytest.MonkeyPatch):
    bank = MemoryBank()
    for lap in range(4):
        bank.append(tour.frames[:39], ids=list(range(39 * lap, 39 * lap + 39)))
    seen = cached(tour.frames[:39], tour.cameras[39:])
    whole = retrieve(bank, seen, k=4, seed=0, time_weight=0.0)
    monkeypatch.setattr(retrieval_module, "SHORTLIST", 12)
    found = surface(bank, seen, rng=torch.Generator().manual_seed(0))
    short = retrieve(bank, seen, k=4, seed=0, time_weight=0.0)
    assert 12 <= len(found.rows) <= 48
    assert sum(view.gain for view in short) > 0.95 * sum(view.gain for view in whole)


def test_a_shortlist_knows_what_an_edit_has_changed(tour: BoxRoom, monkeypatch: pytest.MonkeyPatch):
    bank = MemoryBank()
    for lap in range(4):
        bank.append(tour.frames[:39], ids=list(range(39 * lap, 39 * lap + 39)))
    seen = cached(tour.frames[:39], tour.cameras[39:])
    bank.change(Box(low=(-100.0, -100.0, -100.0), high=(100.0, 100.0, 100.0)))
    bank.append(tour.frames[:39:3], ids=list(range(1000, 1013)))
    whole = retrieve(bank, seen, k=1, seed=0, time_weight=0.0)
    monkeypatch.setattr(retrieval_module, "SHORTLIST", 1)
    [recalled] = retrieve(bank, seen, k=1, seed=0, time_weight=0.0)
    assert recalled.frame_id >= 1000
    assert recalled.gain > 0.9 * whole[0].gain > 0.0


def test_points_beside_a_camera_are_not_seen_by_it():
    """Their depth is exactly 0, and nothing may divide by it."""
    points = np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]], dtype=np.float32)
    view = (
        np.zeros(1, dtype=np.int64),
        np.eye(4, dtype=np.float32)[None, :3],
        np.array([[1.0, 1.0, 0.5, 0.5]], dtype=np.float32),
        np.array([[0.0, 2.0]], dtype=np.float32),
        np.full((1, 4, 4), DEPTH_CODES, dtype=np.uint16),
        np.float32(1.1),
        points,
    )
    seen, bits = np.empty((1, 3), dtype=np.bool_), np.empty(1, dtype=np.uint64)
    mark_seen(*view, seen)
    glance_at(*view, bits)
    assert seen.tolist() == [[False, False, True]]
    assert bits.tolist() == [0b100]


def test_many_target_cameras_are_one_target(tour: BoxRoom):
    bank = bank_of(*(tour.frames[[i]] for i in range(39)))
    cache = WorldCache()
    cache.insert(tour.frames[:39], ids=list(range(39)))
    pair, seen = [3, 30], cache.render(tour.cameras[[3, 30]])
    found = surface(bank, seen, rng=torch.Generator().manual_seed(0))
    shows = found.shows[np.searchsorted(found.rows, pair)]
    assert shows.any(axis=0).mean() > 0.85
    assert (shows.mean(axis=1) > 0.3).all()
    for scorer in SCORERS:
        recalled = retrieve(bank, seen, k=8, seed=0, scorer=scorer)
        assert sum(view.gain for view in recalled) <= 1.0 + 1e-9


def test_votes_are_the_shares_of_known_pixels_that_frames_brought(tour: BoxRoom):
    seen = cached(tour.frames[:39], tour.cameras[39:])
    bank = bank_of(*(tour.frames[[i]] for i in range(39)))
    sources = seen.source[seen.mask[..., 0]]
    expected = torch.bincount(sources, minlength=39).double() / len(sources)
    assert np.abs(overlaps(votes, bank, seen) - expected.numpy()).max() < 0.06
    for a, b in itertools.pairwise(np.sort(votes(bank, seen, rng=torch.Generator()).rows)):
        assert a < b


def test_votes_for_frames_that_the_bank_does_not_hold_are_lost(tour: BoxRoom):
    seen = cached(tour.frames[:39], tour.cameras[39:])
    bank = bank_of(*(tour.frames[[i]] for i in range(39)))
    bank.remove(list(range(20, 39)))
    found = votes(bank, seen, rng=torch.Generator().manual_seed(0))
    assert set(bank.units.ids[found.rows]) <= set(range(20))
    assert not found.shows.any(axis=0).all()
