"""Tiles: the points of the world cache cut into space, so that a step costs what the camera sees.

Room: memory. Imports render. A tile is a cube of space; its points have about the spacing of a 64th of
its side, so tiles are small where the world was seen from close by. Within a tile the points of one
frame form blocks, in the order of a Morton curve, the first point of every cube of 16, 8, 4 and 2
spacings first: any block can be drawn from fewer points by drawing less of it. A picture is drawn tile
by tile from near to far, without what nearer ones hide. Close up the result is that of drawing every
point, bit for bit. Rows are never rewritten: what goes is marked, and slabs that are mostly gone are
emptied.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from memory._slabs import SLAB, Slabs
from memory._tile_kernels import (
    MAX_LEVEL,
    bound_rows,
    cut_blocks,
    drop_dead,
    fill_table,
    find_tiles,
    link_blocks,
)
from memory._view_kernels import draw_tiles, see_tiles
from memory.boxes import Corner, within
from memory.points import Points
from render.cameras import Cameras
from render.points import EMPTY, MAX_REACH_PX, NEAR, PointImage

BUDGET_BYTES = 1 << 30
"""Of points in memory; 15 million of them."""

TILE_POINTS = 65_536
"""A tile keeps at most so many, 16 times what one surface across it has."""

KEPT = 0.75
"""What eviction leaves of a full tile, so that it does not run again at once."""

RECENCY_FRAMES = 64
"""Trust in a point counts half when it is so many frames old."""

PARTS = (slice(2, None), slice(0, 2))
"""Levels that lie in a row: the coarse ones apart, so that what is far away keeps little in memory."""

BLOCK_POINTS = 512
DETAIL_PX = 1.0
"""Cubes whose points are drawn as one are at most this wide on the picture."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a picture cost."""

    tiles: int
    """That the camera can see."""
    blocks: int
    """That nothing nearer hides."""
    points: int


class _Blocks:
    """One row a block, in the order they came; room doubles."""

    def __init__(self, room: int = 0) -> None:
        self.count = 0
        self.tile = np.empty(room, dtype=np.int64)
        self.source = np.empty(room, dtype=np.int64)
        self.starts = np.empty((room, 2), dtype=np.int64)
        """First row of levels 4 to 2, and of levels 1 and 0."""
        self.counts = np.empty((room, MAX_LEVEL + 1), dtype=np.int64)
        """Points of each level."""
        self.boxes = np.empty((room, 6), dtype=np.float32)
        self.chain = np.empty(room, dtype=np.int64)
        """The next block of the same tile; -1 for none."""
        self.is_alive = np.empty(room, dtype=np.bool_)
        self.is_anchor = np.empty(room, dtype=np.bool_)
        """Whether any point of it was measured."""
        self.confidence = np.empty(room, dtype=np.float32)
        """Mean of its points."""

    def with_room(self, count: int) -> None:
        if count > len(self.tile):
            for name, held in vars(self).items():
                if isinstance(held, np.ndarray):
                    setattr(self, name, _with_room(held, count))


