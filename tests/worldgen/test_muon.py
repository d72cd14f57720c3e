"""Muon against torch's, which computes in bfloat16, and against a singular value decomposition."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from worldgen.training.muon import Muon, orthogonalized

SHAPES = ((24, 8), (8, 24), (16, 16), (8, 24))


def parameters() -> list[nn.Parameter]:
    rng = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=rng)) for shape in SHAPES]


def test_steps_are_those_of_torch_up_to_its_rounding():
    ours = parameters()
    theirs = copy.deepcopy(ours)
    mine = Muon(ours, lr=0.02, weight_decay=0.1)
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    rng = torch.Generator().manual_seed(1)
    before = copy.deepcopy(ours)
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=rng)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    with torch.no_grad():
        for start, a, b in zip(before, ours, theirs, strict=True):
            assert float((a - b).norm() / (b - start).norm()) < 0.02


@pytest.mark.parametrize("shape", [(3, 24, 8), (2, 8, 24), (1, 16, 16)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape: tuple[int, int, int]):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    # A nearly singular direction is still on its way to 1 after five iterations.
    is_large = s > 0.05 * s[:, :1]
    turned = (u.mT @ orthogonalized(matrices).float() @ vh.mT).diagonal(dim1=1, dim2=2)
    assert ((turned[is_large] > 0.5) & (turned[is_large] < 1.35)).all()


def test_a_matrix_of_zeros_stays_one():
    assert torch.equal(orthogonalized(torch.zeros(1, 4, 6)).float(), torch.zeros(1, 4, 6))


def test_a_parameter_without_gradient_stays():
    (parameter,) = parameters()[:1]
    before = parameter.detach().clone()
    Muon([parameter], lr=0.1, weight_decay=0.1).step()
    assert torch.equal(parameter.detach(), before)


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="matrices only"):
        Muon([nn.Parameter(torch.zeros(3))], lr=0.1, weight_decay=0.0)
