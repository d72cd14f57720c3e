"""Training on several processes: against one process, cut in two, and continued by another number of them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from tests.oracles.small_models import SHORTCUT, SMALL_CLIPS
from worldgen.model import weights
from worldgen.model.weights import compute_dtype
from worldgen.training import asking, muon
from worldgen.training.checkpoint import Progress
from worldgen.training.clips import Clips, collated
from worldgen.training.config import Stage, TrainConfig
from worldgen.training.curves import steps_in
from worldgen.training.muon import Muon
from worldgen.training.ranks import ALONE, Ranks, sharded_like, whole
from worldgen.training.trainer import CHECKPOINT, TRAINED, Step, _batches, train
from worldgen.training.update import noise_levels

CPU = torch.device("cpu")
CONFIG = dataclasses.replace(
    SMALL_CLIPS,
    # Two ranks share a batch, and what the model imagines itself comes up in both stages.
    stages=(Stage(size=32, frames=6, batch_clips=2), Stage(size=24, frames=12, batch_clips=2)),
    resampled=0.5,
    resampled_from=0.2,
)
SHORTCUTS = dataclasses.replace(
    CONFIG,
    model=SHORTCUT,
    stages=(Stage(size=16, frames=12, batch_clips=2),),
    shortcut=0.5,
    resampled=0.0,
)
ERRORS = ("loss", "rgb_error", "depth_error", "gradient_norm")

needs_fork = pytest.mark.skipif(
    torch.cuda.is_available(), reason="autograd's threads for a GPU do not survive a fork"
)
pytestmark = pytest.mark.filterwarnings("ignore:FSDP2-wrapped module .* returned a view tensor")


@pytest.fixture(scope="module", autouse=True)
def float32() -> Iterator[None]:
    """Some CPUs train in bfloat16, where a batch and its halves are rounded differently."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (asking, muon, weights):
            patch.setattr(module, "compute_dtype", lambda _: torch.float32)
        yield


@pytest.fixture
def mesh_of_one(tmp_path: Path) -> Iterator[Ranks]:
    """Everything as on several ranks, but that there is one."""
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    yield Ranks(mesh=init_device_mesh("cpu", (1,)))
    dist.destroy_process_group()


def steps_of(
    folder: Path, *, ranks: Ranks = ALONE, take: int | None = None, config: TrainConfig = CONFIG
) -> list[Step]:
    steps = train(config, folder, device=CPU, save_every=1, workers=0, ranks=ranks)
    return list(itertools.islice(steps, take))


def assert_same_run(expected: Path, found: Path, *, atol: float) -> None:
    """The same tensors in both checkpoints, and in the weights that generators read."""
    for name in (CHECKPOINT, TRAINED):
        a, b = load_file(expected / name), load_file(found / name)
        assert a.keys() == b.keys()
        for key, tensor in a.items():
            # Shipped weights are rounded to bfloat16, where the last digit is 1 / 256 of a number.
            torch.testing.assert_close(tensor, b[key], atol=atol, rtol=0.0 if name == CHECKPOINT else 0.01)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Step]]:
    """A run of one process."""
    folder = tmp_path_factory.mktemp("alone")
    return folder, steps_of(folder)


def one_of_two(index: int, folder: Path, config: TrainConfig) -> None:
    """Train as one of two ranks, in a process of its own, and leave the steps behind."""
    torch.set_num_threads(1)  # the threads of a pool stay behind in a fork, and waiting for them hangs
    dist.init_process_group("gloo", store=dist.FileStore(str(folder / "store"), 2), rank=index, world_size=2)
    ranks = Ranks(index=index, count=2, mesh=init_device_mesh("cpu", (2,)))
    steps = steps_of(folder, ranks=ranks, config=config)
    lines = [json.dumps(dataclasses.asdict(step)) for step in steps]
    (folder / f"steps-{index}.jsonl").write_text("\n".join(lines))
    dist.destroy_process_group()


