"""Schedules: their matrices, and walks down them against the plain sampler and one frame at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.oracles.gaussian_clips import GaussianClips
from worldgen.sampling.flow import bent, carried, levels, sample
from worldgen.sampling.schedules import (
    FrameDenoiser,
    Schedule,
    autoregressive,
    full_sequence,
    pyramid,
    times_of,
    trapezoid,
    walk,
)

GRID = bent(levels(4)).double()


def noise_of(frames: int, *, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(2, frames, 4, 3, 5, generator=rng, dtype=torch.float64)


def written(matrix: Tensor) -> str:
    return " / ".join("".join(map(str, row)) for row in matrix.tolist())


def test_the_matrices_are_those_of_the_paper():
    assert written(pyramid(4, 3, delay=1.0)) == "444 / 344 / 234 / 123 / 012 / 001 / 000"
    assert written(full_sequence(2, 3)) == "222 / 111 / 000"
    assert written(autoregressive(2, 2)) == "22 / 12 / 02 / 01 / 00"
    assert written(trapezoid(2, 5, delay=1.0)) == "22222 / 12221 / 01210 / 00100 / 00000"
    assert written(trapezoid(2, 4, delay=2.0)) == "2222 / 1221 / 0220 / 0110 / 0000"
    assert written(pyramid(2, 4, delay=0.5)) == "2222 / 1122 / 0011 / 0000"
    assert autoregressive(20, 8).shape == (161, 8)


@given(steps=st.integers(1, 12), frames=st.integers(1, 9), share=st.floats(0.0, 1.0))
def test_matrices_fall_from_noise_to_clean_by_at_most_one(steps: int, frames: int, share: float):
    for shape in (pyramid, trapezoid):
        matrix = shape(steps, frames, delay=share * steps)
        assert (matrix[0] == steps).all()
        assert (matrix[-1] == 0).all()
        fall = -matrix.diff(dim=0)
        assert set(fall.unique().tolist()) <= {0, 1}
    matrix = pyramid(steps, frames, delay=share * steps)
    assert (matrix.diff(dim=1) >= 0).all()
    assert len(matrix) == steps + int(share * steps * (frames - 1)) + 1
    mirrored = trapezoid(steps, frames, delay=share * steps)
    assert torch.equal(mirrored, mirrored.flip(1))
    assert (mirrored[:, : (frames + 1) // 2].diff(dim=1) >= 0).all()


@given(steps=st.integers(1, 12), frames=st.integers(1, 9))
def test_the_ends_of_the_pyramid_are_the_full_sequence_and_one_frame_at_a_time(steps: int, frames: int):
    assert torch.equal(pyramid(steps, frames, delay=0.0), full_sequence(steps, frames))
    assert torch.equal(pyramid(steps, frames, delay=float(steps)), autoregressive(steps, frames))
    assert len(autoregressive(steps, frames)) == steps * frames + 1


@pytest.mark.parametrize("masked", [True, False])
def test_without_delay_the_walk_equals_the_plain_sampler_bit_for_bit(masked: bool):  # noqa: FBT001
    clips, noise = GaussianClips(frames=4), noise_of(4)
    imagined = (noise_of(4, seed=1) > 0).double() if masked else None
    plain = sample(clips.expected, noise, grid=GRID, imagined=imagined)
    for schedule in (Schedule("full"), Schedule("pyramid", 0.0), Schedule("trapezoid", 0.0)):
        made = schedule.sample(clips.of_changing, noise, grid=GRID, imagined=imagined)
        assert torch.equal(made, plain)
    assert not torch.equal(
        Schedule("pyramid", 1.0).sample(clips.of_changing, noise, grid=GRID, imagined=imagined), plain
    )


def test_a_delay_of_all_steps_equals_one_frame_at_a_time():
    clips, noise = GaussianClips(frames=4), noise_of(4)
    made = Schedule("autoregressive").sample(clips.of_changing, noise, grid=GRID)
    done = noise[:, :0]
    for i in range(4):

        def answer(x: Tensor, t: Tensor, before: Tensor = done) -> Tensor:
            return clips.next_frame(x, float(t[0, 0]), before=before)

        done = torch.cat([done, sample(answer, noise[:, i : i + 1], grid=GRID)], dim=1)
    torch.testing.assert_close(made, done, atol=1e-9, rtol=0)
    joint = Schedule("full").sample(clips.of_changing, noise, grid=GRID)
    assert (joint - done).abs().max() > 0.05


def recording(denoise: FrameDenoiser, seen: list[tuple[Tensor, Tensor, list[int]]]) -> FrameDenoiser:
    def listener(x: Tensor, t: Tensor, changing: list[int]) -> Tensor:
        seen.append((x.clone(), t.clone(), changing))
        return denoise(x, t, changing)

    return listener


def test_frames_whose_level_stays_are_kept_exactly_and_the_others_are_asked_for():
    clips, noise = GaussianClips(frames=3), noise_of(3)
    seen: list[tuple[Tensor, Tensor, list[int]]] = []
    made = Schedule("pyramid", 2.0).sample(recording(clips.of_changing, seen), noise, grid=GRID)
    matrix = pyramid(4, 3, delay=2.0)
    assert len(seen) == len(matrix) - 1
    after = [x for x, _, _ in seen[1:]] + [made]
    for row, ((x, t, changing), then) in enumerate(zip(seen, after, strict=True)):
        assert t.tolist() == [GRID[4 - matrix[row]].tolist()] * 2
        assert changing == (matrix[row] != matrix[row + 1]).nonzero().flatten().tolist()
        for i in range(3):
            assert torch.equal(x[:, i], then[:, i]) == (i not in changing)


@pytest.mark.parametrize("kind", ["pyramid", "trapezoid", "autoregressive"])
def test_each_frame_carries_on_the_change_since_its_own_last_step(kind: str):
    # Predictions that change linearly with the level are integrated exactly only with their own history.
    def linear(x: Tensor, t: Tensor, changing: list[int]) -> Tensor:
        level = t[:, changing][:, :, None, None, None]
        own = torch.tensor(changing, dtype=x.dtype)[:, None, None, None]
        return (3.0 + own - 2.0 * level).expand(-1, -1, *x.shape[2:])

    made = Schedule(kind, 1.5).sample(linear, noise_of(4), grid=GRID)
    expected = torch.arange(3.0, 7.0, dtype=torch.float64)[:, None, None, None].expand_as(made)
    torch.testing.assert_close(made, expected)


def test_a_row_in_which_nothing_changes_asks_nothing():
    seen: list[tuple[Tensor, Tensor, list[int]]] = []
    times = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    clips = GaussianClips(frames=2)
    walk(recording(clips.of_changing, seen), noise_of(2), times=times, share=0.0)
    assert [changing for _, _, changing in seen] == [[0]]


def test_a_frame_that_gains_noise_is_refused():
    clips = GaussianClips(frames=2)
    with pytest.raises(ValueError, match="noise level rises"):
        walk(clips.of_changing, noise_of(2), times=torch.tensor([[0.5, 1.0], [0.7, 0.0]]), share=0.0)


def test_levels_of_a_matrix_are_those_of_the_grid():
    times = times_of(torch.tensor([[4, 4], [3, 4], [0, 1]]), GRID)
    torch.testing.assert_close(times, torch.tensor([[1.0, 1.0], [0.8, 1.0], [0.0, 0.2]]).double())


def test_how_much_is_carried_on_is_that_of_the_plain_sampler():
    mask = torch.rand(1, 2, 4, 2, 2)
    assert carried(levels(4), None) == 1.0
    assert torch.equal(carried(levels(8), mask), (1.0 / 3.0) * mask)


def test_labels_tell_schedules_apart():
    schedules = [Schedule("full"), Schedule("autoregressive")] + [
        Schedule(kind, delay) for kind in ("pyramid", "trapezoid") for delay in (0.5, 1.0, 2.0)
    ]
    assert len({schedule.label for schedule in schedules}) == len(schedules)


def test_impossible_schedules_are_refused():
    with pytest.raises(ValueError, match="delay must lie between 0 and the 4 steps of a frame, got 5"):
        pyramid(4, 3, delay=5.0)
    with pytest.raises(ValueError, match="between 0 and the 4"):
        trapezoid(4, 3, delay=-0.5)
    with pytest.raises(ValueError, match="at least one step"):
        full_sequence(0, 3)
    with pytest.raises(ValueError, match="at least one frame"):
        full_sequence(4, 0)
    with pytest.raises(ValueError, match="full, pyramid, trapezoid, autoregressive, got 'spiral'"):
        Schedule("spiral")
