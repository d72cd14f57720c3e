"""The optimiser of splats: against torch's, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reconstruct.adam import SelectiveAdam

RATES = {"a": 0.1, "b": 0.03}


def values(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    made = {"a": torch.randn(7, 3, generator=rng), "b": torch.randn(7, generator=rng)}
    return {name: value.to(dtype).requires_grad_() for name, value in made.items()}


def fall(leaves: dict[str, Tensor], seed: int) -> None:
    """Give every number a gradient."""
    rng = torch.Generator().manual_seed(seed)
    for leaf in leaves.values():
        leaf.grad = torch.randn(leaf.shape, generator=rng).to(leaf)


@pytest.mark.parametrize(("dtype", "threads"), [(torch.float32, 1), (torch.float32, 3), (torch.float64, 1)])
def test_where_everything_is_seen_it_is_adam(dtype: torch.dtype, threads: int):
    own, theirs = values(dtype), values(dtype)
    groups = [{"params": [theirs[name]], "lr": rate} for name, rate in RATES.items()]
    expected, found = torch.optim.Adam(groups, betas=(0.9, 0.999), eps=1e-15), SelectiveAdam(own)
    for seed in range(20):
        for leaves in (own, theirs):
            fall(leaves, seed)
        expected.step()
        found.step(own, seen=torch.arange(7), rates=RATES, threads=threads)
    for name, value in own.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_not_seen_stays_and_later_moves_as_if_it_were_the_first_step(dtype: torch.dtype):
    own, alone = values(dtype), values(dtype)
    adam, other = SelectiveAdam(own), SelectiveAdam(alone)
    before = own["a"].detach().clone()
    for seed in range(5):
        fall(own, seed)
        adam.step(own, seen=torch.tensor([0, 2]), rates=RATES)
    assert torch.equal(own["a"][[1, 3, 4, 5, 6]], before[[1, 3, 4, 5, 6]])
    assert not torch.equal(own["a"][[0, 2]], before[[0, 2]])
    for leaves, state in ((own, adam), (alone, other)):
        fall(leaves, 9)
        state.step(leaves, seen=torch.tensor([4]), rates=RATES)
    assert torch.equal(own["a"][4], alone["a"][4])


def test_averages_follow_their_splats_and_may_be_forgotten():
    own = values()
    adam = SelectiveAdam(own)
    fall(own, 0)
    adam.step(own, seen=torch.arange(7), rates=RATES)
    first = adam.first["a"].clone()
    adam.kept(torch.tensor([6, 2, 2]))
    assert torch.equal(adam.first["a"], first[[6, 2, 2]])
    assert adam.counts.tolist() == [1, 1, 1]
    adam.forget(torch.tensor([1]))
    assert adam.counts.tolist() == [1, 0, 1]
    assert not adam.first["a"][1].any()
    assert not adam.second["b"][1].any()


def test_tensors_that_are_not_packed_are_refused():
    own = {"a": torch.randn(3, 7).mT.detach().requires_grad_()}
    adam = SelectiveAdam(own)
    fall(own, 0)
    with pytest.raises(ValueError, match="packed"):
        adam.step(own, seen=torch.arange(7), rates=RATES)


@pytest.mark.parametrize("width", [1, 3, 48])
def test_a_row_takes_the_same_step_whoever_takes_one_beside_it(width: int):
    rng = torch.Generator().manual_seed(1)
    start, slopes = torch.randn(500, width, generator=rng), torch.randn(4, 500, width, generator=rng)

    def stepped(seen: list[torch.Tensor]) -> torch.Tensor:
        own = {"a": start.clone().requires_grad_()}
        adam = SelectiveAdam(own)
        for slope in slopes:
            own["a"].grad = slope.clone()
            for rows in seen:
                adam.step(own, seen=rows, rates=RATES)
        return own["a"].detach()

    everyone = stepped([torch.arange(500)])
    shuffled = stepped([torch.randperm(500, generator=rng)])
    parted = stepped([torch.arange(0, 500, 2), torch.arange(1, 130, 2), torch.arange(131, 500, 2)])
    assert torch.equal(shuffled, everyone)
    assert torch.equal(parted, everyone)


def test_steps_stay_right_after_the_averages_no_longer_need_correction():
    own, start = values(), values()
    adam = SelectiveAdam(own)
    adam.counts += 30_000
    for name in own:
        adam.second[name] += 4.0
    fall(own, 0)
    adam.step(own, seen=torch.arange(7), rates=RATES)
    for name, before in start.items():
        slope = own[name].grad
        moved = RATES[name] * 0.1 * slope / (0.999 * 4.0 + 0.001 * slope.square()).sqrt()
        torch.testing.assert_close(own[name].detach(), before.detach() - moved, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_columns_may_have_rates_of_their_own(dtype: torch.dtype):
    rates, own = torch.tensor([0.1, 0.03, 0.005]), {"a": values(dtype)["a"]}
    columns = [own["a"].detach()[:, k].clone().requires_grad_() for k in range(3)]
    groups = [{"params": [column], "lr": float(rates[k])} for k, column in enumerate(columns)]
    expected, found = torch.optim.Adam(groups, betas=(0.9, 0.999), eps=1e-15), SelectiveAdam(own)
    for seed in range(10):
        fall(own, seed)
        for k, column in enumerate(columns):
            column.grad = own["a"].grad[:, k].clone()
        expected.step()
        found.step(own, seen=torch.arange(7), rates={"a": rates})
    torch.testing.assert_close(own["a"], torch.stack(columns, dim=1), rtol=1e-4, atol=1e-5)


def test_rows_may_grow_longer_and_what_is_new_has_no_past():
    own = values()
    adam = SelectiveAdam(own)
    fall(own, 0)
    adam.step(own, seen=torch.arange(7), rates=RATES)
    before = adam.first["a"].clone(), adam.second["a"].clone(), adam.first["b"].clone()
    adam.widened("a", torch.zeros(7, 5))
    for now, then in zip((adam.first["a"], adam.second["a"]), before, strict=False):
        assert torch.equal(now[:, :3], then)
        assert not now[:, 3:].any()
    assert torch.equal(adam.first["b"], before[2])
