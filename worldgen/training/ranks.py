"""Ranks: the processes that train one model together, each on its own rows of every batch.

Room: worldgen. A run on several ranks draws what one process would draw, for the whole batch, and every rank
keeps its rows; means over the batch are means over the ranks. ``ALONE`` is the run of one process: nothing
is sent, and every function here hands back what it was given.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Replicate


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Which process this is, of how many."""

    index: int = 0
    count: int = 1
    mesh: DeviceMesh | None = None
    """Where the weights are sharded; none for a process that trains alone."""

    @property
    def is_first(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.index == 0

    def share(self, whole: int) -> int:
        """This rank's part of ``whole`` clips.

        Raises:
            ValueError: if they cannot be divided evenly.
        """
        if whole % self.count:
            raise ValueError(
                f"a batch of {whole} clips cannot be divided among {self.count} processes; start a number "
                f"of processes that divides it, or change batch_clips in the recipe"
            )
        return whole // self.count

    def rows(self, mine: int) -> slice:
        """Where the ``mine`` rows of this rank lie in a batch of ``mine`` rows a rank."""
        return slice(self.index * mine, (self.index + 1) * mine)

    def mean(self, values: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The mean over all ranks, without gradient; on one rank the values themselves."""
        if self.mesh is None:
            return values
        total = values.detach().clone()
        dist.all_reduce(total, group=self.mesh.get_group())
        return total / self.count


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[tuple[Ranks, torch.device]]:
    """Join the processes that torchrun started, each with a GPU of its own where there are any.

    Yields:
        This process among the others, and the device it trains on. Without torchrun, or with one process,
        that is ``ALONE`` and the first GPU or the CPU.
    """
    has_gpu = torch.cuda.is_available()
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE, torch.device("cuda" if has_gpu else "cpu")
        return
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if has_gpu else torch.device("cpu")
    if has_gpu:
        if device.index >= torch.cuda.device_count():
            raise ValueError(
                f"{torch.cuda.device_count()} GPUs cannot serve {os.environ['LOCAL_WORLD_SIZE']} processes; "
                "start one process a GPU"
            )
        torch.cuda.set_device(device)
    # Blocks hand out views of their keys and values; nobody writes into them.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    dist.init_process_group("nccl" if has_gpu else "gloo", device_id=device if has_gpu else None)
    mesh = init_device_mesh(device.type, (count,))
    yield Ranks(index=dist.get_rank(), count=count, mesh=mesh), device
    dist.destroy_process_group()  # not when something went wrong: the others may wait in a collective


def whole(tensor: Tensor) -> Tensor:
    """All of a sharded tensor, on every rank (all take part); any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def sharded_like(tensor: Tensor, reference: Tensor) -> Tensor:
    """This rank's shard of a tensor that every rank holds, sharded as ``reference`` is; nothing is sent."""
    if not isinstance(reference, DTensor):
        return tensor
    mesh = reference.device_mesh
    replicas = DTensor.from_local(tensor, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return replicas.redistribute(mesh, reference.placements)
