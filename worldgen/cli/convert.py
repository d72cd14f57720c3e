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
    Only written: .html, a page that shows the splats in any browser, offline.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SRC")]
    """File of splats to read, made by any program."""

    dest: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DEST")]
    """File to write."""

    max_splats: int | None = None
    """At most so many splats, neighbours merged to cover as much; all where not given."""

    def run(self) -> int:
        from reconstruct.formats import SplatFileWarning, check_splat_file, export_splats, read_splats
        from reconstruct.formats.atomic import check_parent
        from reconstruct.levels import thinned
        from worldgen.cli.page import convert_page, is_page

        if is_page(self.dest):
            check_parent(self.dest)
        else:
            check_splat_file(self.dest)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SplatFileWarning)
            gaussians = read_splats(self.source)
        for warning in caught:
            sys.stderr.write(f"worldgen: {warning.message}\n")
        if is_page(self.dest):
            return convert_page(gaussians, self.dest, title=self.source.name, max_splats=self.max_splats)
        if self.max_splats is not None:
            gaussians = thinned(gaussians, self.max_splats)
        export_splats(gaussians, self.dest)
        print(f"{self.dest}: {len(gaussians):,} splats")  # noqa: T201
        return 0
