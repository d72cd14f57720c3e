"""Gradients of splats: kernels against the twin, the twin against differences and gsplat, hard cases."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from render._splats.arrays import CHUNK
from render.cameras import Cameras
from render.gaussians import Gaussians
from render.splat_twin import projected, sh_colours
from render.splats import Backend, render_splats
from tests.oracles import gsplat_reference
from tests.oracles.box_room import room_cameras
from tests.oracles.random_splats import doubled, order_is_safe, random_splats, stacked_splats

pytestmark = pytest.mark.usefixtures("splat_kernels")

NAMES = [field.name for field in dataclasses.fields(Gaussians)]
PINK = torch.tensor([0.9, 0.3, 0.5])


def front(width: int = 41, height: int = 33) -> Cameras:
    """A camera at the origin."""
    K = torch.tensor([[[50.0, 0.0, 0.5 * width], [0.0, 60.0, 0.5 * height], [0.0, 0.0, 1.0]]])
    return Cameras(c2w=torch.eye(4)[None], K=K, width=width, height=height)


def slopes(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    backend: Backend,
    background: Tensor = PINK,
    threads: int = 1,
) -> dict[str, Tensor]:
    """Gradients of a random weighting of all that is drawn, by everything that it is drawn from."""
    leaves = {name: getattr(gaussians, name).clone().requires_grad_() for name in NAMES}
    c2w, behind = cameras.c2w.clone().requires_grad_(), background.to(cameras.c2w).clone().requires_grad_()
    image = render_splats(
        Gaussians(**leaves),
        dataclasses.replace(cameras, c2w=c2w),
        background=behind,
        backend=backend,
        threads=threads,
    )
    rng = torch.Generator().manual_seed(3)
    parts = [
        (part * torch.randn(part.shape, generator=rng).to(part)).sum()
        for part in (image.rgb, image.depth, image.alpha)
    ]
    torch.stack(parts).sum().backward()
    leaves |= {"c2w": c2w, "background": behind}
    return {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}


def assert_as_the_twin(gaussians: Gaussians, cameras: Cameras, *, rtol: float = 1e-3, **more: Tensor) -> None:
    own = slopes(gaussians, cameras, backend="numba", **more)
    twin = slopes(doubled(gaussians), doubled(cameras), backend="torch", **more)
    assert own.keys() == twin.keys()
    for name, expected in twin.items():
        error = (own[name].double() - expected).norm() / expected.norm().clamp_min(1e-12)
        assert error < rtol, (name, float(error))


@pytest.mark.parametrize(("degree", "size"), [(0, -2.5), (1, -4.0), (2, -2.5), (3, -1.5)])
def test_the_kernels_have_the_slopes_of_the_twin(degree: int, size: float):
    gaussians = random_splats(300, degree=degree, size=size)
    assert order_is_safe(gaussians, room_cameras())
    assert_as_the_twin(gaussians, room_cameras(), rtol=1e-4)


def test_the_twin_has_the_slopes_of_finite_differences():
    gaussians, cameras = doubled(random_splats(4, degree=1, size=-1.0)), doubled(front(width=7, height=5))

    def rendered(c2w: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        splats = Gaussians(**dict(zip(NAMES, values, strict=True)))
        image = render_splats(splats, dataclasses.replace(cameras, c2w=c2w), backend="torch")
        return image.rgb, image.depth, image.alpha

    values = [cameras.c2w, *(getattr(gaussians, name) for name in NAMES)]
    # A pose is rigid: what turns its last row into something else is no pose.
    assert torch.autograd.gradcheck(
        rendered, [value.clone().requires_grad_() for value in values], atol=1e-5, rtol=1e-3
    )


def test_the_twin_projects_with_the_slopes_of_gsplat():
    gaussians, cameras = doubled(random_splats(200, size=-2.5)), doubled(room_cameras()[:1])
    rng = torch.Generator().manual_seed(0)
    weights = torch.randn(200, 6, generator=rng, dtype=torch.float64)
    found = []
    for ours in (True, False):
        leaves = {name: getattr(gaussians, name).clone().requires_grad_() for name in NAMES[:3]}
        splats = dataclasses.replace(gaussians, **leaves)
        seen = projected(splats, cameras, view=0)
        if ours:
            columns, at = [seen.uv, seen.depth[:, None], seen.conics], slice(None)
        else:
            uv, depth, conics = gsplat_reference.projected(splats, cameras)
            columns, at = [uv[0], depth[0][:, None], conics[0]], seen.ids
        (torch.cat(columns, dim=-1)[at] * weights[seen.ids]).sum().backward()
        found.append(leaves)
    for name in NAMES[:3]:
        torch.testing.assert_close(found[0][name].grad, found[1][name].grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("degree", [0, 3])
def test_the_kernels_have_the_values_and_slopes_of_gsplats_torch_code(degree: int):
    gaussians, cameras = random_splats(400, degree=degree, size=-2.0, seed=6), room_cameras()[:1]
    assert order_is_safe(gaussians, cameras)
    weights = torch.randn(44, 60, 5, generator=torch.Generator().manual_seed(1))
    # gsplat is given double precision, so that it is the one that is right; ours is judged as it is.
    found = []
    for splats, lens in ((gaussians, cameras), (doubled(gaussians), doubled(cameras))):
        leaves = {name: getattr(splats, name).clone().requires_grad_() for name in NAMES}
        taught = Gaussians(**leaves)
        if splats is gaussians:
            image = render_splats(taught, lens, backend="numba")
            drawn = torch.cat([image.rgb, image.depth * image.alpha, image.alpha], dim=-1)[0]
        else:
            drawn = gsplat_reference.layers(taught, lens, gsplat_reference.pairs(splats, lens))
        (drawn * weights).sum().backward()
        found.append((drawn.detach(), leaves))
    (own, ours), (expected, theirs) = found
    torch.testing.assert_close(own.double(), expected, atol=1e-4, rtol=0)
    for name in NAMES:
        slope = theirs[name].grad
        assert (ours[name].grad.double() - slope).norm() < 1e-3 * slope.norm(), name


@pytest.mark.parametrize("k", [4, 9, 16])
def test_harmonics_have_the_slopes_that_they_have_for_gsplat(k: int):
    rng = torch.Generator().manual_seed(0)
    sh = torch.randn(50, k, 3, generator=rng, dtype=torch.float64)
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=rng, dtype=torch.float64), dim=-1)
    found = []
    for colours in (sh_colours, gsplat_reference.sh_colours):
        leaves = sh.clone().requires_grad_(), directions.clone().requires_grad_()
        colours(*leaves).square().sum().backward()
        found.append([leaf.grad for leaf in leaves])
    (own, turned), (expected, other) = found
    torch.testing.assert_close(own, expected, rtol=1e-6, atol=1e-9)
    # gsplat normalises what it is given: its slope along the direction is nought, ours need not be.
    turned = turned - (turned * directions).sum(dim=-1, keepdim=True) * directions
    torch.testing.assert_close(turned, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_slopes_are_the_same_bits_every_time_and_on_any_number_of_threads(threads: int):
    gaussians = random_splats(700, degree=1, size=-2.0)
    first = slopes(gaussians, room_cameras(), backend="numba")
    again = slopes(gaussians, room_cameras(), backend="numba", threads=threads)
    for name, slope in first.items():
        assert torch.equal(slope, again[name]), name


def test_slopes_of_more_gaussians_than_one_job_projects():
    few = random_splats(60, size=-2.0)
    hidden = random_splats(CHUNK, size=-2.0)
    hidden = dataclasses.replace(hidden, means=hidden.means - torch.tensor([0.0, 0.0, 100.0]))
    many = Gaussians(**{name: torch.cat([getattr(hidden, name), getattr(few, name)]) for name in NAMES})
    alone, among = (slopes(g, front(), backend="numba") for g in (few, many))
    for name in NAMES:
        assert torch.equal(among[name][CHUNK:], alone[name]), name
        assert not among[name][:CHUNK].any(), name
    torch.testing.assert_close(among["c2w"], alone["c2w"], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 16), (17, 15), (70, 33)])
def test_slopes_in_pictures_of_any_size(width: int, height: int):
    assert_as_the_twin(random_splats(60, size=-1.5), front(width, height))


def test_slopes_of_long_needles():
    gaussians = random_splats(40, size=-3.0, seed=4)
    thin = gaussians.log_scales.clone()
    thin[:, 0], thin[:, 1:] = 0.0, -9.0
    # A covariance of 1e-8 beside one of 1: single precision keeps three digits of how they turn.
    needles = dataclasses.replace(gaussians, log_scales=thin)
    assert_as_the_twin(needles, front(), rtol=3e-3)


def test_slopes_of_huge_faint_and_near_gaussians():
    gaussians = random_splats(60, size=-2.0, seed=5)
    parts = gaussians.log_scales, gaussians.logit_opacities, gaussians.means
    log_scales, logits, means = (part.clone() for part in parts)
    log_scales[:10] += 4.0  # larger than the picture
    logits[10:20] = -5.4  # just above and just below 1/255
    logits[20:30] = 12.0  # opaque: alpha is clamped
    means[30:40, 2] = torch.linspace(0.005, 0.02, 10)  # on both sides of the near plane
    means[40:50, 2] = -1.0  # behind
    changed = dataclasses.replace(gaussians, log_scales=log_scales, logit_opacities=logits, means=means)
    assert_as_the_twin(changed, front())
    own = slopes(changed, front(), backend="numba")
    assert not own["means"][40:50].any()
    assert all(slope.isfinite().all() for slope in own.values())


def test_slopes_without_gaussians_are_those_of_the_background():
    own = slopes(random_splats(0), front(), backend="numba")
    assert own["background"].abs().min() > 0
    assert not own["c2w"].any()
    assert own["means"].shape == (0, 3)


@pytest.mark.parametrize("name", ["means", "quats", "log_scales", "logit_opacities"])
def test_a_broken_gaussian_has_no_slopes_and_spoils_none(name: str):
    gaussians = random_splats(30)
    values = getattr(gaussians, name).clone()
    values[7] = math.nan
    own = slopes(dataclasses.replace(gaussians, **{name: values}), front(), backend="numba")
    for slope in own.values():
        assert slope.isfinite().all()
    assert not own["means"][7].any()


def test_slopes_of_fifty_thousand_gaussians_in_one_tile_add_up():
    stack, cameras = stacked_splats(50_000), front(width=5, height=3)
    own = slopes(stack, cameras, backend="numba")
    twin = slopes(doubled(stack), doubled(cameras), backend="torch")
    for name in ("means", "log_scales", "logit_opacities", "sh"):
        error = (own[name].double() - twin[name]).norm() / twin[name].norm()
        assert error < 1e-3, (name, float(error))
    again = slopes(stack, cameras, backend="numba", threads=3)
    assert all(torch.equal(slope, again[name]) for name, slope in own.items())


def test_the_background_may_be_a_picture():
    gaussians, cameras = random_splats(50), room_cameras()
    shape = len(cameras), cameras.height, cameras.width, 3
    picture = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    image = render_splats(gaussians, cameras, background=picture)
    black = render_splats(gaussians, cameras)
    torch.testing.assert_close(image.rgb, black.rgb + (1.0 - black.alpha) * picture)
    assert_as_the_twin(gaussians, cameras, background=picture)


def test_fitting_a_few_splats_to_a_picture_gets_there():
    target = random_splats(30, size=-1.5, seed=1)
    with torch.no_grad():
        wanted = render_splats(target, front()).rgb
    noise = torch.Generator().manual_seed(2)
    leaves = [
        (value + 0.1 * torch.randn(value.shape, generator=noise)).requires_grad_()
        for value in (getattr(target, name) for name in NAMES)
    ]
    optimiser = torch.optim.Adam(leaves, lr=5e-3)
    errors = []
    for _ in range(150):
        image = render_splats(Gaussians(**dict(zip(NAMES, leaves, strict=True))), front())
        loss = (image.rgb - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(float(loss.detach()))
    assert errors[-1] < 0.05 * errors[0]


def test_a_picture_is_the_same_bits_with_gradients_and_without():
    gaussians, cameras = random_splats(300, degree=2), room_cameras()
    plain = render_splats(gaussians, cameras, background=PINK)
    gaussians.means.requires_grad_()
    taught = render_splats(gaussians, cameras, background=PINK)
    for name in ("rgb", "depth", "alpha"):
        assert torch.equal(getattr(plain, name), getattr(taught, name).detach()), name
