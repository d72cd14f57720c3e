"""Planning of two passes: who is imagined when, from what, and how strongly guided."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from render.cameras import Cameras, intrinsics_from_fov
from worldgen.sampling.passes import (
    LEAST_WEIGHT,
    Group,
    anchor_places,
    guidance_weights,
    imagined,
    planned,
)

WINDOW = 21


def path_of(n: int, *, stride: float = 0.1, turn: float = 0.0) -> Cameras:
    """A walk to the right, turning by ``turn`` radians a view."""
    c2w = torch.eye(4).repeat(n, 1, 1)
    angle = turn * torch.arange(n)
    c2w[:, 0, 0] = c2w[:, 2, 2] = angle.cos()
    c2w[:, 0, 2], c2w[:, 2, 0] = angle.sin(), -angle.sin()
    c2w[:, 0, 3] = stride * torch.arange(n)
    return Cameras(c2w=c2w, K=intrinsics_from_fov(1.2, width=16, height=16, n=n), width=16, height=16)


CASES = [(m, p) for m in (1, WINDOW - 2, WINDOW - 1, 10 * WINDOW + 3) for p in (1, 8, 9, 40)]


@pytest.mark.parametrize(("frames", "inputs"), CASES)
def test_every_target_is_imagined_once_from_the_anchors_around_it(frames: int, inputs: int):
    plan = planned(path_of(frames, turn=0.05), inputs=inputs, window=WINDOW)
    targets = [place for group in plan.first + plan.second for place in group.targets]
    assert sorted(targets) == list(range(frames))
    assert [place for group in plan.first for place in group.targets] == list(plan.anchors)
    room = WINDOW + inputs if inputs >= 9 else WINDOW
    for group in plan.first + plan.second:
        assert inputs + len(group.known) + len(group.targets) <= room
    for group in plan.second:
        assert set(group.known) <= set(plan.anchors)
        assert not set(group.targets) & set(plan.anchors)
        for target in group.targets:
            below = max(anchor for anchor in plan.anchors if anchor < target)
            above = min(anchor for anchor in plan.anchors if anchor > target)
            assert {below, above} <= set(group.known)
    done: set[int] = set()
    for group in plan.first + plan.second:
        assert set(group.known) <= done
        done |= set(group.targets)


@given(
    frames=st.integers(1, 90),
    inputs=st.integers(0, 12),
    window=st.integers(3, 14),
    ratio=st.floats(1.0, 1.5),
)
def test_plans_of_any_size_are_sound(frames: int, inputs: int, window: int, ratio: float):
    free = window if inputs >= 9 else window - inputs
    if free < 3:
        with pytest.raises(ValueError, match="no room"):
            planned(path_of(frames), inputs=inputs, window=window, ratio=ratio)
        return
    plan = planned(path_of(frames), inputs=inputs, window=window, ratio=ratio)
    groups = plan.first + plan.second
    assert sorted(place for group in groups for place in group.targets) == list(range(frames))
    assert max(len(group.known) + len(group.targets) for group in groups) <= free
    assert all(group.targets for group in groups)


@pytest.mark.parametrize(
    ("frames", "inputs", "count"),
    # ceil(M / (T - 2 - P)) + 1, at least T - P, at most M; from nine inputs on ceil(M / (T - 2)) + 1.
    [(1, 1, 1), (19, 1, 19), (213, 1, 20), (213, 8, 21), (213, 9, 13), (213, 40, 13), (500, 1, 29)],
)
def test_there_are_as_many_anchors_as_the_windows_need(frames: int, inputs: int, count: int):
    assert len(planned(path_of(frames), inputs=inputs, window=WINDOW).anchors) == count


def test_more_anchors_may_be_asked_for():
    counts = [len(planned(path_of(500), inputs=1, window=WINDOW, ratio=r).anchors) for r in (1.0, 1.5)]
    assert counts == [29, 43]


def test_anchors_lie_evenly_and_at_both_ends():
    assert anchor_places(11, count=3) == (0, 5, 10)
    assert anchor_places(1, count=5) == (0,)
    assert anchor_places(4, count=9) == (0, 1, 2, 3)
    gaps = [
        b - a for a, b in zip(anchor_places(213, count=20), anchor_places(213, count=20)[1:], strict=False)
    ]
    assert max(gaps) - min(gaps) <= 1


def test_later_groups_of_anchors_know_the_last_one_and_the_nearest_ones():
    # There and back: on the way back the nearest earlier anchors are those of the way there.
    there = path_of(60)
    path = there[list(range(60)) + list(range(59, -1, -1))]
    plan = planned(path, inputs=1, window=9)
    first, *later = plan.first
    assert first.known == ()
    for index, group in enumerate(later, start=1):
        earlier = [place for before in plan.first[:index] for place in before.targets]
        assert earlier[-1] in group.known
        assert len(group.known) <= max(1, math.floor(0.33 * 8))
    back = later[-1]
    assert any(place < 60 for place in back.known)


def test_views_come_back_in_the_order_of_the_path():
    plan = planned(path_of(50), inputs=1, window=8)
    asked: list[int] = []

    def imagine(targets, known):
        assert known == {place: f"view {place}" for place in known}
        asked.extend(targets)
        return [f"view {place}" for place in targets]

    assert imagined(plan, imagine) == [f"view {place}" for place in range(50)]
    assert len(asked) == len(set(asked)) == 50  # an anchor is not imagined again as a target


def test_the_guidance_rises_from_known_views_to_the_farthest():
    group, path = Group((0, 8), tuple(range(1, 8))), path_of(9)
    far_away = path_of(1, stride=0.1)
    far_away.c2w[:, 1, 3] = 5.0
    found = guidance_weights(group, path, known=far_away, weight=2.0)
    assert found.argmax() == 4
    expected = torch.tensor([1.2, 1.4, 1.6, 1.8, 2.0, 1.8, 1.6, 1.4, 1.2])
    torch.testing.assert_close(found, expected)


def test_a_view_that_an_input_shows_is_known():
    group, path = Group((0, 8), tuple(range(1, 8))), path_of(9)
    same = guidance_weights(group, path, known=path[[4]], weight=2.0)
    torch.testing.assert_close(same, torch.tensor([1.2, 1.6, 2.0, 1.6, 1.2, 1.6, 2.0, 1.6, 1.2]))
    turned = path_of(9, turn=math.radians(3.0))  # the fifth has turned by 12 degrees
    other_lens = Cameras(c2w=path[[4]].c2w, K=1.5 * path[[4]].K, width=16, height=16)
    from_turned = Cameras(c2w=turned[[4]].c2w, K=path[[4]].K, width=16, height=16)
    for known in (other_lens, from_turned):
        assert float(guidance_weights(group, path, known=known, weight=2.0)[4]) == 2.0


def test_without_a_target_every_view_weighs_the_least():
    found = guidance_weights(Group((0, 1), ()), path_of(2), known=path_of(1), weight=3.0)
    assert found.tolist() == pytest.approx([LEAST_WEIGHT] * 2)


def test_senseless_plans_are_refused():
    with pytest.raises(ValueError, match="needs a camera"):
        planned(path_of(2)[:0], inputs=1, window=8)
    with pytest.raises(ValueError, match=r"ratio of 1 or more, got 2, 1 and 0\.5"):
        planned(path_of(2), inputs=1, window=8, ratio=0.5)
    with pytest.raises(ValueError, match="window of 4 views has no room for 2 inputs"):
        planned(path_of(2), inputs=2, window=4)
