"""RGB-D folders: four layouts say the same, and liars are refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from memory.cache import WorldCache
from reconstruct.formats.rgbd import read_frame, read_recording
from reconstruct.formats.tum import nearest
from render.cameras import unproject
from render.frames import Frames, concatenated
from render.json_files import MAX_TEXT_BYTES
from render.squares import central_cameras, central_depth, central_square
from tests.oracles.recordings import COUNT, HEIGHT, LAYOUTS, WIDTH, K, room_views

SIZE = 24
BOX = Path(__file__).parents[2] / "../shared/data/rgbd/box_interior"


@pytest.fixture(scope="module")
def views() -> Frames:
    return room_views()


@pytest.fixture
def written(tmp_path: Path, views: Frames) -> Callable[[str], Path]:
    """A folder in any layout."""

    def write(layout: str) -> Path:
        folder = tmp_path / layout
        folder.mkdir()
        LAYOUTS[layout](folder, views)
        return folder

    return write


def read(folder: Path, *, most: int = 100, size: int = SIZE) -> Frames:
    """Every frame, with the lens of the room for layouts that tell none."""
    tells = any((folder / name).exists() for name in ("sequence.json", "transforms.json"))
    recording = read_recording(folder, most=most, intrinsics=None if tells else K)
    return concatenated([read_frame(recording, i, size=size) for i in range(len(recording.views))])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_views_back(layout: str, written: Callable[[str], Path], views: Frames):
    found = read(written(layout))
    assert len(found) == COUNT
    torch.testing.assert_close(found.cameras.c2w, views.cameras.c2w, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.cameras.K, central_cameras(views.cameras, SIZE).K, atol=1e-5, rtol=0)
    for i in range(COUNT):
        depth, valid = central_depth(views.depth[i : i + 1], views.valid[i : i + 1], SIZE)
        assert torch.equal(found.valid[i : i + 1], valid)
        torch.testing.assert_close(found.depth[i : i + 1], depth, atol=5.1e-4, rtol=0)
        rgb = central_square(views.rgb[i : i + 1], SIZE)
        torch.testing.assert_close(found.rgb[i : i + 1], rgb, atol=0.51 / 255, rtol=0)
    assert torch.equal(found.confidence, found.valid.float())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_measured_lies_on_the_walls(layout: str, written: Callable[[str], Path]):
    """At full height no pixel is moved, so every point is one of the room of 4 by 3 by 5, or of its crate."""
    found = read(written(layout), size=HEIGHT)
    points = unproject(found.depth, found.cameras)[found.valid[..., 0]]
    on_wall = ((points.abs() - torch.tensor([2.0, 1.5, 2.5])).abs() < 2e-3).any(dim=1)
    in_crate = (points - torch.tensor([0.7, 0.9, 1.3])).norm(dim=1) < 0.7
    assert (on_wall | in_crate).all()
    assert on_wall.float().mean() > 0.8


@pytest.mark.parametrize("layout", LAYOUTS)
def test_of_many_frames_an_even_choice_is_taken(layout: str, written: Callable[[str], Path], views: Frames):
    found = read(written(layout), most=3)
    torch.testing.assert_close(found.cameras.c2w, views.cameras.c2w[[0, 2, 5]], atol=1e-6, rtol=0)


def test_lenses_that_are_not_told_are_those_of_the_kinect(written: Callable[[str], Path]):
    for layout, focal in (("tum", 525.0), ("7-scenes", 585.0)):
        recording = read_recording(written(layout), most=1)
        K = read_frame(recording, 0, size=HEIGHT).cameras.K[0]
        scale = WIDTH / 640
        expected = torch.tensor([[focal * scale, 0, 24], [0, focal * scale, 24], [0, 0, 1]])
        torch.testing.assert_close(K, expected)


def test_the_words_of_the_user_count_more_than_the_files(written: Callable[[str], Path]):
    folder = written("sequence")
    recording = read_recording(folder, most=2, intrinsics=(50.0, 51.0, 32.0, 24.0), units_per_metre=200.0)
    frame, plain = (read_frame(r, 0, size=HEIGHT) for r in (recording, read_recording(folder, most=2)))
    torch.testing.assert_close(frame.depth, 10.0 * plain.depth)
    assert [float(frame.cameras.K[0, i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))] == [50, 51, 24, 24]


def test_depth_may_be_stored_smaller_than_colour(written: Callable[[str], Path], views: Frames):
    folder = written("nerfstudio")
    for i in range(COUNT):
        depth = views.depth[i, 1::2, 1::2, 0]
        Image.fromarray((depth * 1000).round().numpy().astype(np.uint16)).save(folder / f"depth/{i}.png")
    found = read(folder)
    expected = views.depth[:, 1::2, 9:-8:2]
    torch.testing.assert_close(found.depth[found.valid], expected[found.valid], atol=5.1e-4, rtol=0)
    Image.fromarray(np.full((HEIGHT, HEIGHT), 900, np.uint16)).save(folder / "depth/0.png")
    with pytest.raises(ValueError, match="registered to the picture and have its shape"):
        read(folder)


def test_what_is_masked_is_not_measured(written: Callable[[str], Path]):
    folder = written("nerfstudio")
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[: HEIGHT // 2] = 0
    Image.fromarray(mask).save(folder / "mask.png")
    said = json.loads((folder / "transforms.json").read_text())
    said["frames"][1]["mask_path"] = "mask.png"
    (folder / "transforms.json").write_text(json.dumps(said))
    found = read(folder)
    assert not found.valid[1, : SIZE // 2].any()
    assert found.valid[1, SIZE // 2 :].all()
    assert found.valid[0].all()


def test_what_our_exports_say_of_a_world_is_read(written: Callable[[str], Path]):
    folder = written("nerfstudio")
    plain = read_recording(folder, most=2)
    assert (plain.units, plain.up, plain.units_per_metre) == ("metres", None, 1000.0)
    said = json.loads((folder / "transforms.json").read_text())
    said |= {"depth_unit_scale_factor": 0.01, "worldgen": {"units": "scene", "up": [0.0, 0.0, 1.0]}}
    (folder / "transforms.json").write_text(json.dumps(said))
    found = read_recording(folder, most=2)
    assert (found.units, found.up, found.units_per_metre) == ("scene", (0.0, 0.0, 1.0), 100.0)


def test_nearest_times_are_those_of_an_exhaustive_search():
    rng = np.random.default_rng(0)
    for count in (1, 2, 40):
        times, wanted = np.sort(rng.uniform(0, 3, count)), rng.uniform(-1, 4, 200)
        expected = np.abs(times[None] - wanted[:, None]).argmin(axis=1)
        assert np.array_equal(nearest(times, wanted), expected)


def test_pictures_without_a_partner_in_time_are_left_out(written: Callable[[str], Path], views: Frames):
    """One has no depth near it, one no pose, and one shares its depth with a nearer one."""
    folder = written("tum")
    colour = (folder / "rgb.txt").read_text().splitlines()
    depth = (folder / "depth.txt").read_text().splitlines()
    pose = (folder / "groundtruth.txt").read_text().splitlines()
    third = colour[4].split()
    colour.append(f"{float(third[0]) + 0.016:.6f} {third[1]}")  # 7 ms after the depth, and 9 ms the other
    gone = float(colour[3].split()[0])  # the second picture
    depth = [line for line in depth if abs(float(line.split()[0]) - gone) > 0.02]
    lost = float(colour[6].split()[0])  # the fifth
    pose = [line for line in pose if line.startswith("#") or abs(float(line.split()[0]) - lost) > 0.021]
    for name, lines in (("rgb", colour), ("depth", depth), ("groundtruth", pose)):
        (folder / f"{name}.txt").write_text("\n".join(lines))
    found = [view.file.name for view in read_recording(folder, most=100).views]
    names = [line.split()[1].removeprefix("rgb/") for line in colour[2:8]]
    assert [names.index(name) for name in found] == [0, 2, 3, 5]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"depth_scale": 0}, "above 0"),
        ({"depth_scale": None}, '"depth_scale" should be a finite number'),
        ({"depth_scale": float("nan")}, "finite number"),
        ({"K": [[1.0]]}, '"K" of 3 rows'),
        ({"K": [[0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0, 1]]}, "K looks normalised"),
        ({"K": [[-50, 0, 30], [0, 50, 20], [0, 0, 1]]}, "focal lengths must be positive"),
        ({"width": 10 * WIDTH}, "not the shape that its camera has"),
        ({"frames": []}, "should list 2 to"),
        ({"frames": None}, "should list 2 to"),
        ({"frames": [{}] * 10_001}, "should list 2 to"),
    ],
)
def test_what_a_sequence_says_is_checked(written: Callable[[str], Path], change: dict, complaint: str):
    folder = written("sequence")
    said = json.loads((folder / "sequence.json").read_text())
    (folder / "sequence.json").write_text(json.dumps(said | change))
    assert_refused(folder, complaint)


def assert_refused(folder: Path, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        read(folder)
    assert str(folder) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"color": None}, 'no photograph in "color"'),
        ({"color": "/etc/passwd"}, "in the folder"),
        ({"color": "color/../../secret.png"}, "in the folder"),
        ({"color": "color/9.png"}, "cannot be found"),
        ({"color": "sequence.json"}, "should be a PNG"),
        ({"depth": None}, "has no depth"),
        ({"depth": "../depth.png"}, "in the folder"),
        ({"depth": "color/0.png"}, "depth in one channel"),
        ({"c2w": [[1.0]]}, "of 4 rows"),
        ({"c2w": [[float("nan"), 0, 0, 0]] * 4}, "finite number"),
        ({"c2w": [[2.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}, "rigid"),
        ({"c2w": [[-1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}, "rigid"),
        ({"c2w": [[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]}, "rigid"),
    ],
)
def test_what_a_frame_says_is_checked(written: Callable[[str], Path], change: dict, complaint: str):
    folder = written("sequence")
    said = json.loads((folder / "sequence.json").read_text())
    said["frames"][2] |= change
    (folder / "sequence.json").write_text(json.dumps(said))
    assert_refused(folder, complaint)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"depth_unit_scale_factor": -1}, "above 0"),
        ({"depth_unit_scale_factor": "mm"}, "finite number"),
        ({"worldgen": []}, '"worldgen" should hold'),
        ({"worldgen": {"units": "feet"}}, "metres or scene"),
        ({"worldgen": {"up": [0, 1]}}, "three numbers"),
        ({"worldgen": {"up": [0, 0, float("inf")]}}, "three numbers"),
        ({"worldgen": {"up": [0, 0, 2]}}, "length 1"),
        ({"k1": 0.1}, "undistort it first"),
        ({"camera_model": "OPENCV_FISHEYE"}, "undistort them first"),
    ],
)
def test_what_transforms_say_is_checked(written: Callable[[str], Path], change: dict, complaint: str):
    folder = written("nerfstudio")
    said = json.loads((folder / "transforms.json").read_text())
    (folder / "transforms.json").write_text(json.dumps(said | change))
    assert_refused(folder, complaint)


def test_photographs_without_depth_are_for_another_verb(written: Callable[[str], Path]):
    folder = written("nerfstudio")
    said = json.loads((folder / "transforms.json").read_text())
    del said["frames"][3]["depth_file_path"]
    (folder / "transforms.json").write_text(json.dumps(said))
    assert_refused(folder, "worldgen fit reads photographs without depth")


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("rgb.txt", b"", "2 words"),
        ("rgb.txt", b"1.0", "2 words, got '1.0'"),
        ("rgb.txt", b"soon rgb/1.png", "begin with a time"),
        ("rgb.txt", b"nan rgb/1.png", "begin with a time"),
        ("rgb.txt", b"\xff\xfe\x00", "not text"),
        ("rgb.txt", b"1305031102.175304 /etc/passwd", "in the folder"),
        ("rgb.txt", b"1305031102.175304 ../../x.png", "in the folder"),
        ("depth.txt", b"5.0 depth/1.png", "within 20 ms"),
        ("groundtruth.txt", b"1305031102.175304 0 0 0 0 0 1", "8 words"),
        ("groundtruth.txt", b"1305031102.175304 0 0 nan 0 0 0 1", "finite numbers"),
        ("groundtruth.txt", b"1305031102.175304 0 0 0 0 0 0 0", "length 1"),
        ("groundtruth.txt", b"1305031102.175304 0 0 1e300 0 0 0 1", "finite numbers"),
        ("groundtruth.txt", b"x" * (MAX_TEXT_BYTES + 1), "larger than 16 MiB"),
    ],
)
def test_what_lists_of_tum_say_is_checked(
    written: Callable[[str], Path], file: str, content: bytes, complaint: str
):
    folder = written("tum")
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=complaint) as refusal:
        read(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("pose.txt", b"", "16 numbers, got 0"),
        ("pose.txt", b"1 0 0 0", "16 numbers, got 4"),
        ("pose.txt", b"nan " * 16, "finite numbers"),
        ("pose.txt", b"-inf " * 16, "finite numbers"),
        ("pose.txt", b"1 " * 16, "rigid"),
        ("pose.txt", b"eins " * 16, "finite numbers"),
        ("depth.png", b"", "depth as a 16-bit PNG"),
        ("color.png", b"", "should be a PNG"),
    ],
)
def test_what_frames_of_7_scenes_say_is_checked(
    written: Callable[[str], Path], file: str, content: bytes, complaint: str
):
    folder = written("7-scenes")
    (folder / f"frame-000002.{file}").write_bytes(content)
    assert_refused(folder, complaint)


@pytest.mark.parametrize("file", ["pose.txt", "depth.png"])
def test_a_frame_of_7_scenes_is_whole(written: Callable[[str], Path], file: str):
    folder = written("7-scenes")
    (folder / f"frame-000002.{file}").unlink()
    assert_refused(folder, "no such file|cannot be found")


def test_frames_without_a_measurement_are_refused(written: Callable[[str], Path]):
    folder = written("7-scenes")
    Image.fromarray(np.full((HEIGHT, WIDTH), 65_535, np.uint16)).save(folder / "frame-000001.depth.png")
    assert_refused(folder, "measures nothing in the central square")


def test_folders_that_hold_nothing_of_the_kind_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"holds no posed pictures with depth, which are sequence\.json"):
        read_recording(tmp_path, most=3)
    with pytest.raises(ValueError, match="is no folder"):
        read_recording(tmp_path / "none", most=3)


def test_pictures_that_are_too_small_are_refused(written: Callable[[str], Path]):
    with pytest.raises(ValueError, match="at least 50 pixels a side"):
        read(written("sequence"), size=200)


@pytest.mark.skipif(not BOX.is_dir(), reason="the recording box_interior is not here")
def test_real_frames_agree_on_where_things_are():
    recording, cache = read_recording(BOX, most=9), WorldCache()
    frames = concatenated([read_frame(recording, i, size=96) for i in range(9)])
    for i in range(0, 9, 2):
        frame = frames[i : i + 1]
        cache.remember(frame, cache.render(frame.cameras), ids=[i], given=True)
    for i in range(1, 9, 2):
        seen = cache.render(frames[i : i + 1].cameras)
        both = seen.mask & frames.valid[i : i + 1]
        assert both.float().mean() > 0.6
        assert float((seen.depth / frames.depth[i : i + 1] - 1.0)[both].abs().median()) < 0.012
