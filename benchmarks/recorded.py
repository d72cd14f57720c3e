"""How well what is imported agrees with the frames that were left out.

    python -m benchmarks.recorded /path/to/box_interior --frames 12

A recording of posed pictures with depth is imported in part, as ``worldgen import`` does it; each frame that
was left out is compared with what the cache shows to its camera. 128 x 128 pixels, one thread.

box_interior (50 frames of 640 x 480 from a depth camera, 0.2 to 0.8 m away; tracked poses):

    12 of 50 frames in, 38 left out
    depth, median relative difference: mean 0.63%, worst frame 0.72%
    measured pixels that the cache shows: mean 92.0%, worst frame 89.5%
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from memory.cache import WorldCache
from memory.world import quantised
from reconstruct.formats.entries import evenly
from reconstruct.formats.rgbd import read_frame, read_recording

SIZE, MOST = 128, 1_000


def main() -> None:
    """Print the table above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=12)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    recording = read_recording(asked.folder, most=MOST)
    taken = evenly(range(len(recording.views)), asked.frames)
    cache = WorldCache()
    for number in taken:
        frame = quantised(read_frame(recording, number, size=SIZE), given=True)
        cache.remember(frame, cache.render(frame.cameras), ids=[number], given=True)
    errors, shares = [], []
    for number in sorted(set(range(len(recording.views))) - set(taken)):
        frame = read_frame(recording, number, size=SIZE)
        seen = cache.render(frame.cameras)
        both = seen.mask & frame.valid
        errors.append(float((seen.depth / frame.depth - 1.0)[both].abs().median()))
        shares.append(float(both.sum() / frame.valid.sum()))
    print(f"{len(taken)} of {len(recording.views)} frames in, {len(errors)} left out")
    mean, share = sum(errors) / len(errors), sum(shares) / len(shares)
    print(f"depth, median relative difference: mean {mean:.2%}, worst frame {max(errors):.2%}")
    print(f"measured pixels that the cache shows: mean {share:.1%}, worst frame {min(shares):.1%}")


if __name__ == "__main__":
    main()
