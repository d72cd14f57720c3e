"""Overlap: sequences longer than a clip, from clips that share half of their frames.

Room: worldgen. The frames that two clips share begin from what the first one made of them, are averaged
over both, and get back the detail that averaging takes in a last pass (Voyager, Huang et al. 2025, section
4.3, which gives no strengths; algorithms A1.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldgen.sampling.flow import carried, levels
from worldgen.sampling.schedules import FrameDenoiser, walk

REFINE_STEPS = 2
"""Steps of the last pass over merged frames; it begins near the end."""


def windows(frames: int, length: int) -> list[range]:
    """Clips of ``length`` frames that cover a sequence; each begins in the middle of the one before it.

    The last one lies at the end of the sequence, however much it shares; a sequence that is no longer
    than a clip is one clip.

    Raises:
        ValueError: if there is no frame, or a clip is shorter than 2 frames.
    """
    if frames < 1 or length < 2:
        raise ValueError(f"overlapped clips need a frame and a length of 2, got {frames} and {length}")
    starts = range(0, max(frames - length, 0) + 1, length // 2)
    found = [range(start, min(start + length, frames)) for start in starts]
    if found[-1].stop < frames:
        found.append(range(frames - length, frames))
    return found


def merged(
    previous: Float[Tensor, "b o c h w"], current: Float[Tensor, "b o c h w"]
) -> Float[Tensor, "b o c h w"]:
    """From the one to the other, linearly over the frames that both have; 1/2 where there is one."""
    count = previous.shape[1]
    share = torch.arange(1, count + 1, dtype=previous.dtype, device=previous.device) / (count + 1)
    return torch.lerp(previous, current, share.view(1, -1, 1, 1, 1))


@dataclass(frozen=True, slots=True)
class Overlap:
    """How a sequence of any length is sampled in clips that overlap by half.

    The frames of a clip are sampled at one level, but for those that it shares with an earlier one.
    """

    length: int
    """Frames a clip, 2 or more."""

    join: float = 0.9
    """Noise level that shared frames begin from; 0.999 leaves a hint of what they were."""

    refine: float = 0.4
    """Noise level that merged frames begin the last pass from; at 0 there is none.

    Where the exact answer is known (``tests/worldgen/test_overlap.py``) steps at the seams of clips of 4
    frames are 1.5 times as large as others without this pass, 1.3 times from 0.2 and 1.1 times from 0.4.
    """

    def __post_init__(self) -> None:
        windows(1, self.length)
        if not (0.0 < self.join <= 1.0 and 0.0 <= self.refine <= 1.0):
            raise ValueError(
                f"join must lie in (0, 1] and refine in [0, 1], got {self.join:g} and {self.refine:g}"
            )

    @property
    def label(self) -> str:
        """For names of generators: different for overlaps that differ."""
        return f"overlap{self.length}/{self.join!r}/{self.refine!r}"

    def sample(
        self,
        denoise: FrameDenoiser,
        noise: Float[Tensor, "b f c h w"],
        *,
        grid: Float[Tensor, " n"],
        imagined: Float[Tensor, "b f c h w"] | None = None,
        given: Mapping[int, Float[Tensor, "b c h w"]] | None = None,
    ) -> Float[Tensor, "b f c h w"]:
        """Sample the whole sequence.

        Args:
            denoise: the model; frames outside the clip at hand tell it nothing (level 1).
            noise: that of every frame, for all clips that it is in.
            grid: noise levels from 1 to 0.
            imagined: see :func:`worldgen.sampling.flow.sample`.
            given: frames that are known and stay as they are.
        """
        share, fixed = carried(grid, imagined), set(given or {})
        x, done = noise.clone(), set(fixed)
        for i, image in (given or {}).items():
            x[:, i] = image
        for window in windows(noise.shape[1], self.length):
            shared = [i for i in window if i in done - fixed]
            starts = {i: self.join if i in shared else 1.0 for i in window if i not in fixed}
            previous = x[:, shared]
            x[:, shared] = _noised(previous, noise[:, shared], self.join)
            x = walk(denoise, x, times=_times(x, starts, within=window, grid=grid), share=share)
            done.update(window)
            if shared:
                x[:, shared] = merged(previous, x[:, shared])
                x = self._refined(denoise, x, noise, shared=shared, share=share)
        return x

    def _refined(
        self,
        denoise: FrameDenoiser,
        x: Float[Tensor, "b f c h w"],
        noise: Float[Tensor, "b f c h w"],
        *,
        shared: list[int],
        share: Float[Tensor, "b f c h w"] | float,
    ) -> Float[Tensor, "b f c h w"]:
        """Merged frames with their detail, seen with the frames on both sides of them."""
        if self.refine == 0.0:
            return x
        x = x.clone()
        x[:, shared] = _noised(x[:, shared], noise[:, shared], self.refine)
        margin = max(1, (self.length - len(shared)) // 2)
        window = range(max(0, shared[0] - margin), min(x.shape[1], shared[-1] + 1 + margin))
        grid = self.refine * levels(REFINE_STEPS)
        times = _times(x, dict.fromkeys(shared, self.refine), within=window, grid=grid)
        return walk(denoise, x, times=times, share=share)


def _times(
    x: Float[Tensor, "b f c h w"], starts: Mapping[int, float], *, within: range, grid: Float[Tensor, " n"]
) -> Float[Tensor, "r f"]:
    """Levels of all frames: 1 outside of a window, inside of it 0 but for those that begin at ``starts``."""
    times = torch.ones(len(grid), x.shape[1], dtype=grid.dtype)
    for i in within:
        times[:, i] = grid.clamp_max(starts[i]) if i in starts else 0.0
    return times


def _noised(
    clean: Float[Tensor, "b o c h w"], noise: Float[Tensor, "b o c h w"], level: float
) -> Float[Tensor, "b o c h w"]:
    return (1.0 - level) * clean + level * noise
