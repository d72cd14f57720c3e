"""Faults: what is wrong with the files of a world, all of them read and checked."""

from __future__ import annotations

from pathlib import Path

from memory import _tables
from memory._blobs import damage
from memory._index import Index
from memory._records import WorldError
from memory._surfaces import surface_damage


def faults_of(folder: Path, index: Index) -> list[str]:
    """A sentence each; nothing if all is well."""
    faults = [f"world.db is damaged: {fault}" for fault in index.faults()]
    for table, number, other, _ in index.rows("PRAGMA foreign_key_check"):
        faults.append(f"world.db is damaged: row {number} of {table} names a missing row of {other}")
    try:
        for record in _tables.all_frames(index):
            faults.extend(damage(folder, record))
        for edit in _tables.all_edits(index):
            faults.extend(surface_damage(folder, edit))
    except WorldError as error:
        faults.append(str(error))
    return faults
