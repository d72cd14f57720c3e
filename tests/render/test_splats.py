"""Splats: the twin against gsplat and loops, the kernels against the twin, both against closed forms."""

import dataclasses
import math

import pytest
import torch

from render.cameras import Cameras
from render.gaussians import Gaussians, concatenated, sh_from_rgb
from render.metrics import psnr
from render.splat_twin import projected, sh_colours
from render.splats import Backend, SplatImage, pick_backend, render_splats
from tests.oracles import compositing, gsplat_reference
from tests.oracles.box_room import BoxRoom, room_cameras
from tests.oracles.random_splats import (
    doubled,
    hard_splats,
    moved,
    order_is_safe,
    random_splats,
    stacked_splats,
)

pytestmark = pytest.mark.usefixtures("splat_kernels")

BACKENDS: list[Backend] = ["numba", "torch"]
PINK = torch.tensor([0.9, 0.3, 0.5])


def _one(**changes: object) -> Gaussians:
    """One round, pink, half opaque Gaussian of size 0.1, two ahead of the origin."""
    gaussians = Gaussians(
        means=torch.tensor([[0.0, 0.0, 2.0]]),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        log_scales=torch.full((1, 3), math.log(0.1)),
        logit_opacities=torch.zeros(1),
        sh=sh_from_rgb(PINK[None]),
    )
    return dataclasses.replace(gaussians, **changes)


def _front(width: int = 41, height: int = 33) -> Cameras:
    """A camera at the origin whose axis goes through the centre of pixel (20, 15)."""
    K = torch.tensor([[[50.0, 0.0, 20.5], [0.0, 80.0, 15.5], [0.0, 0.0, 1.0]]])
    return Cameras(c2w=torch.eye(4)[None], K=K, width=width, height=height)


def _assert_same(a: SplatImage, b: SplatImage, *, atol: float) -> None:
    for name in ("rgb", "depth", "alpha"):
        left, right = getattr(a, name).double(), getattr(b, name).double()
        torch.testing.assert_close(left, right, atol=atol, rtol=0, msg=lambda m, name=name: f"{name}: {m}")