class TileStore:
    """Points in tiles; state in place, because a copy a frame would cost more than a render."""

    def __init__(
        self,
        *,
        budget: int = BUDGET_BYTES,
        folder: Path | None = None,
        tile_points: int = TILE_POINTS,
        detail: float = DETAIL_PX,
    ) -> None:
        """Start empty.

        Args:
            budget: bytes of points that may stay in memory; what was not looked at for longest goes to
                files beyond it.
            folder: where such files live while the process does; by default where the system puts
                temporary files.
            tile_points: beyond so many points in one tile the least trusted and oldest go, but never
                what was measured.
            detail: pixels; 0 draws every point however far away it is.
        """
        self._slabs = Slabs(budget=budget, folder=folder)
        self._blocks = _Blocks()
        self._tile_points, self._detail = tile_points, detail
        self._table = np.full(1024, -1, dtype=np.int32)
        self._keys = np.empty((256, 4), dtype=np.int64)
        self._tiles = 0
        self._tile_boxes = np.empty((0, 6), dtype=np.float32)
        self._ends = np.empty((0, 2), dtype=np.int64)
        self._live = np.empty(0, dtype=np.int64)
        self._count = 0
        self._newest = 0
        self.last_drawn = Drawn(0, 0, 0)

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> Points:
        """Every row by its number, those that nobody uses included."""
        return self._slabs.rows

    @property
    def points(self) -> Points:
        """Everything that is held, block by block in the order they came; a copy."""
        return self._slabs.read(self._rows_of(np.flatnonzero(self._alive)))

    @property
    def tile_count(self) -> int:
        """Tiles that were ever used."""
        return self._tiles

    @property
    def resident_bytes(self) -> int:
        """Points in memory; the index beside them takes about a hundredth of what is stored."""
        return self._slabs.resident_bytes

    @property
    def stored_bytes(self) -> int:
        """Points in memory and on disk."""
        return self._slabs.stored_bytes

    @property
    def _alive(self) -> np.ndarray:
        return self._blocks.is_alive[: self._blocks.count]

    def append(self, points: Points) -> None:
        """Take points in, and let go of the least trusted where a tile is over its budget."""
        for source in points.source.unique().tolist():  # one, save for what somebody put together
            is_its = points.source == source
            self._append(points if is_its.all() else points[is_its], source=source)
        self._slabs.settle()

    def _append(self, points: Points, *, source: int) -> None:
        """Take in what one frame brought."""
        places = self._places(points)
        order = np.argsort(places, kind="stable")
        places = places[order]
        blocks, levels = np.empty(len(order), dtype=np.int64), np.empty(len(order), dtype=np.int64)
        counts = np.empty((len(order), MAX_LEVEL + 1), dtype=np.int64)
        n = cut_blocks(places, BLOCK_POINTS, blocks, levels, counts)
        finest_last = np.argsort(blocks * (MAX_LEVEL + 1) + (MAX_LEVEL - levels), kind="stable")
        order, tiles, blocks = order[finest_last], (places >> 18)[finest_last], blocks[finest_last]
        first = self._enter(int(n), tiles=tiles, blocks=blocks, counts=counts[:n], source=source)
        rows = self._rows_of(np.arange(first, first + n))
        self._slabs.write(rows, points, order)
        self._describe(first, rows, first + blocks)
        self._newest = max(self._newest, source)
        self._evict(np.unique(tiles))

    def forget(self, sources: list[int]) -> int:
        """Delete every point that one of these frames brought, and return how many that is."""
        source = self._blocks.source[: self._blocks.count]
        return self._kill(np.flatnonzero(self._alive & np.isin(source, sources)))

    def count_within(self, low: Corner, high: Corner) -> int:
        """How many points lie between two corners, both included."""
        return int(self._met(low, high)[2].sum())

    def remove(self, low: Corner, high: Corner) -> int:
        """Delete every point between two corners, both included, and return how many that is."""
        blocks, held, is_inside = self._met(low, high)
        if is_inside.any():
            self._kill(blocks)
            self.append(held[~is_inside])
        return int(is_inside.sum())

    def _met(self, low: Corner, high: Corner) -> tuple[np.ndarray, Points, Bool[Tensor, " p"]]:
        """Blocks that meet a box, their points, and which of these lie inside."""
        boxes = self._blocks.boxes[: self._blocks.count].astype(np.float64)
        meets = (boxes[:, :3] <= high).all(axis=1) & (boxes[:, 3:] >= low).all(axis=1)
        blocks = np.flatnonzero(self._alive & meets)
        held = self._slabs.read(self._rows_of(blocks))
        return blocks, held, within(held.positions, low, high)

    def draw(self, cameras: Cameras) -> PointImage:
        """Draw what is held; see :func:`render.points.render_points`. Winners are row numbers."""
        shape = (len(cameras), cameras.height, cameras.width)
        depth = np.full(shape, np.inf, dtype=np.float32)
        winner = np.full(shape, EMPTY, dtype=np.int64)
        seen, bounds = np.empty(self._tiles, dtype=np.int64), np.empty((self._tiles + 1, 5), dtype=np.float32)
        w2c, K = cameras.w2c.float().numpy(), cameras.K.float().numpy()
        near, reach = np.float32(NEAR), np.float32(MAX_REACH_PX)
        positions, axes = self.rows.positions.numpy(), self.rows.axes.numpy()
        held, tiles = self._blocks, self._tile_boxes[: self._tiles]
        cost = Counter[str]()
        for i in range(len(cameras)):
            n = see_tiles(tiles, w2c[i], K[i], shape[1:], near, reach, seen, bounds)
            order = np.argsort(bounds[:n, 0], kind="stable")
            drawn = draw_tiles(
                seen[order],
                bounds[order],
                self._keys[:, 0],
                self._ends,
                held.chain,
                held.boxes,
                held.starts,
                held.counts,
                np.float32(self._detail),
                SLAB,
                self._slabs.used,
                self._slabs.tick,
                positions,
                axes,
                w2c[i],
                K[i],
                near,
                reach,
                depth[i],
                winner[i],
            )
            cost.update(tiles=int(n), blocks=int(drawn[0]), points=int(drawn[1]))
        self.last_drawn = Drawn(cost["tiles"], cost["blocks"], cost["points"])
        self._slabs.settle()
        return PointImage(depth=torch.from_numpy(depth)[..., None], winner=torch.from_numpy(winner))

    def _places(self, points: Points) -> np.ndarray:
        """Tile and place within it of every point; new tiles are made."""
        most = self._tiles + len(points)
        if 2 * most > len(self._table):
            self._table = np.full(1 << (2 * most).bit_length(), -1, dtype=np.int32)
            fill_table(self._table, self._keys, self._tiles)
        if most > len(self._keys):
            self._keys = _with_room(self._keys, most)
        places = np.empty(len(points), dtype=np.int64)
        positions, axes = points.positions.numpy(), points.axes.numpy()
        before = self._tiles
        self._tiles = find_tiles(positions, axes, self._table, self._keys, before, places)
        for name, fill in (("_tile_boxes", np.inf), ("_ends", -1), ("_live", 0)):
            held = getattr(self, name)
            if self._tiles > len(held):
                setattr(self, name, _with_room(held, self._tiles))
            getattr(self, name)[before : self._tiles] = fill
        self._tile_boxes[before : self._tiles, 3:] = -np.inf
        return places

    def _enter(
        self, n: int, *, tiles: np.ndarray, blocks: np.ndarray, counts: np.ndarray, source: int
    ) -> int:
        """Make rows for ``n`` new blocks, and return the number of the first."""
        held, first = self._blocks, self._blocks.count
        held.with_room(first + n)
        new = slice(first, first + n)
        heads = np.searchsorted(blocks, np.arange(n))
        held.tile[new], held.source[new], held.counts[new] = tiles[heads], source, counts
        held.is_alive[new] = True
        held.count = first + n
        for part in range(len(PARTS)):
            self._place(np.arange(first, first + n), part)
        self._live += np.bincount(tiles, minlength=len(self._live))
        self._count += len(tiles)
        return first

    def _place(self, blocks: np.ndarray, part: int) -> None:
        """Give one run of each block rows."""
        held = self._blocks
        lengths = held.counts[blocks, PARTS[part]].sum(axis=1)
        held.starts[blocks, part] = self._slabs.allocate(lengths, part)

    def _describe(self, first: int, rows: np.ndarray, blocks: np.ndarray) -> None:
        """Fill in what is known of new blocks once their rows are written."""
        held = self._blocks
        n = held.count - first
        new = slice(first, held.count)
        held.boxes[new, :3], held.boxes[new, 3:] = np.inf, -np.inf
        bound_rows(self.rows.positions.numpy(), rows, blocks, held.boxes)
        trust = self.rows.confidence.numpy()[rows]
        sizes = held.counts[new].sum(axis=1)
        held.confidence[new] = np.bincount(blocks - first, weights=trust, minlength=n) / sizes
        held.is_anchor[new] = np.bincount(blocks - first, weights=trust == 1.0, minlength=n) > 0
        link_blocks(first, held.count, held.tile, held.chain, self._ends, held.boxes, self._tile_boxes)

    def _rows_of(self, blocks: np.ndarray) -> np.ndarray:
        """Row numbers of blocks, the points of each from its coarsest level to its finest."""
        held = self._blocks
        lengths = np.stack([held.counts[blocks, levels].sum(axis=1) for levels in PARTS], axis=1)
        return _runs(held.starts[blocks].ravel(), lengths.ravel())

    def _evict(self, tiles: np.ndarray) -> None:
        """Bring tiles back under their budget: the least trusted and oldest go, never what was measured."""
        held = self._blocks
        for tile in tiles[self._live[tiles] > self._tile_points]:
            blocks = self._chain_of(int(tile))
            blocks = blocks[~held.is_anchor[blocks]]
            age = self._newest - held.source[blocks]
            worth = held.confidence[blocks] / (1.0 + age / RECENCY_FRAMES)
            order = blocks[np.argsort(worth, kind="stable")]
            surplus = self._live[tile] - int(KEPT * self._tile_points)
            gone = np.cumsum(held.counts[order].sum(axis=1))
            self._kill(order[: 1 + int(np.searchsorted(gone, surplus))])

    def _chain_of(self, tile: int) -> np.ndarray:
        """The blocks of a tile, oldest first."""
        found, block = [], int(self._ends[tile, 0])
        while block >= 0:
            found.append(block)
            block = int(self._blocks.chain[block])
        return np.array(found, dtype=np.int64)

    def _kill(self, blocks: np.ndarray) -> int:
        """Mark blocks as gone, and empty slabs that are mostly gone."""
        held = self._blocks
        sizes = held.counts[blocks].sum(axis=1)
        held.is_alive[blocks] = False
        np.subtract.at(self._live, held.tile[blocks], sizes)
        self._count -= int(sizes.sum())
        drop_dead(np.unique(held.tile[blocks]), self._ends, held.chain, held.is_alive)
        for part, levels in enumerate(PARTS):
            lengths, starts = held.counts[blocks, levels].sum(axis=1), held.starts[blocks, part]
            self._slabs.free(starts, lengths)
            for slab in self._slabs.sparse(starts[lengths > 0] // SLAB):
                self._empty(slab, part)
        return int(sizes.sum())

    def _empty(self, slab: int, part: int) -> None:
        """Move what is left in a slab elsewhere, and give the slab back."""
        held = self._blocks
        is_here = self._alive & (held.starts[: held.count, part] // SLAB == slab)
        self._move(np.flatnonzero(is_here & (held.counts[: held.count, PARTS[part]] > 0).any(axis=1)), part)
        self._slabs.release(slab)

    def _move(self, blocks: np.ndarray, part: int) -> None:
        """Write one run of each of some blocks anew."""
        held = self._blocks
        lengths = held.counts[blocks, PARTS[part]].sum(axis=1)
        old = _runs(held.starts[blocks, part], lengths)
        self._place(blocks, part)  # the old slab is not given back before its rows are copied
        self._slabs.write(_runs(held.starts[blocks, part], lengths), self.rows, old)


def _runs(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Runs of row numbers, one after the other."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(int(lengths.sum()))


def _with_room(held: np.ndarray, count: int) -> np.ndarray:
    """The same rows with room for at least ``count``, and for twice as many as before."""
    grown = np.empty((max(count, 2 * len(held), 64), *held.shape[1:]), dtype=held.dtype)
    grown[: len(held)] = held
    return grown
