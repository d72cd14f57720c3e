"""Index: the SQLite file ``world.db``; one connection that any thread may use.

Room: memory. Private to it. The writer uses WAL with full synchronisation. A reader creates no
files: while no writer has opened the world, it reads the file as it stands and looks afterwards
whether the file stood still; once there is a write-ahead log, it follows that.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, final

from memory import _schema, _seals
from memory._png import in_one_line
from memory._records import NotWrittenError, WorldError
from memory._rows import damaged

NAME = "world.db"
LOG_SUFFIXES = ("-wal", "-shm", "-journal")

MAX_VALUE_BYTES = 64 << 20
WAIT_S = 10.0
ATTEMPTS = 8

FAILURES = (sqlite3.Error, UnicodeError)
"""What a damaged file raises; the second because SQLite quotes the damage in its message."""

Answer = TypeVar("Answer")


@final
class Index:
    """An open world.db; ``read`` and ``rows`` read, ``transaction`` writes."""

    def __init__(self, folder: Path, *, writer: sqlite3.Connection | None = None) -> None:
        """Read the index of a world, or change it through a connection that can."""
        self._file = folder / NAME
        self._is_writable = writer is not None
        self._turn = threading.RLock()
        self._mutex = threading.RLock()
        self._is_closed = False
        self._is_reading = False
        self._seen: tuple[int, ...] | None = None
        self._version: int | None = None
        self._db = writer
        self._stops: _seals.Stops = []

    @classmethod
    def writing(cls, folder: Path) -> Index:
        """Open the index to change it; one of an older format becomes one of this format first."""
        file = folder / NAME
        try:
            db = _connected(f"{file.as_uri()}?mode=rw")
            for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                db.execute(f"PRAGMA {setting}")
        except FAILURES as error:
            raise WorldError(
                f"{file} cannot be opened for writing ({in_one_line(error)}); "
                "check its permissions and the room on the disk, or restore it from a copy"
            ) from error
        index = cls(folder, writer=db)
        try:
            index._upgrade()
        except BaseException:
            index.close()
            raise
        return index

    @classmethod
    def in_memory(cls, folder: Path) -> Index:
        """A copy of the index as it is now, open for writing; the file is not touched."""
        copy, source = _connected("file::memory:"), cls(folder)
        try:
            source.read(lambda: source._copy_to(copy))
        finally:
            source.close()
        index = cls(folder, writer=copy)
        index._upgrade()
        return index

    @property
    def is_writable(self) -> bool:
        """Whether it can be changed, now."""
        return self._is_writable and not self._is_closed

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Within the block no other thread changes the world."""
        with self._turn:
            if not self.is_writable:
                raise WorldError(
                    f"the world at {self._file.parent} is not open for writing; "
                    "use World.open(path, writable=True)"
                )
            yield

    def read(self, answer: Callable[[], Answer]) -> Answer:
        """What ``answer`` makes of rows that are all from one moment; it may be called several times."""
        with self._mutex:
            if self._is_closed:
                raise WorldError(f"the world at {self._file.parent} is closed; open it again")
            if self._is_reading:
                return answer()
            try:
                if self._is_writable:
                    return answer()
                return self._read_beside_a_writer(answer)
            except (*FAILURES, OSError) as error:
                raise WorldError(
                    f"{self._file} cannot be read ({in_one_line(error)}); make room if the disk is full, "
                    "restore it from a copy, or copy the world to where it can be written and open it there"
                ) from error

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Every row that answers ``query``."""
        return self.read(lambda: self._connection().execute(query, values).fetchall())

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the statements in the block, or none of them."""
        with self._mutex:
            if not self.is_writable:
                raise WorldError(f"the world at {self._file.parent} is closed; open it again")
            db = self._connection()
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                if self._stops:
                    raise self._stops.pop() from error
                if isinstance(error, FAILURES):
                    raise NotWrittenError(
                        f"{self._file} could not be written ({in_one_line(error)}); the world is as it was: "
                        "make room on the disk and try again"
                    ) from error
                raise

    def close(self) -> None:
        """Release the file, once nobody changes it; closing twice is fine."""
        with self._turn, self._mutex:
            self._is_closed = True
            self._drop()

    def check(self) -> None:
        """Refuse what no version of this code made, and what is not what it committed."""
        faults = self.read(self._checked)
        if faults:
            raise damaged(faults[0])

    def faults(self) -> list[str]:
        """What is wrong with the file, a clause each; nothing if all is well."""
        return self.read(self._faults)

    def _checked(self) -> list[str]:
        version = _schema.version_of(self._connection())
        _schema.check_version(version, self._file)
        if self.rows(_schema.TABLES) != _schema.tables_of(version):
            raise WorldError(
                "world.db was changed by another program (its tables are not the ones worldgen made); "
                "restore the world folder from a copy"
            )
        return self._faults()

    def _faults(self) -> list[str]:
        """What the seals find; and SQLite's own check, because damaged pages may hide rows from a query."""
        db = self._connection()
        broken = _seals.faults(db, _schema.version_of(db))
        checked = [in_one_line(row[0]) for row in db.execute("PRAGMA main.integrity_check")]
        return broken + [
            fault.removeprefix("*** in database main *** ") for fault in checked if fault != "ok"
        ]

    def _upgrade(self) -> None:
        with self.transaction() as db:
            version = _schema.version_of(db)
            _schema.check_version(version, self._file)
            if version < _schema.FORMAT:
                _schema.upgrade(db, since=version)
        self._stops = _seals.keep(self._connection())

    def _copy_to(self, copy: sqlite3.Connection) -> None:
        self._connection().backup(copy)

    def _connection(self) -> sqlite3.Connection:
        assert self._db is not None
        return self._db

    def _read_beside_a_writer(self, answer: Callable[[], Answer]) -> Answer:
        failure: Exception = sqlite3.OperationalError("it changes too fast")
        for _ in range(ATTEMPTS):
            stamp = self._stamp()
            try:
                found = self._read_at_once(answer, stamp)
            except (*FAILURES, WorldError) as error:
                failure = error
                if self._stamp() == stamp:
                    break
            else:
                follows_log = stamp is None
                if follows_log or self._stamp() == stamp:
                    return found
            self._drop()
        raise failure

    def _read_at_once(self, answer: Callable[[], Answer], stamp: tuple[int, ...] | None) -> Answer:
        """The answer from one read transaction, on tables that look like the newest."""
        db = self._reader(stamp)
        db.execute("BEGIN")
        self._is_reading = True
        try:
            version = _schema.version_of(db)
            if version != self._version:
                _schema.show_as_newest(db, version)
            found = answer()
            db.execute("COMMIT")
            self._version = version
        finally:
            self._is_reading = False
            if db.in_transaction:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
        return found

    def _reader(self, stamp: tuple[int, ...] | None) -> sqlite3.Connection:
        if self._db is None or stamp != self._seen:
            self._drop()
            options = "mode=ro" if stamp is None else "mode=ro&immutable=1"
            self._db = _connected(f"{self._file.as_uri()}?{options}")
            self._seen = stamp
        return self._db

    def _stamp(self) -> tuple[int, ...] | None:
        """What changes when the file does; ``None`` while something stands in a write-ahead log.

        An empty log is what a writer leaves that found no room to write: to follow it takes room too.
        """
        with suppress(FileNotFoundError):
            if os.lstat(f"{self._file}-wal").st_size > 0:
                return None
        state = self._file.stat()
        return (state.st_ino, state.st_size, state.st_mtime_ns)

    def _drop(self) -> None:
        self._version = None
        if self._db is not None:
            self._db.close()
            self._db = None


def _connected(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA temp_store = MEMORY")
    return db
