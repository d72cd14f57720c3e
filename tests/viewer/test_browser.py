"""What browsers are sent and what they say, in worlds that differ in nothing but their scale."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
import viser
from viser.transforms import SO3

from tests.viewer.box_room import cast, look, scene_of
from tests.viewer.sockets import CAMERA, visiting, wait_until
from viewer import Viewer
from viewer.browser import BrowserScene, unit_of
from viewer.clouds import Sent
from viewer.conventions import ViserPose

UP = torch.tensor([0.0, -1.0, 0.0])

POSE = ViserPose(
    wxyz=SO3.exp(np.array([0.2, -0.9, 0.1])).wxyz, position=np.array([1.3, -0.4, 2.7]), fov=0.9, aspect=1.5
)

OWN = {"points", "vertices", "point_size"}
"""Lengths that a browser multiplies by the scale of their node."""


@pytest.mark.parametrize("scale", [0.013, 1.0, 60.0])
def test_a_pose_that_goes_out_comes_back(scale: float):
    viewer = Viewer(scene_of(cast(look(1))), up=UP, scale=scale, port=0)
    with visiting(viewer.url) as socket:
        wait_until(lambda: len(viewer._stage.visitors) == 1)
        (visitor,) = viewer._stage.visitors.values()
        (client,) = viewer._server.get_clients().values()
        visitor.camera.stand(POSE, up=UP, focus=3.0 * scale)
        told = client.camera
        np.testing.assert_allclose(told.position, POSE.position / unit_of(scale), rtol=1e-12)
        np.testing.assert_allclose(
            np.linalg.norm(told.look_at - told.position), 3.0 / unit_of(1.0), rtol=1e-9
        )
        said = {
            **CAMERA,
            "wxyz": told.wxyz.tolist(),
            "position": told.position.tolist(),
            "look_at": told.look_at.tolist(),
            "fov": told.fov,
        }
        before = told.update_timestamp
        socket.send(msgspec.msgpack.encode(said))
        wait_until(lambda: told.update_timestamp > before)
        pose = visitor.pose()
        np.testing.assert_allclose(pose.position, POSE.position, rtol=1e-6)
        np.testing.assert_allclose(pose.rotation, POSE.rotation, atol=1e-6)
        np.testing.assert_allclose(visitor.camera.look_at, POSE.look_at(3.0 * scale), rtol=1e-6)
        assert (pose.fov, pose.aspect) == pytest.approx((POSE.fov, POSE.aspect))
        socket.close_timeout = 0.1  # nobody reads what it was sent
    viewer.close()


def sent(server: viser.ViserServer, scale: float) -> list[dict[str, Any]]:
    """What a browser is told of a world with one thing of every kind; all lengths grow with the scale."""
    server.scene.reset()
    browser = BrowserScene(server, scale=scale)
    pose = dataclasses.replace(POSE, position=scale * POSE.position)
    places = scale * np.arange(12, dtype=np.float32).reshape(4, 3)
    colours = np.full((4, 3), 100, np.uint8)
    splats: Sent = {
        "centers": places / np.float32(0.1 * scale),
        "covariances": np.tile(np.eye(3, dtype=np.float32), (4, 1, 1)),
        "rgbs": colours,
        "opacities": colours[:, :1],
    }
    gizmo = browser.add_gizmo("/gizmo", scale * np.ones(3), size=0.3 * scale)
    gizmo.put(2.0 * scale * np.ones(3))
    np.testing.assert_allclose(gizmo.position, 2.0 * scale * np.ones(3))
    browser.begin_at(pose, up=UP, near=0.05 * scale, far=100.0 * scale)
    browser.size_axes(0.5 * scale)
    browser.add_group("/group", visible=True)
    browser.add_splats("/splats", splats, unit=0.1 * scale)
    browser.add_points("/points", places, colours, size=0.01 * scale)
    browser.add_camera("/camera", pose, depth=0.08 * scale, color=(1, 2, 3))
    browser.add_box("/box", scale * np.array([0.3, 0.4, 0.5]), color=(1, 2, 3))
    browser.add_mesh("/shape", places[:3], color=(1, 2, 3))
    browser.add_lines("/line", places.reshape(2, 2, 3), color=(1, 2, 3), thickness=0.006 * scale)
    glb = browser.add_glb("/mesh", b"a file in world units")
    assert glb.scale == pytest.approx(1.0 / unit_of(scale))
    glb.remove()
    handles = server.scene._handle_from_node_name.values()
    camera = server.initial_camera
    start = {name: getattr(camera, name) for name in ("position", "look_at", "up", "fov", "near", "far")}
    return [start, *(as_drawn(handle) for handle in handles)]


def as_drawn(handle: viser.SceneNodeHandle) -> dict[str, Any]:
    """All numbers of a node as its browser draws them."""
    props = vars(handle._impl.props)
    numbers = {name: value for name, value in props.items() if isinstance(value, float | np.ndarray | tuple)}
    for name in OWN & numbers.keys():
        numbers[name] = numbers[name] * numbers["scale"]
    if OWN & numbers.keys():
        del numbers["scale"]
    return {"name": handle.name, "position": handle.position, "wxyz": handle.wxyz, **numbers}


def test_browsers_are_told_the_same_of_worlds_that_differ_in_scale_alone(server: viser.ViserServer):
    small, large = sent(server, 0.05), sent(server, 20.0)
    assert [node.get("name") for node in small] == [node.get("name") for node in large]
    assert len(small) >= 9
    for ours, theirs in zip(small, large, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"name"}:
            np.testing.assert_allclose(
                ours[name], theirs[name], rtol=1e-5, err_msg=f"{ours.get('name')} {name}"
            )


def test_a_world_in_which_people_walk_two_units_a_second_is_sent_as_it_is(server: viser.ViserServer):
    start = sent(server, 1.0 / unit_of(1.0))[0]
    np.testing.assert_allclose(start["position"], POSE.position / unit_of(1.0), rtol=1e-12)
    assert (start["near"], start["far"]) == pytest.approx((0.05 / unit_of(1.0), 100.0 / unit_of(1.0)))
