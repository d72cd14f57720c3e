"""Throughput: operations against a count by hand, and shares of a time that is made up."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.oracles.small_models import SMALL, random_views
from worldgen.model.rgbd import CONDITION_CHANNELS, RGBDModel
from worldgen.training.checkpoint import Progress
from worldgen.training.throughput import Machine, flops_a_frame, matrix_rate
from worldgen.training.trainer import Step
from worldgen.training.update import LINK_CHANCE

SIZE, FRAMES = 32, 3


def step(number: int, *, elapsed_s: float, waited_s: float) -> Step:
    return Step(
        progress=Progress(step=number, frames=6 * number, clips=2 * number),
        size=SIZE,
        frames=6,
        loss=1.0,
        rgb_error=1.0,
        depth_error=1.0,
        gradient_norm=1.0,
        learning_rate=1e-3,
        elapsed_s=elapsed_s,
        waited_s=waited_s,
        is_saved=False,
    )


def layer_operations() -> int:
    """Operations of all linear layers and convolutions over one clip, forward and backward, as layers run."""
    counted = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal counted
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        once = 2 * output.numel() * layer.weight[0].numel()
        # Backwards once for the weights, and once more for an input that depends on weights.
        counted += once * (3 if inputs[0].requires_grad else 2)

    model = RGBDModel(SMALL)
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(count)
    views = random_views(b=1, f=FRAMES, seed=0)
    x, condition = (
        torch.zeros(1, FRAMES, 4, SIZE, SIZE),
        torch.zeros(1, FRAMES, CONDITION_CHANNELS, SIZE, SIZE),
    )
    model(x, torch.zeros(1, FRAMES), condition=condition, views=views)
    return counted


def attention_operations() -> float:
    """Operations of attention over one clip, forward and backward: two products a pair of tokens, thrice."""
    tokens = (SIZE // 8) ** 2
    links = LINK_CHANCE * FRAMES * (FRAMES - 1) / 2
    memory_blocks = SMALL.depth // 4
    pairs = (SMALL.depth * FRAMES + memory_blocks * links) * tokens**2
    # PRoPE: one product with a matrix over the first half of each head for queries, keys, values and outputs.
    half = SMALL.head_width // 2
    relative = memory_blocks * 4 * FRAMES * tokens * (SMALL.width // SMALL.head_width) * half * half
    # Their matrices need no gradient, so these go backwards once.
    return 3 * 2 * 2 * pairs * SMALL.width + 2 * 2 * relative


def test_operations_of_a_frame_are_those_counted_by_hand():
    expected = (layer_operations() + attention_operations()) / FRAMES
    assert flops_a_frame(SMALL, size=SIZE, clip_frames=FRAMES) == pytest.approx(expected, rel=0.005)


def test_throughput_counts_all_time_and_all_ranks():
    operations = flops_a_frame(SMALL, size=SIZE, clip_frames=FRAMES)
    machine = Machine(model=SMALL, clip_frames=FRAMES, matrix_rate=10 * operations, ranks=2)
    steps = [step(1, elapsed_s=1.0, waited_s=2.0), step(2, elapsed_s=3.0, waited_s=0.0)]
    found = machine.throughput(steps)
    assert found.frames_a_second == pytest.approx(2.0)
    assert found.waiting == pytest.approx(2.0 / 6.0)
    assert found.utilisation == pytest.approx(2.0 / (2 * 10))


def test_the_rate_of_a_machine_is_one_that_machines_have():
    # A processor of the last ten years does a billion operations a second, none does 10^15 in float32.
    assert 1e9 < matrix_rate(torch.device("cpu")) < 1e15
