"""Rollout: the loop that grows a world along a camera path.

Room: worldgen. Render what is known, recall what was seen before, imagine the rest, commit, remember.
``Growth.follow`` yields after every committed chunk, so a progress bar, the viewer and tests share one loop;
stopping anywhere and calling it again continues as if nothing had happened.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from memory.boxes import Box
from memory.cache import Seen
from memory.points import Points
from memory.restore import edit_cache, restored
from memory.retrieval import Recalled, retrieve
from memory.world import AHEAD, MAX_PATH_CAMERAS, Chunk, PlannedPath, SceneInfo, World, WorldError, quantised
from render.cameras import Cameras, concatenated
from render.frames import Frames, median_depth
from worldgen.conditions import SceneUnits, known_from_cache, known_pictures, nothing_known
from worldgen.depth import PRIOR, DepthRange, range_of
from worldgen.generator import Generator
from worldgen.recall import up_to_date
from worldgen.survey import survey

MAX_HOLES = 0.005
"""Share of a measured view that may lack depth before a second frame completes it."""

RECALLED_FRAMES = 2
"""How many frames of all that were grown the generator attends to; each costs time in the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Where the time of one chunk went, in milliseconds."""

    render_ms: float
    retrieve_ms: float
    """To choose what is recalled."""
    recall_ms: float
    """To read it back, and bring it up to date with edits."""
    sample_ms: float
    commit_ms: float
    insert_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """One committed chunk and what it added to the world."""

    chunk: Chunk
    frames: Frames
    points: Points
    known: Bool[Tensor, "n h w 1"]
    """Where the cache showed what is there, before it was imagined."""
    recalled: list[Recalled]
    """What the generator was reminded of, and why."""
    times: StepTimes


class Growth:
    """A world open for writing, with the state that is derived from it: cache and memory bank."""

    def __init__(self, world: World, generator: Generator):
        """Rebuild the derived state from what is committed.

        Raises:
            WorldError: if the world is not open for writing.
        """
        if not world.writable:
            raise WorldError(f"{world.path} is open for reading only; open it with writable=True to grow it")
        self.world, self.generator = world, generator
        self.cache, self.bank = restored(world)

    @cached_property
    def units(self) -> SceneUnits:
        """How this world measures; its first chunk fixes the depth range for good."""
        low, high = self.world.chunks()[0].settings["depth_range"]
        return SceneUnits(scale=self.world.scene.scale, span=DepthRange(low=low, high=high))

    def begin(self, first: Frames | Cameras, *, seed: int) -> None:
        """Commit the first view of an empty world.

        A measured view is committed as it is. If its depth has holes, a second frame with the same
        camera follows, in which they are imagined: what was measured and what was not stay apart.

        Args:
            first: an RGB-D picture, a picture (no pixel has a valid depth), or just a camera; what
                is missing is imagined.
            seed: decides what is imagined.
        """
        if isinstance(first, Cameras):
            self._imagine_first(first, PRIOR, seed=seed, kind="camera")
            return
        first = quantised(first, given=True)  # what is stored decides what is imagined
        if not first.valid.any():
            self._imagine_first(first, PRIOR, seed=seed, kind="picture")
            return
        span = range_of(first.depth / self.world.scene.scale, first.valid)
        self._commit_first(first, span, given=True, seed=seed, kind="rgbd")
        if float((~first.valid).float().mean()) > MAX_HOLES:
            self._imagine_first(first, span, seed=seed, kind="rgbd")

    def _imagine_first(self, first: Frames | Cameras, span: DepthRange, *, seed: int, kind: str) -> None:
        frames = self._imagined(first, span, seed=seed)
        self._commit_first(frames, span, given=False, seed=seed, kind=kind)

    def _commit_first(self, frames: Frames, span: DepthRange, *, given: bool, seed: int, kind: str) -> None:
        chunk, stored = self.world.commit(
            frames,
            given=given,
            generator="input" if given else self.generator.name,
            seed=seed,
            settings={"depth_range": [span.low, span.high], "first_view": kind},
        )
        self._remember(stored, self.cache.render(stored.cameras), ids=list(chunk.frame_ids), given=given)

    def _imagined(self, first: Frames | Cameras, span: DepthRange, *, seed: int) -> Frames:
        """The first view with what is missing of it; what is given stays as it is."""
        units = SceneUnits(scale=self.world.scene.scale, span=span)
        noise = frame_seed(seed, path=0, index=0)
        if isinstance(first, Cameras):
            return self.generator(nothing_known(first), None, units=units, seed=noise)
        frames = self.generator(known_pictures(first), None, units=units, seed=noise)
        return dataclasses.replace(
            frames,
            rgb=first.rgb,
            depth=torch.where(first.valid, first.depth, frames.depth),
            valid=first.valid | frames.valid,
        )

    def give(self, frames: Frames, *, settings: dict[str, Any], seen: Seen | None = None) -> Frames:
        """Commit measured frames as they are, in one chunk; a path that is pending stays so.

        Args:
            frames: at the size of the world, in its units.
            settings: plain JSON: where they came from.
            seen: what the cache shows to their cameras, where that is known already.

        Returns:
            The frames as they are stored.
        """
        seen = self.cache.render(frames.cameras) if seen is None else seen
        chunk, stored = self.world.commit(frames, given=True, generator="input", seed=0, settings=settings)
        self._remember(stored, seen, ids=list(chunk.frame_ids), given=True)
        return stored

    def plan(self, cameras: Cameras, *, seed: int, name: str, surveys: bool = False) -> None:
        """Store a camera path that :meth:`follow` will take, whatever happens to this process.

        Args:
            cameras: the path, without the camera that it starts from.
            seed: decides everything that is imagined.
            name: what the path is called.
            surveys: whether views far ahead are imagined first; see :func:`worldgen.survey.survey`. They
                are frames of their own, and the path has all of its cameras after them.
        """
        ahead = survey(self.cache, cameras, scale=self.world.scene.scale) if surveys else []
        ahead = ahead[: max(0, MAX_PATH_CAMERAS - len(cameras))]
        settings: dict[str, Any] = {"path": name}
        if ahead:
            settings[AHEAD] = len(ahead)
            cameras = concatenated([cameras[ahead], cameras])
        self.world.plan(cameras, seed=seed, generator=self.generator.name, settings=settings)

    def follow(self) -> Iterator[Grown]:
        """Grow along the planned path to its end, a committed chunk at a time.

        Raises:
            WorldError: if the path was begun with another generator.
        """
        path = self.world.pending()
        if path is None:
            return
        if path.generator != self.generator.name:
            raise WorldError(
                f"this path was begun with {path.generator} and cannot go on with {self.generator.name}; "
                "use the weights, the steps and the version of worldgen it was begun with"
            )
        for index in range(path.done, len(path.cameras)):
            yield self._grown(path, index)

    def _grown(self, path: PlannedPath, index: int) -> Grown:
        camera = path.cameras[index : index + 1]
        seed = frame_seed(path.seed, path=path.id, index=index)
        clock = [time.perf_counter()]
        seen = self.cache.render(camera)
        clock.append(time.perf_counter())
        recalled = retrieve(self.bank, seen, k=RECALLED_FRAMES, seed=seed)
        clock.append(time.perf_counter())
        ids = [view.frame_id for view in recalled]
        recall = up_to_date(self.world.frames(ids), ids=ids, bank=self.bank, cache=self.cache)
        clock.append(time.perf_counter())
        frames = self.generator(known_from_cache(seen), recall, units=self.units, seed=seed)
        clock.append(time.perf_counter())
        chunk, stored = self.world.commit(
            frames,
            given=False,
            generator=self.generator.name,
            seed=seed,
            settings={AHEAD: True} if index < path.ahead else {},
            path=path.id,
            path_start=index,
        )
        clock.append(time.perf_counter())
        points = self._remember(stored, seen, ids=list(chunk.frame_ids), given=False)
        clock.append(time.perf_counter())
        spans = [1e3 * (after - before) for before, after in itertools.pairwise(clock)]
        names = [field.name for field in dataclasses.fields(StepTimes)]
        times = StepTimes(**dict(zip(names, spans, strict=True)))
        return Grown(
            chunk=chunk, frames=stored, points=points, known=seen.mask, recalled=recalled, times=times
        )

    def place(self, points: Points, *, settings: dict[str, Any]) -> tuple[Chunk, Points]:
        """Put a surface into the world, now; see :meth:`World.place`. A path that is pending stays so."""
        chunk, placed = self.world.place(points, settings=settings)
        self._edited(chunk, placed)
        return chunk, placed

    def remove(self, box: Box, *, settings: dict[str, Any]) -> tuple[Chunk, int]:
        """Take what is known inside a box out of the world, now, and say how many points that were.

        What imagined frames show there later is new. A path that is pending stays so.

        Raises:
            WorldError: if nothing is known inside the box.
        """
        count = self.cache.count_within(box.low, box.high)
        if not count:
            raise nothing_in(box)
        chunk = self.world.remove(box, settings=settings)
        self._edited(chunk, None)
        return chunk, count

    def _edited(self, chunk: Chunk, placed: Points | None) -> None:
        assert chunk.edit is not None
        edit_cache(self.cache, chunk.edit, placed)
        self.bank.change(chunk.edit.box)

    def _remember(self, frames: Frames, seen: Seen, *, ids: list[int], given: bool) -> Points:
        """Enter committed frames into cache and bank, and return the points that they added."""
        points = self.cache.remember(frames, seen, ids=ids, given=given)
        self.bank.append(frames, ids=ids)
        return points


def start(
    path: Path | str,
    info: SceneInfo,
    first: Frames | Cameras,
    *,
    cameras: Cameras,
    generator: Generator,
    seed: int,
    name: str,
    surveys: bool = False,
) -> None:
    """Make a world with its first view and the plan of its path; :meth:`Growth.follow` does the rest.

    The folder appears under its name when both are in it, so a crash leaves no world that cannot be
    finished.

    Args:
        path: folder of the new world.
        info: what the first view fixes.
        first: see :meth:`Growth.begin`.
        cameras: the path; its first camera is that of the first view. It loses its last camera if the
            first view needs two frames, so a world has as many frames as its path has cameras, and those
            of its survey.
        generator: imagines what is missing of the first view.
        seed: decides everything that is imagined.
        name: what the path is called.
        surveys: that of :meth:`Growth.plan`.
    """
    with drafted(path) as draft, World.create(draft, info) as world:
        growth = Growth(world, generator)
        growth.begin(first, seed=seed)
        ahead = cameras[1 : len(cameras) + 1 - len(world.frame_ids())]
        if len(ahead):
            growth.plan(ahead, seed=seed, name=name, surveys=surveys)


@contextmanager
def drafted(path: Path | str) -> Iterator[Path]:
    """Lend a place beside ``path`` for a world, which gets its name when the block succeeds."""
    place = World.free_place(path)
    draft = place.with_name(f".{place.name}.starting")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        yield draft
        draft.replace(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def nothing_in(box: Box) -> WorldError:
    """The refusal to remove nothing."""
    return WorldError(
        f"nothing is known inside the box from {box.low} to {box.high}, so nothing would be removed; "
        "worldgen view shows where things are"
    )


def frame_seed(seed: int, *, path: int, index: int) -> int:
    """A seed of its own for every frame of every path."""
    digest = hashlib.blake2b(f"{seed}/{path}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def scene_scale(first: Frames | Cameras) -> float:
    """World units in a scene unit: the median depth where one was measured, 1 where none was."""
    if isinstance(first, Cameras) or not first.valid.any():
        return 1.0
    return median_depth(first)
