"""Meshes of frames, from settings; a ball tells whether they are true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reconstruct.meshed import COLLIDER_FACES, STEPS, Meshed, MeshSettings, meshed
from reconstruct.tsdf import Fusion
from tests.oracles.solids import REACH, seen

VOXEL = 0.06


def ball(**settings: Any) -> Meshed:
    return meshed([seen("sphere")], MeshSettings(fusion=Fusion(voxel=VOXEL, max_depth=REACH), **settings))


def test_all_faces_with_colours_come_where_nothing_else_is_asked_for():
    told: list[str] = []
    fusion = Fusion(voxel=VOXEL, max_depth=REACH)
    made = meshed([seen("sphere")], MeshSettings(fusion=fusion), tell=told.append)
    np.testing.assert_allclose(np.linalg.norm(made.surface.vertices, axis=1), 1.0, atol=0.5 * VOXEL)
    assert made.voxel == VOXEL
    assert made.surface.rgb is not None
    assert made.surface.texture is None
    assert len(made.surface) > 2 * COLLIDER_FACES
    assert len(told) == STEPS
    assert told[0].endswith(" blocks")


def test_fewer_faces_stay_on_the_ball():
    surface = ball(faces=600).surface
    assert 300 < len(surface) <= 600
    np.testing.assert_allclose(np.linalg.norm(surface.vertices, axis=1), 1.0, atol=0.5 * VOXEL)


def test_a_collider_has_few_faces_and_no_colours():
    surface = ball(collider=True).surface
    assert len(surface) <= COLLIDER_FACES
    assert surface.rgb is None
    assert len(ball(collider=True, faces=200).surface) <= 200


def test_a_texture_is_painted_on_as_many_faces_as_asked_for():
    surface = ball(texture=64, faces=100).surface
    assert surface.texture is not None
    assert len(surface) <= 100


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ({"faces": 3}, "4 faces or more"),
        ({"texture": 5}, "texels a side"),
        ({"texture": 256, "collider": True}, "no colours"),
    ],
    ids=str,
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], about: str):
    with pytest.raises(ValueError, match=about):
        MeshSettings(**settings)


def test_frames_without_a_surface_are_refused():
    with pytest.raises(ValueError, match="no surface that voxels of 1e"):
        meshed([seen("sphere", 1)], MeshSettings(fusion=Fusion(voxel=1e4)))
