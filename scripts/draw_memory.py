"""Draw the figures of docs/memory.md from worlds that anybody can render again.

    python scripts/draw_memory.py [docs/images]

Needs matplotlib, which is in the ``dev`` extra. The worlds are procedural and their pictures exact, so what
is drawn is the memory's own doing. The figure of costs shows the table that ``benchmarks/cache.py`` keeps.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle

import benchmarks.cache
from benchmarks.culling import by_rules, everything, invisible_only
from memory._tile_kernels import UNITS
from memory._view_kernels import see_tiles
from memory.bank import MemoryBank
from memory.cache import NEARER, WorldCache
from memory.retrieval import retrieve
from render.cameras import Cameras
from render.frames import Frames
from render.points import MAX_REACH_PX, NEAR
from worldgen.worlds import random_scene, random_walk_cameras, render

SIZE, SEED, FRAMES = 128, 3_000_000_004, 60
COLOURS = {"shown": "#d8572a", "hidden": "#e8c07d", "out of view": "#c9d1d9"}


def walked(*, frames: int = FRAMES, seed: int = SEED) -> tuple[Frames, WorldCache]:
    """A walk through a procedural world, and what the cache kept of it."""
    scene = random_scene(seed)
    cameras = random_walk_cameras(scene, n=frames, seed=seed, width=SIZE, height=SIZE)
    walk = render(scene, cameras)
    return walk, by_rules(walk, nearer=NEARER)


def draw_tiles(path: Path) -> None:
    """The world from above: which tiles one picture needs."""
    walk, cache = walked()
    store, camera = cache.store, walk.cameras[FRAMES // 2 : FRAMES // 2 + 1]
    winner = store.draw(camera).winner
    boxes, power = store._tile_boxes[: store.tile_count], store._keys[: store.tile_count]
    tile_of_row = np.full(len(store.rows), -1)
    blocks = np.arange(store._blocks.count)
    counts = store._blocks.counts[blocks].sum(axis=1)
    tile_of_row[store._rows_of(blocks)] = np.repeat(store._blocks.tile[blocks], counts)
    shown = np.unique(tile_of_row[winner[winner >= 0].numpy()])
    in_view = _in_view(boxes, camera)
    figure, axes = pyplot.subplots(figsize=(7.2, 6.0))
    points = store.points
    keep = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:40_000]
    x, z = points.positions[keep, 0], points.positions[keep, 2]
    axes.scatter(x, z, s=0.5, c=points.rgb[keep].numpy(), rasterized=True, zorder=1)
    for name in ("out of view", "hidden", "shown"):
        chosen = {
            "shown": np.isin(np.arange(len(boxes)), shown),
            "hidden": in_view & ~np.isin(np.arange(len(boxes)), shown),
            "out of view": ~in_view & ~np.isin(np.arange(len(boxes)), shown),
        }[name]
        sides = UNITS * 2.0 ** power[chosen, 0]
        corners = power[chosen][:, [1, 3]] * sides[:, None]
        squares = [Rectangle(tuple(c), s, s) for c, s in zip(corners, sides, strict=True)]
        axes.add_collection(
            PatchCollection(
                squares,
                facecolor="none" if name != "shown" else (*mpl.colors.to_rgb(COLOURS[name]), 0.12),
                edgecolor=COLOURS[name],
                linewidth=1.3 if name == "shown" else 0.7,
                zorder=2 if name == "shown" else 1.5,
            )
        )
        axes.plot([], [], color=COLOURS[name], label=f"{name}: {int(chosen.sum())} tiles")
    _draw_view(axes, camera, reach=float(points.positions.abs().max()))
    low, high = np.quantile(points.positions.numpy(), (0.005, 0.995), axis=0)
    axes.set(
        xlim=(low[0] - 1, high[0] + 1), ylim=(low[2] - 1, high[2] + 1), aspect="equal", xlabel="x", ylabel="z"
    )
    axes.legend(loc="upper right", framealpha=0.95)
    axes.set_title(f"{store.last_drawn.points:,} of {len(store):,} points are drawn for one view")
    _save(figure, path)


def _in_view(boxes: np.ndarray, camera: Cameras) -> np.ndarray:
    found, bounds = np.empty(len(boxes), dtype=np.int64), np.empty((len(boxes) + 1, 5), dtype=np.float32)
    w2c, K = camera.w2c[0].float().numpy(), camera.K[0].float().numpy()
    size = (camera.height, camera.width)
    n = see_tiles(boxes, w2c, K, size, np.float32(NEAR), np.float32(MAX_REACH_PX), found, bounds)
    return np.isin(np.arange(len(boxes)), found[:n])


def _draw_view(axes: pyplot.Axes, camera: Cameras, *, reach: float) -> None:
    """The sides of a camera's view, from above."""
    c2w, K = camera.c2w[0].numpy(), camera.K[0].numpy()
    at = c2w[[0, 2], 3]
    for u in (0.0, camera.width):
        ray = c2w[:3, :3] @ np.array([(u - K[0, 2]) / K[0, 0], 0.0, 1.0])
        end = at + reach * ray[[0, 2]] / np.linalg.norm(ray)
        axes.plot(*np.stack([at, end]).T, color="#1f2933", linewidth=1.0, zorder=3)
    axes.plot(*at, "o", color="#1f2933", markersize=5, zorder=3)


