"""Weights in files: safetensors whose header says what model they belong to.

Room: worldgen. Files may come from anywhere: nothing in one is believed before it is checked.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from worldgen.model.rgbd import ModelConfig, RGBDModel

WEIGHTS = Path(__file__).parents[1] / "weights"
DEFAULT_WEIGHTS = "tiny"
HEADER = "worldgen"
"""The entry of a file's header that says what model it holds; files of old have an entry for every fact."""

MAX_WEIGHTS_BYTES = 1 << 30
CPU = torch.device("cpu")


def weights_path(weights: Path | str) -> Path:
    """The file behind a path or the name of shipped weights."""
    shipped = WEIGHTS / f"{weights}.safetensors"
    path = shipped if shipped.is_file() else Path(weights)
    if not path.is_file():
        names = ", ".join(sorted(found.stem for found in WEIGHTS.glob("*.safetensors"))) or "none"
        raise ValueError(f"there are no weights at {weights}; give a .safetensors file or one of: {names}")
    if path.stat().st_size > MAX_WEIGHTS_BYTES:
        raise ValueError(f"{path} has over {MAX_WEIGHTS_BYTES >> 20} MiB; these are not our weights")
    return path


def save_model(model: RGBDModel, path: Path, *, size: int) -> None:
    """Write weights in bfloat16, with the sizes of the model in the header."""
    config = model.config
    header = {
        "name": config.name,
        "levels": ",".join(map(str, config.levels)),
        "width": str(config.width),
        "depth": str(config.depth),
        "head_width": str(config.head_width),
        "cameras": config.cameras,
        "size": str(size),
    }
    if config.shortcut:
        header["shortcut"] = "true"
    tensors = {name: tensor.bfloat16().contiguous() for name, tensor in model.state_dict().items()}
    temporary = path.with_suffix(".tmp")
    # one entry, because the library writes several in no particular order, and a checksum names a model
    save_file(tensors, temporary, {HEADER: json.dumps(header)})
    temporary.chmod(0o644)  # the library writes it for its owner alone
    temporary.replace(path)


def load_model(path: Path, *, device: torch.device = CPU) -> tuple[RGBDModel, int]:
    """Read weights; the model computes in bfloat16 where the device multiplies it in hardware.

    Returns:
        The model in evaluation mode, and the pixels a side that it was trained for.
    """
    try:
        with safe_open(path, framework="pt") as file:
            entries = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(entries[HEADER]) if HEADER in entries else entries
        config = ModelConfig(
            name=header["name"],
            levels=tuple(int(level) for level in header["levels"].split(",")),
            width=int(header["width"]),
            depth=int(header["depth"]),
            head_width=int(header["head_width"]),
            cameras=header.get("cameras", "prope"),
            shortcut={"true": True, "false": False}[header.get("shortcut", "false")],
        )
        with torch.device("meta"):
            model = RGBDModel(config)  # no memory yet: a header may claim any size
        model.load_state_dict(tensors, assign=True)
        size = int(header["size"])
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} does not hold weights of this model: {reason}") from error
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise ValueError(f"{path} holds NaN or infinite weights; train or fetch it again")
    model.requires_grad_(requires_grad=False).eval()
    model = model.to(device, compute_dtype(device))
    return model.to(memory_format=torch.channels_last), size  # type: ignore[call-overload]


def compute_dtype(device: torch.device) -> torch.dtype:
    """Bfloat16 where the device multiplies it in hardware, float32 elsewhere.

    A CPU without such instructions emulates them, a hundred times slower than float32.
    """
    is_fast = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if is_fast else torch.float32
