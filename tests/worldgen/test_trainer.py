"""The trainer: closed forms of one step, a batch learned by heart, and runs cut in two."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from tests.oracles.small_models import SHORTCUT, SMALL, SMALL_CLIPS, perturbed_model, random_views
from worldgen.model.attention import Views
from worldgen.model.rgbd import ModelConfig
from worldgen.model.weights import load_model, save_model
from worldgen.sampling.flow import MIN_TIME
from worldgen.training.checkpoint import CheckpointMismatch, Progress, Run
from worldgen.training.clips import Clip, clip_of
from worldgen.training.config import Stage, TrainConfig
from worldgen.training.run import begun
from worldgen.training.shortcut import drawn
from worldgen.training.trainer import CHECKPOINT, TRAINED, Step, clips_of, learning_rate, train
from worldgen.training.update import (
    GRADIENT_NORM,
    LINK_CHANCE,
    is_resampled,
    noise_levels,
    random_links,
    update,
)
from worldgen.worlds import random_scene, random_walk_cameras, render

CPU = torch.device("cpu")
CONFIG = SMALL_CLIPS


def smooth_clip(*, b: int = 2, f: int = 3, size: int = 16, seed: int = 0) -> Clip:
    """Made-up frames of which nothing is known but the rays."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn(b * f, 4, 4, 4, generator=rng)
    images = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear").view(b, f, 4, size, size)
    views = random_views(b=b, f=f, seed=seed)
    condition = torch.zeros(b, f, 11, size, size)
    condition[:, :, 7:9] = torch.randn(b, f, 2, size, size, generator=rng)
    given = torch.zeros(b, f, dtype=torch.bool)
    return Clip(
        images=images,
        condition=condition,
        w2c=views.w2c,
        K_norm=views.K_norm,
        given=given,
        is_shown=torch.zeros_like(given),
        span=torch.tensor([[0.0, 3.0]]).expand(b, 2),
    )


def after(step: int) -> Progress:
    """So many steps in."""
    return Progress(step=step, frames=6 * step, clips=2 * step)


def levels_of_step(clip: Clip, step: int) -> torch.Tensor:
    """The noise levels that step number ``step`` uses."""
    rng = torch.Generator().manual_seed(CONFIG.seed * 1_000_003 + step)
    return noise_levels(clip.given, shift=CONFIG.time_shift, rng=rng)


