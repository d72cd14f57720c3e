"""The page: one file that says all it needs, whatever the world is called, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import re
import threading

import pytest
import torch

from reconstruct.init import gaussians_from_points
from render.gaussians import Gaussians
from tests.viewer.box_room import cast, look, points_of
from viewer.conventions import poses_from_cameras
from viewer.page import page_of

CAMERAS = look(2)


@pytest.fixture(scope="module")
def splats() -> Gaussians:
    return gaussians_from_points(points_of(cast(CAMERAS)))


def page(splats: Gaussians, *, title: str = "room", most: int = 10_000) -> tuple[str, int]:
    content, count = page_of(
        splats,
        start=poses_from_cameras(CAMERAS)[0],
        up=torch.tensor([0.0, -1.0, 0.0]),
        scale=2.0,
        title=title,
        most=most,
    )
    return content.decode(), count


def test_a_page_names_nothing_that_is_elsewhere(splats: Gaussians):
    content, count = page(splats)
    assert count == len(splats) == 2 * 64 * 48
    assert set(re.findall(r"https?://[\w./]+", content)) <= {"http://www.w3.org/2000/svg"}
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", content)
    assert content.count("<title>room</title>") == 1


def test_the_name_of_a_world_is_no_markup(splats: Gaussians):
    content, _ = page(splats, title="</title><script>alert(1)</script>")
    assert "<title>&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;</title>" in content
    assert "<script>alert(1)" not in content


def test_the_same_splats_give_the_same_page(splats: Gaussians):
    assert page(splats) == page(splats)


def test_fewer_splats_make_a_smaller_page(splats: Gaussians):
    whole, _ = page(splats)
    content, count = page(splats, most=500)
    assert count == 500
    client = len(page(splats, most=1)[0])
    assert (len(content) - client) < 0.2 * (len(whole) - client)


def test_nothing_listens_any_more_and_nothing_was_said(splats: Gaussians, capsys: pytest.CaptureFixture[str]):
    before = set(threading.enumerate())
    page(splats)
    assert set(threading.enumerate()) <= before
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


@pytest.mark.parametrize(("most", "message"), [(0, "at least one splat"), (-3, "at least one splat")])
def test_no_splats_make_no_page(splats: Gaussians, most: int, message: str):
    with pytest.raises(ValueError, match=message):
        page(splats, most=most)
    with pytest.raises(ValueError, match="no splats to show"):
        page(splats[:0])


def test_splats_that_are_being_fitted_can_be_shown(splats: Gaussians):
    fitted = dataclasses.replace(splats, means=splats.means.clone().requires_grad_())
    assert page(fitted) == page(splats)
