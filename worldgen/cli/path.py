"""``worldgen path``: look a camera path over before anything grows or is filmed along it."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from memory.points import Points
    from memory.world import World
    from render.cameras import Cameras
    from render.inspections import Inspection, Meeting
    from render.walls import Walls

CLEARANCE = 0.05
"""Scene lengths: what is known is kept in cubes of this size, and a path keeps a cube away from them."""

FOV_DEG, SIZE = 70.0, 512
"""Of the camera that a path starts from where there is no world."""

PLAN_SIDE, THROUGH, NEAR = 640, (240, 62, 62), (250, 210, 60)
"""Pixels of the plan, and the colours of what leads through or comes close to what is known."""

POINTS_AT_ONCE = 2**16

MOST_TOLD = 20
"""Meetings that are told one by one."""


@dataclass(frozen=True)
class CameraPath:
    """Say how long and how fast a camera path is and, with a world, where it leads through what is known.

    Exit status 1 if it leads through anything.

    Examples:
        worldgen path tour.json --world my-world --plan plan.png
        worldgen path orbit:degrees=180 --world my-world --out camera_path.json --format nerfstudio
    """

    path: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PATH")]
    """Camera path: a preset, a move such as arc:degrees=90,length=2, or a file, as --path of grow and fly."""

    world: Path | None = None
    """World to look at it in: gives its start and its scene length, and says where it meets anything."""

    seconds: float = 8.0
    """Length of presets and moves; files have their own."""

    fps: float | None = None
    """Pictures a second; where not given as many as a tour or a JSON file of cameras says, else 24."""

    plan: Path | None = None
    """Also draw it from above, as a PNG; red where it leads through, yellow where it comes close."""

    out: Path | None = None
    """Also write its cameras, one a picture, as JSON."""

    format: Literal["worldgen", "nerfstudio"] = "worldgen"
    """What --out writes: our own file, or nerfstudio's camera_path.json."""

    json: bool = False
    """Print JSON with stable names instead of text."""

    @cached_property
    def _pace(self) -> float:
        """Pictures a second."""
        from worldgen.cli.inputs import film_fps

        return film_fps(self.fps, self.path)

    def run(self) -> int:
        from memory.world import World
        from worldgen.cli.inputs import check_dest, picture_count

        pictures = picture_count(self.seconds, self._pace)
        for file, ending in ((self.plan, ".png"), (self.out, None)):
            if file is not None:
                check_dest(file, world=self.world, ending=ending)
        if self.world is None:
            return self._looked_over(_anywhere(), None, pictures=pictures)
        with World.open(self.world) as world:
            if not world.frame_ids():
                raise ValueError(f"{self.world} has no frames yet, so nothing is known of it; grow it first")
            return self._looked_over(world.cameras(world.frame_ids()[:1]), world, pictures=pictures)

    def _looked_over(self, start: Cameras, world: World | None, *, pictures: int) -> int:
        """Tell all that was asked for of a path from ``start``; the exit status."""
        from memory.restore import restored_cache
        from render.inspections import inspected
        from worldgen.cli.inputs import film_path

        up, scale = ((0.0, -1.0, 0.0), 1.0) if world is None else (world.scene.up, world.scene.scale)
        cameras = film_path(
            self.path, start, pictures=pictures, fps=self._pace, up=up, scale=scale, world=world
        )
        points = None if world is None else _known(restored_cache(world).points)
        walls = None if points is None else _walls(points, cameras, side=CLEARANCE * scale)
        inspection = inspected(cameras, fps=self._pace, walls=walls)
        if self.out is not None:
            self._write(self.out, cameras)
        if self.plan is not None:
            _draw(self.plan, cameras, points, inspection, up=up)
        self._tell(inspection, units="m" if world is not None and world.scene.units == "metres" else "units")
        return int(inspection.passes_through)

    def _write(self, file: Path, cameras: Cameras) -> None:
        from reconstruct.formats.atomic import replacing
        from reconstruct.formats.nerfstudio_path import save_nerfstudio_path
        from render.path_files import save_path

        if self.format == "nerfstudio":
            save_nerfstudio_path(file, cameras, fps=self._pace)
            return
        with replacing(file) as temporary:
            save_path(temporary, cameras, fps=self._pace)

    def _tell(self, inspection: Inspection, *, units: str) -> None:
        if self.json:
            print(json.dumps(_facts(inspection, fps=self._pace), indent=2))  # noqa: T201
            return
        lines = [
            f"{self.path}: {inspection.pictures:,} pictures, {inspection.seconds:.1f} s "
            f"at {self._pace:g} a second",
            f"{inspection.length:.3g} {units} long, at most {inspection.top_speed:.3g} a second "
            f"(picture {inspection.top_speed_at}) and {math.degrees(inspection.top_turn):.3g} degrees "
            f"a second (picture {inspection.top_turn_at})",
            *map(_told, inspection.meetings[:MOST_TOLD]),
        ]
        if len(inspection.meetings) > MOST_TOLD:
            lines.append(f"and {len(inspection.meetings) - MOST_TOLD} more; --json tells them all")
        if self.world is not None and not inspection.meetings:
            lines.append("nothing that is known is in the way")
        print("\n".join(lines))  # noqa: T201