def draw_levels(path: Path) -> None:
    """The points that stand for a wall from further and further away."""
    _walk, cache = walked()
    store, held = cache.store, cache.store._blocks
    tile = int(np.bincount(held.tile[: held.count], weights=held.counts[: held.count].sum(axis=1)).argmax())
    blocks = store._chain_of(tile)
    figure, panels = pyplot.subplots(1, 5, figsize=(11.0, 2.6))
    for level, panel in enumerate(panels):
        rows = []
        for block in blocks:
            for part, levels in enumerate(((2, 3, 4), (0, 1))):
                count = sum(int(held.counts[block, k]) for k in levels if k >= level)
                rows.append(np.arange(held.starts[block, part], held.starts[block, part] + count))
        points = store.rows[torch.from_numpy(np.concatenate(rows))]
        flat = np.linalg.svd((points.positions - points.positions.mean(dim=0)).numpy(), full_matrices=False)[
            2
        ]
        base = store.rows[torch.from_numpy(store._rows_of(blocks))].positions
        if level == 0:
            axes_of = flat
        seen = (points.positions - base.mean(dim=0)).numpy() @ axes_of[:2].T
        panel.scatter(*seen.T, s=0.6 * 4**level, c=points.rgb.numpy(), linewidths=0)
        panel.set(aspect="equal", xticks=[], yticks=[], title=f"level {level}: {len(points):,}")
    _save(figure, path)


def draw_culling(path: Path) -> None:
    """How many points are held along a walk, for each rule."""
    scene = random_scene(SEED)
    cameras = random_walk_cameras(scene, n=100, seed=SEED, width=SIZE, height=SIZE)
    walk = render(scene, cameras)
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6))
    lines = {
        "every pixel": everything,
        "where nothing is cached": invisible_only,
        "or what is cached faces away": by_rules,
        "or is further away": lambda frames: by_rules(frames, nearer=NEARER),
    }
    for name, fill in lines.items():
        sources = fill(walk).points.source
        held = torch.bincount(sources, minlength=len(walk)).cumsum(0)
        axes.plot(np.arange(1, len(walk) + 1), held, label=f"{name}: {int(held[-1]):,}")
    axes.set(xlabel="frames walked", ylabel="points held", yscale="log")
    axes.legend()
    _save(figure, path)


def draw_costs(path: Path) -> None:
    """The table of ``benchmarks/cache.py`` as curves."""
    rows = re.findall(
        r"^ +([\d,]+) +(\w+) +(\d+) px +[\d,]+ +([\d.]+) ms +([\d.]+) ms(?: +([\d.]+) ms)?",
        benchmarks.cache.__doc__ or "",
        flags=re.MULTILINE,
    )
    figure, axes = pyplot.subplots(figsize=(6.4, 3.8))
    for name, colour in (("wall", "#2a6f97"), ("street", "#d8572a"), ("above", "#6a994e")):
        mine = [row for row in rows if row[1] == name and row[2] == "128"]
        counts = [int(row[0].replace(",", "")) for row in mine]
        axes.plot(counts, [float(row[3]) for row in mine], "o-", color=colour, label=f"{name}, tiles")
        every = [(c, float(row[5])) for c, row in zip(counts, mine, strict=True) if row[5]]
        axes.plot(*zip(*every, strict=True), "o:", color=colour, label=f"{name}, every point", alpha=0.6)
    axes.set(xscale="log", yscale="log", xlabel="points in the world", ylabel="ms a render, 128 px")
    axes.legend(ncols=2)
    axes.grid(alpha=0.25)
    _save(figure, path)


def draw_recall(path: Path) -> None:
    """A view that is about to be imagined, and the views that are remembered for it."""
    scene = random_scene(SEED)
    cameras = random_walk_cameras(scene, n=FRAMES, seed=SEED, width=SIZE, height=SIZE)
    other = random_walk_cameras(scene, n=4, seed=SEED + 1, width=SIZE, height=SIZE)
    walk, targets = render(scene, cameras), render(scene, other)
    cache, bank = by_rules(walk, nearer=NEARER), MemoryBank()
    bank.append(walk, ids=list(range(FRAMES)))
    figure, panels = pyplot.subplots(len(targets), 6, figsize=(11.0, 1.95 * len(targets)))
    for i, row in enumerate(panels):
        seen = cache.render(targets.cameras[i : i + 1])
        recalled = retrieve(bank, seen, k=4, seed=0)
        row[0].imshow(targets.rgb[i])
        row[0].set_title("what is there", fontsize=8)
        row[1].imshow(seen.rgb[0])
        row[1].set_title("what the cache shows", fontsize=8)
        for panel, view in zip(row[2:], recalled, strict=False):
            panel.imshow(walk.rgb[view.frame_id])
            panel.set_title(f"{view.frame_id}: {view.overlap:.0%}, adds {view.gain:.0%}", fontsize=8)
        for panel in row:
            panel.axis("off")
    _save(figure, path)


def _save(figure: pyplot.Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    print(path)  # noqa: T201


def main() -> None:
    """Draw them all."""
    mpl.use("Agg")
    torch.set_num_threads(1)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    folder.mkdir(parents=True, exist_ok=True)
    draw_tiles(folder / "memory-tiles.png")
    draw_levels(folder / "memory-levels.png")
    draw_culling(folder / "memory-culling.png")
    draw_recall(folder / "memory-recall.webp")
    draw_costs(folder / "memory-costs.png")


if __name__ == "__main__":
    main()
