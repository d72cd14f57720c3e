"""One step of training: a batch in, weights and averages changed in place, errors out.

Room: worldgen. Diffusion forcing: every frame of a clip has a noise level of its own (algorithms A4.1);
frames attend to a random choice of the frames before them; frames that are given carry no noise and no loss.
Shortcut training also draws step lengths and has a loss of its own (:mod:`worldgen.training.shortcut`).
On several ranks the loss is that of the whole batch: FSDP averages gradients over the ranks, so each rank
divides its sums by the mean of the ranks' counts.
"""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from worldgen.model.layers import SHORTEST_STEP
from worldgen.model.trunk import Links
from worldgen.sampling.flow import logit_normal_times, noised, shifted, velocity_loss
from worldgen.training.asking import Question, answered, computed
from worldgen.training.checkpoint import Progress, Run
from worldgen.training.clips import Clip
from worldgen.training.config import TrainConfig
from worldgen.training.ranks import ALONE, Ranks, whole
from worldgen.training.resampling import resampled
from worldgen.training.shortcut import Draw, drawn, semigroup_errors, shortcut_loss, targets

EQUAL_LEVEL_CHANCE = 0.2
"""Chance that all frames of a clip share one noise level."""

LINK_CHANCE = 0.7
"""Chance that a frame attends to an earlier one."""

GRADIENT_NORM = 1.0
"""Gradients longer than this are shortened to it."""


def update(
    run: Run, clip: Clip, *, rate: float, config: TrainConfig, progress: Progress, ranks: Ranks = ALONE
) -> dict[str, float]:
    """Take the step after ``progress`` on one batch, in place.

    Args:
        run: sharded, if ``ranks`` has a mesh.
        clip: this rank's rows of the batch.
        rate: learning rate.
        config: the recipe.
        progress: before the step.
        ranks: who takes the step together.

    Returns:
        Loss, its two errors, the gradient's norm and, of a batch with long steps, the semigroup error, as
        :class:`worldgen.training.trainer.Step` has them.
    """
    rng = torch.Generator().manual_seed(config.seed * 1_000_003 + progress.step)
    t = noise_levels(clip.given, shift=config.time_shift, rng=rng, ranks=ranks)
    b, *frame_shape = clip.images.shape
    noise = torch.randn((ranks.count * b, *frame_shape), generator=rng)[ranks.rows(b)]
    links = random_links(clip.images.shape[1], rng=rng)
    history = clip.images
    if is_resampled(config, progress, rng=rng):
        clip, history = resampled(partial(computed, run.model), clip, rng=rng, ranks=ranks)
    draw = drawn(t, share=config.shortcut, rng=rng, ranks=ranks) if config.shortcut else None
    t = t if draw is None else draw.t
    noisy = noised(clip.images, noise, t)
    question = Question(clip=clip, links=links, history=history if config.two_streams else None)
    predicted = answered(run.model, question, noisy, t, None if draw is None else draw.d)
    clean, weight = (
        part.to(predicted.device) for part in (clip.images, (t > 0).float()[..., None, None, None])
    )
    target = clean if draw is None else _targets(run.average, question, noisy, draw=draw)
    form = velocity_loss if draw is None else shortcut_loss
    loss = form(predicted, target, t.to(clean.device)) * weight
    share = ranks.mean(weight.mean()).clamp_min(1e-6)
    total = (loss[:, :, :3].mean() + config.depth_weight * loss[:, :, 3:].mean()) / share
    total = total + config.known_weight * known_error(
        predicted, target, clip.condition.to(clean.device), weight, ranks=ranks
    )
    total.backward()
    norm = _shortened(run.model)
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    _update_average(run, decay=min(config.ema, (1 + progress.step) / (10 + progress.step)))
    error = (predicted.detach() - target) * weight
    rgb, depth = error[:, :, :3].square().mean() / share, error[:, :, 3:].abs().mean() / share
    errors = ranks.mean(torch.stack([total.detach(), rgb, depth])).tolist()
    names = ("loss", "rgb_error", "depth_error", "gradient_norm")
    long = {} if draw is None else _semigroup_error(predicted.detach(), target, draw, ranks=ranks)
    return dict(zip(names, [*errors, float(norm)], strict=True)) | long


