"""Work that threads share: the same results on any number of them, and no thread left behind."""

from __future__ import annotations

import os
import threading
import time

import pytest

from render.jobs import spread


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 37])
def test_results_come_in_the_order_of_the_items(threads: int, count: int):
    assert spread(lambda x: x * x, range(count), threads=threads) == [x * x for x in range(count)]


def test_so_many_threads_work_and_the_caller_is_one_of_them():
    at_work = threading.Barrier(3, timeout=20.0)  # passed only if three are at work at once

    def job(_: int) -> int:
        at_work.wait()
        return threading.get_ident()

    workers = set(spread(job, range(3), threads=3))
    assert len(workers) == 3
    assert threading.get_ident() in workers


def test_threads_are_made_once():
    spread(time.sleep, [0.01] * 8, threads=3)
    before = set(threading.enumerate())
    for _ in range(20):
        spread(time.sleep, [0.0] * 8, threads=3)
    assert set(threading.enumerate()) <= before


def test_jobs_of_jobs_run_where_these_run():
    def inner(_: int) -> int:
        return threading.get_ident()

    def outer(_: int) -> bool:
        return set(spread(inner, range(5), threads=4)) == {threading.get_ident()}

    assert all(spread(outer, range(12), threads=4))


@pytest.mark.parametrize("bad", [0, 5, 11])
def test_what_a_job_raises_is_raised_when_no_job_runs_any_more(bad: int):
    running, seen = [], []

    def job(i: int) -> None:
        running.append(i)
        try:
            if i == bad:
                raise ValueError(f"job {i}")
            time.sleep(0.002)
        finally:
            running.remove(i)
            seen.append(i)

    with pytest.raises(ValueError, match=f"^job {bad}$"):
        spread(job, range(1000), threads=3)
    assert not running
    assert len(seen) < 1000
    assert spread(str, range(3), threads=3) == ["0", "1", "2"], "threads work on"


def test_callers_share_threads():
    def call(results: list[int]) -> None:
        for _ in range(20):
            results.append(sum(spread(lambda x: x, range(50), threads=3)))

    results: list[int] = []
    callers = [threading.Thread(target=call, args=(results,)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60.0)
    assert results == [1225] * 80


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_forks_has_threads_of_its_own():
    spread(time.sleep, [0.001] * 4, threads=2)
    child = os.fork()
    if child == 0:
        # Only what cannot hang or print: the child must not go on with the tests.
        os._exit(0 if spread(abs, range(-9, 0), threads=2) == list(range(9, 0, -1)) else 1)
    ended, status = 0, -1
    until = time.monotonic() + 20.0
    while not ended and time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not ended:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert status == 0


def test_no_threads_are_refused():
    with pytest.raises(ValueError, match="at least one thread, got 0"):
        spread(abs, [1], threads=0)
