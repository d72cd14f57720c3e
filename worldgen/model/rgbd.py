"""The RGB-D model: noisy frames and what is known about them in, clean frames out.

Room: worldgen. A convolutional encoder brings a frame to tokens of 8 x 8 pixels, the trunk relates
them, a decoder with skips brings them back. There is no VAE: at 128-256 px pixels are cheap enough,
and nothing is lost. Predicts the clean frame (x-prediction; A7), starting from the cache render.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from worldgen.model.attention import CameraCode, Views
from worldgen.model.layers import (
    SHORTEST_STEP,
    TIME_FEATURES,
    Finish,
    ResidualBlock,
    StepEmbedding,
    time_features,
)
from worldgen.model.trunk import Links, Reading, Recall, Trunk

IMAGE_CHANNELS = 4
"""RGB in [-1, 1] and the depth code."""

CONDITION_CHANNELS = 11
"""RGB 3, depth code 1, mask of RGB 1, mask of depth 1, confidence 1, rays 2, offset of the point 2."""

POSE_NUMBERS = 16
"""A camera's place in the world as an absolute code: 12 of its pose, 4 of its lens."""

TOKEN_PIXELS = 8
"""A token stands for a square of this many pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Sizes of the model."""

    name: str = "tiny"
    """What the weights are called; no size hides in it."""

    levels: tuple[int, ...] = (64, 128)
    """Channels at 1/2 and 1/4 of the resolution."""

    width: int = 320
    """Channels of the trunk, at 1/8 of the resolution."""

    depth: int = 8
    """Blocks of the trunk; every fourth one looks beyond its own frame."""

    head_width: int = 64
    """Channels of an attention head; a multiple of 8 (PRoPE)."""

    cameras: str = "prope"
    """How attention learns of cameras; a :data:`worldgen.model.attention.CameraCode`."""

    shortcut: bool = False
    """Whether the model is told how long a step is, and answers for the whole of it (A9.1)."""

    def __post_init__(self) -> None:
        if self.cameras not in get_args(CameraCode):
            raise ValueError(
                f"cameras must be one of {', '.join(get_args(CameraCode))}, got {self.cameras!r}"
            )
        if not isinstance(self.shortcut, bool):
            raise ValueError(f"shortcut of a model must be true or false, got {self.shortcut!r}")
        if min(*self.levels, self.width, self.depth, self.head_width, 1) < 1:
            raise ValueError(f"the sizes of a model are positive, got {self}")
        if 2 ** (len(self.levels) + 1) != TOKEN_PIXELS:
            raise ValueError(f"levels must be two numbers (1/2 and 1/4 of the resolution), got {self.levels}")
        if self.width % self.head_width or self.head_width % 8:
            raise ValueError(
                f"width must hold whole heads of a multiple of 8, got width {self.width} and "
                f"head_width {self.head_width}"
            )


