"""Slabs: the rows of the cache's points, in memory or, beyond a budget, in files.

Room: memory. Private to it. Rows are handed out in slabs of ``SLAB``. While all of them fit into the
budget they are plain memory. Beyond it they move into files that have no name, so nothing is left of
them when the process ends, however it ends: they are derived state, and what an earlier process wrote
is never believed. The operating system brings slabs back when they are looked at; those that were not
looked at for longest are let go when what is resident exceeds the budget.
"""

from __future__ import annotations

import dataclasses
import mmap
import tempfile
import weakref
from pathlib import Path
from typing import IO

import numpy as np
import torch

from memory._tile_kernels import copy_rows, lay_out
from memory.points import FIELDS, Points, points_with_room

SLAB = 2048
"""Rows; a whole number of memory pages in every column."""

ROW_BYTES = sum(
    tensor.element_size() * tensor[0].numel()
    for tensor in (getattr(points_with_room(1), name) for name in FIELDS)
)
MIN_SLABS = 8

WORTH_KEEPING = 0.5
"""A slab is to be emptied when less than this share of it is left."""


class Slabs:
    """Room for points by row number; rows never move by themselves, and slabs can be given back."""

    def __init__(self, *, budget: int, folder: Path | None) -> None:
        """``budget`` in bytes of resident rows; ``folder`` for the files, by default the system's own."""
        self.rows = points_with_room(0)
        self._budget, self._folder = budget, folder
        self._maps: dict[str, mmap.mmap] = {}
        self._files: list[IO[bytes]] = []
        weakref.finalize(self, _close, self._files)
        self._heads = np.zeros((2, 2), dtype=np.int64)
        self._count = 0
        self._spare: list[int] = []
        self.used = np.zeros(0, dtype=np.int64)
        """When each slab was last looked at, by ``tick``; 0 for never."""
        self.tick = 1
        self._is_resident = np.zeros(0, dtype=np.bool_)
        self._live = np.zeros(0, dtype=np.int64)

    @property
    def resident_bytes(self) -> int:
        """What of the rows is in memory, as far as this class decides it."""
        held = self._count if not self._maps else int(self._is_resident.sum())
        return held * SLAB * ROW_BYTES

    @property
    def stored_bytes(self) -> int:
        """All slabs that hold rows, wherever they are."""
        return (self._count - len(self._spare)) * SLAB * ROW_BYTES

    @property
    def is_on_disk(self) -> bool:
        """Whether the rows have outgrown the budget."""
        return bool(self._maps)

    def allocate(self, counts: np.ndarray, kind: int) -> np.ndarray:
        """First rows of runs of ``counts`` rows; no run crosses the end of a slab.

        Runs of different ``kind`` (0 or 1) never share a slab.
        """
        starts = np.empty(len(counts), dtype=np.int64)
        most = 2 + int(counts.sum()) * 2 // SLAB  # a slab is left at least half full, or its run is long
        spare = self._spare[::-1][:most]
        free = np.array([*spare, *range(self._count, self._count + most - len(spare))], dtype=np.int64)
        taken = lay_out(counts, SLAB, self._heads[kind], free, starts)
        fresh = max(0, taken - len(spare))
        del self._spare[len(self._spare) - (taken - fresh) :]
        self._grow(self._count + fresh)
        np.add.at(self._live, starts // SLAB, counts)
        return starts

    def free(self, starts: np.ndarray, counts: np.ndarray) -> None:
        """Take back runs whose rows nobody needs; see :meth:`sparse` and :meth:`release`."""
        np.subtract.at(self._live, starts // SLAB, counts)

    def sparse(self, slabs: np.ndarray) -> list[int]:
        """Which of these slabs are mostly free, and get no new rows."""
        is_open = {head // SLAB for head, end in self._heads.tolist() if head < end}
        mostly_free = np.unique(slabs[self._live[slabs] < WORTH_KEEPING * SLAB])
        return [slab for slab in mostly_free.tolist() if slab not in is_open]

    def write(self, rows: np.ndarray, points: Points, order: np.ndarray) -> None:
        """Put the points named by ``order`` into rows that were allocated."""
        # Not all callers own dense columns: a constant one may be one value in many places.
        columns = tuple(np.ascontiguousarray(getattr(points, name).numpy()) for name in FIELDS)
        copy_rows(order, rows, columns, tuple(getattr(self.rows, name).numpy() for name in FIELDS))
        self.used[rows // SLAB] = self.tick

    def read(self, rows: np.ndarray) -> Points:
        """A copy of some rows."""
        self.used[rows // SLAB] = self.tick
        points = self.rows[torch.from_numpy(rows)]
        self.settle()
        return points

    def release(self, slab: int) -> None:
        """Take back a slab, with whatever it still holds."""
        self._live[slab] = 0
        self._spare.append(slab)

    def settle(self) -> None:
        """Begin a new tick, and let go what was not looked at for longest if there is too much."""
        if self._maps:
            self._is_resident |= self.used >= self.tick
            most = max(1, self._budget // (SLAB * ROW_BYTES))
            resident = self._is_resident.nonzero()[0]
            if len(resident) > most:
                oldest = resident[np.argsort(self.used[resident], kind="stable")]
                self._let_go(np.sort(oldest[: len(resident) - most]))
        self.tick += 1

    def _let_go(self, slabs: np.ndarray) -> None:
        self._is_resident[slabs] = False
        if not hasattr(mmap, "MADV_DONTNEED"):  # the system decides by itself what stays
            return
        ends = np.flatnonzero(np.diff(slabs) != 1)
        firsts = slabs[np.concatenate([[0], ends + 1])]
        lasts = slabs[np.concatenate([ends, [len(slabs) - 1]])]
        for mapped in self._maps.values():
            size = len(mapped) // self._capacity * SLAB
            for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
                mapped.madvise(mmap.MADV_DONTNEED, first * size, (last + 1 - first) * size)

    @property
    def _capacity(self) -> int:
        return len(self.rows)

    def _grow(self, count: int) -> None:
        self._count = count
        slabs = self._capacity // SLAB
        if count <= slabs:
            return
        room = max(MIN_SLABS, count, slabs * 3 // 2)
        new = room - slabs
        self.used = np.concatenate([self.used, np.zeros(new, dtype=np.int64)])
        self._live = np.concatenate([self._live, np.zeros(new, dtype=np.int64)])
        self._is_resident = np.concatenate([self._is_resident, np.zeros(new, dtype=np.bool_)])
        if not self._maps and count * SLAB * ROW_BYTES <= self._budget:
            grown = points_with_room(room * SLAB)
            _copy(self.rows, grown)
            self.rows = grown
        else:
            self._remap(room * SLAB)

    def _remap(self, capacity: int) -> None:
        """Let the files hold ``capacity`` rows; the first time, they take what was in memory."""
        held, is_first = self.rows, not self._maps
        if is_first:
            if self._folder is not None:
                self._folder.mkdir(exist_ok=True)
            for _ in FIELDS:
                self._files.append(tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115
        columns = {}
        for name, file in zip(FIELDS, self._files, strict=True):
            column = getattr(held, name)
            shape = (capacity, *column.shape[1:])
            file.truncate(column.element_size() * int(np.prod(shape)))
            self._maps[name] = mmap.mmap(file.fileno(), 0)
            flat = np.frombuffer(self._maps[name], dtype=column.numpy().dtype)
            columns[name] = torch.from_numpy(flat.reshape(shape))
        self.rows = dataclasses.replace(held, **columns)
        if is_first:
            _copy(held, self.rows)
            self._is_resident[: len(held) // SLAB] = True


def _copy(source: Points, target: Points) -> None:
    for name in FIELDS:
        getattr(target, name)[: len(source)] = getattr(source, name)


def _close(files: list[IO[bytes]]) -> None:
    for file in files:
        file.close()
