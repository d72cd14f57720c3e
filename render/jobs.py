"""Jobs: work that threads share.

Room: render (ground floor); imports nothing of ours, and every other room may import this. Kernels let go of
the interpreter, so that threads run them side by side. Threads are made once and wait: a step of training has
jobs for them five times, and making them anew takes as long as many a job. Whoever calls works along.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_here = threading.local()


@cache
def _helpers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="worldgen-jobs")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # threads are not copied


def spread(job: Callable[[Item], Result], over: Iterable[Item], *, threads: int) -> list[Result]:
    """``job`` of every item, in their order; run in any order by ``threads`` threads, the caller one of them.

    A job may spread jobs of its own: those run one after another, where it runs. What a job raises is raised
    here, once no other is at work any more; those that have not begun then do not.

    Raises:
        ValueError: if ``threads`` is not positive.
    """
    if threads < 1:
        raise ValueError(f"work needs at least one thread, got {threads}")
    items = list(over)
    count = min(threads, len(items))
    if count < 2 or getattr(_here, "is_working", False):
        return [job(item) for item in items]
    waiting, results = deque(enumerate(items)), {}

    def work() -> None:
        _here.is_working = True
        try:
            while True:
                try:
                    number, item = waiting.popleft()
                except IndexError:
                    return
                results[number] = job(item)
        except BaseException:
            waiting.clear()
            raise
        finally:
            _here.is_working = False

    others = [_helpers(threads - 1).submit(work) for _ in range(count - 1)]
    try:
        work()
    finally:
        _settle(others)
    return [results[number] for number in range(len(items))]


def _settle(others: list[Future[None]]) -> None:
    """Wait until all are done; raise what the first of them raised."""
    raised = [other.exception() for other in others]
    for error in raised:
        if error is not None:
            raise error
