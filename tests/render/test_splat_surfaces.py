"""Median depth and normals of splats: kernels against the twin, both against surfaces that are known."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from render.cameras import Cameras
from render.gaussians import Gaussians, concatenated
from render.splats import Backend, SplatImage, render_splats
from tests.oracles.box_room import BoxRoom, room_cameras
from tests.oracles.random_splats import (
    B_FROM_A,
    doubled,
    hard_splats,
    moved,
    order_is_safe,
    random_splats,
    stacked_splats,
)

BACKENDS: list[Backend] = ["numba", "torch"]
NAMES = [field.name for field in dataclasses.fields(Gaussians)]
GREY = torch.zeros(1, 1, 3)


def front(width: int = 41, height: int = 33) -> Cameras:
    """A camera at the origin."""
    K = torch.tensor([[[50.0, 0.0, 0.5 * width], [0.0, 60.0, 0.5 * height], [0.0, 0.0, 1.0]]])
    return Cameras(c2w=torch.eye(4)[None], K=K, width=width, height=height)


def surfaces(gaussians: Gaussians, cameras: Cameras, backend: Backend, threads: int = 1) -> SplatImage:
    return render_splats(
        gaussians, cameras, backend=backend, threads=threads, median_depth=True, normals=True
    )


def sheet(z: float, opacity: float, turn: Rotation | None = None) -> Gaussians:
    """One splat that fills the picture, thin along its own z, ``z`` ahead of the origin."""
    x, y, zz, w = (turn or Rotation.identity()).as_quat()
    return Gaussians(
        means=torch.tensor([[0.0, 0.0, z]]),
        quats=torch.tensor([[w, x, y, zz]], dtype=torch.float32),
        log_scales=torch.tensor([[4.0, 4.0, -4.0]]),
        logit_opacities=torch.logit(torch.tensor([opacity])),
        sh=GREY,
    )


def on_surface(points: Tensor, normals: Tensor, spacing: Tensor, *, seed: int = 0) -> Gaussians:
    """A thin splat a point, [g 3], along normals that point to either side, spun at random."""
    rng = torch.Generator().manual_seed(seed)
    z = normals * torch.where(torch.rand(len(normals), 1, generator=rng) < 0.5, 1.0, -1.0)
    x = torch.nn.functional.normalize(torch.linalg.cross(z, torch.randn(z.shape, generator=rng)), dim=-1)
    axes = torch.stack([x, torch.linalg.cross(z, x), z], dim=-1)
    scales = spacing[:, None] * torch.tensor([0.7, 0.5, 0.05])
    # The thin axis is another one in every third splat: which it is must not matter.
    order = torch.tensor([[0, 1, 2], [1, 2, 0], [2, 0, 1]])[torch.arange(len(points)) % 3]
    mixed = axes.take_along_dim(order[:, None], dim=-1)
    quats = torch.from_numpy(Rotation.from_matrix(mixed.numpy()).as_quat()).float()[:, [3, 0, 1, 2]]
    return Gaussians(
        means=points,
        quats=quats,
        log_scales=scales.log().take_along_dim(order, dim=-1),
        logit_opacities=torch.full((len(points),), 3.0),
        sh=GREY.expand(len(points), 1, 3).clone(),
    )


def degrees(a: Tensor, b: Tensor) -> Tensor:
    return torch.rad2deg(torch.acos((a * b).sum(dim=-1).clamp(-1.0, 1.0)))


def assert_as_the_twin(gaussians: Gaussians, cameras: Cameras) -> SplatImage:
    own = surfaces(gaussians, cameras, "numba")
    twin = surfaces(doubled(gaussians), doubled(cameras), "torch")
    assert own.median_depth is not None
    assert own.normals is not None
    wrong = (own.median_depth.double() - twin.median_depth).abs() > 1e-4
    # Where light is halved to a rounding error, single precision may take the next splat.
    assert wrong.double().mean() < 1e-3
    # One less the light that passes is good to 6e-8; a normal, to that share of what is seen of it.
    length = twin.alpha.clamp_min(1 / 255)
    torch.testing.assert_close(
        own.normals * length, twin.normals * length, atol=1e-3, rtol=0, check_dtype=False
    )
    return own


@pytest.mark.parametrize("size", [-4.0, -2.5, -1.5])
def test_the_kernels_see_the_surfaces_that_the_twin_sees(size: float):
    gaussians, cameras = random_splats(700, size=size, degree=1), room_cameras()
    assert order_is_safe(gaussians, cameras)
    own = assert_as_the_twin(gaussians, cameras)
    assert (own.median_depth > 0).float().mean() > 0.1
    assert (own.normals.norm(dim=-1) > 0.99).float().mean() > 0.3


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_of_it_is_computed_unasked(backend: Backend):
    plain = render_splats(random_splats(50), room_cameras(), backend=backend)
    asked = surfaces(random_splats(50), room_cameras(), backend)
    assert plain.median_depth is None
    assert plain.normals is None
    for name in ("rgb", "depth", "alpha"):
        assert torch.equal(getattr(plain, name), getattr(asked, name))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("opacity", "depth"), [(0.9, 2.0), (0.6, 2.0), (0.4, 5.0), (0.2, 0.0)])
def test_the_median_is_of_the_layer_that_takes_half_of_the_light(
    backend: Backend, opacity: float, depth: float
):
    layers = concatenated([sheet(5.0, opacity), sheet(2.0, opacity)])
    image = surfaces(layers, front(), backend)
    torch.testing.assert_close(image.median_depth, torch.full((1, 33, 41, 1), depth), atol=1e-6, rtol=0)
    # What is expected lies between the two, where nothing is.
    assert ((image.depth > 2.1) & (image.depth < 4.9)).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sheet_that_is_full_of_light_hides_all_behind_it(backend: Backend):
    layers = concatenated([sheet(float(z), 0.99999) for z in (9, 2, 5, 3)])
    image = surfaces(layers, front(), backend)
    torch.testing.assert_close(image.median_depth, torch.full((1, 33, 41, 1), 2.0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tilt", [(0.0, 0.0, 0.0), (0.9, 0.0, 0.4), (-0.5, 0.7, 0.0), (0.0, -1.0, 2.0)])
def test_a_plane_has_its_normal(backend: Backend, tilt: tuple[float, float, float]):
    cameras, turn = front(), Rotation.from_rotvec(tilt)
    normal = torch.from_numpy(turn.apply((0.0, 0.0, -1.0))).float()
    u, v = torch.meshgrid(torch.linspace(-2, 2, 120), torch.linspace(-2, 2, 120), indexing="ij")
    flat = torch.stack([u.ravel(), v.ravel(), torch.zeros(u.numel())], dim=-1)
    points = flat @ torch.from_numpy(turn.as_matrix()).float().mT + torch.tensor([0.0, 0.0, 2.5])
    plane = on_surface(points, normal.expand_as(points), torch.full((len(points),), 4 / 120))
    image = surfaces(plane, cameras, backend)
    seen = image.alpha[..., 0] > 0.9
    assert seen.float().mean() > 0.5
    assert degrees(image.normals, normal)[seen].max() < 5.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_sides_of_a_wall_face_who_looks(backend: Backend):
    wall = sheet(2.0, 0.9, Rotation.from_rotvec((0.4, -0.3, 0.1)))
    there = front()
    behind = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    behind[2, 3] = 4.0
    both = dataclasses.replace(there, c2w=torch.stack([torch.eye(4), behind]), K=there.K.repeat(2, 1, 1))
    here, back = surfaces(wall, both, backend).normals[:, 16, 20]
    expected = torch.from_numpy(Rotation.from_rotvec((0.4, -0.3, 0.1)).apply((0.0, 0.0, -1.0))).float()
    torch.testing.assert_close(here, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(back, -expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_splats_on_a_ray_cast_room_have_its_surfaces(box_room: BoxRoom, backend: Backend):
    cameras, frames = box_room.cameras, box_room.frames
    spacing = (frames.depth / cameras.K[:, 0, 0, None, None, None]).reshape(-1)
    room = on_surface(box_room.points.reshape(-1, 3), box_room.normals.reshape(-1, 3), spacing)
    image = surfaces(room, cameras, backend)
    off = degrees(image.normals, box_room.normals)[image.alpha[..., 0] > 0.9]
    # Pixels on edges and corners of the room and the crate mix two surfaces.
    assert off.quantile(0.9) < 5.0
    error = (image.median_depth / frames.depth - 1).abs()
    assert error.median() < 0.01
    assert error.quantile(0.9) < 0.04  # splats of pixels that see a wall aslant lie far apart
    assert error.mean() < (image.depth / frames.depth - 1).abs().mean()


@pytest.mark.parametrize("backend", BACKENDS)
def test_normals_turn_with_the_world_and_depths_stay(backend: Backend):
    gaussians, cameras = random_splats(300), room_cameras()
    here = surfaces(gaussians, cameras, backend)
    there = surfaces(*moved(gaussians, cameras), backend)
    turned = here.normals @ B_FROM_A[:3, :3].mT
    # Single precision moves an alpha across 1/255, or a half, here and there.
    assert ((there.normals - turned).abs().amax(dim=-1) < 1e-3).float().mean() > 0.99
    assert ((there.median_depth - here.median_depth).abs() < 1e-4).float().mean() > 0.99


def slopes(gaussians: Gaussians, cameras: Cameras, backend: Backend) -> dict[str, Tensor]:
    """Gradients of a random weighting of median depth and normals."""
    leaves = {name: getattr(gaussians, name).clone().requires_grad_() for name in NAMES}
    c2w, rng = cameras.c2w.clone().requires_grad_(), torch.Generator().manual_seed(3)
    image = surfaces(Gaussians(**leaves), dataclasses.replace(cameras, c2w=c2w), backend)
    total = torch.zeros((), dtype=c2w.dtype)
    for part in (image.median_depth, image.normals * image.alpha.detach()):
        total = total + (part * torch.randn(part.shape, generator=rng).to(part)).sum()
    total.backward()
    found = {name: leaf.grad for name, leaf in (leaves | {"c2w": c2w}).items()}
    return {name: slope for name, slope in found.items() if slope is not None and name != "sh"}


def test_the_kernels_have_the_slopes_of_the_twin():
    gaussians, cameras = random_splats(200, size=-2.0, seed=2), room_cameras()
    own, twin = slopes(gaussians, cameras, "numba"), slopes(doubled(gaussians), doubled(cameras), "torch")
    assert own.keys() == twin.keys() == {*NAMES, "c2w"} - {"sh"}
    for name, expected in twin.items():
        error = (own[name].double() - expected).norm() / expected.norm()
        assert error < 1e-3, (name, float(error))


def test_the_twin_has_the_slopes_of_finite_differences():
    gaussians, cameras = doubled(random_splats(4, size=-1.0)), doubled(front(width=7, height=5))

    def rendered(*values: Tensor) -> tuple[Tensor, Tensor]:
        image = surfaces(Gaussians(**dict(zip(NAMES, values, strict=True))), cameras, "torch")
        return image.median_depth, image.normals

    values = [getattr(gaussians, name).clone().requires_grad_() for name in NAMES]
    assert torch.autograd.gradcheck(rendered, values, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("threads", [2, 5])
def test_surfaces_do_not_depend_on_the_number_of_threads(threads: int):
    gaussians, cameras = random_splats(20_000, size=-4.0), room_cameras()
    one, many = (surfaces(gaussians, cameras, "numba", count) for count in (1, threads))
    assert torch.equal(one.median_depth, many.median_depth)
    assert torch.equal(one.normals, many.normals)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 16), (17, 15), (70, 33)])
def test_surfaces_in_pictures_of_any_size(width: int, height: int):
    assert_as_the_twin(random_splats(300, size=-1.5), front(width, height))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("g", [0, 5])
def test_where_nothing_is_seen_both_are_nought(backend: Backend, g: int):
    behind = random_splats(g)
    behind.means[:, 2] = -3.0
    image = surfaces(behind, front(), backend)
    assert torch.equal(image.median_depth, torch.zeros(1, 33, 41, 1))
    assert torch.equal(image.normals, torch.zeros(1, 33, 41, 3))


def test_surfaces_of_hard_splats():
    own = assert_as_the_twin(hard_splats(), front())
    length = own.normals.norm(dim=-1)
    assert ((length - 1).abs().lt(1e-5) | (length == 0)).all()


@pytest.mark.parametrize("name", ["means", "quats", "log_scales", "logit_opacities"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_broken_gaussian_does_not_spoil_surfaces(name: str, value: float):
    gaussians = hard_splats()
    broken = concatenated([gaussians, gaussians[:1]])
    getattr(broken, name)[-1] = value
    image = surfaces(broken, room_cameras(), "numba")
    assert image.median_depth.isfinite().all()
    assert image.normals.isfinite().all()


def test_surfaces_of_fifty_thousand_gaussians_in_one_tile():
    stack = stacked_splats(50_000)
    own = assert_as_the_twin(stack, front(width=5, height=3))
    # Every one takes 1/151: the 105th leaves less than half of the light, (150/151)^105 = 0.498.
    assert stack.means[:, 2].sub(own.median_depth[0, 1, 2]).abs().argmin() == 104
    torch.testing.assert_close(own.normals[0, 1, 2], torch.tensor([0.0, 0.0, -1.0]), atol=1e-5, rtol=0)


@pytest.mark.gpu
def test_surfaces_on_cuda_are_those_of_the_twin():
    gaussians, cameras = random_splats(700), room_cameras()
    twin = surfaces(doubled(gaussians), doubled(cameras), "torch")
    on_cuda = Gaussians(**{name: getattr(gaussians, name).cuda() for name in NAMES})
    image = surfaces(on_cuda, cameras.to("cuda"), "gsplat")
    assert ((image.median_depth.cpu().double() - twin.median_depth).abs() < 1e-3).double().mean() > 0.99
    assert ((image.normals.cpu().double() - twin.normals).abs().amax(dim=-1) < 1e-2).double().mean() > 0.99
