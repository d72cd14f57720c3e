"""Tables: every question that is put to ``world.db``, and every statement that changes it.

Room: memory. Private to it. Answers are records; what the file says is checked on the way.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from memory._blobs import CODING
from memory._index import Index
from memory._records import Chunk, Edit, FrameRecord, Head, PlannedPath, WorldError
from memory._rows import (
    bytes_from_matrices,
    chunk_from_row,
    cost_from_row,
    damaged,
    data_of_edit,
    edit_from_row,
    frame_from_row,
    head_from_row,
    integer,
    path_from_row,
)
from render.cameras import Cameras

ROWS_PER_QUERY = 500
LARGEST_ID = 10**12

FRAME_COLUMNS = "id, width, height, c2w, k, near, far, confidence, rgb_sha256, depth_sha256"

EVENT_COLUMNS = "id, time, kind, data"

CHUNK_COLUMNS = "id, parent, created, given, generator, seed, settings, path, path_start, coding"

PATH_COLUMNS = "id, generator, seed, settings, width, height, cameras, c2w, k"

COST_COLUMNS = "chunk, memory_bytes, machine"

PATH_DONE = """
WITH RECURSIVE up (id, parent, path, path_start) AS (
    SELECT id, parent, path, path_start FROM chunks WHERE id = ?1
    UNION SELECT c.id, c.parent, c.path, c.path_start FROM chunks c JOIN up ON c.id = up.parent
    WHERE up.path IS NOT ?2 AND up.id IS NOT ?3
)
SELECT CASE WHEN path = ?2 THEN path_start + (SELECT count(*) FROM frames WHERE chunk = up.id) ELSE 0 END
FROM up WHERE path = ?2 OR id = ?3
"""
"""Walks from the head back to the path's newest chunk, or to where the path began: a few steps."""

ABANDONED_PATHS = """
SELECT id FROM paths WHERE id NOT IN (SELECT path FROM chunks WHERE path IS NOT NULL)
AND (id NOT IN (SELECT path FROM plans) OR after NOT IN (SELECT id FROM chunks))
"""
"""Asked once the abandoned chunks are deleted: nobody followed these paths, and nobody can."""


def heads(index: Index) -> list[Head]:
    """Every head, by name; exactly one is the current one."""
    rows = index.rows("SELECT name, chunk, tip, current FROM heads ORDER BY name")
    found = [head_from_row(row) for row in rows]
    if not any(head.is_current for head in found):
        raise damaged("it has no head that is the current one")
    return found


def current_head(index: Index) -> Head:
    """The head at which the world is looked at and grows."""
    return next(head for head in heads(index) if head.is_current)


def all_chunks(index: Index) -> list[Chunk]:
    """The chunks of every branch; parents come before their children."""
    rows = index.rows(f"SELECT {CHUNK_COLUMNS} FROM chunks ORDER BY id")
    chunk_of = _chunks_from_rows(index)
    return [chunk_of(row) for row in rows]


def chunks_to(index: Index, end: int | None) -> list[Chunk]:
    """The chunks from the root to ``end``."""
    rows = {row[0]: row for row in index.rows(f"SELECT {CHUNK_COLUMNS} FROM chunks")}
    chunk_of = _chunks_from_rows(index)
    chain: list[Chunk] = []
    number = end
    while number is not None:
        if number not in rows:
            raise damaged(f"chunk {number} is missing")
        chain.append(chunk_of(rows[number]))
        number = chain[-1].parent
    return chain[::-1]


def _chunks_from_rows(index: Index) -> Callable[[tuple[Any, ...]], Chunk]:
    """What makes chunks of their rows, with all that other tables say of them."""
    frame_ids, edits = _frame_ids_by_chunk(index), _edits_by_chunk(index)
    costs = dict(cost_from_row(row) for row in index.rows(f"SELECT {COST_COLUMNS} FROM costs"))

    def chunk_of(row: tuple[Any, ...]) -> Chunk:
        number = row[0]
        chunk = chunk_from_row(row, frame_ids.get(number, ()), edits.get(number))
        return dataclasses.replace(chunk, cost=costs.get(number))

    return chunk_of


