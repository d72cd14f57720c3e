"""Captured: a fit to photographs, which know nothing of depth and start from few splats.

Room: reconstruct; the command line may import this. Splats are doubled and split where the pictures ask for
it, and colours learn to change with the direction; else it is the fit that worlds have.
"""

from __future__ import annotations

import dataclasses

from reconstruct.densify import Cloning
from reconstruct.fit import Fit, FitSettings, held_out_frames
from reconstruct.formats.captures import Capture
from reconstruct.sparse import capture_scale, first_splats

MOST = 200_000
"""Splats, where no other number is asked for."""

CAPTURE_QUALITIES = {
    "preview": FitSettings(
        steps=1_000, strategy=Cloning(start=200, stop=0.7), degree=1, degree_every=400, depth_weight=0.0
    ),
    "standard": FitSettings(
        steps=5_000,
        look_every=200,
        strategy=Cloning(start=300, stop=0.6),
        degree=2,
        degree_every=1_000,
        depth_weight=0.0,
    ),
    "high": FitSettings(
        steps=20_000,
        look_every=500,
        strategy=Cloning(start=500, stop=0.5),
        degree=3,
        degree_every=1_000,
        depth_weight=0.0,
    ),
}
"""Settings by the names that the command line uses."""


def fit_of_capture(
    capture: Capture,
    *,
    settings: FitSettings,
    most: int = MOST,
    seed: int = 0,
    threads: int | None = None,
) -> Fit:
    """Begin to fit splats to photographs; one of eight is held out.

    Args:
        capture: what was photographed.
        settings: their cap is replaced.
        most: splats at most; of more points, an even choice is begun with.
        seed: decides the order of photographs, and where splats are put that nobody knows a place for.
        threads: of the CPU's kernels; all cores where not given.

    Raises:
        ValueError: if the photographs have nothing in common, or were taken from one place.
    """
    scale = capture_scale(capture.frames.cameras)
    start = first_splats(capture, most=most, scale=scale, seed=seed, threads=threads)
    return Fit(
        start,
        capture.frames,
        held_out=held_out_frames(len(capture.frames)),
        settings=dataclasses.replace(settings, cap=max(1.0, (most + 0.5) / len(start))),
        scale=scale,
        seed=seed,
        threads=threads,
    )