class RGBDModel(nn.Module):
    """Predicts clean RGB-D frames; see the module's docstring."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        first, *_ = config.levels
        widths = [*config.levels, config.width]
        self.embed_time = nn.Sequential(
            nn.Linear(TIME_FEATURES, config.width), nn.SiLU(), nn.Linear(config.width, config.width)
        )
        self.stem = nn.Conv2d(4 * (IMAGE_CHANNELS + CONDITION_CHANNELS), first, 3, padding=1)
        self.encode = nn.ModuleList(ResidualBlock(c, embedding=config.width) for c in config.levels)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairwise(widths))
        cameras = cast("CameraCode", config.cameras)
        self.trunk = Trunk(config.width, depth=config.depth, head_width=config.head_width, cameras=cameras)
        self.pose = nn.Linear(POSE_NUMBERS, config.width) if config.cameras == "absolute" else None
        self.up = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in pairwise(widths))
        self.decode = nn.ModuleList(ResidualBlock(c, embedding=config.width) for c in config.levels)
        self.last = nn.Conv2d(first, 4 * IMAGE_CHANNELS, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        self.finish = Finish(IMAGE_CHANNELS + CONDITION_CHANNELS, embedding=config.width)
        self.embed_step = StepEmbedding(config.width) if config.shortcut else None

    def forward(
        self,
        x: Float[Tensor, "b f 4 h w"],
        t: Float[Tensor, "b f"],
        *,
        d: Float[Tensor, "b f"] | None = None,
        condition: Float[Tensor, "b f 11 h w"],
        views: Views,
        links: Links | None = None,
        recall: Recall | Reading | None = None,
        routed: int | None = None,
        only_seen: int = 0,
    ) -> Float[Tensor, "b g 4 h w"]:
        """Predict the clean frames behind ``x`` at noise levels ``t`` (0 clean, 1 noise).

        A shortcut model predicts the end of the straight line along which a step of length ``d`` is right:
        the step is ``x - d (x - predicted) / t``.

        Args:
            x: noisy frames; height and width are multiples of 8.
            t: one noise level a frame.
            d: one step length a frame, in (0, 1], for shortcut models alone; the shortest where not given.
            condition: what is known, from :mod:`worldgen.conditions`.
            views: cameras of the frames.
            links: for each frame the earlier frames it attends to; none where not given.
            recall: remembered frames that every frame attends to; see :meth:`reading`.
            routed: frames that each token attends to at most, besides its own; all where not given.
            only_seen: for so many frames, from the first on, nothing is predicted: others look at them.

        Raises:
            ValueError: if sizes or links make no sense, or a model that is no shortcut model is given ``d``.
        """
        tokens, skips, _ = self._related(
            x, t, d, condition=condition, views=views, links=links, recall=recall, routed=routed
        )
        if only_seen:
            tokens, *skips = (
                part.unflatten(0, t.shape)[:, only_seen:]
                .flatten(0, 1)
                .contiguous(memory_format=torch.channels_last)
                for part in (tokens, *skips)
            )
            x, t, condition = (part[:, only_seen:] for part in (x, t, condition))
            d = None if d is None else d[:, only_seen:]
        embedded = self._embedded(t, d)
        change = self._decoded(tokens, skips, embedded)
        return self._finished(change, condition, embedded).view(x.shape)

    def remember(
        self,
        x: Float[Tensor, "b f 4 h w"],
        *,
        condition: Float[Tensor, "b f 11 h w"],
        views: Views,
        level: float = 0.0,
    ) -> Recall:
        """Keys and values of finished frames, each seen alone, so that they depend on nothing else.

        ``level`` is the noise level that ``x`` is shown at.
        """
        t = torch.full(x.shape[:2], level, device=x.device)
        _, _, kept = self._related(x, t, None, condition=condition, views=views, links=None, recall=None)
        return Recall(keys=[k for k, _ in kept], values=[v for _, v in kept], views=views)

    def reading(self, recall: Recall, *, views: Views, height: int, width: int) -> Reading:
        """What is remembered as frames of so many pixels with ``views`` read it, for more than one call."""
        return self.trunk.read(recall, views=views, grid=(height // TOKEN_PIXELS, width // TOKEN_PIXELS))

    def _embedded(self, t: Float[Tensor, "b f"], d: Float[Tensor, "b f"] | None) -> Float[Tensor, "n width"]:
        """Noise levels and step lengths as the blocks read them."""
        embedded = self.embed_time(time_features(t.flatten()).to(self.last.weight.dtype))
        if self.embed_step is not None:
            d = torch.full_like(t, SHORTEST_STEP) if d is None else d
            embedded = embedded + self.embed_step(d.flatten()).to(embedded.dtype)
        elif d is not None:
            raise ValueError("this model is not told how long a step is; a shortcut model is")
        return F.silu(embedded)

    def _related(
        self,
        x: Float[Tensor, "b f 4 h w"],
        t: Float[Tensor, "b f"],
        d: Float[Tensor, "b f"] | None,
        *,
        condition: Float[Tensor, "b f 11 h w"],
        views: Views,
        links: Links | None,
        recall: Recall | Reading | None,
        routed: int | None = None,
    ) -> tuple[Float[Tensor, "n d rows columns"], list[Tensor], list[tuple[Tensor, Tensor]]]:
        """Tokens as a small image, the skips, and the raw keys and values of every memory block."""
        b, f, _, h, w = x.shape
        if h % TOKEN_PIXELS or w % TOKEN_PIXELS:
            raise ValueError(f"the model needs multiples of {TOKEN_PIXELS} pixels, got {w} x {h}")
        links = ((),) * f if links is None else links
        if len(links) != f or any(not 0 <= j < i for i in range(f) for j in links[i]):
            raise ValueError(f"each of {f} frames may be linked to frames before it, got {links}")
        embedded = self._embedded(t, d)
        inputs = torch.cat([x, condition], dim=2).flatten(0, 1).to(embedded.dtype)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        image, skips = self._encoded(inputs, embedded)
        rows, columns = image.shape[-2:]
        tokens = image.permute(0, 2, 3, 1).reshape(b, f, rows * columns, -1)
        if self.pose is not None:
            pose = torch.cat([views.w2c[..., :3, :].flatten(2), views.K_norm], dim=-1)
            tokens = tokens + self.pose(pose.to(tokens.dtype))[:, :, None]
        tokens, kept = self.trunk(
            tokens,
            embedded.view(b, f, -1),
            views=views,
            grid=(rows, columns),
            links=links,
            recall=recall,
            routed=routed,
        )
        return tokens.reshape(b * f, rows, columns, -1).permute(0, 3, 1, 2), skips, kept

    def _encoded(
        self, inputs: Float[Tensor, "n 15 h w"], embedded: Float[Tensor, "n d"]
    ) -> tuple[Float[Tensor, "n d rows columns"], list[Tensor]]:
        """Tokens as a small image, and the skips from fine to coarse."""
        image = self.stem(F.pixel_unshuffle(inputs, 2).contiguous(memory_format=torch.channels_last))
        skips = []
        for block, down in zip(self.encode, self.down, strict=True):
            image = block(image, embedded)
            skips.append(image)
            image = down(image)
        return image, skips

    def _decoded(
        self, image: Float[Tensor, "n d rows columns"], skips: list[Tensor], embedded: Float[Tensor, "n d"]
    ) -> Float[Tensor, "n 4 h w"]:
        """From tokens back to the change of every pixel."""
        for up, block, skip in reversed(list(zip(self.up, self.decode, skips, strict=True))):
            image = F.pixel_shuffle(up(image), 2) + skip
            image = block(image.contiguous(memory_format=torch.channels_last), embedded)
        return F.pixel_shuffle(self.last(F.silu(image)), 2)

    def _finished(
        self,
        change: Float[Tensor, "n 4 h w"],
        condition: Float[Tensor, "b f 11 h w"],
        embedded: Float[Tensor, "n d"],
    ) -> Float[Tensor, "n 4 h w"]:
        """The filled render plus what changes, at full resolution.

        Where something is known, a gate decides how much of the generated change is let in: what the
        cache shows needs to be resampled, not imagined, and should not carry the noise of sampling.
        """
        flat = condition.flatten(0, 1)
        inputs = torch.cat([change, flat.to(change.dtype)], dim=1)
        repair, gates = self.finish(inputs.contiguous(memory_format=torch.channels_last), embedded)
        closed = gates.float().sigmoid() * flat[:, 4:6].float()
        closed = torch.cat([closed[:, :1].expand(-1, 3, -1, -1), closed[:, 1:]], dim=1)
        return flat[:, :IMAGE_CHANNELS].float() + (1.0 - closed) * change.float() + repair.float()
