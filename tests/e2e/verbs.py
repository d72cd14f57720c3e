"""What the tests of the command line share: a verb here or as its own process, a small disk, another user."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
import torch

from memory.world import World
from worldgen.cli import main

LINUX_CAPABILITY_VERSION_3 = 0x20080522

Done = subprocess.CompletedProcess[str]
Words = tuple[object, ...]
"""Words of a command line."""


def command(*arguments: object) -> list[str]:
    """The command line of one verb."""
    return [sys.executable, "-m", "worldgen.cli", *map(str, arguments)]


def run(*arguments: object) -> int:
    """The exit status of one verb, run in this process."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def facts(world: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    """What ``worldgen info --json`` says of a world."""
    capsys.readouterr()
    assert run("info", world, "--json") == 0
    return json.loads(capsys.readouterr().out)


def forked(*arguments: object, obeys_permissions: bool = False) -> Done:
    """One verb in a child of this process, which has imported torch already."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            _child(arguments, obeys_permissions=obeys_permissions, streams=(out.fileno(), err.fileno()))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return Done(args=arguments, returncode=status, stdout=out.read(), stderr=err.read())


@contextmanager
def running(*arguments: object) -> Iterator[Running]:
    """One verb in a child of this process that goes on beside it, and listens to Ctrl-C as in a shell."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _child(arguments, obeys_permissions=False, streams=(out.fileno(), err.fileno()))
        verb = Running(child, err)
        try:
            yield verb
        finally:
            if not verb.is_over():
                verb.signalled(signal.SIGKILL)


class Running:
    """A verb that is under way."""

    def __init__(self, child: int, err: IO[str]) -> None:
        self._child, self._err = child, err
        self._status: int | None = None

    def is_over(self) -> bool:
        """Whether it has ended."""
        if self._status is None:
            child, status = os.waitpid(self._child, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if child else None
        return self._status is not None

    def signalled(self, number: signal.Signals) -> tuple[int, str]:
        """Its status and last words after a signal."""
        assert not self.is_over(), "it ended before the signal"
        os.kill(self._child, number)
        self._status = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        self._err.seek(0)
        return self._status, self._err.read()


def _child(arguments: tuple[object, ...], *, obeys_permissions: bool, streams: tuple[int, int]) -> None:
    """Never returns; what pytest did to the streams is undone."""
    status = 70
    try:
        for stream, target in zip(streams, (1, 2), strict=True):
            os.dup2(stream, target)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        if obeys_permissions:
            obey_permissions()
        torch.set_num_threads(1)  # the threads of a pool stay behind in a fork, and waiting for them hangs
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = int(stop.code or 0)
    finally:
        if status == 70:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def obey_permissions() -> None:
    """Give up what lets root write where it may not; another user could not read this Python."""
    header, nothing = struct.pack("Ii", LINUX_CAPABILITY_VERSION_3, 0), bytes(24)
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "privileges cannot be given up")


def assert_one_sentence(done: Done, *, status: int, about: str) -> None:
    """It failed as it should and said why, once."""
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith("worldgen: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "[Errno" not in done.stderr
    assert about in done.stderr


def assert_refused(done: Done, *, about: str = "") -> None:
    """It failed and said why, once; which status it has is not what is asked."""
    assert done.returncode in (1, 2), done.stderr
    assert_one_sentence(done, status=done.returncode, about=about)


@contextmanager
def small_disk(place: Path, *, kib: int) -> Iterator[Path]:
    """A file system of its own with so much room, if this machine lets us make one."""
    place.mkdir()
    made = os.geteuid() == 0 and not subprocess.call(
        ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=755", "none", str(place)], stderr=subprocess.DEVNULL
    )
    if not made:
        pytest.skip("a small disk is a tmpfs, and only root may mount one")
    try:
        yield place
    finally:
        subprocess.check_call(["umount", "--lazy", str(place)])


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Take all the room of a disk but ``leave`` bytes, and return the file that takes it."""
    ballast = disk / "ballast"
    state = os.statvfs(disk)
    pages = (state.f_bavail * state.f_frsize - leave) // 4096
    ballast.write_bytes(bytes(max(pages, 0) * 4096))
    return ballast


def pictures_of(folder: Path) -> list[bytes]:
    """The pictures of every frame at the head, as they are read, with where they were taken from."""
    with World.open(folder) as world:
        frames = world.frames()
        assert world.verify() == []
    tensors = (frames.rgb, frames.depth, frames.valid, frames.cameras.c2w, frames.cameras.K)
    return [b"".join(tensor[i].numpy().tobytes() for tensor in tensors) for i in range(len(frames))]
