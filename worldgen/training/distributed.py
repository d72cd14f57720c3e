"""One run on several processes: weights, averages and optimiser states sharded among them (FSDP2).

Room: worldgen. ``sharded`` and ``gathered`` are inverse to each other, so what is written to disk is the run
of one process, and any number of processes can go on with it. After Zhao et al., "PyTorch FSDP" (2023), as
``torch.distributed.fsdp.fully_shard`` does it: a parameter is cut along its first axis, put together for the
block that needs it, and gradients come back as each rank's part of their mean.
"""

from __future__ import annotations

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from worldgen.model.rgbd import RGBDModel
from worldgen.training.checkpoint import Run
from worldgen.training.config import TrainConfig
from worldgen.training.ranks import sharded_like, whole
from worldgen.training.run import optimizers_of


def sharded(run: Run, *, mesh: DeviceMesh, config: TrainConfig) -> Run:
    """The run, equal on every rank, with each rank keeping its part on its device of ``mesh``.

    The models of ``run`` are taken apart in place.
    """
    states = [optimizer.state_dict()["state"] for optimizer in run.optimizers]
    model, average = _sharded(run.model, mesh), _sharded(run.average, mesh, answers_only=True)
    optimizers = optimizers_of(model, config)
    for optimizer, state in zip(optimizers, states, strict=True):
        (group,) = optimizer.param_groups
        for slot, values in state.items():
            parameter = group["params"][slot]
            optimizer.state[parameter] = {
                key: sharded_like(value.to(parameter.device), parameter)
                if value.shape == parameter.shape
                else value
                for key, value in values.items()
            }
    return Run(model=model, average=average, optimizers=optimizers)


def gathered(run: Run, *, config: TrainConfig) -> Run:
    """The run as one process would hold it, on the CPU. Every rank must ask for it; the others wait."""
    model, average = _gathered(run.model), _gathered(run.average).requires_grad_(requires_grad=False)
    optimizers = optimizers_of(model, config)
    for target, source in zip(optimizers, run.optimizers, strict=True):
        state = {
            slot: {key: whole(value).cpu() for key, value in values.items()}
            for slot, values in source.state_dict()["state"].items()
        }
        target.load_state_dict({"state": state, "param_groups": target.state_dict()["param_groups"]})
    return Run(model=model, average=average, optimizers=optimizers)


def _gathered(model: RGBDModel) -> RGBDModel:
    """The model in one piece, on the CPU."""
    weights = {name: whole(weight).cpu() for name, weight in model.state_dict().items()}
    with torch.device("meta"):
        found = RGBDModel(model.config)  # its first weights would only be thrown away
    found.load_state_dict(weights, assign=True)
    return found


def _sharded(model: RGBDModel, mesh: DeviceMesh, *, answers_only: bool = False) -> RGBDModel:
    """The model with every block of its trunk, and all else together, sharded along ``mesh``.

    On a GPU weights travel in bfloat16 and gradients in float32. What comes in is not cast: noise levels
    would lose the digits that their features are made of, and autocast takes care of the rest. What is left
    whole after a forward pass waits for the backward pass, which never comes where a model ``answers_only``.
    """
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # all that FSDP cuts
    policy = MixedPrecisionPolicy()
    if mesh.device_type == "cuda":
        policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    for block in model.trunk.blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=True if answers_only else None)
    return model
