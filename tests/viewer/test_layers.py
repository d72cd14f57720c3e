"""The scene nodes behind the layers, on a server that nobody visits."""

import numpy as np
import pytest
import viser

from memory.boxes import Box
from reconstruct.init import gaussians_from_points
from tests.viewer.box_room import cast, look, points_of
from viewer.browser import BrowserScene, unit_of
from viewer.clouds import Cloud, cloud_from_gaussians
from viewer.layers import LEAST_REACH, MOST_CAMERAS, MOST_SPLATS, NODE_SPLATS, Layers
from viewer.pictures import Shot, shots_from_frames

SCALE = 2.0


@pytest.fixture
def layers(server: viser.ViserServer) -> Layers:
    server.scene.reset()
    return Layers(BrowserScene(server, scale=SCALE), on_camera=lambda client, number: None)


def specks(n: int, *, seed: int = 0) -> Cloud:
    random = np.random.default_rng(seed)
    return Cloud(
        centers=random.random((n, 3), dtype=np.float32),
        covariances=np.broadcast_to(np.float32(1e-6) * np.eye(3, dtype=np.float32), (n, 3, 3)),
        rgbs=random.integers(0, 256, (n, 3), dtype=np.uint8),
        opacities=np.full((n, 1), 200, dtype=np.uint8),
        normals=np.tile(np.float32([0.0, 0.0, 1.0]), (n, 1)),
        confidence=np.ones(n, dtype=np.float32),
    )


def shots(n: int) -> list[Shot]:
    return shots_from_frames(cast(look(1, width=16, height=12))) * n


def sizes(layers: Layers) -> list[int]:
    return [len(node.centers) for node in layers._splats]


