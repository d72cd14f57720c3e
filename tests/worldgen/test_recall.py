"""Remembered views, brought up to date with edits that came after them."""

from __future__ import annotations

import dataclasses

import torch

from memory.boxes import Box
from memory.cache import WorldCache
from memory.restore import restored
from memory.world import World
from tests.memory.test_edits import BOX, camera, grow, square, world
from worldgen.recall import up_to_date

__all__ = ["world"]


def test_a_view_that_is_remembered_shows_a_later_edit_and_is_otherwise_as_it_was(world: World):
    first = world.frames([0])
    _, bank = restored(world)
    assert up_to_date(first, ids=[0], bank=bank, cache=WorldCache()) is first
    world.place(square(40), settings={})
    cache, bank = restored(world)
    placed = up_to_date(first, ids=[0], bank=bank, cache=cache)
    shown = cache.render(camera())
    hidden = shown.mask & (shown.depth < 2.5)
    assert 30 < int(hidden.sum()) < hidden.numel() / 2
    assert torch.equal(placed.rgb, torch.where(hidden, shown.rgb, first.rgb))
    assert torch.equal(placed.depth, torch.where(hidden, shown.depth, first.depth))
    grow(world, dataclasses.replace(placed, cameras=camera()))
    second = world.frames([1])
    world.remove(Box(low=BOX.low, high=(1.0, 1.0, 2.5)), settings={})
    cache, bank = restored(world)
    both = up_to_date(world.frames([1, 0]), ids=[1, 0], bank=bank, cache=cache)
    behind = cache.render(camera())
    gone = second.valid & (second.depth < 2.5)
    assert int(gone.sum()) == int(hidden.sum())
    assert (both.rgb[:1] == torch.where(gone, behind.rgb, second.rgb))[behind.mask.expand(1, 24, 24, 3)].all()
    assert torch.equal(both.valid[:1], torch.where(gone, behind.mask, second.valid))
    assert (both.depth[:1][both.valid[:1]] > 2.5).all(), "nothing that was removed is remembered"
    assert torch.equal(both.rgb[1:], first.rgb), "the first view never showed it"
    world.remove(Box(low=(-9.0, -9.0, 2.5), high=(9.0, 9.0, 3.5)), settings={})
    cache, bank = restored(world)
    empty = up_to_date(world.frames([0]), ids=[0], bank=bank, cache=cache)
    assert not empty.valid.any(), "there is nothing around that could go on"
    world.tree.undo()
    half = Box(low=(-9.0, -9.0, 2.5), high=(0.0, 9.0, 3.5))
    world.remove(half, settings={})
    cache, bank = restored(world)
    goes_on = up_to_date(world.frames([0]), ids=[0], bank=bank, cache=cache)
    hole = ~cache.render(camera()).mask
    assert hole[:, :, :8].all()
    assert goes_on.valid.all()
    torch.testing.assert_close(goes_on.depth, world.frames([0]).depth, rtol=1e-3, atol=0.0)
    assert (goes_on.confidence[:, :, :8] == 0).all()
