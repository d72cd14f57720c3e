"""Warped noise: white after any flow, and in the place the flow says."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from render.cameras import Cameras, intrinsics_from_fov
from tests.oracles.box_room import BoxRoom
from worldgen.sampling.warped_noise import WarpedNoise, degraded, flow_between, fresh, reduced, shared, warped

SIZE = 256
BANDS = 5


def rng_of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def places(size: int = SIZE) -> Tensor:
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([x, y], dim=-1).double()


def zoom(factor: float, *, size: int = SIZE) -> Tensor:
    return (factor - 1.0) * (places(size) - size / 2)


def random_flow(seed: int, *, strength: float = 12.0) -> Tensor:
    """Smooth on the scale of a few dozen pixels: it stretches, squeezes, folds and leaves the picture."""
    coarse = strength * torch.randn(1, 2, 9, 9, generator=rng_of(seed), dtype=torch.float64)
    smooth = F.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic", align_corners=True)
    return smooth[0].permute(1, 2, 0)


def statistics(noise: Tensor) -> dict[str, float]:
    """Worst of each kind over its lags or bands."""
    centred = noise - noise.mean()
    variance = float(centred.square().mean())
    lags = [(0, 1), (1, 0), (1, 1)]
    h, w = noise.shape[-2:]
    correlations = [
        float((centred[:, : h - i, : w - j] * centred[:, i:, j:]).mean()) / variance for i, j in lags
    ]
    spectrum = torch.fft.fft2(noise).abs().square().mean(dim=0) / (h * w)
    radius = torch.hypot(torch.fft.fftfreq(h)[:, None], torch.fft.fftfreq(w)[None, :])
    bands = [
        float(spectrum[(radius >= 0.1 * k) & (radius < 0.1 * (k + 1)) & (radius > 0)].mean())
        for k in range(BANDS)
    ]
    return {
        "mean": float(noise.mean()),
        "variance": variance,
        "correlation": max(correlations, key=abs),
        "kurtosis": float(centred.pow(4).mean()) / variance**2,
        "band_low": min(bands),
        "band_high": max(bands),
    }


def assert_white(noise: Tensor) -> None:
    found = statistics(noise)
    assert abs(found["mean"]) < 0.01, found
    assert abs(found["variance"] - 1.0) < 0.02, found
    assert abs(found["correlation"]) < 0.01, found
    assert abs(found["kurtosis"] - 3.0) < 0.05, found
    assert found["band_low"] > 0.95, found
    assert found["band_high"] < 1.05, found


def start(seed: int = 0, *, size: int = SIZE) -> WarpedNoise:
    return fresh((4, size, size), rng=rng_of(seed), dtype=torch.float64)


@pytest.mark.parametrize("factor", [2.0, 1.3, 0.7, 0.5])
def test_noise_stays_white_under_a_zoom(factor: float):
    assert_white(warped(start(), zoom(factor), rng=rng_of(1)).noise)


def test_the_test_of_whiteness_sees_the_noise_of_plain_interpolation():
    old = start().noise[None]
    middle = old[..., SIZE // 4 : 3 * SIZE // 4, SIZE // 4 : 3 * SIZE // 4]
    nearest = statistics(F.interpolate(middle, scale_factor=2, mode="nearest")[0])
    assert nearest["correlation"] == pytest.approx(0.5, abs=0.02)
    assert nearest["band_high"] > 3.0
    bilinear = statistics(F.interpolate(middle, scale_factor=2, mode="bilinear", align_corners=False)[0])
    assert bilinear["variance"] < 0.7
    assert bilinear["band_low"] < 0.05


def test_noise_stays_white_over_fifty_random_flows():
    state = start()
    for step in range(50):
        state = warped(state, random_flow(step), rng=rng_of(100 + step))
        assert (state.weight > 0).all()
    assert_white(state.noise)


def test_noise_stays_white_where_pixels_of_random_weight_are_merged():
    weight = 0.1 + torch.rand(SIZE, SIZE, generator=rng_of(2), dtype=torch.float64)
    old = WarpedNoise(noise=start().noise, weight=weight)
    small = warped(old, zoom(0.5), rng=rng_of(3)).noise[:, 64:192, 64:192]
    found = statistics(small)
    assert found["variance"] == pytest.approx(1.0, abs=0.02)
    assert abs(found["correlation"]) < 0.02  # a quarter of the pixels
    assert found["kurtosis"] == pytest.approx(3.0, abs=0.1)


def test_a_merged_pixel_is_the_weighted_sum_over_its_length():
    old = start(size=8)
    weight = 0.5 + torch.rand(8, 8, generator=rng_of(2), dtype=torch.float64)
    flow = torch.zeros(8, 8, 2, dtype=torch.float64)
    flow[2, 3] = torch.tensor([2.0, 1.0])  # (x 3, y 2) joins (x 5, y 3)
    new = warped(WarpedNoise(noise=old.noise, weight=weight), flow, rng=rng_of(1))
    a, b = weight[2, 3], weight[3, 5]
    expected = (a * old.noise[:, 2, 3] + b * old.noise[:, 3, 5]) / (a**2 + b**2).sqrt()
    torch.testing.assert_close(new.noise[:, 3, 5], expected)
    assert float(new.weight[3, 5] / new.weight[0, 0]) == pytest.approx(
        float((a + b) / weight[0, 0]), rel=1e-2
    )


def test_copies_of_a_pixel_sum_to_root_m_times_it():
    noise = torch.randn(3, 40, generator=rng_of(0), dtype=torch.float64)
    source = torch.arange(40).repeat_interleave(torch.arange(40) % 7)
    copies, share = shared(noise, source, rng=rng_of(1))
    for parent in range(40):
        mine = source == parent
        count = int(mine.sum())
        assert count == parent % 7
        assert (share[mine] == count).all()
        expected = math.sqrt(count) * noise[:, parent]
        torch.testing.assert_close(copies[:, mine].sum(dim=1), expected, atol=1e-14, rtol=0)


def test_a_shift_by_whole_pixels_moves_the_noise_bit_for_bit():
    state, shift = start(), torch.tensor([5.0, -3.0], dtype=torch.float64)
    first = warped(state, shift.expand(SIZE, SIZE, 2), rng=rng_of(1))
    second = warped(first, shift.expand(SIZE, SIZE, 2), rng=rng_of(2))
    assert torch.equal(first.noise[:, :-3, 5:], state.noise[:, 3:, :-5])
    assert torch.equal(second.noise[:, :-6, 10:], state.noise[:, 6:, :-10])
    assert_white(second.noise)
    rim = first.noise[:, :, :5]
    assert not torch.isin(rim, state.noise).any()


def test_no_flow_changes_nothing():
    state = start()
    still = warped(state, torch.zeros(SIZE, SIZE, 2, dtype=torch.float64), rng=rng_of(1))
    assert torch.equal(still.noise, state.noise)


def test_the_zoomed_noise_is_the_old_noise_seen_closer():
    # In a zoom by 2 a pixel becomes 2 x 2, and the mean of those, to unit variance, is the pixel again.
    state = start()
    new = warped(state, zoom(2.0), rng=rng_of(1)).noise
    blocks = [new[:, i : i + 200 : 2, j : j + 200 : 2] for i in (27, 28, 29) for j in (27, 28, 29)]
    around = sum(blocks) / 3.0
    old = state.noise[:, 78:178, 78:178]  # 28 = 2 * 78 - 128
    correlation = float((around * old).mean())
    assert correlation > 0.5
    assert abs(float((around * old.flip(-1)).mean())) < 0.02


def test_channels_stay_uncorrelated():
    state = start()
    for step in range(5):
        state = warped(state, random_flow(step), rng=rng_of(10 + step))
    correlation = torch.corrcoef(state.noise.flatten(1))
    assert (correlation - torch.eye(4)).abs().max() < 0.01


def moved_square() -> tuple[Tensor, Tensor]:
    """A square before a still background jumps 60 pixels to the right; what it hides, and its flow."""
    flow = torch.zeros(SIZE, SIZE, 2, dtype=torch.float64)
    flow[80:140, 60:120, 0] = 60.0
    visible = torch.ones(SIZE, SIZE, dtype=torch.bool)
    visible[80:140, 120:180] = False
    return flow, visible


def test_what_comes_into_view_has_new_noise():
    state = start()
    flow, visible = moved_square()
    new = warped(state, flow, visible=visible, rng=rng_of(1)).noise
    # A pixel at the rim of the square may have grown by one to either side.
    assert torch.equal(new[:, 81:139, 121:179], state.noise[:, 81:139, 61:119])
    inside = new[:, 82:138, 62:118]
    assert not torch.isin(inside, state.noise).any()
    # Uncorrelated with every old pixel, those that went and those that were hidden most of all.
    for other in (state.noise[:, 82:138, 62:118], state.noise[:, 82:138, 122:178]):
        assert abs(float((inside * other).mean())) < 0.03  # 12544 products: a standard error of 0.009
    assert_white(new)


def test_a_hidden_pixel_gives_its_noise_to_nobody():
    state = start()
    flow, visible = moved_square()
    seen, unseen = (warped(state, flow, visible=mask, rng=rng_of(1)).noise for mask in (visible, None))
    both = (slice(None), slice(81, 139), slice(121, 179))
    assert torch.equal(seen[both], state.noise[:, 81:139, 61:119])
    assert not torch.equal(unseen[both], seen[both])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_degraded_noise_is_white_and_as_much_like_the_old_as_said(share: float):
    old = start().noise
    new = degraded(old, share, rng=rng_of(1))
    assert_white(new)
    expected = (1.0 - share) / math.hypot(share, 1.0 - share)
    assert float((old * new).mean()) == pytest.approx(expected, abs=0.01)


def test_reduced_noise_is_white():
    state = start()
    for step in range(3):
        state = warped(state, random_flow(step), rng=rng_of(10 + step))
    small = reduced(state, 2)
    assert small.shape == (4, SIZE // 2, SIZE // 2)
    found = statistics(small)
    assert found["variance"] == pytest.approx(1.0, abs=0.03)
    assert abs(found["correlation"]) < 0.02
    equal = WarpedNoise(noise=state.noise, weight=torch.ones(SIZE, SIZE, dtype=torch.float64))
    torch.testing.assert_close(reduced(equal, 2), 2.0 * F.avg_pool2d(state.noise, 2))


def test_flow_takes_every_visible_pixel_to_where_the_next_camera_sees_it(box_room: BoxRoom):
    frames = box_room.frames
    flow, visible = flow_between(frames.depth[:1], frames.cameras[:1], frames.cameras[1:2])
    h, w = visible.shape
    assert 0.05 < float(visible.float().mean()) < 1.0
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    lands = torch.stack([x, y], dim=-1) + flow
    # The room is textured: the same point has the same colour in both pictures.
    column, row = lands[visible].round().long().unbind(-1)
    same = (frames.rgb[1, row, column] - frames.rgb[0][visible]).abs().mean()
    other = (frames.rgb[1, row.flip(0), column] - frames.rgb[0][visible]).abs().mean()
    assert float(same) < 0.35 * float(other)


def wall(*, at: float) -> tuple[Cameras, Cameras]:
    """Two cameras side by side, ``at`` apart."""
    K = intrinsics_from_fov(1.2, width=32, height=24, n=2)
    c2w = torch.eye(4).repeat(2, 1, 1)
    c2w[1, 0, 3] = at
    cameras = Cameras(c2w=c2w, K=K, width=32, height=24)
    return cameras[:1], cameras[1:]


def test_flow_before_a_wall_is_the_disparity():
    here, there = wall(at=0.2)
    flow, visible = flow_between(torch.full((1, 24, 32, 1), 2.0), here, there)
    disparity = float(here.K[0, 0, 0]) * 0.2 / 2.0
    torch.testing.assert_close(flow[..., 0], torch.full((24, 32), -disparity))
    torch.testing.assert_close(flow[..., 1], torch.zeros(24, 32), atol=1e-5, rtol=0)
    assert not visible[:, : round(disparity)].any()
    assert visible[:, round(disparity) :].all()


def test_what_a_nearer_surface_hides_and_what_has_no_depth_goes_nowhere():
    here, there = wall(at=0.4)
    depth = torch.full((1, 24, 32, 1), 4.0)
    depth[:, 8:16, 16:24] = 1.0  # moves 9.4 pixels to the left, the wall 2.3
    depth[:, 20:, 20:] = 0.0
    _, visible = flow_between(depth, here, there)
    assert visible[8:16, 16:24].all()
    assert not visible[8:16, 10:15].any()
    assert not visible[20:, 20:].any()
    assert visible[0:7, 4:].all()
