"""The world cache: what is known is kept once, what is turned away is not known, and trust fades."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from memory.cache import NEARER, WorldCache, backdrop, new_points
from memory.points import FIELDS, Points, concatenated, points_with_room
from memory.tiles import TileStore
from render.cameras import Cameras, intrinsics_from_fov, project, rays_cam, resized, unproject
from render.frames import Frames, moved
from render.points import render_points
from tests.oracles.box_room import BoxRoom, raycast, room_mesh

PANEL = (1.2, 1.0, 0.02)


def facing_cameras(
    origins: np.ndarray, target: tuple[float, float, float], *, size: tuple[int, int]
) -> Cameras:
    """Level cameras that look from ``origins`` at one point."""
    width, height = size
    forward = np.asarray(target) - origins
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    right = np.cross((0.0, 1.0, 0.0), forward)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    c2w = np.tile(np.eye(4), (len(origins), 1, 1))
    c2w[:, :3, :3] = np.stack([right, np.cross(forward, right), forward], axis=2)
    c2w[:, :3, 3] = origins
    K = intrinsics_from_fov(math.radians(75.0), width=width, height=height, n=len(origins))
    K[:, 1, 1] *= 0.93
    return Cameras(c2w=torch.from_numpy(c2w).float(), K=K, width=width, height=height)


@pytest.fixture(scope="module")
def orbit() -> Frames:
    """24 views once around a thin panel in the middle of a room, the first of them from -z."""
    angles = np.arange(24) / 24 * 2 * np.pi
    origins = 1.35 * np.stack([np.sin(angles), 0.1 + 0 * angles, -np.cos(angles)], axis=1)
    room = trimesh.creation.box(extents=(4.0, 3.0, 5.0))
    mesh = trimesh.util.concatenate([room, trimesh.creation.box(extents=PANEL)])
    assert isinstance(mesh, trimesh.Trimesh)
    return raycast(mesh, facing_cameras(origins, (0.05, -0.1, 0.0), size=(64, 64))).frames


def wall(
    depth: float, *, at: float = 0.0, turned: bool = False, right: float = 0.0, rgb: float = 0.5
) -> Frames:
    """A frontal wall that fills the view of a camera on the z axis that looks along +z, or back."""
    c2w = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0] if turned else [1.0, 1.0, 1.0, 1.0]))[None]
    c2w[0, :3, 3] = torch.tensor([right, 0.0, at])
    cameras = Cameras(
        c2w=c2w, K=intrinsics_from_fov(math.radians(60.0), width=40, height=30), width=40, height=30
    )
    return Frames(
        rgb=torch.full((1, 30, 40, 3), rgb),
        depth=torch.full((1, 30, 40, 1), depth),
        valid=torch.ones(1, 30, 40, 1, dtype=torch.bool),
        confidence=torch.ones(1, 30, 40, 1),
        cameras=cameras,
    )


def filled(frames: Frames, *, nearer: float | None = None) -> WorldCache:
    cache = WorldCache()
    cache.insert(frames, ids=list(range(len(frames))), nearer=nearer)
    return cache


def added_to(points: Points, frame: Frames, *, frame_id: int = 1) -> Points:
    """What a frame adds to points that somebody holds."""
    image = render_points(points.positions, frame.cameras, axes=points.axes)
    return new_points(frame, frame_id=frame_id, behind=backdrop(points, image, frame.cameras))


def grown(frames: Frames, seen_as: Callable[[Points, Tensor], Tensor]) -> Points:
    """What a cache would hold if it took the normals of its points for ``seen_as(points, origin)``."""
    held = points_with_room(0)
    for i in range(len(frames)):
        believed = dataclasses.replace(held, normals=seen_as(held, frames.cameras.origins[i]))
        held = concatenated([held, added_to(believed, frames[i : i + 1], frame_id=i)])
    return held


def panel_back(points: Points) -> int:
    """How many points lie on the side of the panel that the first view does not see."""
    on_panel = (points.positions.abs() < torch.tensor(PANEL) / 2 + 0.005).all(dim=1)
    return int((on_panel & (points.normals[:, 2] > 0.5)).sum())


def in_order_of_place(points: Points) -> Points:
    """The same points, one frame after the other, each frame's by where they are."""
    keys = [points.positions[:, k].numpy() for k in range(3)]
    return points[torch.from_numpy(np.lexsort([*keys, points.source.numpy()]))]


