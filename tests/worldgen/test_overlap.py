"""Overlapped clips on a Gaussian process whose exact denoiser is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.oracles.gaussian_clips import GaussianClips
from worldgen.sampling.flow import levels
from worldgen.sampling.overlap import Overlap, merged, windows

FRAMES, LENGTH = 16, 4
GRID = levels(16).double()
CLIPS = GaussianClips(frames=FRAMES, reach=3.0)


def noise_of(*, seed: int, size: int = 16) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(1, FRAMES, 1, size, size, generator=rng, dtype=torch.float64)


def hard_cuts(noise: Tensor) -> Tensor:
    """Clips that know nothing of each other, one after the other."""
    alone = GaussianClips(frames=LENGTH, reach=3.0)
    clip = Overlap(LENGTH)
    return torch.cat([clip.sample(alone.of_changing, part, grid=GRID) for part in noise.split(LENGTH, 1)], 1)


def steps_between(x: Tensor) -> Tensor:
    """Mean absolute difference of every frame from the one before it; entry i is that of frame i + 1."""
    return x.diff(dim=1).abs().mean(dim=(0, 2, 3, 4))


def seam_metric(x: Tensor, seams: list[int]) -> float:
    """Steps at the seams over the median step elsewhere."""
    steps = steps_between(x)
    inside = [i for i in range(len(steps)) if i + 1 not in seams]
    return float(steps[[s - 1 for s in seams]].mean() / steps[inside].median())


def laplacian_variance(x: Tensor) -> Tensor:
    """High-frequency energy of every frame."""
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], dtype=x.dtype)
    edges = torch.nn.functional.conv2d(x[0], kernel[None, None])
    return edges.var(dim=(1, 2, 3))


def test_clips_overlap_by_half_and_the_last_one_lies_at_the_end():
    assert windows(8, 4) == [range(4), range(2, 6), range(4, 8)]
    assert windows(7, 4) == [range(4), range(2, 6), range(3, 7)]
    assert windows(4, 4) == [range(4)]
    assert windows(3, 4) == [range(3)]
    assert windows(1, 2) == [range(1)]
    for frames in range(1, 20):
        for length in range(2, 7):
            found = windows(frames, length)
            assert {i for window in found for i in window} == set(range(frames))
            assert {len(window) for window in found} == {min(length, frames)}


def test_clips_that_agree_are_merged_into_themselves():
    clip = noise_of(seed=0)[:, :3]
    assert torch.equal(merged(clip, clip.clone()), clip)


def test_merging_goes_linearly_from_one_clip_to_the_next():
    shares = merged(torch.zeros(1, 3, 1, 1, 1), torch.ones(1, 3, 1, 1, 1)).flatten()
    torch.testing.assert_close(shares, torch.tensor([0.25, 0.5, 0.75]))
    assert float(merged(torch.zeros(1, 1, 1, 1, 1), torch.ones(1, 1, 1, 1, 1))) == 0.5


def test_overlap_closes_the_seams_that_hard_cuts_leave():
    smooth, cut = [], []
    for seed in range(2):
        noise = noise_of(seed=seed)
        made = Overlap(LENGTH).sample(CLIPS.of_changing, noise, grid=GRID)
        starts = [window.start for window in windows(FRAMES, LENGTH)[1:]]
        ends = [window.stop for window in windows(FRAMES, LENGTH)[:-1]]
        smooth.append(max(seam_metric(made, starts), seam_metric(made, ends)))
        cut.append(seam_metric(hard_cuts(noise), list(range(LENGTH, FRAMES, LENGTH))))
    assert max(smooth) < 1.3
    assert min(cut) > 1.3


def test_merged_frames_keep_their_detail():
    noise = noise_of(seed=1, size=48)
    made = laplacian_variance(Overlap(LENGTH).sample(CLIPS.of_changing, noise, grid=GRID))
    interior = laplacian_variance(hard_cuts(noise)).mean()
    shared = sorted({i for window in windows(FRAMES, LENGTH)[1:] for i in window[: LENGTH // 2]})
    assert float(made[shared].min()) >= 0.9 * float(interior)
    without = Overlap(LENGTH, refine=0.0).sample(CLIPS.of_changing, noise, grid=GRID)
    assert float(laplacian_variance(without)[shared].mean()) < float(made[shared].mean())
    # The control: clips that do not begin from each other differ, and averaging them blurs.
    one, other = (hard_cuts(noise_of(seed=seed, size=48))[:, :3] for seed in (1, 2))
    assert float(laplacian_variance(merged(one, other)).min()) < 0.7 * float(interior)


@pytest.mark.parametrize("frames", [7, 8, 10])
def test_every_frame_has_one_noise_in_all_clips_and_passes(frames: int):
    clips, noise = GaussianClips(frames=frames), noise_of(seed=3)[:, :frames]
    begun = [0] * frames

    def listener(x: Tensor, t: Tensor, changing: list[int]) -> Tensor:
        for i in changing:
            if t[0, i] == 1.0:
                begun[i] += 1
                assert torch.equal(x[:, i], noise[:, i])
        return clips.of_changing(x, t, changing)

    # At level 1 nothing but the noise is left, so that it can be compared.
    Overlap(LENGTH, join=1.0, refine=1.0).sample(listener, noise, grid=GRID)
    clips_with = [sum(i in window for window in windows(frames, LENGTH)) for i in range(frames)]
    assert begun == [2 * count - 1 for count in clips_with]


def test_shared_frames_join_when_the_clip_comes_to_their_level():
    clips, noise = GaussianClips(frames=6), noise_of(seed=3)[:, :6]
    seen: list[tuple[Tensor, list[float], list[int]]] = []

    def listener(x: Tensor, t: Tensor, changing: list[int]) -> Tensor:
        seen.append((x, t[0].tolist(), changing))
        return clips.of_changing(x, t, changing)

    Overlap(LENGTH, join=0.9, refine=0.0).sample(listener, noise, grid=GRID)
    (first, *_), second = seen[:16], seen[16:]
    assert first[1] == [1.0] * 6
    assert [changing for _, _, changing in second[:3]] == [[4, 5], [2, 3, 4, 5], [2, 3, 4, 5]]
    assert [times for _, times, _ in second[:3]] == [
        pytest.approx([1.0, 1.0, 0.9, 0.9, 1.0, 1.0]),
        pytest.approx([1.0, 1.0, 0.9, 0.9, 0.9375, 0.9375]),
        pytest.approx([1.0, 1.0, 0.875, 0.875, 0.875, 0.875]),
    ]
    began = second[0][0]
    assert torch.equal(began[:, 4:], noise[:, 4:])
    alone = GaussianClips(frames=LENGTH)
    clip = Overlap(LENGTH).sample(alone.of_changing, noise[:, :4], grid=GRID)
    torch.testing.assert_close(began[:, :2], clip[:, :2])
    torch.testing.assert_close(began[:, 2:4], 0.1 * clip[:, 2:] + 0.9 * noise[:, 2:4])


def test_given_frames_stay_as_they_are_and_are_seen():
    clips, noise = GaussianClips(frames=6), noise_of(seed=3)[:, :6]
    known = torch.full_like(noise[:, 0], 2.5)
    free, bound = (
        Overlap(LENGTH).sample(clips.of_changing, noise, grid=GRID, given=given)
        for given in ({}, {0: known, 3: known})
    )
    assert torch.equal(bound[:, 0], known)
    assert torch.equal(bound[:, 3], known)
    for i in (1, 2, 4):
        assert float((bound - free)[:, i].mean()) > 0.5  # drawn towards their neighbours


def test_labels_tell_overlaps_apart():
    overlaps = [Overlap(4), Overlap(6), Overlap(4, join=0.8), Overlap(4, refine=0.1)]
    assert len({overlap.label for overlap in overlaps}) == len(overlaps)


def test_impossible_overlaps_are_refused():
    with pytest.raises(ValueError, match="length of 2, got 1 and 1"):
        Overlap(1)
    with pytest.raises(ValueError, match=r"join must lie in \(0, 1\]"):
        Overlap(4, join=0.0)
    with pytest.raises(ValueError, match=r"refine in \[0, 1\]"):
        Overlap(4, refine=1.5)