def test_small_chunks_share_a_node_until_it_is_full(layers: Layers):
    for seed in range(5):
        layers.add([specks(NODE_SPLATS // 2, seed=seed)], shots(1), is_new=True)
    assert sizes(layers) == [NODE_SPLATS, NODE_SPLATS, NODE_SPLATS // 2]
    assert (layers.splat_count, layers.frame_count) == (5 * NODE_SPLATS // 2, 5)


def test_what_is_drawn_is_where_it_should_be(layers: Layers):
    frames = cast(look(1))
    cloud = cloud_from_gaussians(gaussians_from_points(points_of(frames)))
    layers.add([cloud], shots(1), is_new=False)
    (node,) = layers._splats
    size = unit_of(SCALE) * node.scale
    np.testing.assert_allclose(node.centers * size, cloud.centers, rtol=1e-5)
    np.testing.assert_array_equal(node.rgbs, cloud.rgbs)
    widened = np.linalg.eigvalsh(node.covariances * size**2) / np.linalg.eigvalsh(cloud.covariances)
    assert (widened >= 0.99).all()


def test_splats_and_nodes_are_bounded(layers: Layers):
    half = MOST_SPLATS // 2 + 1
    layers.add([specks(half)], [], is_new=False)
    assert layers.one_in == 1
    layers.add([specks(half, seed=1)], [], is_new=True)
    assert layers.one_in == 2
    assert layers.splat_count == pytest.approx(half, rel=0.01)
    layers.add([specks(40_000, seed=2)], [], is_new=True)  # what comes later is thinned alike
    assert layers.splat_count == pytest.approx(half + 20_000, rel=0.01)


def test_cameras_are_bounded_and_stay_evenly_spread(layers: Layers):
    layers.add([], shots(2 * MOST_CAMERAS + 50), is_new=False)
    assert MOST_CAMERAS / 2 <= len(layers._cameras) <= MOST_CAMERAS
    assert set(np.diff(sorted(layers._cameras))) == {4}
    assert layers.frame_count == 2 * MOST_CAMERAS + 50


def test_empty_chunks_draw_nothing_and_count(layers: Layers):
    layers.keep_in_sight(np.zeros((1, 3)))
    layers.add([specks(0)], shots(2), is_new=True)
    assert (layers.splat_count, layers.frame_count) == (0, 2)


def test_splats_widen_for_a_distant_visitor_and_narrow_again(layers: Layers):
    layers.add([specks(100)], [], is_new=False)
    (node,) = layers._splats
    at_home = node.covariances.copy()
    layers.keep_in_sight(np.array([[0.5, 0.5, 0.5], [0.5, 0.5, 20 * LEAST_REACH]]))
    assert (node.covariances[:, 0, 0] > 100 * at_home[:, 0, 0]).all()
    layers.keep_in_sight(np.array([[0.5, 0.5, 0.5]]))
    np.testing.assert_array_equal(node.covariances, at_home)


def test_a_limit_draws_fewer_and_a_higher_one_brings_them_back(layers: Layers):
    layers.add([specks(30_000), specks(30_000, seed=1)], [], is_new=False)
    whole = [node.centers.copy() for node in layers._splats]
    layers.limit(20_000)
    assert layers.one_in == 4
    assert layers.splat_count == pytest.approx(15_000, rel=0.05)
    assert sum(sizes(layers)) == layers.splat_count
    layers.add([specks(30_000, seed=2)], [], is_new=True)
    assert layers.one_in == 8
    layers.limit(MOST_SPLATS)
    assert (layers.one_in, layers.splat_count) == (1, 90_000)
    np.testing.assert_array_equal(layers._splats[0].centers, whole[0])


def test_another_scene_takes_the_place_of_all(layers: Layers):
    layers.add([specks(50_000)], shots(3), is_new=False)
    layers.replace([specks(100, seed=4)], shots(1))
    assert (sizes(layers), layers.frame_count, sorted(layers._cameras)) == ([100], 1, [0])
    layers.add([specks(10, seed=5)], shots(1), is_new=True)
    assert sizes(layers) == [110]


def test_paint_recolours_what_is_there_and_what_comes(layers: Layers):
    layers.add([specks(100)], [], is_new=False)
    layers.paint("Normals", place=np.zeros(3))
    (node,) = layers._splats
    np.testing.assert_array_equal(node.rgbs, np.broadcast_to([128, 128, 255], (100, 3)))
    layers.add([specks(50, seed=1)], [], is_new=True)
    assert len(node.rgbs) == 150
    assert (node.rgbs == [128, 128, 255]).all()
    layers.paint("Colours", place=np.zeros(3))
    np.testing.assert_array_equal(node.rgbs[:100], specks(100).rgbs)


def test_what_lies_in_a_box_is_counted(layers: Layers):
    cloud = specks(1000)
    layers.add([cloud], [], is_new=False)
    inside = (cloud.centers <= 0.5).all(axis=1).sum()
    assert layers.count_within(Box(low=(-1.0, -1.0, -1.0), high=(0.5, 0.5, 0.5))) == inside > 0


def test_what_is_hidden_is_not_sent_and_comes_back_as_it_is_by_then(layers: Layers):
    layers.add([specks(NODE_SPLATS)], [], is_new=False)
    assert (len(layers._splats), len(layers._points)) == (1, 0)
    layers.switch("splats", visible=False)
    layers.switch("points", visible=True)
    layers.add([specks(NODE_SPLATS, seed=1), specks(5, seed=2)], [], is_new=True)
    assert len(layers._splats) == 0
    assert [len(node.points) for node in layers._points] == [NODE_SPLATS, NODE_SPLATS, 5]
    layers.keep_in_sight(np.array([[0.5, 0.5, 20 * LEAST_REACH]]))
    layers.switch("splats", visible=True)
    assert sizes(layers) == [NODE_SPLATS, NODE_SPLATS, 5]
    assert layers._splats[0].covariances[:, 0, 0].mean() > 100 * 1e-6 / layers._unit**2, "and as wide"
    layers.replace([specks(7)], [])
    assert (sizes(layers), len(layers._points)) == ([7], 1)
    layers.switch("points", visible=False)
    assert len(layers._points) == 0
