"""Procedural worlds: random textured scenes, exact RGB-D pictures of them, and walks through them.

Room: worldgen.worlds; training, tests and examples import it. Axes are OpenCV's with +y down and the
floor at y = 0; lengths are metres; light and depth are exact functions of the scene, so every view
agrees with every other.
"""

from worldgen.worlds.change import changed
from worldgen.worlds.layout import DEFAULT_KINDS, KINDS, random_scene
from worldgen.worlds.paths import random_walk_cameras
from worldgen.worlds.renderer import render
from worldgen.worlds.scene import Scene, clearance

__all__ = [
    "DEFAULT_KINDS",
    "KINDS",
    "Scene",
    "changed",
    "clearance",
    "random_scene",
    "random_walk_cameras",
    "render",
]
