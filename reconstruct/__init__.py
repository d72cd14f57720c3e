"""Reconstruct: from what was seen to worlds that other programs open.

Room: reconstruct. Imports memory and render; the viewer and the command line may import this.
"""

from reconstruct.formats import export_splats, read_ply, read_splats, write_mp4
from reconstruct.init import gaussians_from_frames, gaussians_from_points

__all__ = [
    "export_splats",
    "gaussians_from_frames",
    "gaussians_from_points",
    "read_ply",
    "read_splats",
    "write_mp4",
]
