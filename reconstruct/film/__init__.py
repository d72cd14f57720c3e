"""Film: a flight through a world as a file, from pictures that are drawn one at a time.

Room: reconstruct; the command line may import this. ``scenes`` says what is drawn, ``making`` into what.
"""

from reconstruct.film.draft import has_parts
from reconstruct.film.making import Film, check_target, kind_of, write_film
from reconstruct.film.scenes import (
    Scene,
    Show,
    drawer,
    film_width,
    frame_scene,
    point_scene,
    splat_scene,
)

__all__ = [
    "Film",
    "Scene",
    "Show",
    "check_target",
    "drawer",
    "film_width",
    "frame_scene",
    "has_parts",
    "kind_of",
    "point_scene",
    "splat_scene",
    "write_film",
]
