"""Muon: momentum whose matrices are made nearly orthogonal before they are applied.

Room: worldgen. After Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024),
with the step length of "Muon is scalable for LLM training" (Liu et al. 2025, section 2.2). The one in
torch always multiplies in bfloat16, which is a hundred times slower than float32 on a CPU that has no
such instructions; ours computes in what the device is fast at, and takes all matrices of a shape at once.
A direction is a property of the whole matrix: of sharded parameters every rank puts the matrices together,
makes all of them orthogonal and applies its own rows, which costs less than to send the results.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldgen.model.weights import compute_dtype
from worldgen.training.ranks import sharded_like, whole

MOMENTUM = 0.95
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that pushes every singular value towards 1; chosen for its slope at 0."""

RMS_OF_ADAMW = 0.2
"""Size of an entry of AdamW's usual step, which ours is scaled to, so that both share a learning rate."""


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum with Nesterov's look ahead and decoupled weight decay, for matrices."""

    def __init__(self, params: Iterable[nn.Parameter], *, lr: float, weight_decay: float):
        """Take the matrices.

        Args:
            params: two-dimensional parameters.
            lr: learning rate, comparable to AdamW's.
            weight_decay: share of the learning rate that a weight loses at every step.

        Raises:
            ValueError: if a parameter is no matrix.
        """
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        for group in self.param_groups:
            if any(parameter.ndim != 2 for parameter in group["params"]):
                raise ValueError("Muon takes matrices only; give AdamW the rest")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Apply the gradients; parameters without one stay as they are."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                ahead = torch.stack([whole(self._look_ahead(parameter)) for parameter in parameters])
                length = group["lr"] * RMS_OF_ADAMW * max(shape) ** 0.5
                for parameter, direction in zip(parameters, orthogonalized(ahead), strict=True):
                    parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                    mine = sharded_like(direction.to(parameter.dtype), parameter)
                    parameter.add_(mine, alpha=-length)

    def _look_ahead(self, parameter: nn.Parameter) -> Tensor:
        """Update the momentum of a parameter and return where it points next (Nesterov)."""
        grad, state = parameter.grad, self.state[parameter]
        assert grad is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(grad, memory_format=torch.preserve_format)
        momentum = state["momentum_buffer"].lerp_(grad, 1.0 - MOMENTUM)
        return grad.lerp(momentum, MOMENTUM)


def orthogonalized(matrices: Float[Tensor, "k m n"]) -> Float[Tensor, "k m n"]:
    """Matrices with the same singular vectors and all singular values between about 0.7 and 1.2.

    Newton-Schulz iterations: matrix products only. A matrix of zeros stays one.
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if is_tall else matrices).to(compute_dtype(matrices.device))
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x