def known_error(
    predicted: Float[Tensor, "b f 4 h w"],
    clean: Float[Tensor, "b f 4 h w"],
    condition: Float[Tensor, "b f 11 h w"],
    weight: Float[Tensor, "b f 1 1 1"],
    *,
    ranks: Ranks = ALONE,
) -> Float[Tensor, ""]:
    """Mean absolute error of colour plus that of the depth code, each where it is known.

    A squared error hardly feels the small noise that a prediction adds to what a cache shows
    correctly, beside the large errors in holes; this one does.
    """
    error = (predicted - clean).abs()
    has_rgb, has_depth = condition[:, :, 4:5] * weight, condition[:, :, 5:6] * weight
    counts = ranks.mean(torch.stack([3.0 * has_rgb.sum(), has_depth.sum()])).clamp_min(1.0 / ranks.count)
    return (error[:, :, :3] * has_rgb).sum() / counts[0] + (error[:, :, 3:] * has_depth).sum() / counts[1]


def _targets(
    average: nn.Module, question: Question, noisy: Float[Tensor, "b f 4 h w"], *, draw: Draw
) -> Float[Tensor, "b f 4 h w"]:
    """What a noised batch is trained towards, where the model is: the average is asked about long steps."""
    device, rows = next(average.parameters()).device, draw.rows
    target = question.clip.images.to(device)
    if not rows:
        return target
    t, d = draw.t[rows].to(device), draw.d[rows].to(device)
    target = target.clone()
    predict = partial(answered, average, question[rows])
    target[rows] = targets(predict, noisy[rows].to(device), target[rows], t=t, d=d)
    return target


def _semigroup_error(
    predicted: Float[Tensor, "b f 4 h w"], target: Float[Tensor, "b f 4 h w"], draw: Draw, *, ranks: Ranks
) -> dict[str, float]:
    """The mean error over the long steps of the batch, by its name, if there are any."""
    t, d = draw.t.to(target.device), draw.d.to(target.device)
    is_long = (d > SHORTEST_STEP).float()
    errors = semigroup_errors(predicted, target, t=t, d=d) * is_long
    error, count = ranks.mean(torch.stack([errors.sum(), is_long.sum()])).tolist()
    return {"semigroup_error": error / count} if count else {}


def _shortened(model: nn.Module) -> Float[Tensor, ""]:
    """Shorten the gradient of all weights to ``GRADIENT_NORM``, and return how long it was, on every rank."""
    parameters = list(model.parameters())
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = whole(nn.utils.get_total_norm(gradients))
    nn.utils.clip_grads_with_norm_(parameters, GRADIENT_NORM, norm)
    return norm


def is_resampled(config: TrainConfig, progress: Progress, *, rng: torch.Generator) -> bool:
    """Whether the model's own frames stand in for the true ones in this batch."""
    if progress.frames < config.resampled_from * config.total_frames:
        return False
    return bool(torch.rand((), generator=rng) < config.resampled)


def noise_levels(
    given: Bool[Tensor, "b f"], *, shift: float = 1.0, rng: torch.Generator, ranks: Ranks = ALONE
) -> Float[Tensor, "b f"]:
    """One level a frame, moved by ``shift``; sometimes one a clip; 0 where a frame is given."""
    b, f = given.shape
    t = shifted(logit_normal_times((ranks.count * b, f), rng=rng), shift=shift)
    is_equal = torch.rand(ranks.count * b, 1, generator=rng) < EQUAL_LEVEL_CHANCE
    return torch.where(is_equal, t[:, -1:], t)[ranks.rows(b)].masked_fill(given, 0.0)


def random_links(frames: int, *, rng: torch.Generator) -> Links:
    """A random choice of earlier frames for every frame of a clip."""
    chosen = torch.rand(frames, frames, generator=rng) < LINK_CHANCE
    return tuple(tuple(j for j in range(i) if chosen[i, j]) for i in range(frames))


@torch.no_grad()
def _update_average(run: Run, *, decay: float) -> None:
    for target, source in zip(run.average.parameters(), run.model.parameters(), strict=True):
        target.lerp_(source, 1.0 - decay)