def _anywhere() -> Cameras:
    """Where a path starts that is in no world: level, in the origin."""
    import torch

    from render.cameras import Cameras, intrinsics_from_fov

    K = intrinsics_from_fov(math.radians(FOV_DEG), width=SIZE, height=SIZE)
    return Cameras(c2w=torch.eye(4)[None], K=K, width=SIZE, height=SIZE)


def _known(points: Points) -> Points:
    """What is known of surfaces, without what only hides something."""
    return points[points.confidence > 0]


def _walls(points: Points, cameras: Cameras, *, side: float) -> Walls:
    """What the path could meet; the sky far away has too many places to keep them all."""
    from memory.points import spread
    from render.walls import Walls

    reach = points.axes.abs().sum(dim=1) + 2.0 * side
    low, high = cameras.origins.amin(dim=0), cameras.origins.amax(dim=0)
    near = points[((points.positions + reach >= low) & (points.positions - reach <= high)).all(dim=1)]
    walls = Walls(side=side)
    for first in range(0, len(near), POINTS_AT_ONCE):
        walls.add(spread(near[first : first + POINTS_AT_ONCE], spacing=side).numpy())
    return walls


def _draw(
    file: Path,
    cameras: Cameras,
    points: Points | None,
    inspection: Inspection,
    *,
    up: tuple[float, float, float],
) -> None:
    """The path from above; what it meets is drawn over it."""
    import numpy as np
    import torch

    from memory.pictures import write_png
    from render.plans import plan_of, stroke

    centers = np.zeros((0, 3), np.float32) if points is None else points.positions.numpy()
    rgb = np.zeros((0, 3), np.float32) if points is None else points.rgb.numpy()
    c2w = cameras.c2w.double().numpy()
    rgbs = (255.0 * rgb).round().astype(np.uint8)
    plan = plan_of(centers, rgbs, c2w=c2w, up=np.array(up), side=PLAN_SIDE)
    way = plan.place(c2w[:, :3, 3])
    for meeting in inspection.meetings:
        stroke(plan.image, way[meeting.first : meeting.last + 1], THROUGH if meeting.is_through else NEAR)
    write_png(file, torch.from_numpy(plan.image.astype(np.float32) / 255.0)[None])


def _told(meeting: Meeting) -> str:
    x, y, z = meeting.place
    how = "leads through" if meeting.is_through else "comes close to"
    return f"pictures {meeting.first} to {meeting.last}: {how} what is known at {x:.3g} {y:.3g} {z:.3g}"


def _facts(inspection: Inspection, *, fps: float) -> dict[str, Any]:
    facts = dataclasses.asdict(inspection)
    facts["top_turn"] = math.degrees(inspection.top_turn)
    return {"fps": fps, **facts}