def test_the_twin_projects_as_gsplat_does():
    gaussians, cameras = doubled(random_splats(400)), room_cameras(torch.float64)
    uv, depth, conics = gsplat_reference.projected(gaussians, cameras)
    for view in range(len(cameras)):
        ours = projected(gaussians, cameras, view=view)
        assert 100 < len(ours.ids) < 400
        assert (ours.depth.diff() >= 0).all()
        for mine, theirs in ((ours.uv, uv), (ours.depth, depth), (ours.conics, conics)):
            torch.testing.assert_close(mine, theirs[view, ours.ids], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("k", [1, 4, 9, 16])
def test_spherical_harmonics_mean_what_they_mean_to_gsplat(k: int):
    generator = torch.Generator().manual_seed(k)
    sh = torch.randn(300, k, 3, generator=generator, dtype=torch.float64)
    directions = torch.randn(300, 3, generator=generator, dtype=torch.float64)
    unit = torch.nn.functional.normalize(directions, dim=-1)
    torch.testing.assert_close(
        sh_colours(sh, unit), gsplat_reference.sh_colours(sh, directions), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("degree", [0, 3])
def test_the_twin_composites_as_plain_loops_over_gsplats_projection_do(degree: int):
    gaussians = doubled(random_splats(60, degree=degree, size=-1.5))
    cameras = dataclasses.replace(room_cameras(torch.float64), width=25, height=18)
    uv, depth, conics = gsplat_reference.projected(gaussians, cameras)
    image = render_splats(gaussians, cameras, backend="torch", median_depth=True)
    for view, origin in enumerate(cameras.origins):
        colours = gsplat_reference.sh_colours(gaussians.sh, gaussians.means - origin)
        layers = compositing.composited(
            uv[view], conics[view], depth[view], gaussians.opacities, colours, width=25, height=18
        )
        torch.testing.assert_close(image.rgb[view], layers[..., :3], atol=1e-9, rtol=0)
        torch.testing.assert_close(image.depth[view] * image.alpha[view], layers[..., 3:4], atol=1e-9, rtol=0)
        torch.testing.assert_close(image.alpha[view], layers[..., 4:5], atol=1e-9, rtol=0)
        torch.testing.assert_close(image.median_depth[view], layers[..., 5:], atol=1e-9, rtol=0)
        assert 0.1 < (layers[..., 5] > 0).double().mean() < 0.99


@pytest.mark.parametrize(("degree", "size"), [(0, -2.5), (1, -4.0), (2, -2.5), (3, -1.5)])
def test_the_kernels_draw_what_the_twin_draws(degree: int, size: float):
    gaussians, cameras = random_splats(700, degree=degree, size=size), room_cameras()
    assert order_is_safe(gaussians, cameras)
    twin = render_splats(doubled(gaussians), doubled(cameras), background=PINK, backend="torch")
    kernel = render_splats(gaussians, cameras, background=PINK, backend="numba")
    assert twin.alpha.mean() > 0.2
    _assert_same(kernel, twin, atol=1e-4)


def test_the_kernels_draw_long_needles_across_many_tiles_as_the_twin_does():
    gaussians = random_splats(150, size=-4.5)
    gaussians.log_scales[:, 1] = 0.5
    assert order_is_safe(gaussians, room_cameras())
    twin = render_splats(doubled(gaussians), doubled(room_cameras()), backend="torch")
    _assert_same(render_splats(gaussians, room_cameras()), twin, atol=1e-4)


def test_the_kernels_draw_hard_splats_as_the_twin_does():
    hard, cameras = hard_splats(), _front()
    twin = render_splats(doubled(hard), doubled(cameras), background=PINK, backend="torch")
    assert order_is_safe(hard, cameras)
    _assert_same(render_splats(hard, cameras, background=PINK), twin, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_splat_whose_half_is_behind_the_camera_shows_its_other_half(backend: Backend):
    crossing = _one(means=torch.tensor([[0.0, 0.0, 0.3]]), log_scales=torch.zeros(1, 3))
    image = render_splats(crossing, _front(), backend=backend)
    # It is far larger than the picture: half of the light, but for the slope of a Gaussian of 1 at 0.3.
    torch.testing.assert_close(image.alpha, torch.full_like(image.alpha, 0.5), atol=0.05, rtol=0)
    torch.testing.assert_close(image.depth, torch.full_like(image.depth, 0.3), atol=1e-5, rtol=0)


def test_fifty_thousand_splats_in_one_tile_blend_as_the_twin_says():
    stack, cameras = stacked_splats(50_000), _front(width=5, height=3)
    K = cameras.K.clone()
    K[:, :2, 2] = torch.tensor([2.5, 1.5])
    cameras = dataclasses.replace(cameras, K=K)
    image = render_splats(stack, cameras)
    twin = render_splats(doubled(stack), doubled(cameras), backend="torch")
    _assert_same(image, twin, atol=1e-4)
    # Each takes 1/151 of what is left, until less than 1e-4 is: after 1386 of them.
    assert image.alpha[0, 1, 2].item() == pytest.approx(1.0 - (150 / 151) ** 1386, abs=1e-6)
    for name in ("rgb", "depth", "alpha"):
        assert torch.equal(getattr(render_splats(stack, cameras, threads=3), name), getattr(image, name))


@pytest.mark.parametrize("v", [14.0, 14.5, 15.0, 15.5, 16.0, 16.5, 17.0, 17.5])
def test_rows_that_are_full_do_not_close_their_neighbours(v: float):
    # Ten opaque bars fill some rows on both sides of row 16, where two tiles meet; much lies behind.
    bars = _one(log_scales=torch.tensor([[5.0, math.log(0.05), -5.0]]), logit_opacities=torch.tensor([3.0]))
    bars = bars[torch.zeros(10, dtype=torch.long)]
    bars.means[:, 2] = torch.linspace(1.0, 1.1, 10)
    bars.means[:, 1] = bars.means[:, 2] * (v - 15.5) / 80
    behind = random_splats(400, size=-1.5)
    behind.means[:, 2] += 2.0
    behind.logit_opacities[:] = -2.0
    gaussians, cameras = concatenated([bars, behind]), _front()
    twin = render_splats(doubled(gaussians), doubled(cameras), backend="torch")
    assert order_is_safe(gaussians, cameras)
    _assert_same(render_splats(gaussians, cameras), twin, atol=1e-4)


def test_more_gaussians_than_one_job_projects_are_all_drawn():
    g, cameras = 20_000, _front()
    u, v, z = torch.rand(3, g, generator=torch.Generator().manual_seed(9))
    z = 1.0 + 2.0 * z
    rays = torch.stack([(41 * u - 20.5) / 50, (33 * v - 15.5) / 80, torch.ones(g)], dim=-1)
    gaussians = dataclasses.replace(random_splats(g, size=-6.5), means=z[:, None] * rays)
    gaussians.logit_opacities[:] = -4.0
    twin = render_splats(gaussians, cameras, backend="torch")
    assert len(projected(gaussians, cameras, view=0).ids) == g
    assert 0.2 < twin.alpha.mean() < 0.99
    # Where two depths tie in single precision, their splats may trade places: little, being faint.
    _assert_same(render_splats(gaussians, cameras), twin, atol=2e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_colour_stops_at_black_but_not_at_white(backend: Backend):
    wild = _one(sh=sh_from_rgb(torch.tensor([[-0.5, 1.5, 0.25]])))
    image = render_splats(wild, _front(), backend=backend)
    assert image.rgb[0, 15, 20].tolist() == pytest.approx([0.0, 0.75, 0.125], abs=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_gaussian_has_its_closed_form(backend: Backend):
    image = render_splats(_one(), _front(), background=torch.tensor([0.1, 0.2, 0.3]), backend=backend)
    dx, dy = torch.arange(41.0) - 20.0, torch.arange(33.0)[:, None] - 15.0
    # The axis point projects without shear; pixels widen it by fx s / z and fy s / z, and the blur.
    sigma = 0.5 * (dx**2 / (2.5**2 + 0.3) + dy**2 / (4.0**2 + 0.3))
    alpha = 0.5 * torch.exp(-sigma)
    alpha = torch.where(alpha >= 1 / 255, alpha, 0.0)[..., None]
    expected = alpha * PINK + (1 - alpha) * torch.tensor([0.1, 0.2, 0.3])
    torch.testing.assert_close(image.alpha[0], alpha, atol=1e-6, rtol=0)
    torch.testing.assert_close(image.rgb[0], expected, atol=1e-6, rtol=0)
    # One less the light that passes is good to 6e-8, which is 1.5e-5 of the faintest alpha.
    torch.testing.assert_close(image.depth[0], torch.where(alpha > 0, 2.0, 0.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_nearer_of_two_hides_the_farther_whatever_their_order(backend: Backend):
    means = torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 2.0]])
    colours = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    for order in ([0, 1], [1, 0]):
        pair = Gaussians(
            means=means[order],
            quats=_one().quats.repeat(2, 1),
            log_scales=_one().log_scales.repeat(2, 1),
            logit_opacities=torch.full((2,), math.log(4.0)),
            sh=sh_from_rgb(colours[order]),
        )
        image = render_splats(pair, _front(), backend=backend)
        assert image.rgb[0, 15, 20].tolist() == pytest.approx([0.8, 0.16, 0.0], abs=1e-5)
        assert image.alpha[0, 15, 20].item() == pytest.approx(0.96, abs=1e-5)
        assert image.depth[0, 15, 20].item() == pytest.approx((0.8 * 2 + 0.16 * 3) / 0.96, abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_order_in_which_gaussians_are_stored_does_not_show(backend: Backend):
    gaussians, cameras = random_splats(500), room_cameras()
    shuffled = gaussians[torch.randperm(500, generator=torch.Generator().manual_seed(1))]
    here = render_splats(gaussians, cameras, backend=backend)
    _assert_same(render_splats(shuffled, cameras, backend=backend), here, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_moving_the_whole_world_changes_no_picture(backend: Backend):
    gaussians, cameras = random_splats(500), room_cameras()
    there = render_splats(*moved(gaussians, cameras), backend=backend)
    here = render_splats(gaussians, cameras, backend=backend)
    _assert_same(there, here, atol=1e-3)  # float32, a Gaussian crossing 1/255; most pixels 1e-6
    assert (there.rgb - here.rgb).abs().mean() < 1e-5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("z", [-2.0, -0.005, 0.0, 0.005])
def test_what_is_behind_or_at_the_camera_never_appears(backend: Backend, z: float):
    behind = _one(means=torch.tensor([[0.0, 0.0, z]]), log_scales=torch.zeros(1, 3))
    image = render_splats(behind, _front(), background=PINK, backend=backend)
    assert torch.equal(image.alpha, torch.zeros_like(image.alpha))
    assert torch.equal(image.rgb, PINK.expand_as(image.rgb))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wall_of_gaussians_is_opaque_and_stops_short_of_alpha_one(backend: Backend):
    wall = _one(log_scales=torch.full((1, 3), 5.0), logit_opacities=torch.full((1,), 20.0))
    layers = wall[torch.zeros(9, dtype=torch.long)]
    layers.means[:, 2] = torch.arange(2.0, 11.0)
    one = render_splats(wall, _front(), backend=backend)
    torch.testing.assert_close(one.alpha, torch.full_like(one.alpha, 0.999), atol=1e-5, rtol=0)
    # A second layer would leave 1e-6, below the least that may pass, so the pixel is full after one.
    nine = render_splats(layers, _front(), backend=backend)
    _assert_same(nine, one, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gaussians_too_faint_to_see_are_not_drawn(backend: Backend):
    faint = _one(logit_opacities=torch.logit(torch.tensor([0.0039])))
    assert render_splats(faint, _front(), backend=backend).alpha.amax() == 0.0
    visible = _one(logit_opacities=torch.logit(torch.tensor([0.0040])))
    assert render_splats(visible, _front(), backend=backend).alpha.amax() > 0.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_splats_on_ray_cast_points_show_the_ray_cast_room(box_room: BoxRoom, backend: Backend):
    frames, cameras = box_room.frames, box_room.cameras
    g = frames.rgb.numel() // 3
    spacing = (frames.depth / cameras.K[:, 0, 0, None, None, None]).reshape(g, 1)
    surface = Gaussians(
        means=box_room.points.reshape(g, 3),
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(g, 1),
        log_scales=(0.4 * spacing).log().repeat(1, 3),
        logit_opacities=torch.full((g,), 3.0),
        sh=sh_from_rgb(frames.rgb.reshape(g, 3)),
    )
    image = render_splats(surface, cameras, backend=backend)
    assert image.alpha.mean() > 0.95
    assert psnr(image.rgb, frames.rgb).amin() > 25
    error = (image.depth / frames.depth - 1).abs()
    assert error.median() < 0.01


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_the_picture_does_not_depend_on_the_number_of_threads(threads: int):
    gaussians, cameras = random_splats(40_000, size=-4.0), room_cameras()
    one = render_splats(gaussians, cameras, threads=1)
    many = render_splats(gaussians, cameras, threads=threads)
    for name in ("rgb", "depth", "alpha"):
        assert torch.equal(getattr(many, name), getattr(one, name))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 16), (17, 15), (160, 33)])
def test_pictures_of_any_size_match_the_twin(width: int, height: int):
    cameras = dataclasses.replace(room_cameras(), width=width, height=height)
    gaussians = random_splats(300, size=-1.5)
    twin = render_splats(doubled(gaussians), doubled(cameras), backend="torch")
    _assert_same(render_splats(gaussians, cameras), twin, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_gaussians_there_is_background(backend: Backend):
    image = render_splats(random_splats(0), room_cameras(), background=PINK, backend=backend)
    assert torch.equal(image.rgb, PINK.expand(3, 44, 60, 3))
    assert image.alpha.amax() == image.depth.amax() == 0.0


@pytest.mark.parametrize("name", ["means", "quats", "log_scales", "logit_opacities"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_broken_gaussian_does_not_spoil_the_picture(name: str, value: float):
    gaussians = random_splats(50)
    broken = concatenated([gaussians, gaussians[:1]])
    getattr(broken, name)[50] = value
    image = render_splats(broken, room_cameras())
    assert all(torch.isfinite(part).all() for part in (image.rgb, image.depth, image.alpha))


@pytest.mark.parametrize("threads", [0, -2])
def test_a_render_needs_a_thread(threads: int):
    with pytest.raises(ValueError, match="at least one thread"):
        render_splats(_one(), _front(), threads=threads)


def test_the_cpu_is_served_by_the_kernels_and_other_devices_by_the_twin():
    assert pick_backend(torch.device("cpu")) == "numba"
    assert pick_backend(torch.device("meta")) == "torch"


@pytest.mark.gpu
@pytest.mark.parametrize("degree", [0, 3])
def test_gsplat_on_cuda_draws_what_the_twin_draws(degree: int):
    gaussians, cameras = random_splats(700, degree=degree), room_cameras()
    twin = render_splats(doubled(gaussians), doubled(cameras), background=PINK, backend="torch")
    on_cuda = Gaussians(
        **{field.name: getattr(gaussians, field.name).cuda() for field in dataclasses.fields(gaussians)}
    )
    assert pick_backend(on_cuda.means.device) == "gsplat"
    image = render_splats(on_cuda, cameras.to("cuda"), background=PINK)
    for name in ("rgb", "depth", "alpha"):
        # gsplat's fast exponential moves an alpha across 1/255 here and there.
        error = (getattr(image, name).cpu().double() - getattr(twin, name)).abs()
        assert error.quantile(0.999) < 1e-3
