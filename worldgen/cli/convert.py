"""``worldgen convert``: splats from one file format to another."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Convert:
    """Turn a file of splats into another format, told by the suffix.

    Read and written: .ply, .compressed.ply, .splat, .ksplat, .spz, .sog and .glb (KHR_gaussian_splatting).
    """

    source: Annotated[Path, tyro.conf.Positional]
    """File of splats to read, made by any program."""

    dest: Annotated[Path, tyro.conf.Positional]
    """File to write."""

    max_splats: int | None = None
    """At most so many splats, neighbours merged to cover as much; all where not given."""

    def run(self) -> int:
        from reconstruct.formats import SplatFileWarning, check_splat_file, export_splats, read_splats
        from reconstruct.levels import thinned

        check_splat_file(self.dest)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SplatFileWarning)
            gaussians = read_splats(self.source)
        for warning in caught:
            sys.stderr.write(f"worldgen: {warning.message}\n")
        if self.max_splats is not None:
            gaussians = thinned(gaussians, self.max_splats)
        export_splats(gaussians, self.dest)
        print(f"{self.dest}: {len(gaussians):,} splats")  # noqa: T201
        return 0