def _frame_ids_by_chunk(index: Index) -> dict[object, tuple[int, ...]]:
    found: dict[object, list[int]] = {}
    for chunk, frame in index.rows("SELECT chunk, id FROM frames ORDER BY id"):
        found.setdefault(chunk, []).append(integer(frame, "frames.id"))
    return {chunk: tuple(ids) for chunk, ids in found.items()}


def _edits_by_chunk(index: Index) -> dict[object, Edit]:
    found: dict[object, Edit] = {}
    for chunk, *row in index.rows(f"SELECT chunk, {EVENT_COLUMNS} FROM events ORDER BY id"):
        if chunk in found:
            raise damaged(f"chunk {chunk!r:.20} has more than one event")
        found[chunk] = edit_from_row(tuple(row))
    return found


def all_edits(index: Index) -> list[Edit]:
    """The edits of every branch."""
    return [edit_from_row(row) for row in index.rows(f"SELECT {EVENT_COLUMNS} FROM events ORDER BY id")]


def all_edit_ids(index: Index) -> set[int]:
    """The numbers of the edits of every branch."""
    return {integer(row[0], "events.id") for row in index.rows("SELECT id FROM events")}


def edit_ids_of(index: Index, chunks: set[int]) -> list[int]:
    """The numbers of the edits of these chunks."""
    rows = index.rows("SELECT id, chunk FROM events ORDER BY id")
    return [integer(event, "events.id") for event, chunk in rows if chunk in chunks]


def time_at(index: Index, chunk: int | None) -> int:
    """How many edits there are on the way to a chunk, itself included."""
    query = "SELECT max(time) FROM (SELECT time, chunk FROM frames UNION ALL SELECT time, chunk FROM events)"
    times = index.rows(f"{query} WHERE chunk = ?", chunk)
    return 0 if times[0][0] is None else integer(times[0][0], f"time of chunk {chunk}")


def has_chunk(index: Index, number: int) -> bool:
    """Whether there is such a chunk, on any branch."""
    return 0 <= number <= LARGEST_ID and bool(index.rows("SELECT 1 FROM chunks WHERE id = ?", number))


def abandoned_chunks(index: Index) -> list[int]:
    """The chunks that no head reaches; a world with a gap between a head and the root is refused."""
    parents = {chunk.id: chunk.parent for chunk in all_chunks(index)}
    reached: set[int] = set()
    for head in heads(index):
        number = head.chunk
        while number is not None and number not in reached:
            if number not in parents:
                raise damaged(f"chunk {number} is missing")
            reached.add(number)
            number = parents[number]
    return sorted(parents.keys() - reached)


def frame_records(index: Index, ids: Sequence[int]) -> list[FrameRecord]:
    """The records of these frames, in this order."""
    found: dict[int, FrameRecord] = {}
    askable = [number for number in ids if 0 <= number <= LARGEST_ID]
    for start in range(0, len(askable), ROWS_PER_QUERY):
        batch = askable[start : start + ROWS_PER_QUERY]
        marks = ", ".join("?" * len(batch))
        found |= {record.id: record for record in _frames_where(index, f"WHERE f.id IN ({marks})", *batch)}
    missing = [number for number in ids if number not in found]
    if missing:
        raise WorldError(f"the world holds no frame {missing[0]}; frame_ids() lists the ones it has")
    return [found[number] for number in ids]


def all_frames(index: Index) -> Iterator[FrameRecord]:
    """The records of every frame on every branch."""
    return _frames_where(index, "ORDER BY f.id")


def all_frame_ids(index: Index) -> set[int]:
    """The numbers of every frame on every branch."""
    return {integer(row[0], "frames.id") for row in index.rows("SELECT id FROM frames")}


