"""Which views the memory bank recalls, against which would have helped most, and how long that takes.

Claim: ``surface`` finds four of five of the views that truly show most of a target, and two that it recalls
show nearly as much as the best two could; frusta alone are misled by walls, votes by who came first. A
hundred thousand views are searched in under 20 ms, be they spread over houses or all in one place, where no
index helps. Run from the root of the repository:
``python -m benchmarks.retrieval``.

Targets are the next views of walks of 240 views in 8 procedural worlds, and views of other walks through the
same places. *Recall*: the 8 views that a scorer ranks first, age and cover aside, among the 8 that truly show
most, by casting rays. *Shown*: what the 2 recalled views truly show together, over what the best 2 show.
Times are CPU time of one thread for one call, medians; *judged*: how many views ``surface`` tried all points
on. One of two cores of an AMD EPYC (Zen 3, AVX2, no AVX-512), busy with other work, torch 2.13, numba 0.68:

                                next view of a walk    a place seen before
                                   recall     shown       recall     shown
    random                             5%       30%           3%       23%
    latest                            32%       83%           6%       15%
    fov                               45%       89%          23%       36%
    surface                           87%       99%          83%       94%
    votes                             24%       84%          36%       84%
    targets                                      96                     94

       views, houses   judged          fov      surface        votes
                 100      100       2.3 ms       3.3 ms       0.5 ms
               1,000      213       4.7 ms       6.1 ms       0.9 ms
              10,000      260       2.7 ms       3.4 ms       0.5 ms
             100,000      260       2.8 ms       3.5 ms       0.5 ms

    views, one place   judged          fov      surface        votes
                 100      100       2.4 ms       3.1 ms       0.6 ms
               1,000      340       2.7 ms       3.9 ms       0.6 ms
              10,000      375       3.3 ms       5.0 ms       0.5 ms
             100,000      353       9.0 ms      14.8 ms       0.7 ms

    652 bytes a view
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from benchmarks.timing import cpu_ms
from memory.bank import UNIT_BYTES, MemoryBank
from memory.cache import Seen, WorldCache
from memory.retrieval import Scorer, fov, retrieve, surface, votes
from render.cameras import Cameras, project, resized, unproject
from render.frames import moved
from worldgen.worlds import Scene, random_scene, random_walk_cameras, render
from worldgen.worlds._raster import probe

WORLDS, VIEWS, TARGETS, SIZE = 8, 240, 12, 64
MANY, FEW = 8, 2
TRUTH_SIDE = 24
WORTHWHILE = 0.2
"""Share of a target that some view must truly show, for its recall to mean anything."""

COUNTS = (100, 1_000, 10_000, 100_000)
ROUNDS = 9
WALK = 100
APART = 40.0
"""World units between the walks of a spread bank."""

SCORERS: dict[str, Scorer] = {"fov": fov, "surface": surface, "votes": votes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A target, the bank before it, and which of its points each view of the bank truly shows."""

    bank: MemoryBank
    seen: Seen
    shows: np.ndarray


def truly_shown(scene: Scene, target: Cameras, views: Cameras) -> np.ndarray:
    """Which points of the target each view shows, by casting a ray from the view to every point."""
    small = resized(target, width=TRUTH_SIDE, height=TRUTH_SIDE)
    points = unproject(render(scene, small, smooth=False).depth, small).reshape(-1, 3)
    uv, z = project(points, views)
    size = torch.tensor([views.width, views.height])
    shows = (((uv >= 0) & (uv < size)).all(dim=-1) & (z[..., 0] > 0)).numpy()
    for view, origin in zip(shows, views.origins.double().numpy(), strict=True):
        rays = points.double().numpy()[view] - origin
        length = np.linalg.norm(rays, axis=1)
        free, _ = probe(scene.world, np.tile(origin, (len(rays), 1)), rays / length[:, None])
        view[view] = free > 0.995 * length
    return shows


