"""Models small enough for tests, with nothing left at zero, and inputs that fit them."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from render.frames import Frames
from worldgen.model.attention import Views
from worldgen.model.rgbd import ModelConfig, RGBDModel
from worldgen.training.config import Stage, TrainConfig

SMALL = ModelConfig(name="small", levels=(8, 16), width=64, depth=4, head_width=16)
SHORTCUT = dataclasses.replace(SMALL, shortcut=True)

SIDE = 32
"""Pixels along a side of the pictures that such models are for."""

SMALL_CLIPS = TrainConfig(
    model=SMALL,
    stages=(
        Stage(size=SIDE, frames=12, batch_clips=2),
        Stage(size=24, frames=6, batch_clips=1),
    ),
    clip_frames=3,
    warmup_steps=2,
    depth_weight=0.7,
)
"""Two stages, of which a few seconds are enough to go through."""


def fresh_model(*, seed: int = 0, config: ModelConfig = SMALL) -> RGBDModel:
    """A model as training begins it: what is zero-initialised is zero."""
    torch.manual_seed(seed)
    return RGBDModel(config).eval()


def perturbed_model(*, seed: int = 0, config: ModelConfig = SMALL) -> RGBDModel:
    """A model all of whose parts matter: noise is added to every weight, the zero ones too."""
    model = fresh_model(seed=seed, config=config)
    rng = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=rng))
    return model


def random_views(
    *, b: int, f: int, seed: int, spread: float = 1.0, dtype: torch.dtype = torch.float32
) -> Views:
    """Cameras about ``spread`` units apart, each with its own lens, looking anywhere."""
    rng = torch.Generator().manual_seed(seed)
    turns = Rotation.from_rotvec(torch.randn(b * f, 3, generator=rng).numpy()).as_matrix()
    w2c = torch.eye(4, dtype=torch.float64).repeat(b, f, 1, 1)
    w2c[..., :3, :3] = torch.from_numpy(turns).view(b, f, 3, 3)
    w2c[..., :3, 3] = spread * torch.randn(b, f, 3, generator=rng)
    lens = torch.tensor([0.7, 0.9, 0.04, -0.06]) + 0.1 * torch.rand(b, f, 4, generator=rng)
    return Views(w2c=w2c.to(dtype), K_norm=lens.to(dtype))


def same(a: Frames, b: Frames) -> bool:
    """Colour and depth are equal bit for bit."""
    return torch.equal(a.rgb, b.rgb) and torch.equal(a.depth, b.depth)


def rigid_motion(*, seed: int, distance: float, dtype: torch.dtype = torch.float32) -> Float[Tensor, "4 4"]:
    """A random turn, and a translation of ``distance`` in a random direction."""
    rng = torch.Generator().manual_seed(seed)
    motion = torch.eye(4, dtype=torch.float64)
    turn = Rotation.from_rotvec(torch.randn(3, generator=rng).numpy()).as_matrix()
    motion[:3, :3] = torch.from_numpy(turn)
    motion[:3, 3] = distance * torch.nn.functional.normalize(torch.randn(3, generator=rng), dim=0)
    return motion.to(dtype)