def assert_same(a: Points, b: Points) -> None:
    for name in FIELDS:
        assert torch.equal(getattr(a, name), getattr(b, name)), name


@pytest.mark.parametrize("size", [(60, 44), (61, 44), (60, 45), (61, 45), (7, 5), (1, 1)])
def test_the_same_frame_again_adds_less_than_one_percent(size: tuple[int, int]):
    cameras = facing_cameras(np.array([(-0.6, 0.2, -1.1)]), (0.7, 0.9, 1.3), size=size)
    frames = raycast(room_mesh(), cameras).frames
    cache = WorldCache()
    first = cache.insert(frames, ids=[0])
    assert first > 0.4 * size[0] * size[1]
    assert cache.insert(frames, ids=[1]) <= 0.01 * first


def test_both_sides_of_a_thin_panel_are_kept_because_a_surface_turned_away_is_not_known(orbit: Frames):
    by_rule_2 = filled(orbit).points
    invisible_only = grown(orbit, lambda held, origin: origin - held.positions)
    assert panel_back(by_rule_2) > 3 * max(panel_back(invisible_only), 100)
    assert len(invisible_only) < len(by_rule_2) < 1.5 * len(invisible_only)


def test_the_loop_with_true_normals_is_the_cache(orbit: Frames):
    looped = grown(orbit[:6], lambda held, _: held.normals)
    cache = WorldCache(TileStore(detail=0.0))
    cache.insert(orbit[:6], ids=list(range(6)))
    assert_same(in_order_of_place(cache.points), in_order_of_place(looped))


def test_what_is_drawn_from_fewer_points_hardly_changes_what_is_new(orbit: Frames):
    cache = WorldCache(TileStore(detail=0.0))
    cache.insert(orbit, ids=list(range(24)))
    assert len(filled(orbit)) == pytest.approx(len(cache), rel=0.03)


def test_deleting_a_frame_deletes_what_it_brought_and_makes_room_for_it_again(orbit: Frames):
    cache = filled(orbit[:6])
    brought = int((cache.points.source == 3).sum())
    before = len(cache)
    assert cache.forget([3]) == brought > 100
    assert not (cache.points.source == 3).any()
    assert len(cache) == before - brought
    assert cache.insert(orbit[3:4], ids=[3]) == pytest.approx(brought, rel=0.1)


def test_normals_of_the_wrong_sign_make_everything_new_again(orbit: Frames):
    known = filled(orbit[:1]).points
    inverted = dataclasses.replace(known, normals=-known.normals)
    assert len(added_to(known, orbit[:1])) < 0.01 * len(known)
    claimed = int((known.confidence > 0).sum())  # the rest hide from either side
    assert len(added_to(inverted, orbit[:1])) == claimed
    back = orbit[12:13]
    assert panel_back(added_to(known, back)) > 3 * panel_back(added_to(inverted, back))


def test_an_orbit_walked_again_adds_nothing_more(orbit: Frames):
    cache = WorldCache()
    laps = [[cache.insert(orbit[i : i + 1], ids=[24 * lap + i]) for i in range(24)] for lap in range(3)]
    first, second, third = (sum(lap) for lap in laps)
    assert laps[0][0] > 3 * max(laps[0][-6:])
    assert second < 0.05 * first
    assert third <= 0.001 * first


def test_the_order_of_insertion_changes_the_count_by_less_than_a_tenth(orbit: Frames):
    there, back = len(filled(orbit)), len(filled(orbit[list(range(23, -1, -1))]))
    assert abs(there - back) < 0.1 * there


def test_every_source_camera_finds_its_valid_pixels_filled(orbit: Frames):
    cache = filled(orbit)
    small = resized(orbit.cameras, width=32, height=32)
    seen, winner = cache.render(small), cache.store.draw(small).winner
    empty = (winner < 0).flatten(1).float().mean(dim=1)
    assert (empty < 0.01).all()
    assert seen.mask.float().mean() > 0.95


