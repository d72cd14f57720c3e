"""Tables: every question that is put to ``world.db``, and every statement that changes it.

Room: memory. Private to it. Answers are records; what the file says is checked on the way.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence

from memory._blobs import CODING
from memory._index import Index
from memory._records import Chunk, FrameRecord, PlannedPath, WorldError
from memory._rows import bytes_from_matrices, chunk_from_row, damaged, frame_from_row, integer, path_from_row
from render.cameras import Cameras

ROWS_PER_QUERY = 500
LARGEST_ID = 10**12

FRAME_COLUMNS = "id, width, height, c2w, k, near, far, confidence, rgb_sha256, depth_sha256"

CHUNK_COLUMNS = "id, parent, created, given, generator, seed, settings, path, path_start, coding"

PATH_COLUMNS = "id, generator, seed, settings, width, height, cameras, c2w, k"

PATH_DONE = """
WITH RECURSIVE up (id, parent, path, path_start) AS (
    SELECT id, parent, path, path_start FROM chunks WHERE id = ?1
    UNION SELECT c.id, c.parent, c.path, c.path_start FROM chunks c JOIN up ON c.id = up.parent
    WHERE up.path IS NOT ?2 AND up.id IS NOT ?3
)
SELECT path_start + (SELECT count(*) FROM frames WHERE chunk = up.id) FROM up WHERE path = ?2
"""
"""Walks from the head back to the path's newest chunk, or to where the path began: a few steps."""


def head_of(index: Index) -> int | None:
    """The chunk that the branch "main" ends with."""
    rows = index.rows("SELECT chunk FROM heads WHERE name = 'main'")
    if len(rows) != 1:
        raise damaged('it has no head "main"')
    return None if rows[0][0] is None else integer(rows[0][0], "the head")


def chunks_to(index: Index, head: int | None) -> list[Chunk]:
    """The chunks from the root to ``head``."""
    rows = {row[0]: row for row in index.rows(f"SELECT {CHUNK_COLUMNS} FROM chunks")}
    frame_ids: dict[object, list[int]] = {}
    for chunk, frame in index.rows("SELECT chunk, id FROM frames ORDER BY id"):
        frame_ids.setdefault(chunk, []).append(integer(frame, "frames.id"))
    chain: list[Chunk] = []
    number = head
    while number is not None:
        if number not in rows:
            raise damaged(f"chunk {number} is missing")
        chain.append(chunk_from_row(rows[number], tuple(frame_ids.get(number, ()))))
        number = chain[-1].parent
    return chain[::-1]


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


def newest_unfinished_path(index: Index, chain: list[Chunk]) -> PlannedPath | None:
    """The newest path that began in ``chain``, if it has cameras left; it supersedes all older ones."""
    at_head = {chunk.id for chunk in chain}
    done = {chunk.path: chunk.path_start + len(chunk.frame_ids) for chunk in chain}
    for number, after, cameras in index.rows("SELECT id, after, cameras FROM paths ORDER BY id DESC"):
        if after is not None and after not in at_head:
            continue
        progress = done.get(number, 0)
        if progress >= integer(cameras, f"cameras of path {number!r:.20}"):
            return None
        row = index.rows(f"SELECT {PATH_COLUMNS} FROM paths WHERE id = ?", number)[0]
        return path_from_row(row, done=progress)
    return None


def path_progress(index: Index, path: int, *, head: int | None) -> tuple[int, int]:
    """How many cameras of a path are done at ``head``, and how many it has."""
    is_number = 0 <= path <= LARGEST_ID
    rows = index.rows("SELECT cameras, after FROM paths WHERE id = ?", path) if is_number else []
    if not rows:
        raise WorldError(f"the world has no path {path}; plan() makes one")
    done = index.rows(PATH_DONE, head, path, rows[0][1])
    return (integer(done[0][0], f"progress of path {path}") if done else 0), integer(rows[0][0], "cameras")


def insert_chunk(db: sqlite3.Connection, chunk: Chunk, *, frames: list[FrameRecord]) -> None:
    """Make a chunk and its frames the head."""
    row = (chunk.id, chunk.parent, chunk.created, chunk.given, chunk.generator, chunk.seed)
    row = (*row, json.dumps(chunk.settings), chunk.path, chunk.path_start, CODING)
    db.execute(f"INSERT INTO chunks ({CHUNK_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    for frame in frames:
        row = (frame.id, frame.width, frame.height, frame.c2w, frame.K, frame.near, frame.far)
        row = (*row, frame.confidence, frame.rgb_sha256, frame.depth_sha256, chunk.id)
        db.execute(
            f"INSERT INTO frames ({FRAME_COLUMNS}, chunk) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row
        )
    db.execute("UPDATE heads SET chunk = ? WHERE name = 'main'", (chunk.id,))


def insert_path(db: sqlite3.Connection, path: PlannedPath, *, after: int | None, created: str) -> None:
    """Store a path that begins after the chunk ``after``."""
    cameras: Cameras = path.cameras
    row = (path.id, path.generator, path.seed, json.dumps(path.settings), cameras.width, cameras.height)
    row = (*row, len(cameras), bytes_from_matrices(cameras.c2w), bytes_from_matrices(cameras.K))
    db.execute(
        f"INSERT INTO paths ({PATH_COLUMNS}, after, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*row, after, created),
    )