def test_the_first_loss_is_that_of_answering_with_zero():
    clip = smooth_clip()
    errors = update(begun(CONFIG, device=CPU), clip, rate=1e-3, config=CONFIG, progress=after(5))
    weight = 1.0 / levels_of_step(clip, 5).clamp_min(MIN_TIME)[:, :, None, None, None] ** 2
    rgb, depth = clip.images[:, :, :3], clip.images[:, :, 3:]
    loss = (weight * rgb**2).mean() + CONFIG.depth_weight * (weight * depth**2).mean()
    assert errors["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert errors["rgb_error"] == pytest.approx(float((rgb**2).mean()), rel=1e-5)
    assert errors["depth_error"] == pytest.approx(float(depth.abs().mean()), rel=1e-5)


def test_what_is_known_also_counts_by_its_absolute_error():
    clip = smooth_clip()
    clip.condition[:, :, 4, :8] = 1.0
    clip.condition[:, :, 5, :, 4:] = 1.0
    clip.condition[:, :, :4] = clip.images + 0.01
    kinds = (CONFIG, dataclasses.replace(CONFIG, known_weight=0.0))
    losses = [
        update(begun(config, device=CPU), clip, rate=1e-3, config=config, progress=after(5))["loss"]
        for config in kinds
    ]
    assert losses[0] - losses[1] == pytest.approx(2 * 0.01 * CONFIG.known_weight, rel=1e-3)


def test_a_run_may_start_from_weights(tmp_path: Path):
    save_model(perturbed_model(), tmp_path / "w.safetensors", size=32)
    run = begun(CONFIG, device=CPU, start_from=tmp_path / "w.safetensors")
    for network in (run.model, run.average):
        for name, tensor in perturbed_model().state_dict().items():
            torch.testing.assert_close(network.state_dict()[name], tensor.bfloat16().float())
    renamed = dataclasses.replace(CONFIG, model=dataclasses.replace(SMALL, name="mine"))
    assert begun(renamed, device=CPU, start_from=tmp_path / "w.safetensors").model.config.name == "mine"
    other = dataclasses.replace(CONFIG, model=ModelConfig())
    with pytest.raises(CheckpointMismatch, match="the recipe wants"):
        begun(other, device=CPU, start_from=tmp_path / "w.safetensors")


def test_a_recipe_may_name_the_weights_that_a_run_starts_from(tmp_path: Path):
    for name in ("recipe", "asked"):
        save_model(perturbed_model(seed=len(name)), tmp_path / name, size=32)
    config = dataclasses.replace(CONFIG, start_from=str(tmp_path / "recipe"), learning_rate=1e-12)
    for asked, seed in ((None, 6), (tmp_path / "asked", 5)):
        folder = tmp_path / f"run-{seed}"
        next(iter(train(config, folder, device=CPU, save_every=1, workers=0, start_from=asked)))
        model, _ = load_model(folder / TRAINED)
        assert torch.equal(model.stem.weight, load_model(asked or tmp_path / "recipe")[0].stem.weight)
        torch.testing.assert_close(
            model.stem.weight.float(), perturbed_model(seed=seed).stem.weight.bfloat16().float()
        )
    with pytest.raises(ValueError, match="there are no weights at nonesuch"):
        begun(CONFIG, device=CPU, start_from="nonesuch")


SHORTCUT_CONFIG = dataclasses.replace(CONFIG, model=SHORTCUT, shortcut=0.5, known_weight=0.0)


def test_a_shortcut_run_starts_from_a_flow_model_and_never_the_other_way(tmp_path: Path):
    for model in (perturbed_model(), perturbed_model(config=SHORTCUT)):
        save_model(model, tmp_path / str(model.config.shortcut), size=32)
    from_flow, from_shortcut = (
        begun(SHORTCUT_CONFIG, device=CPU, start_from=tmp_path / name).model for name in ("False", "True")
    )
    assert torch.equal(from_flow.stem.weight, from_shortcut.stem.weight)
    assert from_flow.embed_step is not None
    assert from_shortcut.embed_step is not None
    assert not from_flow.embed_step.table.any()
    assert from_shortcut.embed_step.table.all()
    with pytest.raises(CheckpointMismatch, match="the recipe wants"):
        begun(CONFIG, device=CPU, start_from=tmp_path / "True")


def test_a_batch_without_long_steps_is_that_of_flow_matching_but_for_its_weights():
    # A share so small that no clip is chosen; the fresh model answers with zero, as above.
    config, clip = dataclasses.replace(SHORTCUT_CONFIG, shortcut=1e-9), smooth_clip()
    errors = update(begun(config, device=CPU), clip, rate=1e-3, config=config, progress=after(5))
    weight = (1.0 - 0.9 * levels_of_step(clip, 5))[:, :, None, None, None]
    rgb, depth = clip.images[:, :, :3], clip.images[:, :, 3:]
    loss = (weight * rgb**2).mean() + CONFIG.depth_weight * (weight * depth**2).mean()
    assert errors["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert errors["rgb_error"] == pytest.approx(float((rgb**2).mean()), rel=1e-5)
    assert "semigroup_error" not in errors


def test_long_steps_are_taught_by_two_half_steps_of_the_average():
    config, clip = dataclasses.replace(SHORTCUT_CONFIG, depth_weight=1.0), smooth_clip()
    clip.given[:, 0] = True
    model, average = (perturbed_model(seed=seed, config=SHORTCUT).requires_grad_() for seed in (0, 5))
    told = update(
        Run(model=model, average=average, optimizers=[]), clip, rate=0.0, config=config, progress=after(0)
    )
    assert all(parameter.grad is None for parameter in average.parameters())
    # The same draws, and the formulas of A9.1 written out; a clip is bootstrapped, the other is not.
    rng = torch.Generator().manual_seed(config.seed * 1_000_003)
    plain = noise_levels(clip.given, shift=config.time_shift, rng=rng)
    noise = torch.randn(clip.images.shape, generator=rng)
    links = random_links(3, rng=rng)
    draw = drawn(plain, share=config.shortcut, rng=rng)
    assert len(draw.rows) == 1
    t, d = (values[:, :, None, None, None] for values in (draw.t, draw.d))
    is_long = d > 1 / 64
    assert is_long[:, 1:].any()
    x = (1.0 - t) * clip.images + t * noise
    half = torch.where(is_long, d / 2, 0.0)
    known = {"condition": clip.condition, "views": Views(w2c=clip.w2c, K_norm=clip.K_norm), "links": links}
    length = torch.where(is_long, d / 2, d)[:, :, 0, 0, 0]
    reference = perturbed_model(seed=5, config=SHORTCUT)
    with torch.no_grad():
        first = (x - reference(x, draw.t, d=length, **known)) / t.clamp_min(1e-3)
        second = reference(x - half * first, (t - half)[:, :, 0, 0, 0], d=length, **known)
        second = (x - half * first - second) / (t - half).clamp_min(1e-3)
        target = torch.where(is_long, x - t * (first + second) / 2, clip.images)
        answer = perturbed_model(config=SHORTCUT)(x, draw.t, d=draw.d, **known)
    gap = (answer - target)[:, 1:]
    loss = ((1.0 - 0.9 * t[:, 1:]) * gap**2).mean(dim=(0, 1, 3, 4))
    assert told["loss"] == pytest.approx(float(loss[:3].mean() + loss[3]), rel=1e-3)
    errors = (answer - target).flatten(2).square().mean(dim=2).sqrt() * draw.d / draw.t
    assert told["semigroup_error"] == pytest.approx(float(errors[is_long[..., 0, 0, 0]].mean()), rel=1e-3)


def test_a_shortcut_batch_is_learned():
    config = dataclasses.replace(SHORTCUT_CONFIG, learning_rate=1e-2, ema=0.5)
    run, clip = begun(config, device=CPU), smooth_clip(b=2, f=2)
    steps = [update(run, clip, rate=1e-2, config=config, progress=after(0)) for _ in range(12)]
    assert steps[-1]["loss"] < 0.5 * steps[0]["loss"]
    assert run.model.embed_step is not None
    assert run.model.embed_step.table[-1].any()


def test_a_run_leaves_weights_that_generators_read(tmp_path: Path):
    list(train(CONFIG, tmp_path, device=CPU, workers=0))
    model, size = load_model(tmp_path / TRAINED)
    assert model.config == SMALL
    assert size == CONFIG.stages[-1].size


def test_frames_that_are_given_count_for_nothing():
    clip = smooth_clip()
    clip.given[:, 0] = True
    clip.images[:, 0] = 100.0
    errors = update(begun(CONFIG, device=CPU), clip, rate=1e-3, config=CONFIG, progress=after(0))
    others = clip.images[:, 1:]
    assert errors["rgb_error"] == pytest.approx(float((others[:, :, :3] ** 2).mean()), rel=1e-5)
    assert errors["depth_error"] == pytest.approx(float(others[:, :, 3:].abs().mean()), rel=1e-5)


def test_a_batch_is_learned_by_heart():
    config = dataclasses.replace(CONFIG, learning_rate=1e-2)
    run, clip = begun(config, device=CPU), smooth_clip(b=1, f=2)
    losses = [update(run, clip, rate=1e-2, config=config, progress=after(0))["loss"] for _ in range(20)]
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_long_gradients_are_shortened_and_their_length_is_told(scale: float, monkeypatch: pytest.MonkeyPatch):
    def length(limit: float) -> tuple[float, float]:
        monkeypatch.setattr("worldgen.training.update.GRADIENT_NORM", limit)
        run = Run(model=perturbed_model(), average=perturbed_model(), optimizers=[])
        clip = dataclasses.replace(smooth_clip(), images=scale * smooth_clip().images)
        told = update(run, clip, rate=0.0, config=CONFIG, progress=after(0))["gradient_norm"]
        gradients = [p.grad.flatten() for p in run.model.parameters() if p.grad is not None]
        return told, float(torch.cat(gradients).double().norm())

    told, unshortened = length(float("inf"))
    assert told == pytest.approx(unshortened, rel=1e-4)
    assert length(GRADIENT_NORM) == pytest.approx((told, min(told, GRADIENT_NORM)), rel=1e-4)


def test_the_average_follows_the_weights():
    run, clip = begun(CONFIG, device=CPU), smooth_clip()
    before = copy.deepcopy(run.average.state_dict())
    update(run, clip, rate=1e-2, config=CONFIG, progress=after(4))
    decay = min(CONFIG.ema, 5 / 14)
    for name, weight in run.model.state_dict().items():
        expected = decay * before[name] + (1.0 - decay) * weight
        torch.testing.assert_close(run.average.state_dict()[name], expected)


def test_the_rate_of_a_step_is_that_of_every_optimiser():
    run = begun(CONFIG, device=CPU)
    before = copy.deepcopy(run.model.state_dict())
    update(run, smooth_clip(), rate=0.0, config=CONFIG, progress=after(0))
    assert all(torch.equal(before[name], weight) for name, weight in run.model.state_dict().items())


def test_every_weight_is_in_the_care_of_one_optimiser():
    run = begun(CONFIG, device=CPU)
    names = {parameter: name for name, parameter in run.model.named_parameters()}
    muon, adam = (
        {names[p] for group in optimizer.param_groups for p in group["params"]}
        for optimizer in run.optimizers
    )
    assert muon | adam == set(names.values())
    assert not muon & adam
    assert {name.split(".", 3)[3] for name in muon} == {
        "qkv.weight",
        "merge.weight",
        "expand.weight",
        "contract.weight",
    }


def test_the_learning_rate_rises_holds_and_falls_to_zero():
    config = TrainConfig(
        model=SMALL, stages=(Stage(size=32, frames=1000),), learning_rate=2e-3, warmup_steps=10, cooldown=0.2
    )

    def rate(step: int, frames: int) -> float:
        return learning_rate(config, Progress(step=step, frames=frames, clips=0))

    assert rate(0, 0) == pytest.approx(2e-4)
    assert rate(4, 40) == pytest.approx(1e-3)
    assert rate(9, 90) == pytest.approx(2e-3)
    assert rate(79, 800) == pytest.approx(2e-3)
    assert rate(89, 900) == pytest.approx(1e-3)
    assert rate(99, 1000) == 0.0


def test_a_run_without_warm_up_or_cool_down_has_one_rate():
    config = dataclasses.replace(CONFIG, warmup_steps=0, cooldown=0.0)
    rates = {learning_rate(config, Progress(step=step, frames=3 * step, clips=0)) for step in range(6)}
    assert rates == {CONFIG.learning_rate}


@given(frames=st.integers(1, 8), seed=st.integers(0, 10_000))
def test_links_go_back_in_time_only(frames: int, seed: int):
    links = random_links(frames, rng=torch.Generator().manual_seed(seed))
    assert len(links) == frames
    assert all(0 <= j < i for i in range(frames) for j in links[i])
    assert all(len(set(linked)) == len(linked) for linked in links)


def test_links_are_as_frequent_as_documented():
    rng = torch.Generator().manual_seed(0)
    drawn = [random_links(4, rng=rng) for _ in range(500)]
    share = sum(len(linked) for links in drawn for linked in links) / (6 * len(drawn))
    assert share == pytest.approx(LINK_CHANCE, abs=0.03)


def test_given_frames_carry_no_noise_and_some_clips_share_one_level():
    given_frames = torch.zeros(400, 3, dtype=torch.bool)
    given_frames[::2, 0] = True
    t = noise_levels(given_frames, rng=torch.Generator().manual_seed(0))
    assert torch.equal(t == 0.0, given_frames)
    assert ((t[:, 1] == t[:, 2]).float().mean() - 0.2).abs() < 0.06
    assert (t < 1.0).all()


def test_a_shift_moves_the_levels_of_training_towards_noise():
    none = torch.zeros(8, 3, dtype=torch.bool)
    plain, moved = (
        noise_levels(none, shift=shift, rng=torch.Generator().manual_seed(2)).double() for shift in (1.0, 3.0)
    )
    # s t / (1 + (s - 1) t) multiplies the odds t / (1 - t) by s.
    torch.testing.assert_close(moved / (1.0 - moved), 3.0 * plain / (1.0 - plain), rtol=1e-4, atol=0)


def steps_of(folder: Path, *, take: int | None = None) -> list[Step]:
    steps = train(CONFIG, folder, device=CPU, save_every=1, workers=0)
    return list(itertools.islice(steps, take))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Step]]:
    """A run that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, steps_of(folder)


def without_clock(steps: list[Step]) -> list[Step]:
    return [dataclasses.replace(step, elapsed_s=0.0, waited_s=0.0, is_saved=True) for step in steps]


def test_training_reports_every_step_of_every_stage(whole: tuple[Path, list[Step]]):
    steps = whole[1]
    assert [step.size for step in steps] == [32, 32, 24, 24]
    assert [step.progress.frames for step in steps] == [6, 12, 15, 18]
    assert [step.progress.clips for step in steps] == [2, 4, 5, 6]
    assert [step.progress.step for step in steps] == [1, 2, 3, 4]
    assert [step.frames for step in steps] == [6, 6, 3, 3]
    assert all(step.gradient_norm > 0.0 and step.waited_s >= 0.0 for step in steps)


def test_steps_say_whether_they_were_saved(tmp_path: Path):
    steps = train(CONFIG, tmp_path, device=CPU, save_every=3, workers=0)
    assert [(step.is_saved, (tmp_path / CHECKPOINT).exists()) for step in steps] == [
        (False, False),
        (False, False),
        (True, True),
        (True, True),
    ]


def test_a_run_that_was_interrupted_ends_as_one_that_was_not(whole: tuple[Path, list[Step]], tmp_path: Path):
    folder, steps = whole
    pieces = [steps_of(tmp_path, take=1), steps_of(tmp_path, take=1), steps_of(tmp_path)]
    assert without_clock([step for piece in pieces for step in piece]) == without_clock(steps)
    expected, found = load_file(folder / CHECKPOINT), load_file(tmp_path / CHECKPOINT)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name


def test_a_run_goes_on_from_its_last_checkpoint(whole: tuple[Path, list[Step]], tmp_path: Path):
    steps = train(CONFIG, tmp_path, device=CPU, save_every=2, workers=0)
    for _ in range(3):
        next(steps)
    steps.close()
    again = next(iter(train(CONFIG, tmp_path, device=CPU, workers=0)))
    assert without_clock([again]) == without_clock(whole[1][2:3])


def test_a_finished_run_has_nothing_left_to_do(whole: tuple[Path, list[Step]]):
    folder, _ = whole
    content = (folder / CHECKPOINT).read_bytes()
    assert steps_of(folder) == []
    assert (folder / CHECKPOINT).read_bytes() == content


def test_another_seed_begins_with_other_weights():
    runs: list[Run] = [begun(dataclasses.replace(CONFIG, seed=seed), device=CPU) for seed in (0, 0, 1)]
    stems = [run.model.state_dict()["stem.weight"] for run in runs]
    assert torch.equal(stems[0], stems[1])
    assert not torch.equal(stems[0], stems[2])


def test_resampling_begins_late_and_as_often_as_asked():
    config = dataclasses.replace(CONFIG, resampled=0.25, resampled_from=0.5)
    rng = torch.Generator().manual_seed(0)
    early, late = (Progress(step=1, frames=frames, clips=1) for frames in (8, 9))
    assert not any(is_resampled(config, early, rng=rng) for _ in range(100))
    assert 0.15 < sum(is_resampled(config, late, rng=rng) for _ in range(400)) / 400 < 0.35
    assert not any(is_resampled(CONFIG, late, rng=rng) for _ in range(100))


def test_a_resampled_step_learns_from_other_renders_and_nothing_else():
    rng = np.random.default_rng(0)
    scene = random_scene(5)
    walk = render(scene, random_walk_cameras(scene, n=4, seed=1, width=32, height=32))
    clip = next(clip for clip in (clip_of(walk, rng=rng) for _ in range(50)) if clip.is_shown.any())
    losses = []
    for share in (0.0, 1.0):
        config = dataclasses.replace(CONFIG, resampled=share, resampled_from=0.0)
        run = Run(model=perturbed_model(), average=perturbed_model(), optimizers=[])
        losses.append(update(run, clip, rate=1e-3, config=config, progress=after(1))["loss"])
    assert losses[0] != losses[1]
    unseen = dataclasses.replace(clip, is_shown=torch.zeros_like(clip.is_shown))
    same = [
        update(
            Run(model=perturbed_model(), average=perturbed_model(), optimizers=[]),
            unseen,
            rate=1e-3,
            config=dataclasses.replace(CONFIG, resampled=share, resampled_from=0.0),
            progress=after(1),
        )["loss"]
        for share in (0.0, 1.0)
    ]
    assert same[0] == same[1]


def test_a_recipe_says_which_worlds_clips_walk_through_and_how_they_are_degraded():
    stage = Stage(size=16, frames=8)
    plain = TrainConfig(model=SMALL, stages=(stage,), clip_frames=2)
    street = dataclasses.replace(plain, kinds={"street": 1.0})
    exact, spoilt = (dataclasses.replace(plain, degraded=chance) for chance in (0.0, 1.0))
    first, again, elsewhere = (clips_of(config, stage)[3].images for config in (plain, plain, street))
    assert torch.equal(first, again)
    assert not torch.equal(first, elsewhere)
    conditions = [[clips_of(config, stage)[i].condition for i in range(6)] for config in (exact, spoilt)]
    assert not all(torch.equal(a, b) for a, b in zip(*conditions, strict=True))
    full = dataclasses.replace(plain, corruption="full")
    pairs = ([clips_of(config, stage)[i].condition for config in (plain, full)] for i in range(6))
    assert any(not torch.equal(a, b) for a, b in pairs)