def cases(world: int, *, again: bool) -> list[Case]:
    """Targets in one world: the next view of a walk, or views of another walk through the same places."""
    scene = random_scene(world)
    walk = render(scene, random_walk_cameras(scene, n=VIEWS, seed=1, width=SIZE, height=SIZE), smooth=False)
    other = random_walk_cameras(scene, n=TARGETS, seed=2, width=SIZE, height=SIZE)
    cache, found = WorldCache(), []
    for i in range(VIEWS):
        step = VIEWS // 2 // TARGETS
        if i >= VIEWS // 2 and i % step == 0:
            turn = (i - VIEWS // 2) // step
            target = other[turn : turn + 1] if again else walk.cameras[i : i + 1]
            shows = truly_shown(scene, target, walk.cameras[:i])
            if shows.mean(axis=1).max() >= WORTHWHILE:
                held = MemoryBank()
                held.append(walk[:i], ids=list(range(i)))
                found.append(Case(bank=held, seen=cache.render(target), shows=shows))
        cache.insert(walk[i : i + 1], ids=[i])
    return found


def chosen(case: Case, method: str, *, k: int, seed: int) -> list[int]:
    """The views that one method recalls."""
    held = len(case.bank)
    if method == "random":
        return np.random.default_rng(seed).permutation(held)[:k].tolist()
    if method == "latest":
        return list(range(held))[-k:]
    recalled = retrieve(case.bank, case.seen, k=k, seed=seed, scorer=SCORERS[method])
    return [view.frame_id for view in recalled]


def most_useful(case: Case, method: str, *, k: int, seed: int) -> list[int]:
    """The views that one method takes to show most of the target, each by itself and whatever its age."""
    if method in ("random", "latest"):
        return chosen(case, method, k=k, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    found = SCORERS[method](case.bank, case.seen, rng=rng)
    return found.rows[np.argsort(-found.shows.sum(axis=1), kind="stable")[:k]].tolist()


def recall(case: Case, method: str, *, seed: int) -> float:
    """Share of the views that it takes for the best that are among the truly best, ties counted."""
    truth = case.shows.sum(axis=1)
    least = np.sort(truth)[-MANY]
    return float((truth[most_useful(case, method, k=MANY, seed=seed)] >= max(least, 1)).sum()) / MANY


def shown(case: Case, method: str, *, seed: int) -> float:
    """What the few that it recalls truly show together, over what the best few show."""
    best, left = 0, np.ones(case.shows.shape[1], dtype=np.bool_)
    for _ in range(FEW):
        counts = (case.shows & left).sum(axis=1)
        best += int(counts.max())
        left &= ~case.shows[counts.argmax()]
    return float(case.shows[chosen(case, method, k=FEW, seed=seed)].any(axis=0).sum()) / best


def compare() -> None:
    """Print the first table."""
    print(f"{'':24} {'next view of a walk':>22} {'a place seen before':>22}")
    print(f"{'':24} {'recall':>12} {'shown':>9} {'recall':>12} {'shown':>9}")
    kinds = [
        [case for world in range(WORLDS) for case in cases(world, again=again)] for again in (False, True)
    ]
    for method in ("random", "latest", *SCORERS):
        line = f"{method:24}"
        for kind in kinds:
            pairs = [
                (recall(case, method, seed=i), shown(case, method, seed=i)) for i, case in enumerate(kind)
            ]
            found, seen = np.mean(pairs, axis=0)
            line += f" {found:12.0%} {seen:9.0%}"
        print(line)
    print(f"{'targets':24} {len(kinds[0]):22} {len(kinds[1]):22}")


def houses(count: int, *, apart: float) -> MemoryBank:
    """A bank of walks through a few worlds, over and over, every walk ``apart`` from the others."""
    bank, side = MemoryBank(), math.ceil((max(COUNTS) / WALK) ** 0.5)
    walks = []
    for world in range(WORLDS):
        scene = random_scene(world)
        cameras = random_walk_cameras(scene, n=WALK, seed=1, width=SIZE, height=SIZE)
        walks.append(render(scene, cameras, smooth=False))
    for house in range(count // WALK):
        shift = torch.eye(4)
        shift[0, 3], shift[2, 3] = apart * (house % side), apart * (house // side)
        ids = list(range(house * WALK, (house + 1) * WALK))
        bank.append(moved(walks[house % WORLDS], shift), ids=ids)
    return bank


def measure(*, apart: float) -> None:
    """Print one of the tables of times."""
    scene = random_scene(0)
    cameras = random_walk_cameras(scene, n=WALK, seed=1, width=SIZE, height=SIZE)
    cache = WorldCache()
    cache.insert(render(scene, cameras, smooth=False), ids=list(range(WALK)))
    seen = cache.render(cameras[WALK // 2 :][:1])
    for count in COUNTS:
        bank = houses(count, apart=apart)
        jobs: dict[str, tuple[Callable[[], object], int]] = {
            name: (partial(retrieve, bank, seen, k=FEW, seed=0, scorer=scorer), ROUNDS)
            for name, scorer in SCORERS.items()
        }
        ms = cpu_ms(jobs)
        rng = torch.Generator().manual_seed(0)
        met = len(surface(bank, seen, rng=rng).rows)
        print(f"{count:16,} {met:8,} " + " ".join(f"{ms[name]:9.1f} ms" for name in SCORERS))


def main() -> None:
    """Print the tables that the docstring keeps."""
    torch.set_num_threads(1)
    compare()
    for apart, what in ((APART, "views, houses"), (0.0, "views, one place")):
        print(f"\n{what:>16} {'judged':>8} " + " ".join(f"{name:>12}" for name in SCORERS))
        measure(apart=apart)
    print(f"\n{UNIT_BYTES} bytes a view")


if __name__ == "__main__":
    main()
