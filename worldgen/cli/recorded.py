"""The generator that a world says it was made with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldgen.generator import RGBDGenerator

RECORDED = re.compile(
    r"rgbd:(?P<name>.+):[0-9a-f]{16}:(?P<steps>[0-9]{1,2})(/(?P<shift>[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?))?"
)
"""How our generator calls itself: its weights, their checksum, steps and shift."""


def recorded_generator(recorded: str, *, world: Path, models: tuple[str, ...] = ()) -> RGBDGenerator:
    """The generator that a world calls ``recorded``.

    Args:
        recorded: its name.
        world: folder of the world, for what is said if there is none.
        models: weights to look among; by default what ships under the recorded name.

    Raises:
        ValueError: if none of the weights are those.
    """
    from worldgen.generator import RGBDGenerator

    parts = RECORDED.fullmatch(recorded)
    if parts is None:
        raise ValueError(f"{world} was made with {recorded!r:.200}, which replay does not know how to run")
    found = []
    for model in models or (parts["name"],):
        try:
            generator = RGBDGenerator(model, steps=int(parts["steps"]), shift=float(parts["shift"] or 1))
        except ValueError as error:
            raise ValueError(f"{world} was made with {recorded}, but {error}") from error
        if generator.name == recorded:
            return generator
        found.append(generator.name)
    raise ValueError(
        f"{world} was made with {recorded} and cannot be replayed with {' or '.join(found)}; "
        "name the weights it was made with (--model FILE), or use the version of worldgen that made it"
    )
