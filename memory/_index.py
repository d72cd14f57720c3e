"""Index: the SQLite file ``world.db``; one connection that any thread may use.

Room: memory. Private to it. The writer uses WAL with full synchronisation. A reader creates no
files: while no writer has opened the world, it reads the file as it stands and looks afterwards
whether the file stood still; once there is a write-ahead log, it follows that.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, final

from memory._png import in_one_line
from memory._records import WorldError

NAME = "world.db"
LOG_SUFFIXES = ("-wal", "-shm", "-journal")

FORMAT = 1
"""Version of the folder's layout and of the tables below."""

APPLICATION_ID = 0x574F524C
"""Bytes 68 to 71 of every world.db: "WORL"."""

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    parent INTEGER REFERENCES chunks (id) CHECK (parent < id),
    created TEXT NOT NULL,
    given INTEGER NOT NULL CHECK (given IN (0, 1)),
    generator TEXT NOT NULL,
    seed INTEGER NOT NULL,
    settings TEXT NOT NULL,
    path INTEGER REFERENCES paths (id),
    path_start INTEGER NOT NULL,
    coding INTEGER NOT NULL
);
CREATE TABLE frames (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    chunk INTEGER NOT NULL REFERENCES chunks (id),
    time INTEGER NOT NULL DEFAULT 0,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    c2w BLOB NOT NULL,
    k BLOB NOT NULL,
    near REAL,
    far REAL,
    confidence REAL NOT NULL,
    rgb_sha256 BLOB NOT NULL,
    depth_sha256 BLOB NOT NULL
);
CREATE TABLE paths (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    after INTEGER REFERENCES chunks (id),
    created TEXT NOT NULL,
    generator TEXT NOT NULL,
    seed INTEGER NOT NULL,
    settings TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    cameras INTEGER NOT NULL,
    c2w BLOB NOT NULL,
    k BLOB NOT NULL
);
CREATE TABLE heads (name TEXT PRIMARY KEY, chunk INTEGER REFERENCES chunks (id));
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    chunk INTEGER NOT NULL REFERENCES chunks (id),
    time INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX chunks_by_parent ON chunks (parent);
CREATE INDEX frames_by_chunk ON frames (chunk);
"""
"""Chunks form a tree and heads name its leaves; an edit is a chunk without frames and an event.

AUTOINCREMENT because the number of a frame, chunk or path never names another one, even after the
first was deleted. ``coding`` says how a chunk's pictures were rounded (``memory._blobs.CODING``).
"""

MAX_VALUE_BYTES = 64 << 20
WAIT_S = 10.0
ATTEMPTS = 8

FAILURES = (sqlite3.Error, UnicodeError)
"""What a damaged file raises; the second because SQLite quotes the damage in its message."""


def create(folder: Path, meta: dict[str, str]) -> None:
    """Write the index of an empty world."""
    try:
        with closing(sqlite3.connect(folder / NAME, isolation_level=None)) as db:
            db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN; {SCHEMA}")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {FORMAT}")
            db.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", meta.items())
            db.execute("INSERT INTO heads (name, chunk) VALUES ('main', NULL)")
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise WorldError(
            f"no index can be written in {folder} ({in_one_line(error)}); make room on the disk"
        ) from error


def check_header(folder: Path) -> None:
    """Refuse a file that is not the index of a world, or of a newer one, before SQLite sees it."""
    with (folder / NAME).open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or header[:16] != b"SQLite format 3\0":
        raise WorldError(
            f"{folder / NAME} is not a SQLite file; restore it from a copy, or name another folder"
        )
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise WorldError(f"{folder / NAME} is a database of another program; name the folder of a world")
    version = int.from_bytes(header[60:64])
    if version > FORMAT:
        raise WorldError(
            f"{folder} has format {version} and this worldgen reads up to format {FORMAT}; update worldgen"
        )
    if version != FORMAT:
        raise WorldError(f"{folder} has format {version}, which never existed; restore it from a copy")


@final
class Index:
    """An open world.db; ``rows`` reads, ``transaction`` writes."""

    def __init__(self, folder: Path, *, writable: bool) -> None:
        self._file = folder / NAME
        self._writable = writable
        self._mutex = threading.RLock()
        self._is_closed = False
        self._seen: tuple[int, ...] | None = None
        self._db: sqlite3.Connection | None = None
        if writable:
            self._db = self._writer()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Every row that answers ``query``."""
        with self._mutex:
            if self._is_closed:
                raise WorldError(f"the world at {self._file.parent} is closed; open it again")
            try:
                if self._writable and self._db is not None:
                    return self._db.execute(query, values).fetchall()
                return self._rows_beside_a_writer(query, values)
            except (*FAILURES, OSError) as error:
                raise WorldError(
                    f"{self._file} cannot be read ({in_one_line(error)}); restore it from a copy, "
                    "or copy the world to where it can be written and open it there"
                ) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the statements in the block, or none of them."""
        with self._mutex:
            if self._is_closed or self._db is None:
                raise WorldError(f"the world at {self._file.parent} is closed; open it again")
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                if isinstance(error, FAILURES):
                    raise WorldError(
                        f"{self._file} could not be written ({in_one_line(error)}); the world is as it was: "
                        "make room on the disk and try again"
                    ) from error
                raise

    def close(self) -> None:
        """Release the file; closing twice is fine."""
        with self._mutex:
            self._is_closed = True
            self._drop()

    def _writer(self) -> sqlite3.Connection:
        try:
            db = self._connected("mode=rw")
            for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                db.execute(f"PRAGMA {setting}")
        except FAILURES as error:
            raise WorldError(
                f"{self._file} cannot be opened for writing ({in_one_line(error)}); "
                "check its permissions, or restore it from a copy"
            ) from error
        return db

    def _rows_beside_a_writer(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        failure: Exception = sqlite3.OperationalError("it changes too fast")
        for _ in range(ATTEMPTS):
            stamp = self._stamp()
            try:
                found = self._reader(stamp).execute(query, values).fetchall()
            except FAILURES as error:
                found, failure = None, error
            follows_log = stamp is None
            if found is not None and (follows_log or self._stamp() == stamp):
                return found
            if found is None and self._stamp() == stamp:
                break
            self._drop()
        raise failure

    def _reader(self, stamp: tuple[int, ...] | None) -> sqlite3.Connection:
        if self._db is None or stamp != self._seen:
            self._drop()
            self._db = self._connected("mode=ro" if stamp is None else "mode=ro&immutable=1")
            self._seen = stamp
        return self._db

    def _stamp(self) -> tuple[int, ...] | None:
        """What changes when the file does; ``None`` while there is a write-ahead log."""
        if os.path.lexists(f"{self._file}-wal"):
            return None
        state = self._file.stat()
        return (state.st_ino, state.st_size, state.st_mtime_ns)

    def _connected(self, options: str) -> sqlite3.Connection:
        db = sqlite3.connect(
            f"{self._file.as_uri()}?{options}",
            uri=True,
            timeout=WAIT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        db.execute("PRAGMA trusted_schema = OFF")
        return db

    def _drop(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def check_schema(index: Index) -> None:
    """Refuse tables, triggers and views that this version did not make."""
    query = (
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY name"
    )
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(SCHEMA)
        expected = fresh.execute(query).fetchall()
    if index.rows(query) != expected:
        raise WorldError(
            "world.db was changed by another program (its tables are not the ones worldgen made); "
            "restore the world folder from a copy"
        )
