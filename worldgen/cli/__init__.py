"""The front door: ``worldgen VERB``.

Room: worldgen.cli, the only place where all rooms meet; nothing imports it. One file a verb; verbs
import their rooms inside ``run``, so that ``--help`` answers at once. Exit status: 0 done, 1 the
work failed, 2 the request was wrong.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import tyro

from worldgen.cli.edit import Edit
from worldgen.cli.evaluate import Evaluate
from worldgen.cli.export import Export
from worldgen.cli.extend import Extend
from worldgen.cli.fly import Fly
from worldgen.cli.gc import Gc
from worldgen.cli.grow import Grow
from worldgen.cli.heads import Heads
from worldgen.cli.info import Info
from worldgen.cli.redo import Redo
from worldgen.cli.replay import Replay
from worldgen.cli.train import Train
from worldgen.cli.undo import Undo
from worldgen.cli.view import View

Command = (
    Annotated[Grow, tyro.conf.subcommand("grow")]
    | Annotated[Extend, tyro.conf.subcommand("extend")]
    | Annotated[Edit, tyro.conf.subcommand("edit")]
    | Annotated[Undo, tyro.conf.subcommand("undo")]
    | Annotated[Redo, tyro.conf.subcommand("redo")]
    | Annotated[Heads, tyro.conf.subcommand("heads")]
    | Annotated[Replay, tyro.conf.subcommand("replay")]
    | Annotated[Gc, tyro.conf.subcommand("gc")]
    | Annotated[View, tyro.conf.subcommand("view")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Fly, tyro.conf.subcommand("fly")]
    | Annotated[Info, tyro.conf.subcommand("info")]
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
        status = command.run()
    except (ValueError, FileExistsError, FileNotFoundError) as error:
        sys.stderr.write(f"worldgen: {error}\n")
        status = 2
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
