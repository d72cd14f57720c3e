"""Building blocks of the model against their formulas."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from worldgen.model.layers import (
    SHORTEST_STEP,
    STEP_LENGTHS,
    TIME_FEATURES,
    ChannelNorm,
    Finish,
    ResidualBlock,
    StepEmbedding,
    time_features,
)


def test_time_features_are_cosines_then_sines_of_geometric_frequencies():
    t = [0.0, 0.02, 0.37, 1.0]
    found = time_features(torch.tensor(t))
    assert found.shape == (4, TIME_FEATURES)
    half = TIME_FEATURES // 2
    for row, level in enumerate(t):
        for column in (0, 1, 50, half - 1):
            angle = 1000.0 * level * 10_000.0 ** (-column / half)
            # The angles reach 1000, where float32 is accurate to about 3e-5.
            assert math.isclose(found[row, column], math.cos(angle), abs_tol=2e-4)
            assert math.isclose(found[row, half + column], math.sin(angle), abs_tol=2e-4)


def test_time_features_tell_all_levels_apart():
    found = time_features(torch.linspace(0.0, 1.0, 101))
    gaps = torch.cdist(found, found) + 1e9 * torch.eye(101)
    assert gaps.min() > 0.5


def test_a_step_length_has_the_vector_of_the_nearest_power_of_two():
    embedding = StepEmbedding(3)
    assert not embedding.table.any()
    embedding.table.data = torch.arange(float(STEP_LENGTHS))[:, None].expand(-1, 3)
    known = [2.0**-i for i in range(STEP_LENGTHS)]
    assert known[-1] == SHORTEST_STEP
    assert embedding(torch.tensor(known))[:, 0].tolist() == list(range(STEP_LENGTHS))
    # 3, 5, 6, 24 and 1000 steps: log2 is 1.58, 2.32, 2.58, 4.58 and 9.97.
    steps = torch.tensor([3.0, 5.0, 6.0, 24.0, 1000.0])
    assert embedding(1.0 / steps)[:, 0].tolist() == [2, 2, 3, 5, 6]


def test_a_channel_norm_is_a_group_norm_of_one_pixel_at_a_time():
    x = 3.0 + 2.0 * torch.randn(2, 6, 4, 5, generator=torch.Generator().manual_seed(0))
    norm = ChannelNorm(6)
    norm.weight.data = torch.rand(6, generator=torch.Generator().manual_seed(1))
    pixels = x.permute(0, 2, 3, 1).reshape(-1, 6)
    expected = F.group_norm(pixels, 1, norm.weight).view(2, 4, 5, 6).permute(0, 3, 1, 2)
    torch.testing.assert_close(norm(x), expected, atol=1e-5, rtol=1e-5)


def test_a_residual_block_is_the_identity_at_first():
    x = torch.randn(2, 8, 5, 6, generator=torch.Generator().manual_seed(0))
    embedded = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    assert torch.equal(ResidualBlock(8, embedding=16)(x, embedded), x)


def test_a_residual_block_is_modulated_by_the_embedding_of_its_own_frame():
    torch.manual_seed(0)
    block = ResidualBlock(8, embedding=16)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x, embedded = torch.randn(2, 8, 5, 6), torch.randn(2, 16)
    other = embedded.clone()
    other[1] += 1.0
    before, after = block(x, embedded), block(x, other)
    torch.testing.assert_close(before[0], after[0])
    assert (before[1] - after[1]).abs().max() > 1e-2


def test_a_residual_block_scales_and_shifts_between_its_convolutions():
    torch.manual_seed(0)
    block = ResidualBlock(8, embedding=16)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x, embedded = torch.randn(1, 8, 5, 6), torch.randn(1, 16)
    modulation = F.linear(embedded, block.modulation.weight, block.modulation.bias)[0]
    scale, shift = modulation[:8], modulation[8:]
    hidden = block.conv_in(block.norm(x)) * (1.0 + scale.view(1, 8, 1, 1)) + shift.view(1, 8, 1, 1)
    torch.testing.assert_close(block(x, embedded), x + block.conv_out(hidden * hidden.sigmoid()))


def test_a_finish_asks_for_nothing_at_first():
    x, embedded = torch.randn(2, 15, 8, 8), torch.randn(2, 16)
    repair, gates = Finish(15, embedding=16)(x, embedded)
    assert (repair.shape, gates.shape) == ((2, 4, 8, 8), (2, 2, 8, 8))
    assert not repair.any()
    assert not gates.any()


def test_a_finish_reaches_three_pixels_far():
    torch.manual_seed(0)
    finish = Finish(15, embedding=16)
    for parameter in finish.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x = torch.randn(1, 15, 15, 15, requires_grad=True)
    repair, gates = finish(x, torch.randn(1, 16))
    for out in (repair, gates):
        (gradient,) = torch.autograd.grad(out[..., 7, 7].sum(), x, retain_graph=True)
        reached = gradient.abs().sum(dim=(0, 1)) > 0
        expected = torch.zeros(15, 15, dtype=torch.bool)
        expected[4:11, 4:11] = True
        assert torch.equal(reached, expected)