def frame_ids_of(index: Index, chunks: set[int]) -> list[int]:
    """The numbers of the frames of these chunks."""
    rows = index.rows("SELECT id, chunk FROM frames ORDER BY id")
    return [integer(frame, "frames.id") for frame, chunk in rows if chunk in chunks]


def all_chunk_ids(index: Index) -> set[int]:
    """The numbers of every chunk on every branch."""
    return {integer(row[0], "chunks.id") for row in index.rows("SELECT id FROM chunks")}


def _frames_where(index: Index, condition: str, *values: int) -> Iterator[FrameRecord]:
    columns = ", ".join(f"f.{name}" for name in FRAME_COLUMNS.split(", "))
    query = f"SELECT c.coding, {columns}, c.given FROM frames f LEFT JOIN chunks c ON c.id = f.chunk"
    for coding, *row in index.rows(f"{query} {condition}", *values):
        if coding != CODING:
            raise WorldError(
                f"frame {row[0]} has coding {coding!r:.20} and this worldgen reads coding {CODING}; "
                "update worldgen"
            )
        yield frame_from_row(tuple(row))


def next_id(index: Index, table: str) -> int:
    """The smallest number that never named a row of ``table``, not even a deleted one."""
    rows = index.rows("SELECT seq FROM sqlite_sequence WHERE name = ?1", table)
    rows += index.rows(f"SELECT max(id) FROM {table} HAVING max(id) IS NOT NULL")
    return 1 + max((integer(row[0], f"{table}.id", high=LARGEST_ID) for row in rows), default=-1)


def newest_unfinished_path(index: Index, chain: list[Chunk], head: str) -> PlannedPath | None:
    """The newest path of a head, if it has cameras left; it supersedes all older ones.

    A head's paths are those that its chunks in ``chain`` follow, and those that were planned on it at
    one of them: what was planned on another head after a chunk that both share is not this head's.
    """
    at_head = {chunk.id for chunk in chain}
    done = {chunk.path: chunk.path_start + len(chunk.frame_ids) for chunk in chain}
    query = "SELECT p.id, p.after, p.cameras, l.head FROM paths p LEFT JOIN plans l ON l.path = p.id"
    for number, after, cameras, planned_on in index.rows(f"{query} ORDER BY p.id DESC"):
        is_planned = planned_on == head and (after is None or after in at_head)
        if number not in done and not is_planned:
            continue
        progress = done.get(number, 0)
        if progress >= integer(cameras, f"cameras of path {number!r:.20}"):
            return None
        row = index.rows(f"SELECT {PATH_COLUMNS} FROM paths WHERE id = ?", number)[0]
        return path_from_row(row, done=progress)
    return None


def path_progress(index: Index, path: int, *, head: int | None) -> tuple[int, int]:
    """How many cameras of a path are done at the chunk ``head``, and how many it has."""
    is_number = 0 <= path <= LARGEST_ID
    rows = index.rows("SELECT cameras, after FROM paths WHERE id = ?", path) if is_number else []
    if not rows:
        raise WorldError(f"the world has no path {path}; plan() makes one")
    cameras, after = rows[0]
    done = index.rows(PATH_DONE, head, path, after)
    if not done and after is not None:
        raise WorldError(f"path {path} begins on another branch, after chunk {after}; plan() one here")
    return (integer(done[0][0], f"progress of path {path}") if done else 0), integer(cameras, "cameras")


