"""The trainer: diffusion forcing on short clips, resumable at any step.

Room: worldgen. Every frame of a clip has a noise level of its own (algorithms A4.1); frames attend to
a random choice of the frames before them; frames that are given carry no noise and no loss.
``train`` yields after every step, so a progress bar, a log and a test use the same loop.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.data import DataLoader

from worldgen.flow import logit_normal_times, noised, shifted, velocity_loss
from worldgen.generator import compute_dtype, load_model, save_model
from worldgen.model.attention import Views
from worldgen.model.rgbd import RGBDModel
from worldgen.model.trunk import Links
from worldgen.training.checkpoint import CheckpointMismatch, Progress, Run, load_checkpoint, save_checkpoint
from worldgen.training.clips import Clip, Clips, collated
from worldgen.training.config import Stage, TrainConfig
from worldgen.training.muon import Muon
from worldgen.training.resampling import resampled

EQUAL_LEVEL_CHANCE = 0.2
"""Chance that all frames of a clip share one noise level."""

LINK_CHANCE = 0.7
"""Chance that a frame attends to an earlier one."""

GRADIENT_NORM = 1.0
"""Gradients longer than this are shortened to it."""

CHECKPOINT = "checkpoint.safetensors"
TRAINED = "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step of training did."""

    progress: Progress
    """After the step."""

    size: int
    """Pixels a side."""

    frames: int
    """Frames in this step."""

    loss: float
    """Weighted squared velocity error of colour and depth, over the frames that are not given."""

    rgb_error: float
    """Mean squared error of the predicted colour, in [-1, 1] units, over all noise levels."""

    depth_error: float
    """Mean absolute error of the predicted depth code, over all noise levels."""

    learning_rate: float
    elapsed_s: float
    """Time of the step, and of its checkpoint if one was written; not of waiting for the clips."""


def train(
    config: TrainConfig,
    folder: Path,
    *,
    device: torch.device,
    save_every: int = 100,
    workers: int = 1,
    start_from: Path | None = None,
) -> Iterator[Step]:
    """Train until the configuration's frames are used up; continues what ``folder`` holds.

    Args:
        config: the recipe.
        folder: where ``checkpoint.safetensors`` lives, and beside it ``weights.safetensors``, the
            averaged weights as generators read them.
        device: where the model trains.
        save_every: steps between checkpoints; one is also written at the end.
        workers: processes that render clips.
        start_from: weights that a new run begins with instead of random ones.

    Raises:
        CheckpointMismatch: if the checkpoint or ``start_from`` belongs to another model.
    """
    path = folder / CHECKPOINT
    is_new = not path.is_file()
    run = begun(config, device=device, start_from=start_from if is_new else None)
    progress = Progress() if is_new else load_checkpoint(path, run, config=config)
    while progress.frames < config.total_frames:
        stage = config.stage_at(progress.frames)
        for clip in _batches(config, stage, progress, workers=workers):
            started = time.perf_counter()
            rate = learning_rate(config, progress)
            errors = update(run, clip, rate=rate, config=config, progress=progress)
            progress = Progress(
                step=progress.step + 1,
                frames=progress.frames + clip.given.numel(),
                clips=progress.clips + len(clip.given),
            )
            is_last = progress.frames >= config.total_frames
            if is_last or progress.step % save_every == 0:
                save_checkpoint(path, run, progress=progress, config=config)
                save_model(run.average, folder / TRAINED, size=stage.size)
            yield Step(
                progress=progress,
                size=stage.size,
                frames=clip.given.numel(),
                learning_rate=rate,
                elapsed_s=time.perf_counter() - started,
                **errors,
            )
            if is_last or config.stage_at(progress.frames) is not stage:
                break


