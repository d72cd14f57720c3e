"""Pictures drawn in bands are those drawn whole, bit for bit."""

import dataclasses

import pytest
import torch

from render import splat_bands
from render.gaussians import Gaussians
from render.splat_bands import ROWS
from render.splats import SplatImage, render_splats
from tests.oracles.box_room import room_cameras
from tests.oracles.random_splats import hard_splats, random_splats

pytestmark = pytest.mark.usefixtures("splat_kernels")

CAMERA = dataclasses.replace(room_cameras()[[1]], width=70, height=2 * ROWS + 21)


def joined(gaussians: Gaussians, **options: object) -> tuple[list[int], SplatImage]:
    """Heights of bands, and the picture that they make."""
    bands = list(splat_bands.splat_bands(gaussians, CAMERA, **options))
    parts = {}
    for field in dataclasses.fields(SplatImage):
        columns = [getattr(band, field.name) for band in bands]
        parts[field.name] = None if columns[0] is None else torch.cat(columns, dim=1)
    return [band.rgb.shape[1] for band in bands], SplatImage(**parts)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("gaussians", [random_splats(3000, degree=3, size=-1.5), hard_splats()])
def test_bands_join_to_the_picture_drawn_whole(gaussians: Gaussians, threads: int):
    heights, image = joined(gaussians, threads=threads, normals=True)
    whole = render_splats(gaussians, CAMERA, normals=True)
    assert heights == [ROWS, ROWS, 21]
    assert whole.alpha[:, ROWS - 1 : ROWS + 1].amax() > 0.1, "something lies over the seam"
    for name in ("rgb", "depth", "alpha", "normals"):
        assert torch.equal(getattr(image, name), getattr(whole, name))


def test_normals_are_drawn_where_they_are_asked_for():
    assert joined(random_splats(50))[1].normals is None


@pytest.mark.gpu
def test_a_picture_on_a_gpu_is_that_of_the_kernels_to_a_255th():
    gaussians = random_splats(3000, degree=3, size=-2.0)
    on_cuda = Gaussians(
        **{field.name: getattr(gaussians, field.name).cuda() for field in dataclasses.fields(gaussians)}
    )
    bands = list(splat_bands.splat_bands(on_cuda, CAMERA.to("cuda")))
    assert [band.rgb.shape[1] for band in bands] == [ROWS, ROWS, 21]
    theirs = torch.cat([band.rgb for band in bands], dim=1).cpu()
    _, ours = joined(gaussians)
    worst = (theirs.clamp(0, 1) - ours.rgb.clamp(0, 1)).abs().amax(dim=-1)
    assert (worst <= 1.0 / 255.0).double().mean() >= 0.999
