"""``worldgen doctor``: what this machine can do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldgen.cli.checkup import Facts

GIB = 1 << 30

Lines = list[tuple[str, str]]
"""Names of facts, and what there is to say of them."""


@dataclass(frozen=True)
class Doctor:
    """Say what this machine can do, and try it: imagine a frame, draw splats.

    Exit status: 0 if worlds can be grown here, 1 if not. The keys of the JSON are ok, problems, system,
    cores, memory, disk, compute, cuda, splats, kernels, video, weights, extras, programs and check; what
    cannot be known is null.
    """

    json: bool = False
    """Print JSON with stable names instead of text."""

    model: str = "tiny"
    """Weights to try: a name that ships with the package, or a .safetensors file."""

    def run(self) -> int:
        facts = _examined(self.model)
        if self.json:
            print(json.dumps(facts, indent=2))  # noqa: T201
        else:
            _show(facts)
        return 0 if facts["ok"] else 1


def _examined(model: str) -> Facts:
    """All facts, and what is wrong; what needs a package that does not load stays unknown."""
    from worldgen.cli import checkup

    facts: Facts = {
        "ok": False,
        "problems": checkup.unloadable(),
        "system": checkup.system(),
        "cores": checkup.cores(),
        "memory": checkup.memory(),
        "disk": checkup.disk(Path.cwd()),
    }
    asked = {
        "compute": checkup.compute,
        "cuda": checkup.cuda,
        "splats": checkup.splats,
        "kernels": checkup.numba_kernels,
        "video": checkup.video,
        "weights": lambda: checkup.weights(model),
    }
    facts |= {name: None if facts["problems"] else ask() for name, ask in asked.items()}
    facts |= {"extras": checkup.extras(), "programs": checkup.programs(), "check": None}
    facts["problems"] += _lacks(facts)
    if not facts["problems"]:
        try:
            facts["check"] = checkup.timed(model)
        except (ValueError, RuntimeError, OSError, MemoryError) as error:
            reason = " ".join(str(error).split())[:200]
            facts["problems"].append(f"no frame can be imagined here: {reason}")
    facts["ok"] = not facts["problems"]
    return facts


def _lacks(facts: Facts) -> list[str]:
    """What is too little or damaged, a sentence each."""
    from worldgen.cli.checkup import LEAST_DISK, LEAST_MEMORY

    sentences = [chosen["error"] for chosen in (facts["weights"] or [])[:1] if chosen["error"] is not None]
    memory, disk = facts["memory"]["free_bytes"], facts["disk"]["free_bytes"]
    if memory is not None and memory < LEAST_MEMORY:
        sentences.append(
            f"growing needs {LEAST_MEMORY >> 20} MiB of memory, {memory >> 20} are free; close something"
        )
    if disk < LEAST_DISK:
        sentences.append(
            f"worlds need {LEAST_DISK >> 20} MiB on the disk, {disk >> 20} are free for "
            f"{facts['disk']['folder']}; make room"
        )
    return sentences


def _show(facts: Facts) -> None:
    """A short list, a line a fact."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = [*_machine(facts), *_libraries(facts), *_weights(facts), *_optional(facts), *_verdict(facts)]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style="bold", no_wrap=True)
    for name, value in lines:
        grid.add_row(name, Text(value))
    Console().print(grid)


def _machine(facts: Facts) -> Lines:
    system, cores, memory, disk = (facts[name] for name in ("system", "cores", "memory", "disk"))
    amounts = [
        "unknown" if memory[name] is None else _gib(memory[name]) for name in ("free_bytes", "total_bytes")
    ]
    return [
        ("system", f"{system['platform']}, Python {system['python']}"),
        ("worldgen", system["worldgen"] or "not installed, run from its folder"),
        ("cores", f"{cores['usable']}, of which {cores['free']} free (load {cores['load']:.1f})"),
        ("memory", f"{amounts[0]} free of {amounts[1]}"),
        ("disk", f"{_gib(disk['free_bytes'])} free for {disk['folder']}"),
    ]


def _libraries(facts: Facts) -> Lines:
    compute, cuda, kernels = facts["compute"], facts["cuda"], facts["kernels"]
    if compute is None:
        return []
    device = "none" if cuda is None else f"{cuda['name']}, {_gib(cuda['free_bytes'])} free"
    return [
        ("torch", f"{compute['torch']}, {compute['threads']} threads"),
        ("computes", f"{compute['dtype']} on {compute['device']}: {compute['meaning']}"),
        ("CUDA device", device),
        ("splats", _drawn_by(facts["splats"])),
        (
            "kernels",
            f"{kernels['compiled']} of {kernels['kernels']} compiled already; the others take seconds when "
            "they are first used",
        ),
        ("numba", f"{kernels['numba']}, threading layer {kernels['threading_layer']} (ours use none)"),
        (
            "video",
            f"PyAV {facts['video']['av']}, {', '.join(facts['video']['encoders']) or 'no encoder of ours'}",
        ),
    ]


def _drawn_by(splats: Facts) -> str:
    if splats["gsplat"]:
        return "gsplat, on the CUDA device"
    language = {"cpp": "C++", "numba": "numba", None: "none"}[splats["kernels"]]
    return f"our own kernels, on the CPU: {language} ({splats['why']})"


def _weights(facts: Facts) -> Lines:
    lines = []
    for each in facts["weights"] or []:
        size = f"{each['size']}x{each['size']} pixels"
        sound = f"{each['name']}: {each['parameters'] or 0:,} parameters, {size}, sound"
        lines.append(("weights", each["error"] or sound))
    return lines


def _optional(facts: Facts) -> Lines:
    lines = [
        (name, extra["version"] or f"absent; for {extra['for']}: {extra['install']}")
        for name, extra in facts["extras"].items()
    ]
    return [
        *lines,
        *((name, path or "none found; growing does not need it") for name, path in facts["programs"].items()),
    ]


def _verdict(facts: Facts) -> Lines:
    lines, check = [("problem", sentence) for sentence in facts["problems"]], facts["check"]
    if check is not None:
        frame, picture = (
            f"in {check[f'{what}_s']:.3f} s, the first in {check[f'first_{what}_s']:.2f} s"
            for what in ("imagine", "splats")
        )
        lines += [("a frame", f"imagined {frame}"), ("a picture", f"of splats drawn {picture}")]
    return [*lines, ("so", "worlds can be grown here" if facts["ok"] else "worlds cannot be grown here")]


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