def test_a_source_camera_sees_its_own_pixels_again(box_room: BoxRoom):
    frames = box_room.frames[:1]
    cache = filled(frames)
    seen = cache.render(frames.cameras)
    points = cache.points
    assert torch.equal(seen.rgb[seen.mask[..., 0]], frames.rgb[seen.mask[..., 0]])
    torch.testing.assert_close(seen.depth[seen.mask], frames.depth[seen.mask], atol=1e-5, rtol=0)
    assert (seen.offset.abs() < 1e-3).all()
    assert seen.mask.sum() == (points.confidence > 0).sum()


def test_what_is_seen_is_what_the_winning_points_are(box_room: BoxRoom):
    frames = dataclasses.replace(box_room.frames, confidence=0.2 + 0.8 * box_room.frames.rgb[..., :1])
    cache = filled(frames[:2])
    cameras = frames.cameras[2:]
    seen, points, winner = cache.render(cameras), cache.store.rows, cache.store.draw(cameras).winner
    mask, index = seen.mask[..., 0], winner.clamp_min(0)
    to_camera = cameras.origins[:, None, None] - points.positions[index]
    faces, claims = (points.normals[index] * to_camera).sum(-1) > 0, points.confidence[index] > 0
    assert torch.equal(mask, (winner >= 0) & faces & claims)
    assert not claims.all()
    assert torch.equal(seen.rgb[mask], points.rgb[index][mask])
    assert torch.equal(seen.confidence[mask][:, 0], points.confidence[index][mask])
    assert torch.equal(seen.source[mask], points.source[index][mask])
    uv, depth = project(points.positions[winner[mask]], cameras)
    rows, columns = mask[0].nonzero(as_tuple=True)
    centres = torch.stack([columns, rows], dim=-1) + 0.5
    torch.testing.assert_close(seen.offset[mask], (uv[0] - centres).clamp(-2, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.depth[mask], depth[0], atol=1e-5, rtol=0)
    for field in (seen.rgb, seen.depth, seen.confidence, seen.offset):
        assert (field[~mask] == 0).all()


def test_bands_of_a_view_join_to_the_view_and_know_which_way_surfaces_face(orbit: Frames):
    cache = WorldCache()
    cache.insert(orbit, ids=list(range(len(orbit.cameras))))
    camera = resized(orbit.cameras[[3]], width=90, height=70)
    whole, bands = cache.render(camera), list(cache.render_bands(camera, rows=32))
    assert [len(seen.rgb[0]) for seen, _ in bands] == [32, 32, 6]
    for name in ("rgb", "depth", "mask", "confidence", "source"):
        assert torch.equal(torch.cat([getattr(seen, name) for seen, _ in bands], dim=1), getattr(whole, name))
    offsets = torch.cat([seen.offset for seen, _ in bands], dim=1)
    torch.testing.assert_close(offsets, whole.offset, atol=1e-4, rtol=0)
    facing = torch.cat([normals for _, normals in bands], dim=1)
    rays = rays_cam(camera) @ camera.c2w[:, None, :3, :3].mT
    known = whole.mask[..., 0]
    torch.testing.assert_close(facing.norm(dim=-1), known.float(), atol=1e-4, rtol=0)
    assert ((facing * rays).sum(dim=-1)[known] < 0).all()


def test_what_faces_away_hides_what_is_behind_it_and_is_not_known():
    cache = filled(wall(3.0))
    further = filled(wall(3.5, at=5.0, turned=True)).points
    cache.take(dataclasses.replace(further, source=torch.ones_like(further.source)))
    for camera, in_front in ((wall(3.0).cameras, 1), (wall(3.5, at=5.0, turned=True).cameras, 0)):
        assert (cache.store.rows.source[cache.store.draw(camera).winner] == in_front).all()
        assert not cache.render(camera).mask.any()
    between = cache.render(wall(3.0, at=2.0).cameras)
    assert (between.source == 0).all()
    assert between.mask.all()


def test_a_nearer_surface_is_new_only_by_rule_3():
    far, near = wall(3.0), wall(2.0)
    blind, repairing = filled(far), filled(far, nearer=NEARER)
    assert blind.insert(near, ids=[1]) == 0
    assert repairing.insert(near, ids=[1], nearer=NEARER) == near.depth.numel()
    assert (repairing.render(near.cameras).depth == 2.0).all()
    assert repairing.insert(wall(1.97), ids=[2], nearer=NEARER) == 0
    assert repairing.insert(far, ids=[3], nearer=NEARER) == 0


def test_rule_3_is_for_what_was_measured():
    for given, expected in ((True, wall(2.0).depth.numel()), (False, 0)):
        cache = filled(wall(3.0))
        near = wall(2.0)
        added = cache.remember(near, cache.render(near.cameras), ids=[1], given=given)
        assert len(added) == expected


def test_one_rigid_motion_of_everything_leaves_what_is_seen(box_room: BoxRoom):
    b_from_a = torch.eye(4)
    b_from_a[:3, :3], b_from_a[:3, 3] = box_room.cameras.c2w[1, :3, :3], torch.tensor([0.7, -1.9, 2.4])
    there = moved(box_room.frames, b_from_a)
    here_cache, there_cache = filled(box_room.frames[:2]), filled(there[:2])
    assert abs(len(here_cache) - len(there_cache)) < 0.003 * len(here_cache)
    a, b = here_cache.render(box_room.cameras), there_cache.render(there.cameras)
    same = a.mask & b.mask
    assert (a.mask != b.mask).float().mean() < 0.003
    gap = (a.rgb - b.rgb).abs().amax(dim=-1, keepdim=True)
    assert (gap[same] > 1e-3).float().mean() < 0.01  # rounding lets another of two near points win


def test_edges_and_doubtful_pixels_do_not_enter():
    step = wall(1.0)
    step = dataclasses.replace(step, depth=step.depth + (torch.arange(40) >= 20).view(1, 1, 40, 1))
    points = filled(step).points
    assert int((points.confidence > 0).sum()) == 30 * 38
    assert len(filled(dataclasses.replace(step, confidence=torch.full_like(step.confidence, 0.1)))) == 0


def test_a_rim_hides_what_is_behind_it_but_is_not_known():
    # A board before a wall that an earlier frame knows: from aside, the wall must not shine through the
    # band beside the board's edge, whose pixels are left out because they may be mixtures.
    far, board = wall(3.0), wall(3.0)
    is_board = (torch.arange(40) < 21).view(1, 1, 40, 1).expand(1, 30, 40, 1)
    board = dataclasses.replace(board, depth=torch.where(is_board, 1.0, 3.0))
    cache = filled(board)
    cache.insert(far, ids=[1])
    rims = cache.points.confidence == 0
    assert rims.sum() == 30
    edge = int(rims.nonzero()[0, 0])
    seen = cache.render(board.cameras)
    assert not seen.mask[0, :, 20].any()
    winner = cache.store.draw(board.cameras).winner
    assert (cache.store.rows.confidence[winner[0, :, 20]] == 0).all()
    assert seen.mask[0, :, :20].all()
    assert cache.points.positions[edge, 2] == pytest.approx(1.01, abs=1e-4)
    # A better look at the same place replaces the rim by what is there.
    bare = dataclasses.replace(board, depth=torch.full_like(board.depth, 1.0))
    cache.insert(bare, ids=[2])
    assert cache.render(board.cameras).mask[0, :, 20].all()


def test_surfaces_seen_at_a_glance_do_not_enter():
    floor = wall(1.0)
    floor.cameras.K[:, [0, 1], [0, 1]] *= 3.0
    rays, slant = rays_cam(floor.cameras), math.radians(84.0)
    nearness = (rays @ torch.tensor([0.0, math.sin(slant), math.cos(slant)]))[..., None]
    hit = nearness > 0.08
    depth = torch.where(hit, 1.0 / nearness.clamp_min(0.08), 0.0)
    cosine = (nearness / rays.norm(dim=-1, keepdim=True))[hit]
    added = len(filled(dataclasses.replace(floor, depth=depth, valid=hit)))
    assert int((cosine > 0.152).sum()) <= added <= int((cosine > 0.148).sum())  # normals are differences
    assert 0.2 * len(cosine) < added < 0.8 * len(cosine)


def test_a_frame_without_valid_pixels_adds_nothing():
    unknown = torch.zeros(1, 30, 40, 1, dtype=torch.bool)
    for depth in (0.0, math.nan, math.inf, 2.0):
        frame = dataclasses.replace(wall(2.0), valid=unknown, depth=torch.full((1, 30, 40, 1), depth))
        assert filled(frame).insert(frame, ids=[1]) == 0


def test_an_empty_cache_knows_nothing():
    seen = WorldCache().render(wall(2.0).cameras)
    for field in (seen.rgb, seen.depth, seen.source, seen.confidence, seen.offset, seen.mask):
        assert (field == 0).all()
    assert len(WorldCache().points) == 0


def test_points_handed_out_never_change_while_the_cache_grows(orbit: Frames):
    cache = filled(orbit[:1])
    early = cache.points
    copy = early[torch.arange(len(early))]
    cache.insert(orbit[1:], ids=list(range(1, 24)))
    assert_same(early, copy)
    assert_same(cache.points[: len(early)], copy)
    assert cache.points.source.tolist() == sorted(cache.points.source.tolist())


def test_a_lone_pixel_is_kept_and_faces_its_camera():
    valid = torch.zeros(1, 30, 40, 1, dtype=torch.bool)
    valid[0, 7, 31] = True
    frame = dataclasses.replace(wall(2.0), valid=valid)
    points = filled(frame).points
    expected = torch.nn.functional.normalize(-unproject(frame.depth, frame.cameras)[0, 7, 31], dim=0)
    torch.testing.assert_close(points.normals, expected[None])


def test_a_batch_is_its_frames_one_after_the_other(orbit: Frames):
    cache = WorldCache()
    for i in range(5):
        cache.insert(orbit[i : i + 1], ids=[i])
    assert_same(cache.points, filled(orbit[:5]).points)


def test_ids_and_frames_must_be_as_many(orbit: Frames):
    with pytest.raises(ValueError, match="one id a frame: got 1 ids for 2 frames"):
        WorldCache().insert(orbit[:2], ids=[0])


def test_what_was_measured_is_trusted_fully():
    frame = dataclasses.replace(wall(2.0), confidence=torch.full((1, 30, 40, 1), 0.5))
    frame.valid[0, :, :7] = False
    cache = WorldCache()
    judged = cache.judge(frame, cache.render(frame.cameras), ids=[0], given=True)
    assert torch.equal(judged.confidence, frame.valid.float())


def test_what_was_imagined_is_trusted_as_it_agrees_with_what_was_known():
    cache = WorldCache()
    known = wall(2.0)
    cache.remember(known, cache.render(known.cameras), ids=[0], given=True)
    seen = cache.render(known.cameras)
    for depth, expected in ((2.0, 0.9), (2.0 / 0.95, math.exp(-1.0) - 0.1), (2.0 / 1.1, 0.2), (9.0, 0.2)):
        judged = cache.judge(wall(depth), seen, ids=[1], given=False)
        torch.testing.assert_close(judged.confidence, torch.full_like(judged.confidence, expected))


def test_what_was_imagined_where_nothing_was_known_has_half_trust_less_a_tenth_a_generation():
    cache = WorldCache()
    views = [wall(2.0, right=1.2 * i) for i in range(6)]
    trusts = []
    for i, view in enumerate(views):
        seen = cache.render(view.cameras)
        points = cache.remember(view, seen, ids=[i], given=i == 0)
        trusts.append(float(points.confidence[-1]))
        assert seen.mask.any() == (i > 0)
        assert (points.source == i).all()
    assert trusts == pytest.approx([1.0, 0.4, 0.3, 0.2, 0.2, 0.2])


def test_a_frame_that_sees_nothing_known_starts_a_generation_of_its_own():
    cache = WorldCache()
    cache.remember(wall(2.0), cache.render(wall(2.0).cameras), ids=[0], given=True)
    apart = wall(2.0, right=50.0)
    points = cache.remember(apart, cache.render(apart.cameras), ids=[1], given=False)
    assert (points.confidence == 0.5).all()


def test_invalid_pixels_are_never_trusted():
    cache = filled(wall(2.0))
    frame = wall(2.0)
    frame.valid[0, 3:9] = False
    judged = cache.judge(frame, cache.render(frame.cameras), ids=[1], given=False)
    assert torch.equal(judged.confidence > 0, frame.valid)
