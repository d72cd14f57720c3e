"""GLB: splats in a binary glTF file, by Khronos' extension ``KHR_gaussian_splatting``.

Room: reconstruct; the viewer and the command line may import this. Float32 arrays of positions, rotations
xyzw, standard deviations, opacities and spherical harmonics, beside colours for viewers that only draw
points. glTF is +x right, +y up, and its cameras look along -z; nodes may turn, move and scale splats, but
not stretch them. 60 bytes a splat of degree 0, 240 of degree 3.

Precision: positions, rotations and harmonics exact; log scales within [-40, 40], to 1e-5; logits of
opacities within [-17, 17], where they are closer to 0 than 10 to 1e-2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from reconstruct.formats.atomic import replacing
from reconstruct.formats.axes import half_turned, moved
from reconstruct.formats.gltf import Gltf, glb_bytes, listed, numbers, read_gltf
from reconstruct.formats.quantised import bytes_of, log_scales_of, logits_of, scales_of, sigmoid
from reconstruct.formats.soundness import (
    check_count,
    check_writable,
    of_unit_length,
    opened,
    sound,
    warn,
    warn_of_trailing,
)
from render.gaussians import Gaussians, concatenated

NAME = "KHR_gaussian_splatting"
COLOUR_SPACE = "srgb_rec709_display"
POINTS = 0
FAINTEST = 2.0**-24
"""How far from 0 and 1 opacities are kept: the last step of float32 below 1."""

MOST_PARTS = 1_000
"""Sets of splats in a scene; as small files may name one often, there has to be an end."""

MOST_NODES = 100_000
MAX_DEGREE = 3
PLACING = {"matrix", "translation", "rotation", "scale"}
COMMON = {
    "POSITION": "VEC3",
    f"{NAME}:ROTATION": "VEC4",
    f"{NAME}:SCALE": "VEC3",
    f"{NAME}:OPACITY": "SCALAR",
}
"""Arrays that every set of splats has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Splats of one primitive, as a node places them."""

    attributes: dict[str, Any]
    """Name to number of the array."""

    count: int
    coefficients: int
    world_from_part: Float64[np.ndarray, "4 4"]


def write_glb(gaussians: Gaussians, path: Path) -> None:
    """Write splats to ``path``, whole or not at all.

    Raises:
        ValueError: if there are no splats, a number is NaN or infinite, a rotation has length zero, or the
            file would have over 4 GiB.
    """
    check_writable(gaussians)
    arrays = _arrays(half_turned(of_unit_length(gaussians)))
    primitive = {
        "attributes": {name: i for i, name in enumerate(arrays)},
        "mode": POINTS,
        "extensions": {NAME: {"kernel": "ellipse", "colorSpace": COLOUR_SPACE}},
    }
    document = {
        "asset": {"version": "2.0", "generator": "worldgen"},
        "extensionsUsed": [NAME],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
    }
    pieces = glb_bytes(document, arrays)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines(pieces)


def read_glb(path: Path) -> Gaussians:
    """Read the splats of the scene; the file is checked as if it came from a stranger.

    Splats with numbers that are not finite, negative sizes, or rotations of length zero are left out with a
    warning; so are bytes that follow.

    Raises:
        ValueError: if the file is no .glb file with splats, is damaged or cut short, or needs what is not
            read.
    """
    with opened(path) as file:
        gltf = read_gltf(file)
        parts = _parts(gltf)
        if not parts:
            raise ValueError(f"it shows no splats: no mesh of its scene has the extension {NAME}")
        coefficients = max(part.coefficients for part in parts)
        check_count(sum(part.count for part in parts), coefficients)
        splats = concatenated([_placed(gltf, part, coefficients) for part in parts])
        if any(said.get("colorSpace", COLOUR_SPACE) != COLOUR_SPACE for said in _extensions(gltf)):
            warn(path, f"its colours are not those of {COLOUR_SPACE}, and are taken as if they were")
    if gltf.trailing:
        warn_of_trailing(path, gltf.trailing)
    return sound(half_turned(splats), path)


def _sh_names(coefficients: int) -> list[str]:
    degrees = [(degree, order) for degree in range(MAX_DEGREE + 1) for order in range(2 * degree + 1)]
    return [f"{NAME}:SH_DEGREE_{degree}_COEF_{order}" for degree, order in degrees[:coefficients]]


def _arrays(gaussians: Gaussians) -> dict[str, np.ndarray]:
    means, quats, log_scales, logits, sh = (
        getattr(gaussians, name).detach().cpu().float().numpy()
        for name in ("means", "quats", "log_scales", "logit_opacities", "sh")
    )
    opacities = np.clip(sigmoid(logits), FAINTEST, 1.0 - FAINTEST)[:, None]
    rgb = gaussians.base_rgb.detach().cpu().double().numpy()
    # The colours of points are linear in glTF, unlike those of splats.
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return {
        "POSITION": means,
        "COLOR_0": bytes_of(np.concatenate([linear, opacities], axis=1) * 255.0),
        f"{NAME}:ROTATION": quats[:, [1, 2, 3, 0]],
        f"{NAME}:SCALE": scales_of(log_scales).astype(np.float32),
        f"{NAME}:OPACITY": opacities.astype(np.float32),
        **{name: sh[:, i] for i, name in enumerate(_sh_names(sh.shape[1]))},
    }


def _parts(gltf: Gltf) -> list[_Part]:
    """What the nodes of the scene show; a node that is met twice makes the file no tree."""
    scenes = listed(gltf.document, "scenes")
    scene = gltf.item("scenes", gltf.document.get("scene", 0)) if scenes else {}
    waiting = [(node, np.eye(4)) for node in reversed(listed(scene, "nodes"))]
    meshes = [_parts_of(gltf, gltf.item("meshes", i)) for i in range(len(listed(gltf.document, "meshes")))]
    met, parts = set[int](), list[_Part]()
    while waiting:
        index, world_from_parent = waiting.pop()
        node = gltf.item("nodes", index)
        if index in met:
            raise ValueError(f"its nodes are no tree: node {index} is reached in two ways")
        met.add(index)
        if len(met) > MOST_NODES:
            raise ValueError(f"its scene has more than {MOST_NODES:,} nodes")
        world_from_node = world_from_parent
        if not PLACING.isdisjoint(node):
            with np.errstate(over="ignore", invalid="ignore"):  # refused where splats are placed
                world_from_node = world_from_parent @ _local(node)
        if "mesh" in node:
            gltf.item("meshes", node["mesh"])
            parts += [replace(part, world_from_part=world_from_node) for part in meshes[node["mesh"]]]
        if len(parts) > MOST_PARTS:
            raise ValueError(f"it shows more than {MOST_PARTS:,} sets of splats")
        waiting += [(child, world_from_node) for child in reversed(listed(node, "children"))]
    return parts


def _extension(primitive: object) -> dict[str, Any] | None:
    """What a primitive says of its splats, if it shows any."""
    extensions = primitive.get("extensions") if isinstance(primitive, dict) else None
    said = extensions.get(NAME) if isinstance(extensions, dict) else None
    return said if isinstance(said, dict) else None


def _extensions(gltf: Gltf) -> list[dict[str, Any]]:
    meshes = [gltf.item("meshes", i) for i in range(len(listed(gltf.document, "meshes")))]
    said = [_extension(primitive) for mesh in meshes for primitive in listed(mesh, "primitives")]
    return [extension for extension in said if extension is not None]


def _parts_of(gltf: Gltf, mesh: dict[str, Any]) -> list[_Part]:
    """The splats of a mesh, where its node stands."""
    parts = []
    for primitive in listed(mesh, "primitives"):
        said = _extension(primitive)
        if said is None:
            continue
        attributes = primitive.get("attributes")
        if said.get("extensions") or not isinstance(attributes, dict):
            raise ValueError(
                "its splats are compressed by another extension, which is not read; convert it first"
            )
        if missing := [name for name in [*COMMON, *_sh_names(1)] if name not in attributes]:
            raise ValueError(f"its splats lack {missing[0]}")
        coefficients = max(k for k in (1, 4, 9, 16) if all(name in attributes for name in _sh_names(k)))
        counts = {gltf.count(attributes[name]) for name in [*COMMON, *_sh_names(coefficients)]}
        if len(counts) > 1:
            raise ValueError(f"the arrays of its splats have {min(counts)} to {max(counts)} rows")
        part = _Part(
            attributes=attributes,
            count=counts.pop(),
            coefficients=coefficients,
            world_from_part=np.eye(4),
        )
        parts.append(part)
    return parts


def _local(node: dict[str, Any]) -> Float64[np.ndarray, "4 4"]:
    """Where a node stands in its parent."""
    if "matrix" in node:
        return numbers(node, "matrix", tuple(np.eye(4).reshape(-1))).reshape(4, 4).T
    x, y, z, w = numbers(node, "rotation", (0.0, 0.0, 0.0, 1.0))
    length = x * x + y * y + z * z + w * w
    if length < 1e-12:
        raise ValueError('"rotation" of a node has length zero')
    local = np.eye(4)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    local[:3, :3] += 2.0 / length * (w * cross + cross @ cross)
    local[:3, :3] *= numbers(node, "scale", (1.0, 1.0, 1.0))
    local[:3, 3] = numbers(node, "translation", (0.0, 0.0, 0.0))
    return local


def _placed(gltf: Gltf, part: _Part, coefficients: int) -> Gaussians:
    """The splats of one part where they belong, with harmonics of zero where others have more."""
    columns = [gltf.array(part.attributes[name], kind) for name, kind in COMMON.items()]
    means, quats, scales, opacities = columns
    sh = np.zeros((part.count, coefficients, 3), np.float32)
    for i, name in enumerate(_sh_names(part.coefficients)):
        sh[:, i] = gltf.array(part.attributes[name], "VEC3")
    splats = Gaussians(
        means=torch.from_numpy(means),
        quats=torch.from_numpy(quats[:, [3, 0, 1, 2]]),
        log_scales=torch.from_numpy(log_scales_of(scales)).float(),
        logit_opacities=torch.from_numpy(
            logits_of(opacities[:, 0].astype(np.float64), faintest=FAINTEST)
        ).float(),
        sh=torch.from_numpy(sh),
    )
    if np.array_equal(part.world_from_part, np.eye(4)):
        return splats
    return moved(splats, part.world_from_part)
