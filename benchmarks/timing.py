"""Timing that survives noisy neighbours: CPU time, medians, jobs taken in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def cpu_ms(jobs: dict[str, tuple[Callable[[], object], int]]) -> dict[str, float]:
    """Median CPU time of every job, the jobs taken in turns as often as each asks for."""
    return _median_ms(jobs, time.process_time)


def wall_ms(jobs: dict[str, tuple[Callable[[], object], int]]) -> dict[str, float]:
    """Median time that every job takes on the clock, likewise; let nothing else run."""
    return _median_ms(jobs, time.perf_counter)


def _median_ms(
    jobs: dict[str, tuple[Callable[[], object], int]], now: Callable[[], float]
) -> dict[str, float]:
    taken = {name: [] for name in jobs}
    for i in range(1 + max(rounds for _, rounds in jobs.values())):
        for name, (job, rounds) in jobs.items():
            if i > rounds:
                continue
            start = now()
            job()
            taken[name].append(1e3 * (now() - start))
    return {name: statistics.median(times[1:]) for name, times in taken.items()}
