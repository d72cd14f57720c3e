"""Axes: the one turn between our world and files whose +y is up.

Room: reconstruct; only the formats beside it import this. Our world is OpenCV's: +x right, +y down, +z
forward. SPZ and glTF hold +x right, +y up, +z backward, which is half a turn about x; PLY, compressed PLY
and .splat hold our axes as they are.
"""

from __future__ import annotations

import torch

from render.gaussians import Gaussians

TURN = (1.0, -1.0, -1.0)
"""What half a turn about x does to x, y and z; done twice it does nothing."""

SH_FACTORS = ("", "y", "z", "x", "xy", "yz", "", "xz", "", "y", "xyz", "y", "z", "x", "z", "x")
"""The axes in whose sign each spherical harmonic is odd, in the order of ``Gaussians.sh``."""


def half_turned(gaussians: Gaussians) -> Gaussians:
    """Splats seen from axes that are turned by half about x; exact, and its own inverse."""
    turn = torch.tensor(TURN)
    signs = [(-1.0) ** sum(axis in "yz" for axis in axes) for axes in SH_FACTORS]
    return Gaussians(
        means=gaussians.means * turn.to(gaussians.means),
        # An ellipsoid is its own mirror image along its axes, so the turn may be applied on both sides of R.
        quats=gaussians.quats * gaussians.quats.new_tensor([1.0, *TURN]),
        log_scales=gaussians.log_scales,
        logit_opacities=gaussians.logit_opacities,
        sh=gaussians.sh * gaussians.sh.new_tensor(signs)[: gaussians.sh.shape[1], None],
    )