def insert_chunk(db: sqlite3.Connection, chunk: Chunk, *, frames: list[FrameRecord], time: int) -> None:
    """Make a chunk with its frames or its edit the end of the current head; what was undone is given up."""
    row = (chunk.id, chunk.parent, chunk.created, chunk.given, chunk.generator, chunk.seed)
    row = (*row, json.dumps(chunk.settings), chunk.path, chunk.path_start, CODING)
    db.execute(f"INSERT INTO chunks ({CHUNK_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    for frame in frames:
        row = (frame.id, frame.width, frame.height, frame.c2w, frame.K, frame.near, frame.far)
        row = (*row, frame.confidence, frame.rgb_sha256, frame.depth_sha256, chunk.id, time)
        marks = ", ".join("?" * len(row))
        db.execute(f"INSERT INTO frames ({FRAME_COLUMNS}, chunk, time) VALUES ({marks})", row)
    if chunk.edit is not None:
        edit = chunk.edit
        db.execute(
            f"INSERT INTO events ({EVENT_COLUMNS}, chunk) VALUES (?, ?, ?, ?, ?)",
            (edit.id, edit.time, edit.kind, data_of_edit(edit), chunk.id),
        )
    if chunk.cost is not None:
        row = (chunk.id, chunk.cost.memory_bytes, json.dumps(dataclasses.asdict(chunk.cost.machine)))
        db.execute(f"INSERT INTO costs ({COST_COLUMNS}) VALUES (?, ?, ?)", row)
    db.execute("UPDATE heads SET chunk = ?, tip = NULL WHERE current = 1", (chunk.id,))


def insert_path(db: sqlite3.Connection, path: PlannedPath, *, after: int | None, created: str) -> None:
    """Store a path that the current head will take after the chunk ``after``."""
    cameras: Cameras = path.cameras
    row = (path.id, path.generator, path.seed, json.dumps(path.settings), cameras.width, cameras.height)
    row = (*row, len(cameras), bytes_from_matrices(cameras.c2w), bytes_from_matrices(cameras.K))
    db.execute(
        f"INSERT INTO paths ({PATH_COLUMNS}, after, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*row, after, created),
    )
    db.execute("INSERT INTO plans (path, head) SELECT ?, name FROM heads WHERE current = 1", (path.id,))
    db.execute("UPDATE heads SET tip = NULL WHERE current = 1")


def insert_head(db: sqlite3.Connection, name: str, *, chunk: int) -> None:
    """Begin a head at a chunk."""
    db.execute("INSERT INTO heads (name, chunk) VALUES (?, ?)", (name, chunk))


def make_current(db: sqlite3.Connection, name: str) -> None:
    """Look at the world, and grow it, at this head from now on."""
    db.execute("UPDATE heads SET current = NULL WHERE current = 1")
    db.execute("UPDATE heads SET current = 1 WHERE name = ?", (name,))


def move_head(db: sqlite3.Connection, name: str, *, chunk: int | None, tip: int | None) -> None:
    """Let a head end with another chunk; ``tip`` is where it can be taken back to."""
    db.execute("UPDATE heads SET chunk = ?, tip = ? WHERE name = ?", (chunk, tip, name))


def rename_head(db: sqlite3.Connection, old: str, new: str) -> None:
    """Give a head another name."""
    db.execute("UPDATE heads SET name = ? WHERE name = ?", (new, old))


def delete_head(db: sqlite3.Connection, name: str) -> None:
    """Forget a head, but none of its chunks."""
    db.execute("DELETE FROM heads WHERE name = ?", (name,))


def delete_chunks(db: sqlite3.Connection, ids: list[int]) -> None:
    """Delete chunks that no head reaches, with all that only they need."""
    db.execute("PRAGMA defer_foreign_keys = ON")  # chunks and paths name each other
    marks = [(number,) for number in ids]
    db.executemany("UPDATE heads SET tip = NULL WHERE tip = ?", marks)
    for table in ("events", "frames", "costs"):
        db.executemany(f"DELETE FROM {table} WHERE chunk = ?", marks)
    db.executemany("DELETE FROM chunks WHERE id = ?", marks)
    db.execute(f"DELETE FROM paths WHERE id IN ({ABANDONED_PATHS})")


def rehearse(db: sqlite3.Connection, *, head: int | None, path: int | None) -> None:
    """Put the current head of a copy anywhere, with no plan but the one for ``path``."""
    db.execute("UPDATE heads SET chunk = ?, tip = NULL WHERE current = 1", (head,))
    db.execute("DELETE FROM plans")
    if path is not None:
        db.execute("INSERT INTO plans (path, head) SELECT ?, name FROM heads WHERE current = 1", (path,))
