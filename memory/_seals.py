"""Seals: a checksum for every table of ``world.db``, so that no row of it changes unnoticed.

Room: memory. Private to it. SQLite has no checksums of its own: a flipped bit in a pose is another
pose. A seal is the xor of the SHA-256 of all rows of a table, so a transaction pays only for the rows
that it changes. Triggers keep it; they live in the writer's connection and not in the file.
"""

from __future__ import annotations

import hashlib
import sqlite3

SEALED = {"meta": 3, "chunks": 3, "frames": 3, "paths": 3, "heads": 3, "plans": 3, "events": 3, "costs": 4}
"""Every table that we fill, and the format since which it has a seal. SQLite's own count of numbers is not
sealed: it may only run ahead."""

NOTHING = bytes(32)

Stops = list[BaseException]
"""What interrupted a trigger; SQLite reports it as an error of its own and forgets it."""


def seal_all(db: sqlite3.Connection) -> None:
    """Seal every table as it is now, within the caller's transaction."""
    seals = [(table, _seal_of(db, table)) for table in SEALED]
    db.executemany("INSERT OR REPLACE INTO main.seals (name, seal) VALUES (?, ?)", seals)


def faults(db: sqlite3.Connection, version: int) -> list[str]:
    """The tables of an index of this format that do not hold what was committed, a clause each."""
    sealed = [table for table, since in SEALED.items() if since <= version]
    if not sealed:
        return []
    stored = dict(db.execute("SELECT name, seal FROM main.seals"))
    broken = [table for table in sealed if stored.get(table) != _seal_of(db, table)]
    return [f"its table {table} does not hold what was committed (the checksum differs)" for table in broken]


def keep(db: sqlite3.Connection) -> Stops:
    """From now on every change through this connection is sealed, in the transaction that makes it."""
    stops: Stops = []

    def resealed(seal: bytes, *row: object) -> bytes:
        try:
            return _xor(seal, _digest(row))
        except BaseException as error:
            stops.append(error)
            raise

    db.create_function("resealed", -1, resealed)
    for table in SEALED:
        columns = [row[1] for row in db.execute(f"PRAGMA main.table_info({table})")]
        for change, versions in (("INSERT", ["NEW"]), ("UPDATE", ["OLD", "NEW"]), ("DELETE", ["OLD"])):
            seal = "seal"
            for version in versions:
                row = ", ".join(f"{version}.{column}" for column in columns)
                seal = f"resealed({seal}, {row})"
            db.execute(
                f"CREATE TEMP TRIGGER {change}_in_{table} AFTER {change} ON main.{table} BEGIN "
                f"UPDATE seals SET seal = {seal} WHERE name = '{table}'; END"
            )
    return stops


def _seal_of(db: sqlite3.Connection, table: str) -> bytes:
    seal = NOTHING
    for row in db.execute(f"SELECT * FROM main.{table}"):
        seal = _xor(seal, _digest(row))
    return seal


def _digest(row: tuple[object, ...]) -> bytes:
    """The checksum of a row; Python writes a float so that it reads back the same, and 1 unlike 1.0."""
    return hashlib.sha256(repr(row).encode("utf-8", "surrogatepass")).digest()


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a) ^ int.from_bytes(b)).to_bytes(32)