def begun(config: TrainConfig, *, device: torch.device, start_from: Path | None = None) -> Run:
    """A run before its first step; the configuration's seed decides the weights, if no file does."""
    torch.manual_seed(config.seed)
    model = RGBDModel(config.model)
    if start_from is not None:
        weights, _ = load_model(start_from)
        if weights.config != config.model:
            raise CheckpointMismatch(f"{start_from} holds {weights.config}, the recipe wants {config.model}")
        model.load_state_dict(weights.state_dict())
    model = model.to(device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(model).requires_grad_(requires_grad=False)
    return Run(model=model, average=average, optimizers=optimizers_of(model, config))


def optimizers_of(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the trunk, AdamW for all else; both take the same learning rate."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        is_matrix = parameter.ndim == 2 and ".blocks." in name and "modulation" not in name
        (matrices if is_matrix else others).append(parameter)
    rate, decay = config.learning_rate, config.weight_decay
    return [
        Muon(matrices, lr=rate, weight_decay=decay),
        torch.optim.AdamW(others, lr=rate, weight_decay=decay, betas=(0.9, 0.98)),
    ]


def learning_rate(config: TrainConfig, progress: Progress) -> float:
    """Linear warm-up, a plateau, and a linear fall to zero over the last part of the frames."""
    warm = min(1.0, (progress.step + 1) / max(1, config.warmup_steps))
    left = (config.total_frames - progress.frames) / config.total_frames
    return config.learning_rate * warm * min(1.0, left / max(config.cooldown, 1e-9))


def _batches(config: TrainConfig, stage: Stage, progress: Progress, *, workers: int) -> DataLoader[Clip]:
    """Batches of clips from the next unseen one on; clip ``i`` is the same whoever makes it."""
    clips = Clips(size=stage.size, frames=config.clip_frames, seed=config.seed)
    return DataLoader(
        clips,
        batch_size=stage.batch_clips,
        sampler=range(progress.clips, len(clips)),  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=collated,
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=4 if workers else None,
    )


def update(run: Run, clip: Clip, *, rate: float, config: TrainConfig, progress: Progress) -> dict[str, float]:
    """Take the step after ``progress`` on one batch, in place, and return its loss and its two errors."""
    rng = torch.Generator().manual_seed(config.seed * 1_000_003 + progress.step)
    t = noise_levels(clip.given, shift=config.time_shift, rng=rng)
    noise = torch.randn(clip.images.shape, generator=rng)
    links = random_links(clip.images.shape[1], rng=rng)
    if is_resampled(config, progress, rng=rng):
        clip = resampled(partial(_computed, run.model), clip, rng=rng)
    predicted, clean, weight = _predicted(run.model, clip, t=t, noise=noise, links=links)
    loss = velocity_loss(predicted, clean, t.to(clean.device)) * weight
    share = weight.mean().clamp_min(1e-6)
    total = (loss[:, :, :3].mean() + config.depth_weight * loss[:, :, 3:].mean()) / share
    total = total + config.known_weight * known_error(
        predicted, clean, clip.condition.to(clean.device), weight
    )
    total.backward()
    nn.utils.clip_grad_norm_(run.model.parameters(), GRADIENT_NORM)
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    _update_average(run, decay=min(config.ema, (1 + progress.step) / (10 + progress.step)))
    error = (predicted.detach() - clean) * weight
    return {
        "loss": float(total.detach()),
        "rgb_error": float(error[:, :, :3].square().mean() / share),
        "depth_error": float(error[:, :, 3:].abs().mean() / share),
    }


def known_error(
    predicted: Float[Tensor, "b f 4 h w"],
    clean: Float[Tensor, "b f 4 h w"],
    condition: Float[Tensor, "b f 11 h w"],
    weight: Float[Tensor, "b f 1 1 1"],
) -> Float[Tensor, ""]:
    """Mean absolute error of colour plus that of the depth code, each where it is known.

    A squared error hardly feels the small noise that a prediction adds to what a cache shows
    correctly, beside the large errors in holes; this one does.
    """
    error = (predicted - clean).abs()
    has_rgb, has_depth = condition[:, :, 4:5] * weight, condition[:, :, 5:6] * weight
    rgb = (error[:, :, :3] * has_rgb).sum() / (3.0 * has_rgb.sum()).clamp_min(1.0)
    return rgb + (error[:, :, 3:] * has_depth).sum() / has_depth.sum().clamp_min(1.0)


def _predicted(
    model: nn.Module,
    clip: Clip,
    *,
    t: Float[Tensor, "b f"],
    noise: Float[Tensor, "b f 4 h w"],
    links: Links,
) -> tuple[Float[Tensor, "b f 4 h w"], Float[Tensor, "b f 4 h w"], Float[Tensor, "b f 1 1 1"]]:
    """The model's answer to a noised batch, the truth, and 1 for frames that count, where the model is."""
    views = Views(w2c=clip.w2c, K_norm=clip.K_norm)
    predicted = _computed(model, noised(clip.images, noise, t), t, clip.condition, views, links=links)
    weight = (t > 0).float()[:, :, None, None, None]
    return predicted, clip.images.to(predicted.device), weight.to(predicted.device)


def _computed(
    model: nn.Module,
    x: Float[Tensor, "b f 4 h w"],
    t: Float[Tensor, "b f"],
    condition: Float[Tensor, "b f 11 h w"],
    views: Views,
    *,
    links: Links | None = None,
) -> Float[Tensor, "b f 4 h w"]:
    """The model's answer where it lives, as exact as it is fast there."""
    device = next(model.parameters()).device
    dtype = compute_dtype(device)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        return model(
            x.to(device), t.to(device), condition=condition.to(device), views=views.to(device), links=links
        )


def is_resampled(config: TrainConfig, progress: Progress, *, rng: torch.Generator) -> bool:
    """Whether the model's own frames stand in for the true ones in this batch."""
    if progress.frames < config.resampled_from * config.total_frames:
        return False
    return bool(torch.rand((), generator=rng) < config.resampled)


def noise_levels(
    given: Bool[Tensor, "b f"], *, shift: float = 1.0, rng: torch.Generator
) -> Float[Tensor, "b f"]:
    """One level a frame, moved by ``shift``; sometimes one a clip; 0 where a frame is given."""
    b, f = given.shape
    t = shifted(logit_normal_times((b, f), rng=rng), shift=shift)
    is_equal = torch.rand(b, 1, generator=rng) < EQUAL_LEVEL_CHANCE
    return torch.where(is_equal, t[:, -1:], t).masked_fill(given, 0.0)


def random_links(frames: int, *, rng: torch.Generator) -> Links:
    """A random choice of earlier frames for every frame of a clip."""
    chosen = torch.rand(frames, frames, generator=rng) < LINK_CHANCE
    return tuple(tuple(j for j in range(i) if chosen[i, j]) for i in range(frames))


@torch.no_grad()
def _update_average(run: Run, *, decay: float) -> None:
    for target, source in zip(run.average.parameters(), run.model.parameters(), strict=True):
        target.lerp_(source, 1.0 - decay)
