"""Captures: two layouts say the same, liars are refused, and photographs alone become splats."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from reconstruct.captured import fit_of_capture
from reconstruct.densify import Cloning
from reconstruct.fit import FitSettings, fitted
from reconstruct.formats.captures import Capture, is_capture, read_capture
from reconstruct.sparse import capture_scale, first_splats, gaussians_from_sparse, scattered
from reconstruct.sweep import swept_points
from render.cameras import project
from render.frames import Frames
from worldgen.worlds import random_scene, random_walk_cameras, render

WIDTH, HEIGHT, COUNT = 160, 120, 6
FOUNTAIN = Path(__file__).parents[2] / "../shared/data/posed_rgb/fountain_p11"
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def walk() -> Frames:
    """Exact views of a procedural world from a slider, a third of the way to what they show long."""
    scene = random_scene(5)
    first = random_walk_cameras(scene, n=1, seed=1, width=WIDTH, height=HEIGHT)
    c2w = first.c2w.repeat(COUNT, 1, 1)
    c2w[:, :3, 3] += torch.linspace(-0.5, 0.5, COUNT)[:, None] * first.c2w[0, :3, 0]
    return render(scene, dataclasses.replace(first, c2w=c2w, K=first.K.repeat(COUNT, 1, 1)))


def written(folder: Path, walk: Frames) -> dict:
    """The walk as a nerfstudio capture; what its file says."""
    (folder / "images").mkdir(parents=True)
    frames = []
    for i in range(len(walk)):
        name = f"images/{i}.png"
        Image.fromarray((walk.rgb[i] * 255).round().byte().numpy()).save(folder / name)
        c2w = walk.cameras.c2w[i].double().numpy() @ FLIP
        frames.append({"file_path": name, "transform_matrix": c2w.tolist()})
    K = walk.cameras.K[0].double()
    lens = {"fl_x": float(K[0, 0]), "fl_y": float(K[1, 1]), "cx": float(K[0, 2]), "cy": float(K[1, 2])}
    said = {"camera_model": "OPENCV", "w": WIDTH, "h": HEIGHT, **lens, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(said))
    return said


@pytest.fixture
def capture(tmp_path: Path, walk: Frames) -> Path:
    written(tmp_path / "capture", walk)
    return tmp_path / "capture"


def say(folder: Path, said: dict, name: str = "transforms.json") -> Path:
    (folder / name).write_text(json.dumps(said))
    return folder


def test_both_layouts_give_the_photographs_and_cameras_back(capture: Path, walk: Frames, tmp_path: Path):
    first = read_capture(capture)
    other = tmp_path / "other"
    (capture / "images").rename(capture / "photos")
    K = walk.cameras.K.double().clone()
    K[:, :2, 2] -= 0.5  # centres of pixels at whole numbers
    frames = [
        {"file": f"photos/{i}.png", "K": K[i].tolist(), "c2w": walk.cameras.c2w[i].tolist()}
        for i in range(COUNT)
    ]
    (capture / "transforms.json").unlink()
    capture.rename(other)
    assert not is_capture(other)
    second = read_capture(say(other, {"frames": frames}, "cameras.json"))
    assert is_capture(other)
    for found in (first, second):
        torch.testing.assert_close(found.frames.cameras.c2w, walk.cameras.c2w, atol=1e-6, rtol=0)
        torch.testing.assert_close(found.frames.cameras.K, walk.cameras.K, atol=1e-4, rtol=0)
        torch.testing.assert_close(found.frames.rgb, walk.rgb, atol=0.5 / 255 + 1e-6, rtol=0)
        assert (found.frames.confidence == 1).all()
        assert not found.frames.valid.any()
        assert found.points.shape == (0, 3)


def test_large_photographs_are_shrunk_with_their_cameras_and_many_are_chosen_from(
    capture: Path, walk: Frames
):
    found = read_capture(capture, longest=WIDTH // 2, most=3)
    assert found.frames.rgb.shape == (3, HEIGHT // 2, WIDTH // 2, 3)
    chosen = walk.cameras[[0, 2, 5]]
    torch.testing.assert_close(found.frames.cameras.c2w, chosen.c2w, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.frames.cameras.K[:, :2], 0.5 * chosen.K[:, :2], atol=1e-4, rtol=0)
    mean = walk.rgb[[0, 2, 5]].unflatten(1, (-1, 2)).unflatten(3, (-1, 2)).mean(dim=(2, 4))
    torch.testing.assert_close(found.frames.rgb, mean, atol=1e-2, rtol=0)


def test_lenses_are_taken_out_and_what_is_masked_does_not_count(capture: Path, walk: Frames):
    """Each pixel of a bent photograph shows the place where a pinhole would have had it."""
    said = json.loads((capture / "transforms.json").read_text())
    lens = {"k1": -0.2, "k2": 0.05, "p1": 0.01, "p2": -0.005, "k3": 0.01}
    fx, fy, cx, cy = (said[name] for name in ("fl_x", "fl_y", "cx", "cy"))
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    bent = np.stack([(u - cx) / fx, (v - cy) / fy])
    x, y = bent
    for _ in range(100):  # the lens says where a straight ray ends; the inverse is found by repetition
        r = x * x + y * y
        radial = 1 + lens["k1"] * r + lens["k2"] * r**2 + lens["k3"] * r**3
        dx = 2 * lens["p1"] * x * y + lens["p2"] * (r + 2 * x * x)
        dy = lens["p1"] * (r + 2 * y * y) + 2 * lens["p2"] * x * y
        x, y = (bent[0] - dx) / radial, (bent[1] - dy) / radial
    picture = np.stack([0.5 + 0.25 * x, 0.5 + 0.25 * y, np.full_like(x, 0.5)], axis=-1)
    Image.fromarray((picture * 255).round().astype(np.uint8)).save(capture / "images/0.png")
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[:, : WIDTH // 4] = 0
    Image.fromarray(mask).save(capture / "images/mask.png")
    said["frames"][0] |= lens
    said["frames"][1]["mask_path"] = "images/mask.png"
    found = read_capture(say(capture, said)).frames
    straight = np.stack([0.5 + 0.25 * (u - cx) / fx, 0.5 + 0.25 * (v - cy) / fy], axis=-1)
    counts = found.confidence[0, ..., 0].numpy() > 0
    assert 0.7 < counts.mean() <= 1.0
    assert np.abs(found.rgb[0, ..., :2].numpy() - straight)[counts].max() < 1.5 / 255
    assert np.abs(picture[..., :2] - straight).max() > 6.0 / 255
    assert (found.confidence[1, :, : WIDTH // 4] == 0).all()
    assert (found.confidence[1, :, WIDTH // 4 :] == 1).all()


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_points_are_read_with_their_colours(capture: Path, encoding: str):
    rng = np.random.default_rng(0)
    places, colours = rng.normal(size=(20, 3)), rng.integers(0, 255, (20, 4), dtype=np.uint8)
    trimesh.PointCloud(places, colors=colours).export(capture / "points.ply", encoding=encoding)
    said = json.loads((capture / "transforms.json").read_text()) | {"ply_file_path": "points.ply"}
    found = read_capture(say(capture, said))
    np.testing.assert_allclose(found.points, places, atol=1e-5)
    np.testing.assert_allclose(found.rgb, colours[:, :3] / 255.0, atol=1e-6)
    data = (capture / "points.ply").read_bytes()
    for broken in (b"", b"ply\n", data[: len(data) - 40]):
        (capture / "points.ply").write_bytes(broken)
        with pytest.raises(ValueError, match="should be a PLY file with points"):
            read_capture(capture)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"frames": []}, "should list 2 to"),
        ({"frames": [1, 2]}, "should be an object"),
        ({"camera_model": "OPENCV_FISHEYE"}, "undistort them first"),
        ({"k4": 0.1}, "undistort them first"),
        ({"fl_x": None}, '"fl_x" should be a finite number'),
        ({"fl_x": float("nan")}, '"fl_x" should be a finite number'),
        ({"fl_x": -3.0}, "focal lengths must be positive"),
        ({"cx": True}, '"cx" should be a finite number'),
        ({"w": 0}, "positive numbers of pixels"),
        ({"w": 2 * WIDTH}, "not the shape that its camera has"),
        ({"ply_file_path": 7}, "should be the name of a file"),
        ({"ply_file_path": "../points.ply"}, "in the folder of the capture"),
        ({"ply_file_path": "none.ply"}, "cannot be read"),
    ],
)
def test_what_a_file_says_is_checked(capture: Path, change: dict, complaint: str):
    said = json.loads((capture / "transforms.json").read_text())
    with pytest.raises(ValueError, match=complaint):
        read_capture(say(capture, said | change))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"file_path": None}, "names no photograph"),
        ({"file_path": "/etc/passwd"}, "in the folder of the capture"),
        ({"file_path": "images/none.png"}, "cannot be found"),
        ({"transform_matrix": [[1.0]]}, "of 4 rows"),
        ({"transform_matrix": [[1.0, 0.0]] * 4}, "4 numbers in every row"),
        ({"transform_matrix": [[2.0, 0.0, 0.0, 0.0]] * 4}, "must be rigid"),
    ],
)
def test_what_a_frame_says_is_checked(capture: Path, change: dict, complaint: str):
    said = json.loads((capture / "transforms.json").read_text())
    said["frames"][1] |= change
    with pytest.raises(ValueError, match=complaint):
        read_capture(say(capture, said))


def test_what_is_no_capture_is_refused(capture: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="is no capture"):
        read_capture(tmp_path)
    for text in ("", "[1]", "{" * 100_000):
        (capture / "transforms.json").write_text(text)
        with pytest.raises(ValueError, match=r"transforms\.json"):
            read_capture(capture)


def test_photographs_of_other_sizes_are_refused(capture: Path):
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(capture / "images/3.png")
    with pytest.raises(ValueError, match=r"share one size; 3\.png"):
        read_capture(capture)


def test_swept_points_lie_on_surfaces(walk: Frames):
    places, rgb = swept_points(walk)
    assert len(places) > 800
    uv, depth = project(places, walk.cameras)
    inside = (depth[..., 0] > 0) & (uv >= 0).all(dim=-1) & (uv < torch.tensor([WIDTH, HEIGHT])).all(dim=-1)
    errors, colours = [], []
    for i in range(COUNT):
        columns, rows = uv[i, inside[i]].long().unbind(dim=1)
        shown = walk.depth[i, rows, columns, 0]
        errors.append((depth[i, inside[i], 0] / shown - 1.0).where(shown > 0, torch.nan))
        colours.append((walk.rgb[i, rows, columns] - rgb[inside[i]]).abs().mean(dim=1))
    error = torch.cat(errors)
    # Little hangs before what is seen; behind it, surfaces of other views may hide.
    assert float((error < -0.1).float().mean()) < 0.15
    assert float((error.abs() < 0.1).float().mean()) > 0.75
    assert float(torch.cat(colours).median()) < 0.05


def test_photographs_of_plain_walls_begin_with_points_anywhere_that_two_cameras_see(walk: Frames):
    blank = Frames(
        rgb=torch.full_like(walk.rgb, 0.3),
        depth=walk.depth,
        valid=walk.valid,
        confidence=walk.confidence,
        cameras=walk.cameras,
    )
    assert len(swept_points(blank)[0]) == 0
    scale = capture_scale(walk.cameras)
    capture = Capture(frames=blank, points=torch.zeros(0, 3), rgb=torch.zeros(0, 3), names=())
    start = first_splats(capture, most=5_000, scale=scale, seed=0, threads=1)
    assert len(start) == 1_000
    assert torch.equal(start.means, scattered(blank, 1_000, scale=scale, seed=0)[0])
    uv, depth = project(start.means, walk.cameras)
    inside = (depth[..., 0] > 0) & (uv >= 0).all(dim=-1) & (uv < torch.tensor([WIDTH, HEIGHT])).all(dim=-1)
    assert (inside.sum(dim=0) >= 2).all()
    assert len(first_splats(capture, most=50, scale=scale, seed=0, threads=1)) == 50
    with pytest.raises(ValueError, match="at least 4 splats"):
        first_splats(capture, most=3, scale=scale, seed=0)
    still = walk.cameras[[0, 0, 0]]
    with pytest.raises(ValueError, match="from one place"):
        capture_scale(still)


def test_first_splats_are_as_large_as_the_gaps_between_points():
    grid = torch.stack(torch.meshgrid(*[torch.arange(5.0)] * 3, indexing="ij"), dim=-1).reshape(-1, 3)
    splats = gaussians_from_sparse(0.2 * grid, torch.full_like(grid, 0.25))
    torch.testing.assert_close(splats.scales, torch.full((125, 3), 0.2))
    torch.testing.assert_close(splats.base_rgb, torch.full((125, 3), 0.25))
    with pytest.raises(ValueError, match="at least 4 points"):
        gaussians_from_sparse(grid[:3], grid[:3])


def test_photographs_alone_become_splats_that_show_what_was_not_learned_from(capture: Path):
    found = read_capture(capture)
    settings = FitSettings(
        steps=250,
        look_every=50,
        depth_weight=0.0,
        strategy=Cloning(start=50, every=50, stop=0.5),
        degree=1,
        degree_every=100,
    )
    fit = fit_of_capture(found, settings=settings, most=3_000, threads=1)
    assert fit.held_out == [4]
    begun = len(fit)
    scores = [score for _, score in fitted(fit)]
    assert fit.best_score > scores[0] + 6.0
    assert begun < len(fit) <= 3_000
    assert fit.best.sh.shape[1] == 4


@pytest.mark.skipif(not FOUNTAIN.is_dir(), reason="the capture fountain_p11 is not here")
def test_photographs_of_a_real_place_agree_on_where_it_is():
    found = read_capture(FOUNTAIN, longest=192)
    assert len(found.frames) == 11
    places, rgb = swept_points(found.frames)
    assert len(places) > 1_500
    uv, depth = project(places, found.frames.cameras)
    size = torch.tensor([192, 128])
    inside = (depth[..., 0] > 0) & (uv >= 0).all(dim=-1) & (uv < size).all(dim=-1)
    assert float((inside.sum(dim=0) >= 3).float().mean()) > 0.95
    # A wall behind a basin, some eight metres away: what one photograph finds looks the same in others.
    columns, rows = uv[5, inside[5]].long().unbind(dim=1)
    difference = (found.frames.rgb[5, rows, columns] - rgb[inside[5]]).abs().mean(dim=1)
    assert float(difference.median()) < 0.08
    assert 6.0 < float(depth[5, inside[5]].median()) < 12.0
    assert math.isclose(capture_scale(found.frames.cameras), 8.45, abs_tol=0.1)