def assert_two_end_as(expected: Path, steps: list[Step], folder: Path, *, config: TrainConfig) -> None:
    """Two ranks take the steps of one process, and leave the run that it left in ``expected``."""
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=one_of_two, args=(index, folder, config)) for index in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(timeout=600)
        assert rank.exitcode == 0
    first, second = (steps_in(folder / f"steps-{index}.jsonl") for index in range(2))
    assert len(first) == len(second) == len(steps)
    for step, one, other in zip(steps, first, second, strict=True):
        assert one["progress"] == other["progress"] == dataclasses.asdict(step.progress)
        for name in ERRORS if step.semigroup_error is None else (*ERRORS, "semigroup_error"):
            assert one[name] == other[name] == pytest.approx(getattr(step, name), rel=1e-4), name
    assert_same_run(expected, folder, atol=2e-5)


@needs_fork
def test_two_ranks_end_as_one_process(alone: tuple[Path, list[Step]], tmp_path: Path):
    assert_two_end_as(*alone, tmp_path, config=CONFIG)


@needs_fork
@pytest.mark.slow
def test_two_ranks_of_which_one_has_the_long_steps_end_as_one_process(tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    two.mkdir()
    steps = steps_of(one, config=SHORTCUTS)
    assert all(step.semigroup_error is not None for step in steps)  # one of two clips
    assert_two_end_as(one, steps, two, config=SHORTCUTS)


def test_a_sharded_run_goes_on_bit_for_bit(mesh_of_one: Ranks, tmp_path: Path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    steps = steps_of(unbroken, ranks=mesh_of_one)
    pieces = steps_of(broken, ranks=mesh_of_one, take=1) + steps_of(broken, ranks=mesh_of_one)
    for name in ERRORS:
        assert [getattr(step, name) for step in pieces] == [getattr(step, name) for step in steps]
    assert_same_run(unbroken, broken, atol=0.0)


def test_a_sharded_average_teaches_long_steps(mesh_of_one: Ranks, tmp_path: Path):
    one, sharded = (
        steps_of(tmp_path / name, ranks=ranks, config=SHORTCUTS)
        for name, ranks in (("one", ALONE), ("sharded", mesh_of_one))
    )
    for name in (*ERRORS, "semigroup_error"):
        found = [getattr(step, name) for step in sharded]
        assert found == pytest.approx([getattr(step, name) for step in one], rel=1e-4)
    assert_same_run(tmp_path / "one", tmp_path / "sharded", atol=2e-5)


def test_one_process_goes_on_with_a_sharded_run(
    alone: tuple[Path, list[Step]], mesh_of_one: Ranks, tmp_path: Path
):
    steps_of(tmp_path, take=1)
    steps_of(tmp_path, ranks=mesh_of_one, take=1)
    (last,) = steps_of(tmp_path, take=1)
    assert last.progress == alone[1][2].progress
    assert last.loss == pytest.approx(alone[1][2].loss, rel=1e-4)


def test_ranks_see_the_batches_of_one_process_in_pieces():
    progress = Progress(step=1, frames=6, clips=2)
    stage = CONFIG.stages[1]
    batches = [
        itertools.islice(_batches(CONFIG, stage, progress, workers=0, ranks=ranks), 2)
        for ranks in (ALONE, Ranks(index=0, count=2), Ranks(index=1, count=2))
    ]
    clips = Clips(size=stage.size, frames=CONFIG.clip_frames, seed=CONFIG.seed)
    for k, (one, first, second) in enumerate(zip(*batches, strict=True)):
        expected = collated([clips[progress.clips + 2 * k + i] for i in range(2)])
        for field in dataclasses.fields(one):
            name = field.name
            assert torch.equal(getattr(one, name), getattr(expected, name))
            assert torch.equal(
                torch.cat([getattr(first, name), getattr(second, name)]), getattr(expected, name)
            )


def test_ranks_draw_the_noise_levels_of_one_process_in_pieces():
    given = torch.rand(6, 3, generator=torch.Generator().manual_seed(0)) < 0.3
    expected = noise_levels(given, shift=3.0, rng=torch.Generator().manual_seed(1))
    pieces = [
        noise_levels(
            given[2 * i : 2 * i + 2],
            shift=3.0,
            rng=torch.Generator().manual_seed(1),
            ranks=Ranks(index=i, count=3),
        )
        for i in range(3)
    ]
    assert torch.equal(torch.cat(pieces), expected)


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="a batch of 2 clips cannot be divided among 3 processes"):
        next(train(CONFIG, tmp_path, device=CPU, workers=0, ranks=Ranks(index=1, count=3)))


def test_muon_turns_whole_matrices(mesh_of_one: Ranks):
    mesh = mesh_of_one.mesh
    assert mesh is not None
    rng = torch.Generator().manual_seed(0)
    plain = torch.nn.Parameter(torch.randn(8, 24, generator=rng))
    cut = torch.nn.Parameter(distribute_tensor(plain.detach().clone(), mesh, [Shard(0)]))
    for _ in range(2):
        plain.grad = torch.randn(plain.shape, generator=rng)
        cut.grad = distribute_tensor(plain.grad.clone(), mesh, [Shard(0)])
        for parameter in (plain, cut):
            Muon([parameter], lr=0.1, weight_decay=0.1).step()
    assert isinstance(cut.data, DTensor)
    assert torch.equal(whole(cut.detach()), plain)


def test_shards_are_put_together_again(mesh_of_one: Ranks):
    mesh = mesh_of_one.mesh
    assert mesh is not None
    tensor = torch.arange(12.0).view(4, 3)
    for placement in (Shard(0), Replicate()):
        reference = distribute_tensor(torch.zeros(4, 3), mesh, [placement])
        shard = sharded_like(tensor, reference)
        assert isinstance(shard, DTensor)
        assert shard.placements == reference.placements
        assert torch.equal(whole(shard), tensor)
    assert whole(tensor) is tensor
    assert sharded_like(tensor, tensor) is tensor


RECIPE = """
clip_frames = 3
warmup_steps = 2
depth_weight = 0.7
resampled = 0.5
resampled_from = 0.2
model = { name = "small", levels = [8, 16], width = 64, depth = 4, head_width = 16 }
stages = [{ size = 32, frames = 12, batch_clips = 2 }, { size = 24, frames = 36, batch_clips = 4 }]
"""


def started(folder: Path, *, processes: int, stderr: int | None = None) -> subprocess.Popen:
    """The command line training the recipe, on so many processes."""
    folder.mkdir(exist_ok=True)
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE)
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    return subprocess.Popen(
        [
            *(sys.executable, "-m"),
            *(launcher if processes > 1 else []),
            *("worldgen.cli", "train", str(recipe), "--out", str(folder), "--workers=0", "--save-every=1"),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def finished(process: subprocess.Popen) -> str:
    """What a process prints until it ends well."""
    printed, _ = process.communicate(timeout=1200)
    assert process.returncode == 0
    return printed


@pytest.mark.slow
def test_two_processes_train_as_one_and_go_on_bit_for_bit(tmp_path: Path):
    one, two, broken = (tmp_path / name for name in ("one", "two", "broken"))
    assert finished(started(one, processes=1)).count("frames/s") == 1
    assert finished(started(two, processes=2)).count("frames/s") == 1
    expected, found = (steps_in(folder / "log.jsonl") for folder in (one, two))
    assert [step["progress"] for step in found] == [step["progress"] for step in expected]
    # A CPU that trains in bfloat16 rounds a batch and its halves differently.
    is_exact = compute_dtype(CPU) == torch.float32
    for name in ERRORS:
        errors = pytest.approx([step[name] for step in expected], rel=1e-3 if is_exact else 0.02)
        assert [step[name] for step in found] == errors
    assert_same_run(one, two, atol=1e-4 if is_exact else 5e-3)

    process = started(broken, processes=2)
    log = broken / "log.jsonl"
    while not (log.is_file() and len(log.read_text().splitlines()) >= 2):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=600)
    assert process.returncode != 0
    stopped = json.loads(log.read_text().splitlines()[-1])["progress"]["step"]
    assert stopped < len(found)
    finished(started(broken, processes=2))
    assert [step["loss"] for step in steps_in(log)] == [step["loss"] for step in found]
    assert_same_run(two, broken, atol=0.0)


@pytest.mark.slow
def test_a_batch_that_three_processes_cannot_divide_is_refused_once(tmp_path: Path):
    process = started(tmp_path, processes=3, stderr=subprocess.PIPE)
    _, complaint = process.communicate(timeout=600)
    assert process.returncode != 0
    assert complaint.count("a batch of 2 clips cannot be divided among 3 processes") == 1
    assert not (tmp_path / CHECKPOINT).exists()
