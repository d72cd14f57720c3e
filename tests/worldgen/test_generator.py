"""Our generator: weights there and back, files that are none, and pictures that depend on the seed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from render.frames import Frames, checked
from tests.oracles.small_models import SHORTCUT, SIDE, SMALL, fresh_model, perturbed_model, same
from tests.oracles.walks import walk_of
from worldgen import generator as generator_module
from worldgen.conditions import FEW_KNOWN, SceneUnits, channels_of, frames_of, known_pictures, nothing_known
from worldgen.depth import PRIOR, range_of
from worldgen.generator import REMEMBERED_FRAMES, WHOLE_STEPS, Generator, RGBDGenerator
from worldgen.model.attention import views_of
from worldgen.model.trunk import Recall
from worldgen.model.weights import HEADER, MAX_WEIGHTS_BYTES, load_model, save_model, weights_path
from worldgen.sampling.overlap import Overlap
from worldgen.sampling.schedules import Schedule
from worldgen.settle import settled

UNITS = SceneUnits(scale=1.5, span=PRIOR)


@pytest.fixture(scope="module")
def shortcut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "shortcut.safetensors"
    save_model(perturbed_model(config=SHORTCUT), path, size=SIDE)
    return path


@pytest.fixture(scope="module")
def walk() -> Frames:
    return walk_of(3, side=SIDE)


def test_weights_come_back_in_half_precision(weights: Path):
    model, size = load_model(weights)
    assert (model.config, size) == (SMALL, SIDE)
    expected = perturbed_model().state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor.bfloat16(), expected[name].bfloat16()), name
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_saving_leaves_one_file_and_reading_it_changes_nothing(weights: Path, tmp_path: Path):
    model, size = load_model(weights)
    save_model(model, tmp_path / "again.safetensors", size=size)
    assert [path.name for path in tmp_path.iterdir()] == ["again.safetensors"]
    before, after = load_file(weights), load_file(tmp_path / "again.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert {tensor.dtype for tensor in after.values()} == {torch.bfloat16}


def test_equal_weights_are_equal_files(weights: Path, tmp_path: Path):
    model, size = load_model(weights)
    for number in range(8):
        save_model(model, tmp_path / f"{number}.safetensors", size=size)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_weights_with_an_entry_for_every_fact_are_read(weights: Path, tmp_path: Path):
    entries = facts_of(weights)
    save_file(load_file(weights), tmp_path / "old.safetensors", entries)
    assert load_model(tmp_path / "old.safetensors")[0].config == load_model(weights)[0].config


def test_weights_that_do_not_say_how_they_see_cameras_see_them_by_projections(weights: Path, tmp_path: Path):
    path = broken(weights, tmp_path / "old.safetensors", header={"cameras": ""})
    assert load_model(path)[0].config == load_model(weights)[0].config
    assert load_model(path)[0].config.cameras == "prope"


def test_weights_say_whether_they_are_told_how_long_a_step_is(weights: Path, shortcut: Path, tmp_path: Path):
    model, _ = load_model(shortcut)
    assert model.config == SHORTCUT
    expected = perturbed_model(config=SHORTCUT).embed_step
    assert expected is not None
    assert model.embed_step is not None
    assert torch.equal(model.embed_step.table.bfloat16(), expected.table.bfloat16())
    assert "shortcut" not in facts_of(weights)  # files of flow models are what they were
    for path, claim in ((weights, "true"), (shortcut, "false"), (shortcut, "yes")):
        wrong = broken(path, tmp_path / "wrong.safetensors", header={"shortcut": claim})
        with pytest.raises(ValueError, match="does not hold weights of this model"):
            load_model(wrong)


def broken(weights: Path, path: Path, *, drop: str = "", header: dict[str, str] | None = None) -> Path:
    """A copy of the weights that lacks a tensor or has other entries in its header ("" removes one)."""
    entries = {key: value for key, value in {**facts_of(weights), **(header or {})}.items() if value}
    tensors = {name: tensor for name, tensor in load_file(weights).items() if name != drop}
    save_file(tensors, path, {HEADER: json.dumps(entries)})
    return path


def facts_of(weights: Path) -> dict[str, str]:
    """What the header of weights says of their model."""
    with safe_open(weights, framework="pt") as file:
        return json.loads(file.metadata()[HEADER])


@pytest.mark.parametrize(
    "header",
    [
        {"name": ""},
        {"size": ""},
        {"levels": ""},
        {"size": "large"},
        {"levels": "8,x"},
        {"levels": "8,16,32"},
        {"width": "128"},
        {"width": "-64"},
        {"head_width": "0"},
        {"depth": "8"},
        {"depth": "2"},
        {"cameras": "plucker"},
        {"cameras": "absolute"},
    ],
    ids=str,
)
def test_weights_with_a_wrong_header_are_refused(weights: Path, tmp_path: Path, header: dict[str, str]):
    path = broken(weights, tmp_path / "w.safetensors", header=header)
    with pytest.raises(ValueError, match=r"w\.safetensors does not hold weights of this model"):
        load_model(path)


def test_files_that_are_no_weights_are_refused(weights: Path, tmp_path: Path):
    names = ("text", "cut", "bare", "listed")
    text, cut, bare, listed = (tmp_path / f"{name}.safetensors" for name in names)
    text.write_text("these are not the weights you are looking for")
    cut.write_bytes(weights.read_bytes()[:2000])
    save_file(load_file(weights), bare)
    save_file(load_file(weights), listed, {HEADER: "[1, 2]"})
    lacking = broken(weights, tmp_path / "lacking.safetensors", drop="stem.weight")
    for path in (text, cut, bare, listed, lacking):
        with pytest.raises(ValueError, match="does not hold weights of this model"):
            load_model(path)


def test_weights_that_are_not_there_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"there are no weights at .*nonesuch"):
        weights_path(tmp_path / "nonesuch")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path):
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(MAX_WEIGHTS_BYTES + 1)  # sparse: no disk is used
    with pytest.raises(ValueError, match="1024 MiB"):
        weights_path(path)


def test_one_seed_gives_one_picture_and_another_seed_another(weights: Path, walk: Frames):
    generator, again = (RGBDGenerator(weights, steps=2) for _ in range(2))
    known, recall = nothing_known(walk.cameras[1:2]), walk[:1]
    first = generator(known, recall, units=UNITS, seed=3)
    assert same(first, generator(known, recall, units=UNITS, seed=3))
    assert same(first, again(known, recall, units=UNITS, seed=3))
    assert not same(first, generator(known, recall, units=UNITS, seed=4))
    assert checked(first) is first


@pytest.mark.parametrize(("steps", "expected"), [(2, WHOLE_STEPS), (WHOLE_STEPS + 8, WHOLE_STEPS + 8)])
def test_a_view_of_which_hardly_anything_is_known_takes_its_time(
    weights: Path, walk: Frames, steps: int, expected: int
):
    generator, whole = RGBDGenerator(weights, steps=steps), known_pictures(walk[2:])
    calls: list[int] = []
    generator.model.register_forward_hook(lambda *_: calls.append(1))
    for share, count in (
        (0.0, expected),
        (FEW_KNOWN - 0.1, expected),
        (FEW_KNOWN + 0.1, steps),
        (1.0, steps),
    ):
        shown = torch.arange(whole.has_rgb.numel()).view_as(whole.has_rgb) < share * whole.has_rgb.numel()
        known = dataclasses.replace(whole, has_rgb=shown, has_depth=shown)
        for recall in (None, walk[:1]):
            calls.clear()
            generator(known, recall, units=UNITS, seed=3)
            assert len(calls) == count


def test_what_is_recalled_changes_the_picture(weights: Path, walk: Frames):
    generator, known = RGBDGenerator(weights, steps=2), nothing_known(walk.cameras[2:])
    recalls = (None, walk[:0], walk[:1], walk[1:2], walk[:2])
    alone, empty, *others = (generator(known, recall, units=UNITS, seed=3) for recall in recalls)
    assert same(alone, empty)
    pictures = [alone, *others]
    assert not any(same(a, b) for i, a in enumerate(pictures) for b in pictures[:i])


def test_routing_to_fewer_frames_than_are_recalled_changes_the_picture_and_the_name(
    weights: Path, walk: Frames
):
    known, past = nothing_known(walk[2:3].cameras), walk[:2]
    dense, to_both, to_one = (RGBDGenerator(weights, steps=2, routed=routed) for routed in (None, 2, 1))
    pictures = [g(known, past, units=UNITS, seed=0).rgb for g in (dense, to_both, to_one)]
    assert torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])
    assert len({g.name for g in (dense, to_both, to_one)}) == 3
    with pytest.raises(ValueError, match="routed = 0"):
        RGBDGenerator(weights, routed=0)


def test_a_frame_recalled_again_is_not_read_again_and_changes_nothing(weights: Path, walk: Frames):
    known, units = nothing_known(walk.cameras[2:]), UNITS
    fresh, used = RGBDGenerator(weights, steps=1), RGBDGenerator(weights, steps=1)
    for i in range(REMEMBERED_FRAMES + 3):  # each of another colour, so the first ones are forgotten
        other = dataclasses.replace(walk[:1], rgb=walk.rgb[:1] * (0.5 + i / 100))
        used(known, other, units=units, seed=1)
    assert len(used._recalled) == REMEMBERED_FRAMES
    for _ in range(2):  # read, and then still there
        assert same(used(known, walk[:2], units=units, seed=1), fresh(known, walk[:2], units=units, seed=1))
    moved = SceneUnits(scale=2.0 * units.scale, span=units.span)
    assert not same(used(known, walk[:2], units=moved, seed=1), used(known, walk[:2], units=units, seed=1))


def test_a_model_that_learned_nothing_shows_what_is_known(tmp_path: Path, walk: Frames):
    save_model(fresh_model(), tmp_path / "fresh.safetensors", size=SIDE)
    generator = RGBDGenerator(tmp_path / "fresh.safetensors", steps=3)
    units = dataclasses.replace(UNITS, span=range_of(walk.depth / UNITS.scale, walk.valid))
    made = generator(known_pictures(walk[:1]), None, units=units, seed=0)
    torch.testing.assert_close(made.rgb, walk.rgb[:1], atol=1e-6, rtol=0)
    torch.testing.assert_close(made.depth, walk.depth[:1], atol=0, rtol=1e-4)


@pytest.mark.parametrize(("steps", "d"), [(1, 1.0), (2, 0.5), (3, 0.25), (4, 0.25)])
def test_a_shortcut_model_takes_even_euler_steps_and_is_told_their_length(
    shortcut: Path, walk: Frames, steps: int, d: float
):
    generator, known = RGBDGenerator(shortcut, steps=steps), nothing_known(walk.cameras[2:])
    x = torch.randn(1, 1, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    condition, views = channels_of(known, UNITS), views_of(walk.cameras, scale=UNITS.scale)
    recall = Recall.joined([generator._reader(walk[i : i + 1], UNITS)(0.0) for i in range(2)])
    noise = x
    with torch.no_grad():
        for i in range(steps):
            t = torch.full((1, 1), 1.0 - i / steps)
            told = {"condition": condition, "views": views[2:], "recall": recall}
            clean = generator.model(x, t, d=torch.full_like(t, d), **told)
            x = x - (x - clean) / t / steps
    expected = frames_of(settled(x, condition), walk.cameras[2:], UNITS)
    found = generator.imagine(known, walk[:2], units=UNITS, noise=noise)
    torch.testing.assert_close(found.rgb, expected.rgb, atol=1e-4, rtol=0)
    assert checked(found) is found


def test_the_remembered_views_of_a_shortcut_model_serve_any_number_of_steps(shortcut: Path, walk: Frames):
    few, many = (RGBDGenerator(shortcut, steps=steps) for steps in (1, 8))
    first, second = (generator._reader(walk[:1], UNITS)(0.0) for generator in (few, many))
    for ours, theirs in zip(first.keys + first.values, second.keys + second.values, strict=True):
        assert torch.equal(ours, theirs)


def test_a_shortcut_model_takes_schedules_of_even_steps_and_no_others(shortcut: Path, walk: Frames):
    known = nothing_known(walk.cameras)
    pyramid = RGBDGenerator(shortcut, steps=2, schedule=Schedule("pyramid"))
    assert checked(pyramid(known, None, units=UNITS, seed=1)).rgb.shape[0] == 3
    for uneven in ({"shift": 2.0}, {"schedule": Overlap(4)}):
        with pytest.raises(ValueError, match="a shortcut model takes steps of one length, got shift"):
            RGBDGenerator(shortcut, **uneven)


def test_a_name_tells_weights_and_steps_apart(weights: Path, tmp_path: Path):
    save_model(perturbed_model(seed=5), tmp_path / "other.safetensors", size=SIDE)
    generators = [
        RGBDGenerator(weights, steps=2),
        RGBDGenerator(weights, steps=3),
        RGBDGenerator(tmp_path / "other.safetensors", steps=2),
    ]
    assert len({generator.name for generator in generators}) == 3
    assert {generator.size for generator in generators} == {SIDE}
    assert all(isinstance(generator, Generator) for generator in generators)


def test_another_way_of_sampling_has_another_name(weights: Path, monkeypatch: pytest.MonkeyPatch):
    before = RGBDGenerator(weights, steps=2).name
    monkeypatch.setattr(generator_module, "SAMPLING", generator_module.SAMPLING + 1)
    after = RGBDGenerator(weights, steps=2).name
    assert before != after
    assert before.split(":")[::3] == after.split(":")[::3]  # the weights' name and the steps stay readable


@pytest.mark.parametrize("steps", [0, 65, -1])
def test_impossible_numbers_of_steps_are_refused(weights: Path, steps: int):
    with pytest.raises(ValueError, match="between 1 and 64"):
        RGBDGenerator(weights, steps=steps)


@pytest.mark.gpu
def test_a_cuda_device_draws_what_the_cpu_draws_and_the_same_every_time(weights: Path, walk: Frames):
    on_cuda, on_cpu = (RGBDGenerator(weights, steps=2, device=device) for device in ("cuda", "cpu"))
    known = known_pictures(walk[2:])
    first, again, expected = (g(known, walk[:2], units=UNITS, seed=1) for g in (on_cuda, on_cuda, on_cpu))
    assert same(first, again)
    assert first.rgb.device.type == "cpu"
    assert (first.rgb - expected.rgb).abs().mean() < 0.02  # bfloat16 against float32 or bfloat16
