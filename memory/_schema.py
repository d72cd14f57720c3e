"""Schema: the tables of ``world.db``, and how a world of an older format becomes one of this format.

Room: memory. Private to it. A new world is made as the oldest format and then upgraded, so a world
that was upgraded has the same tables as a new one, letter by letter. A reader changes nothing: it
sees an older world through views that look like the newest tables.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from memory import _seals
from memory._png import in_one_line
from memory._records import NotWrittenError, WorldError

FORMAT = 4
"""Version of the folder's layout and of the tables below."""

APPLICATION_ID = 0x574F524C
"""Bytes 68 to 71 of every world.db: "WORL"."""

FIRST_SCHEMA = """
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
INSERT INTO heads (name, chunk) VALUES ('main', NULL);
"""
"""Format 1. Chunks form a tree and heads name its ends; an edit is a chunk without frames and an event.

AUTOINCREMENT because the number of a frame, chunk or path never names another one, even after the
first was deleted. ``coding`` says how a chunk's pictures were rounded (``memory._blobs.CODING``).
"""

UPGRADES = {
    2: (
        "CREATE TEMP TABLE old_heads AS SELECT name, chunk FROM heads",
        "DROP TABLE heads",
        """CREATE TABLE heads (
    name TEXT PRIMARY KEY,
    chunk INTEGER REFERENCES chunks (id),
    tip INTEGER REFERENCES chunks (id),
    current INTEGER UNIQUE CHECK (current = 1)
)""",
        "INSERT INTO heads (name, chunk, current) "
        "SELECT name, chunk, CASE name WHEN 'main' THEN 1 END FROM temp.old_heads",
        "DROP TABLE temp.old_heads",
        """CREATE TABLE plans (
    path INTEGER PRIMARY KEY REFERENCES paths (id) ON DELETE CASCADE,
    head TEXT NOT NULL REFERENCES heads (name) ON UPDATE CASCADE ON DELETE CASCADE
)""",
        "INSERT INTO plans (path, head) SELECT id, 'main' FROM paths",
    ),
    3: ("CREATE TABLE seals (name TEXT PRIMARY KEY, seal BLOB NOT NULL)",),
    4: (
        """CREATE TABLE costs (
    chunk INTEGER PRIMARY KEY REFERENCES chunks (id),
    memory_bytes INTEGER NOT NULL,
    machine TEXT NOT NULL
)""",
    ),
}
"""What makes each format of the one before it.

Format 2: one of several heads is the current one; ``tip`` is where a head was before undo, and
``plans`` says on which head a path was planned. Format 1 had one head, so all of its paths are that
head's. Format 3: ``seals`` holds a checksum of every other table. Format 4: ``costs`` says what chunks
took, and of which machine; those of older formats do not know.
"""

NO_COSTS = "CREATE TEMP VIEW costs AS SELECT 0 AS chunk, 0 AS memory_bytes, '' AS machine WHERE 0"

VIEWS = {
    1: (
        "CREATE TEMP VIEW heads AS "
        "SELECT name, chunk, NULL AS tip, CASE name WHEN 'main' THEN 1 END AS current FROM main.heads",
        "CREATE TEMP VIEW plans AS SELECT id AS path, 'main' AS head FROM main.paths",
        NO_COSTS,
    ),
    2: (NO_COSTS,),
    3: (NO_COSTS,),
}
"""How a world of an older format looks like one of this format to a reader."""

TABLES = (
    "SELECT type, name, sql FROM main.sqlite_master WHERE name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY name"
)


def create(file: Path, meta: dict[str, str]) -> None:
    """Write the index of an empty world."""
    try:
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN; {FIRST_SCHEMA}")
            db.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", meta.items())
            upgrade(db, since=1)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise NotWrittenError(
            f"no index can be written in {file.parent} ({in_one_line(error)}); make room on the disk"
        ) from error


def check_header(file: Path) -> None:
    """Refuse a file that is not the index of a world, or of a newer one, before SQLite sees it."""
    with file.open("rb") as source:
        header = source.read(100)
    if len(header) < 100 or header[:16] != b"SQLite format 3\0":
        raise WorldError(f"{file} is not a SQLite file; restore it from a copy, or name another folder")
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise WorldError(f"{file} is a database of another program; name the folder of a world")
    check_version(int.from_bytes(header[60:64]), file)


def check_version(version: int, file: Path) -> None:
    """Refuse formats that this code does not know."""
    if version > FORMAT:
        raise WorldError(
            f"{file.parent} has format {version} and this worldgen reads up to format {FORMAT}; "
            "update worldgen"
        )
    if version < 1:
        raise WorldError(f"{file.parent} has format {version}, which never existed; restore it from a copy")


def version_of(db: sqlite3.Connection) -> int:
    """The format of an open index; the header of its file may be behind the write-ahead log."""
    return db.execute("PRAGMA user_version").fetchone()[0]


def upgrade(db: sqlite3.Connection, *, since: int) -> None:
    """Bring the tables from format ``since`` to this one, within the caller's transaction."""
    for version in range(since + 1, FORMAT + 1):
        for statement in UPGRADES[version]:
            db.execute(statement)
    _seals.seal_all(db)
    db.execute(f"PRAGMA user_version = {FORMAT}")


def show_as_newest(db: sqlite3.Connection, version: int) -> None:
    """Let a connection that only reads see an index of format ``version`` as one of this format."""
    for name in ("heads", "plans", "costs"):
        db.execute(f"DROP VIEW IF EXISTS temp.{name}")
    for statement in VIEWS.get(version, ()):
        db.execute(statement)


def tables_of(version: int) -> list[tuple[str, str, str]]:
    """Everything that the index of a world of this format defines."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.executescript(FIRST_SCHEMA)
        for each in range(2, version + 1):
            for statement in UPGRADES[each]:
                db.execute(statement)
        return db.execute(TABLES).fetchall()
