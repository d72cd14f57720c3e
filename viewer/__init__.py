"""Viewer: walk through a world in a browser, and grow it from there.

Room: viewer. Imports reconstruct, memory and render; only the command line imports this.
"""

from viewer.app import Viewer
from viewer.asks import Abilities, Editor, ExploreFn, GrowFn, Grown, History, Remembered, Scene

__all__ = [
    "Abilities",
    "Editor",
    "ExploreFn",
    "GrowFn",
    "Grown",
    "History",
    "Remembered",
    "Scene",
    "Viewer",
]
