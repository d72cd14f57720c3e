"""Hygiene: faults that are put in come out, and what is needed stays."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from reconstruct.hygiene import MAX_LOSS_DB, cleaned
from render.frames import Frames, median_depth
from render.gaussians import Gaussians, concatenated
from render.metrics import psnr
from render.splats import render_splats
from tests.oracles.walks import splats_seen_in, walk_of

SIZE, COUNT = 40, 5


@pytest.fixture(scope="module")
def walk() -> Frames:
    return walk_of(COUNT, side=SIZE)


@pytest.fixture(scope="module")
def splats(walk: Frames) -> Gaussians:
    return splats_seen_in(walk)


def score(splats: Gaussians, walk: Frames) -> float:
    with torch.no_grad():
        return float(psnr(render_splats(splats, walk.cameras).rgb.clamp(0, 1), walk.rgb).mean())


def some(splats: Gaussians, count: int, **changes: torch.Tensor) -> Gaussians:
    """The first few, changed."""
    return dataclasses.replace(splats[:count], **changes)


def test_floaters_invisible_and_oversized_splats_go_and_the_rest_stays(splats: Gaussians, walk: Frames):
    scale = median_depth(walk[:1])
    eye, ahead = walk.cameras.origins[0], walk.cameras.forwards[0]
    spread = 0.05 * scale * torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    floaters = some(
        splats,
        10,
        means=eye + 0.4 * scale * ahead + spread,
        log_scales=torch.full((10, 3), math.log(0.01 * scale)),
        logit_opacities=torch.full((10,), 2.0),
    )
    hidden = some(splats, 7, means=eye - 3.0 * scale * ahead.expand(7, 3))
    huge = some(
        splats,
        3,
        log_scales=torch.full((3, 3), math.log(2.0 * scale)),
        logit_opacities=torch.full((3,), -4.0),
    )
    found = cleaned(concatenated([splats, floaters, hidden, huge]), walk, scale=scale, threads=1)
    alone = cleaned(splats, walk, scale=scale, threads=1)
    assert found.floating - alone.floating == 10
    assert found.invisible - alone.invisible == 7
    assert found.oversized - alone.oversized == 3
    assert len(found.splats) == len(splats) + 20 - found.removed
    assert alone.removed < 0.15 * len(splats)
    assert score(alone.splats, walk) > score(splats, walk) - 3 * MAX_LOSS_DB


def test_what_the_given_frames_need_stays(splats: Gaussians, walk: Frames):
    """Wrong depths make every splat a floater; without them nothing would be left to see."""
    far = dataclasses.replace(walk, depth=10.0 * walk.depth)
    found = cleaned(splats, far, scale=median_depth(walk[:1]), threads=1)
    assert found.floating == 0
    assert len(found.splats) > 0.8 * len(splats)


def test_frames_without_confidence_do_not_judge(splats: Gaussians, walk: Frames):
    trust = walk.confidence.clone()
    trust[2:] = 0.0
    doubted = dataclasses.replace(walk, confidence=trust)
    wrong = dataclasses.replace(doubted, depth=torch.where(trust > 0, walk.depth, 10.0 * walk.depth))
    first, second = (cleaned(splats, frames, scale=1.0, threads=1) for frames in (doubted, wrong))
    assert (first.floating, first.invisible) == (second.floating, second.invisible)
