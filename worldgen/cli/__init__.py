"""The front door: ``worldgen VERB``.

Room: worldgen.cli, the only place where all rooms meet; nothing imports it. One file a verb; verbs
import their rooms inside ``run``, so that ``--help`` answers at once. Exit status: 0 done, 1 the
work failed, 2 the request was wrong or the world is damaged, 130 and 143 interrupted, 141 nobody reads
what is printed.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import tyro

from worldgen.cli.convert import Convert
from worldgen.cli.doctor import Doctor
from worldgen.cli.edit import Edit
from worldgen.cli.evaluate import Evaluate
from worldgen.cli.export import Export
from worldgen.cli.extend import Extend
from worldgen.cli.fit import Fit
from worldgen.cli.fly import Fly
from worldgen.cli.gc import Gc
from worldgen.cli.grow import Grow
from worldgen.cli.heads import Heads
from worldgen.cli.imports import Import
from worldgen.cli.info import Info
from worldgen.cli.path import CameraPath
from worldgen.cli.redo import Redo
from worldgen.cli.replay import Replay
from worldgen.cli.report import Report
from worldgen.cli.train import Train
from worldgen.cli.undo import Undo
from worldgen.cli.view import View

Command = (
    Annotated[Grow, tyro.conf.subcommand("grow")]
    | Annotated[Import, tyro.conf.subcommand("import")]
    | Annotated[Extend, tyro.conf.subcommand("extend")]
    | Annotated[Edit, tyro.conf.subcommand("edit")]
    | Annotated[Undo, tyro.conf.subcommand("undo")]
    | Annotated[Redo, tyro.conf.subcommand("redo")]
    | Annotated[Heads, tyro.conf.subcommand("heads")]
    | Annotated[Replay, tyro.conf.subcommand("replay")]
    | Annotated[Gc, tyro.conf.subcommand("gc")]
    | Annotated[Fit, tyro.conf.subcommand("fit")]
    | Annotated[View, tyro.conf.subcommand("view")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Convert, tyro.conf.subcommand("convert")]
    | Annotated[Fly, tyro.conf.subcommand("fly")]
    | Annotated[CameraPath, tyro.conf.subcommand("path")]
    | Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
)


def _handler() -> logging.Handler:
    from rich.console import Console
    from rich.logging import RichHandler

    return RichHandler(console=Console(stderr=True), show_time=False, show_path=False)


def main(arguments: list[str] | None = None) -> None:
    """Run one verb and exit with its status."""
    # Threads that spin for long starve whatever else runs, threads that never do are hardly faster than one.
    os.environ.setdefault("GOMP_SPINCOUNT", "4000")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_handler()])
    command = tyro.cli(
        Command, args=arguments, prog="worldgen", description="Grow 3D worlds you can walk through."
    )
    try:
        with _stopped_by_sigterm():
            status = command.run()
        sys.stdout.flush()  # what nobody reads is met here, not while Python shuts down
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except (ValueError, OSError) as error:
        sys.stderr.write(f"worldgen: {_sentence(error)}\n")
        status = 2 if _is_wrong_request(error) else 1
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"worldgen: {str(stop) or 'interrupted'}\n")
        status = 143 if isinstance(stop, Terminated) else 130
    sys.exit(status)


class Terminated(KeyboardInterrupt):
    """SIGTERM: to end as Ctrl-C does, so that what is half done is put away."""


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _sentence(error: ValueError | OSError) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        place = "" if error.filename is None else f"{error.filename}: "
        text = f"{place}{error.strerror}; check the name, its permissions and the room on the disk"
    return " ".join(text.splitlines())


def _is_wrong_request(error: ValueError | OSError) -> bool:
    """Whether another request would do; a disk that is full or broken would refuse that one too."""
    from memory.world import NotWrittenError

    misnamed = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
    return isinstance(error, (ValueError, *misnamed)) and not isinstance(error, NotWrittenError)
