"""Paths: presets against geometry, keyframes against scipy, files against their readers and attackers."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from render.cameras import Cameras, checked, project
from render.paths import (
    LAP_FRAMES,
    MAX_CAMERAS,
    MAX_FILE_BYTES,
    PRESETS,
    STRIDE,
    arc,
    interpolated,
    load_path,
    loop,
    orbit,
    path_named,
    save_path,
    there_and_back,
    turn,
    walk,
)
from tests.oracles.box_room import room_cameras

UP = torch.tensor([0.2, -1.0, 0.1])
NAMES = ["loop", "orbit", "there-and-back", "turn", "walk"]


def _start() -> Cameras:
    return room_cameras()[1:2]


def _along(path: Cameras, axis: torch.Tensor) -> torch.Tensor:
    """How far each camera has moved along a unit axis."""
    return (path.origins - path.origins[:1]) @ axis


def test_the_registry_knows_the_names_of_the_command_line():
    assert sorted(PRESETS) == NAMES


@given(
    st.sampled_from(NAMES),
    st.tuples(*[st.floats(-3.0, 3.0)] * 3),
    st.tuples(*[st.floats(-50.0, 50.0)] * 3),
    st.integers(1, 60),
    st.floats(0.01, 100.0),
)
def test_every_preset_is_rigid_and_begins_with_the_start_bit_for_bit(
    name: str, rotation_vector: tuple, origin: tuple, n: int, scale: float
):
    c2w = torch.eye(4)[None]
    c2w[0, :3, :3] = torch.from_numpy(Rotation.from_rotvec(rotation_vector).as_matrix())
    c2w[0, :3, 3] = torch.tensor(origin)
    start = dataclasses.replace(_start(), c2w=c2w)
    path = path_named(name, start, n=n, up=UP, scale=scale)
    assert len(checked(path)) == n
    assert torch.equal(path.c2w[:1], start.c2w)
    assert torch.equal(path.K, start.K.expand(n, 3, 3))
    assert (path.width, path.height) == (start.width, start.height)


@pytest.mark.parametrize("name", NAMES)
def test_a_start_in_double_precision_is_kept_bit_for_bit_too(name: str):
    path = path_named(name, room_cameras(torch.float64)[:1], n=5, up=UP, scale=0.37)
    assert path.c2w.dtype == torch.float64
    assert torch.equal(path.c2w[:1], room_cameras(torch.float64).c2w[:1])


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'dance'; there are loop, orbit, there-and-back, turn, walk"):
        path_named("dance", _start(), n=3)


def test_orbit_keeps_its_pivot_at_the_principal_point_and_at_its_distance():
    start, scale = _start(), 2.3
    pivot = start.origins + scale * start.forwards
    path = orbit(start, n=40, up=UP, scale=scale)
    uv, depth = project(pivot, path)
    torch.testing.assert_close(uv[:, 0], path.K[:, :2, 2], atol=1e-4, rtol=0)
    torch.testing.assert_close(depth[:, 0, 0], torch.full((40,), scale), atol=1e-5, rtol=0)


def test_orbit_stays_level_and_goes_anticlockwise_seen_from_above():
    start, up = _start(), UP / UP.norm()
    path = orbit(start, n=12, up=UP, scale=2.0)
    torch.testing.assert_close(_along(path, up), torch.zeros(12), atol=1e-5, rtol=0)
    spokes = path.origins - (start.origins + 2.0 * start.forwards)
    assert (torch.linalg.cross(spokes[:-1], spokes[1:]) @ up > 0).all()


def test_orbit_closes_after_a_full_turn():
    path, twice = orbit(_start(), n=12), orbit(_start(), n=24, degrees=720.0)
    torch.testing.assert_close(twice.c2w[:12], path.c2w, atol=1e-6, rtol=0)
    torch.testing.assert_close(twice.c2w[12:], path.c2w, atol=1e-6, rtol=0)


def test_turn_is_yaw_on_the_spot():
    start, up = _start(), UP / UP.norm()
    path = turn(start, n=9, up=UP, degrees=90.0)
    assert torch.equal(path.origins, start.origins.expand(9, 3))
    turned = Rotation.from_matrix((path.c2w[:, :3, :3] @ start.c2w[:, :3, :3].mT).numpy())
    expected = torch.arange(9.0)[:, None] * math.radians(10.0) * up
    torch.testing.assert_close(torch.from_numpy(turned.as_rotvec()).float(), expected, atol=1e-6, rtol=0)


def test_turn_goes_to_the_left():
    start = dataclasses.replace(_start(), c2w=torch.eye(4)[None])
    assert turn(start, n=4).forwards[1].tolist() == pytest.approx([-1.0, 0.0, 0.0], abs=1e-6)


def test_walk_advances_on_the_level_in_steps_of_the_scene():
    start, up = _start(), UP / UP.norm()
    ahead = torch.nn.functional.normalize(start.forwards[0] - (start.forwards[0] @ up) * up, dim=0)
    small, large = walk(start, n=30, up=UP), walk(start, n=30, up=UP, scale=4.0)
    torch.testing.assert_close(_along(small, up), torch.zeros(30), atol=1e-5, rtol=0)
    torch.testing.assert_close(_along(small, ahead), 0.05 * torch.arange(30.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(_along(large, ahead), 4.0 * _along(small, ahead), atol=1e-5, rtol=0)
    sideways = _along(small, torch.linalg.cross(ahead, up))
    assert sideways.amin() < -0.01
    assert sideways.amax() > 0.01
    assert sideways.abs().amax() < 0.03


@pytest.mark.parametrize("pitch", [-0.5 * math.pi, 0.5 * math.pi, 0.499 * math.pi])
def test_walk_knows_its_way_when_looking_straight_up_or_down(pitch: float):
    c2w = torch.eye(4)[None]
    c2w[0, :3, :3] = torch.from_numpy(Rotation.from_rotvec((pitch, 0.0, 0.0)).as_matrix())
    path = walk(dataclasses.replace(_start(), c2w=c2w), n=3)
    assert (path.origins[-1] - path.origins[0]).tolist()[2] == pytest.approx(0.1, abs=1e-5)


def test_a_longer_stride_goes_farther_in_as_many_frames():
    short, long = walk(_start(), n=25), there_and_back(_start(), n=49, stride=0.1)
    ends = torch.stack([short.origins[24] - short.origins[0], long.origins[24] - long.origins[0]])
    torch.testing.assert_close(ends[1], 2.0 * ends[0], atol=1e-5, rtol=0)  # frame 24: the sway is over


def test_an_arc_without_length_is_a_turn_and_without_degrees_a_straight_walk():
    start = _start()
    spot = arc(start, n=5, degrees=80.0)
    torch.testing.assert_close(spot.c2w, turn(start, n=5, degrees=100.0).c2w, atol=1e-6, rtol=0)
    straight = arc(start, n=5, length=0.4, scale=2.0)
    steps = straight.origins.diff(dim=0)
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), atol=1e-6, rtol=0)
    assert float((straight.origins[-1] - straight.origins[0]).norm()) == pytest.approx(0.8, rel=1e-5)
    assert torch.equal(straight.c2w[:, :3, :3], start.c2w[:, :3, :3].expand(5, 3, 3))


def test_an_arc_lies_on_a_circle_that_it_looks_along():
    bend = arc(_start(), n=65, degrees=90.0, length=1.0)
    radius = 1.0 / (math.pi / 2)
    chord = float((bend.origins[-1] - bend.origins[0]).norm())
    assert chord == pytest.approx(math.sqrt(2.0) * radius, rel=1e-3)
    level = torch.nn.functional.normalize(bend.forwards * torch.tensor([1.0, 0.0, 1.0]), dim=-1)
    assert float(level[0] @ level[-1]) == pytest.approx(0.0, abs=1e-5)
    middles = torch.nn.functional.normalize(level[1:] + level[:-1], dim=-1)
    steps = bend.origins.diff(dim=0)
    torch.testing.assert_close((middles * steps).sum(dim=-1), steps.norm(dim=-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("n", [1, 2, 7, 10])
def test_there_and_back_returns_through_the_very_same_poses(n: int):
    path = there_and_back(_start(), n=n, up=UP, scale=1.7)
    assert torch.equal(path.c2w, path.c2w.flip(0))
    assert torch.equal(path.c2w[-1:], _start().c2w)
    assert n < 3 or not torch.equal(path.c2w[n // 2], path.c2w[0])


def test_a_loop_walks_to_the_left_and_comes_round_through_the_very_same_poses():
    start, up = _start(), UP / UP.norm()
    path = loop(start, n=250, up=UP, scale=1.7)
    assert torch.equal(path.c2w[LAP_FRAMES:], path.c2w[: 250 - LAP_FRAMES])
    torch.testing.assert_close(_along(path, up), torch.zeros(250), atol=1e-5, rtol=0)
    steps = path.origins[1:] - path.origins[:-1]
    torch.testing.assert_close(steps.norm(dim=1), torch.full((249,), 1.7 * STRIDE), rtol=1e-3, atol=0)
    ahead = path.forwards - (path.forwards @ up)[:, None] * up
    along = torch.cosine_similarity(ahead[:-1], steps, dim=1)
    assert along.min() > math.cos(math.radians(360.0 / LAP_FRAMES))
    assert (torch.linalg.cross(steps[:-1], steps[1:]) @ up > 0).all()
    with pytest.raises(ValueError, match="at least one frame, got 0"):
        loop(start, n=3, lap=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"n": 0}, "1 to 100000 cameras, got 0"),
        ({"n": MAX_CAMERAS + 1}, "got 100001"),
        ({"scale": 0.0}, "positive length"),
        ({"scale": math.nan}, "positive length"),
        ({"up": torch.zeros(3)}, "up must be a direction"),
    ],
)
def test_senseless_paths_are_refused(name: str, change: dict, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        path_named(name, _start(), **{"n": 3, **change})


@pytest.mark.parametrize("name", NAMES)
def test_a_path_starts_from_one_camera(name: str):
    with pytest.raises(ValueError, match="exactly one camera, got 3"):
        path_named(name, room_cameras(), n=3)


def test_interpolation_passes_through_every_keyframe_bit_for_bit():
    keys = room_cameras()
    path = interpolated(keys, 21)
    assert torch.equal(path.c2w[[0, 10, 20]], keys.c2w)
    assert torch.equal(path.K[[0, 10, 20]], keys.K)
    assert len(checked(path)) == 21


def test_interpolated_rotations_match_scipy():
    keys = orbit(_start(), n=5, up=UP, degrees=500.0)
    path = interpolated(keys, 33)
    slerp = Slerp(range(5), Rotation.from_matrix(keys.c2w[:, :3, :3].numpy()))
    expected = torch.from_numpy(slerp(torch.linspace(0.0, 4.0, 33).numpy()).as_matrix()).float()
    torch.testing.assert_close(path.c2w[:, :3, :3], expected, atol=1e-6, rtol=0)


def test_interpolated_positions_keep_a_straight_line_straight_and_its_speed_even():
    keys = dataclasses.replace(
        walk(_start(), n=1), c2w=_start().c2w.repeat(4, 1, 1), K=_start().K.repeat(4, 1, 1)
    )
    keys.c2w[:, :3, 3] = torch.arange(4.0)[:, None] * torch.tensor([1.0, -2.0, 0.5])
    path = interpolated(keys, 16)
    expected = torch.linspace(0.0, 3.0, 16)[:, None] * torch.tensor([1.0, -2.0, 0.5])
    torch.testing.assert_close(path.origins, expected, atol=1e-6, rtol=0)


def test_interpolated_positions_have_no_corners():
    path = interpolated(room_cameras(), 2001)
    steps = path.origins.double().diff(dim=0)
    # Both sides of the middle keyframe: steps of 1e-3 differ by curvature alone, which is of order 1e-6.
    torch.testing.assert_close(steps[999], steps[1000], atol=1e-5, rtol=0)
    assert steps[999].norm() > 3e-4


@pytest.mark.parametrize(("keys", "n"), [(1, 1), (1, 5), (3, 1), (3, 2), (2, 7)])
def test_interpolation_of_few_cameras_keeps_its_ends(keys: int, n: int):
    cameras = room_cameras()[:keys]
    path = interpolated(cameras, n)
    assert torch.equal(path.c2w[0], cameras.c2w[0])
    assert torch.equal(path.c2w[-1], cameras.c2w[-1 if n > 1 else 0])
    assert len(path) == n


def test_there_is_nothing_between_no_cameras():
    with pytest.raises(ValueError, match="at least one camera"):
        interpolated(room_cameras()[:0], 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_file_gives_back_the_same_single_precision_cameras(tmp_path: Path, dtype: torch.dtype):
    path = orbit(_start(), n=50, up=UP, scale=1.234567)
    stored = dataclasses.replace(path, c2w=path.c2w.to(dtype), K=path.K.to(dtype))
    save_path(tmp_path / "path.json", stored, fps=23.976)
    read = load_path(tmp_path / "path.json")
    assert torch.equal(read.c2w, path.c2w)
    assert torch.equal(read.K, path.K)
    assert (read.width, read.height) == (60, 44)


def test_a_file_says_what_it_is(tmp_path: Path):
    save_path(tmp_path / "path.json", room_cameras(), fps=24)
    data = json.loads((tmp_path / "path.json").read_text())
    assert {name: data[name] for name in ("format", "version", "width", "height", "fps")} == {
        "format": "worldgen-path",
        "version": 1,
        "width": 60,
        "height": 44,
        "fps": 24,
    }
    assert [sorted(frame) for frame in data["frames"]] == [["K", "c2w"]] * 3


def test_the_longest_path_fits_into_a_file(tmp_path: Path):
    save_path(tmp_path / "path.json", orbit(_start(), n=1000, up=UP, scale=1.234567), fps=30)
    assert (tmp_path / "path.json").stat().st_size * MAX_CAMERAS / 1000 < MAX_FILE_BYTES / 2


def _data() -> dict:
    identity = [[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    frame = {"c2w": identity, "K": [[50, 0, 30], [0, 50, 20], [0, 0, 1]]}
    return {"format": "worldgen-path", "version": 1, "width": 60, "height": 44, "fps": 30, "frames": [frame]}


def test_a_file_written_by_hand_may_use_whole_numbers(tmp_path: Path):
    (tmp_path / "path.json").write_text(json.dumps(_data()))
    assert load_path(tmp_path / "path.json").origins.tolist() == [[0.5, 0.0, 0.0]]


def _matrix_with(name: str, row: int, column: int, *, value: object) -> dict:
    data = _data()
    data["frames"][0][name][row][column] = value
    return data


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ([], '"format"'),
        (_data() | {"format": "nerfstudio"}, '"format"'),
        (_data() | {"version": 2}, '"version"'),
        (_data() | {"version": True}, '"version"'),
        (_data() | {"width": 0}, '"width"'),
        (_data() | {"width": 60.0}, '"width"'),
        (_data() | {"height": 10**9}, '"height"'),
        (_data() | {"height": "44"}, '"height"'),
        (_data() | {"fps": math.nan}, '"fps"'),
        (_data() | {"fps": -1}, '"fps"'),
        (_data() | {"frames": []}, '"frames"'),
        (_data() | {"frames": {}}, '"frames"'),
        (_data() | {"frames": [0] * (MAX_CAMERAS + 1)}, '"frames"'),
        (_data() | {"frames": [None]}, 'frame 0 has no "c2w"'),
        (_data() | {"frames": [{"c2w": [[1]]}]}, 'frame 0 has no "c2w" of 4 rows'),
        (_data() | {"frames": [{"c2w": _data()["frames"][0]["c2w"]}]}, 'frame 0 has no "K"'),
        (_matrix_with("c2w", 1, 2, value="0"), '"c2w" of frame 0 must hold 4 finite numbers'),
        (_matrix_with("c2w", 1, 2, value=None), '"c2w" of frame 0'),
        (_matrix_with("c2w", 1, 2, value=True), '"c2w" of frame 0'),
        (_matrix_with("c2w", 0, 3, value=math.nan), '"c2w" of frame 0'),
        (_matrix_with("c2w", 0, 3, value=math.inf), '"c2w" of frame 0'),
        (_matrix_with("c2w", 0, 3, value=1e300), '"c2w" of frame 0'),
        (_matrix_with("c2w", 0, 3, value=10**400), '"c2w" of frame 0'),
        (_matrix_with("c2w", 0, 0, value=2.0), "rigid"),
        (_matrix_with("K", 0, 0, value=0), "positive"),
        (_matrix_with("K", 0, 1, value=3), "skew"),
        (_matrix_with("K", 2, 2, value=[1]), '"K" of frame 0'),
    ],
)
def test_hostile_files_are_refused_in_one_sentence(tmp_path: Path, data: object, complaint: str):
    (tmp_path / "path.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=complaint) as refusal:
        load_path(tmp_path / "path.json")
    assert str(refusal.value).startswith("path.json is no usable camera path: ")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b'{"format": ', b"[" * 1_000_000, b"9" * 10_000, b"\x00" * 100]
)
def test_what_is_not_json_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "path.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"path\.json is no usable camera path: it is not JSON"):
        load_path(tmp_path / "path.json")


def test_a_file_too_large_is_refused_before_it_is_parsed(tmp_path: Path):
    with (tmp_path / "path.json").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ValueError, match="larger than 64 MiB"):
        load_path(tmp_path / "path.json")


def test_what_is_no_file_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file"):
        load_path(tmp_path / "missing.json")
    with pytest.raises(ValueError, match="no such file"):
        load_path(tmp_path)


@pytest.mark.parametrize("fps", [0.0, -24.0, math.nan, math.inf, 1e9])
def test_senseless_frame_rates_are_not_written(tmp_path: Path, fps: float):
    with pytest.raises(ValueError, match="fps must be positive"):
        save_path(tmp_path / "path.json", room_cameras(), fps=fps)
    assert not (tmp_path / "path.json").exists()
