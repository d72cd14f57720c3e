"""What imagining one view costs, part by part.

Wanted: ``tiny`` at 128x128 with 4 steps and 8 remembered views at least 6 frames a second on 2 CPU cores. Run
from the root of the repository: ``python -m benchmarks.sample [--weights tiny] [--recalled 8] [--threads 1]
[--device cpu]``. Median times of the parts of a frame; the steps are alike, so they are added up. *Remember*
is what a finished view costs once, when it is first recalled; it is not part of the frame. *Rate*: operations
of the model's layers a second, over what one large matrix product reaches in the same number format.

8 remembered views. The claim does not hold: 0.87 of it where a core multiplies bfloat16 matrices (Intel Xeon
with AMX; there two threads are no faster than one), and a quarter where it only has AVX2 (AMD EPYC, Zen 3,
float32, before keys of what is remembered were carried over once a clip and attention was fused):

                             AMX              AVX2, 1 thread   2 threads
      whole frame            191.9 ms 100%    812.8 ms 100%    630.1 ms 100%
      conditions              11.2 ms   6%     14.1 ms   2%     25.3 ms   4%
      settle                   3.1 ms   2%      8.1 ms   1%      8.9 ms   1%
      encoder                 13.2 ms   7%     91.8 ms  11%     59.6 ms   9%
      trunk, inside frames    63.4 ms  33%    297.3 ms  37%    223.5 ms  35%
      trunk, memory           50.4 ms  26%    268.1 ms  33%    190.6 ms  30%
      decoder                 12.9 ms   7%     80.1 ms  10%     53.5 ms   8%
      finish                   8.7 ms   5%     35.4 ms   4%     24.2 ms   4%
      (remember, a view)      28.3 ms  15%    118.8 ms  15%     95.9 ms  15%
      frames a second         5.21             1.23             1.59
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from worldgen.conditions import channels_of, images_of, known_from_cache, known_pictures
from worldgen.evaluation.views import Case, held_out_case
from worldgen.generator import RGBDGenerator
from worldgen.model.attention import views_of
from worldgen.model.weights import DEFAULT_WEIGHTS, compute_dtype
from worldgen.settle import settled

STEPS, ROUNDS, SCENE = 4, 7, 3
SIDE = 1024
"""Rows of the matrices whose product says what the machine can do."""


def waited(device: torch.device) -> float:
    """The time, once the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def clocked(model: nn.Module, device: torch.device) -> dict[str, float]:
    """Seconds that each part of the model has taken, filled in as it runs."""
    spent: dict[str, float] = defaultdict(float)
    parts = {
        "encoder": [model.stem, *model.encode, *model.down],
        "trunk, inside frames": [b for i, b in enumerate(model.trunk.blocks) if i % 4 != 3],
        "trunk, memory": [b for i, b in enumerate(model.trunk.blocks) if i % 4 == 3],
        "decoder": [*model.up, *model.decode, model.last],
        "finish": [model.finish],
    }
    begun: dict[nn.Module, float] = {}
    for name, modules in parts.items():
        for module in modules:
            module.register_forward_pre_hook(lambda m, *_: begun.__setitem__(m, waited(device)))
            module.register_forward_hook(
                lambda m, *_, name=name: spent.__setitem__(name, spent[name] + waited(device) - begun[m])
            )
    return spent


def median_s(job: Callable[[], object], device: torch.device) -> float:
    """Median time of a job, after one that warms up."""
    times = []
    for _ in range(1 + ROUNDS):
        start = waited(device)
        job()
        times.append(waited(device) - start)
    return statistics.median(times[1:])


def product_rate(device: torch.device) -> float:
    """Floating-point operations a second of one large matrix product."""
    a, b = (torch.randn(SIDE, SIDE, device=device, dtype=compute_dtype(device)) for _ in range(2))
    return 2.0 * SIDE**3 / median_s(lambda: a @ b, device)


def main() -> None:
    """Print the table that the docstring keeps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS)
    parser.add_argument("--recalled", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = RGBDGenerator(options.weights, steps=STEPS, device=options.device)
    device, case = generator.device, held_out_case(SCENE, size=generator.size)
    rows = measured(generator, case, recalled=options.recalled)
    total = rows["whole frame"]
    kind = str(compute_dtype(device)).removeprefix("torch.")
    print(f"{generator.size} px, {STEPS} steps, {options.recalled} remembered, {device.type}, {kind}")
    for name, seconds in rows.items():
        print(f"  {name:<22}{1e3 * seconds:8.1f} ms {seconds / total:6.0%}")
    with FlopCounterMode(display=False) as counter:
        imagine(generator, case, recalled=options.recalled)
    operations = counter.get_total_flops()
    rate = operations / total / product_rate(device)
    print(f"  {1.0 / total:.2f} frames a second, {operations / 1e9:.1f} GFLOP a frame, rate {rate:.0%}")


def imagine(generator: RGBDGenerator, case: Case, *, recalled: int) -> None:
    """One frame, with the two exact views recalled as often as it takes."""
    recall = case.sources[[i % len(case.sources) for i in range(recalled)]] if recalled else None
    generator(known_from_cache(case.seen), recall, units=case.units, seed=0)


@torch.no_grad()
def measured(generator: RGBDGenerator, case: Case, *, recalled: int) -> dict[str, float]:
    """Median seconds of each part of a frame."""
    device, model = generator.device, generator.model
    known = known_from_cache(case.seen)
    condition = channels_of(known, case.units)
    source = case.sources[:1]
    rows = {"whole frame": median_s(lambda: imagine(generator, case, recalled=recalled), device)}
    rows["conditions"] = median_s(lambda: channels_of(known, case.units), device)
    rows["settle"] = median_s(lambda: settled(condition[:, :, :4], condition), device)
    inputs = (images_of(source, case.units).to(device),)
    shown = channels_of(known_pictures(source), case.units).to(device)
    views = views_of(source.cameras, scale=case.units.scale).to(device)
    remember = median_s(lambda: model.remember(*inputs, condition=shown, views=views), device)
    spent = clocked(model, device)
    for _ in range(ROUNDS):
        imagine(generator, case, recalled=recalled)
    rows |= {name: seconds / ROUNDS for name, seconds in spent.items()}
    return {**rows, "(remember, a view)": remember}


if __name__ == "__main__":
    main()
