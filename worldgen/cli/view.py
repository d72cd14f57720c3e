"""``worldgen view``: walk through a world in the browser, and grow it from there."""

from __future__ import annotations

import ipaddress
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from memory.world import World
    from viewer import Abilities, Scene


LAST_PORT = 65_535


@dataclass(frozen=True)
class View:
    """Open a world in the browser; the grow button imagines more of it where you look."""

    world: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORLD")]
    """Folder of the world."""

    host: str = "127.0.0.1"
    """Address to listen on. Anyone who can reach it can look and steer, unless there is a --token."""

    port: int = 8080
    """Port to listen on; the next free one is taken if it is busy."""

    token: str | None = None
    """Let in only browsers that know this; it becomes part of the address to open."""

    read_only: bool = False
    """Only look; needed while another process grows the world."""

    model: str = "tiny"
    """Weights: a name that ships with the package, or a .safetensors file."""

    steps: int = 4
    """Denoising steps a frame, 1 to 64."""

    def run(self) -> int:
        from memory.world import World
        from worldgen.cli.growing import generator_named
        from worldgen.cli.viewing import Desk, viewer_of

        check_listening(self.host, self.port)
        with World.open(self.world, writable=not self.read_only) as world:
            if self.read_only:
                scene, abilities = _only_looked_at(world)
            else:
                desk = Desk(world, generator_named(self.model, self.steps))
                scene, abilities = desk.scene(), desk.abilities()
            where = {"host": self.host, "port": self.port, "token": self.token}
            viewer = viewer_of(world, scene, abilities, **where)
            if self.token is None and not is_this_machine(self.host):
                sys.stderr.write(
                    f"worldgen: anyone who can reach {self.host} can look at this world and steer it; "
                    "give --token to let in only who knows it\n"
                )
            print(f"{self.world} is at {viewer.url} (Ctrl-C to stop)", flush=True)  # noqa: T201
            viewer.run()
        return 0


def check_listening(host: str, port: int) -> None:
    """Refuse where nobody can listen: a server that looks for the next free port would look for ever."""
    if not 0 <= port <= LAST_PORT:
        raise ValueError(f"--port lies between 0, which takes any that is free, and {LAST_PORT}, got {port}")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.bind(address)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no name of a machine"
        raise ValueError(
            f"--host is an address of this machine, such as 127.0.0.1 or 0.0.0.0, got {host!r} ({why})"
        ) from error


def is_this_machine(host: str) -> bool:
    """Whether nobody can come to an address from elsewhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _only_looked_at(world: World) -> tuple[Scene, Abilities]:
    """A world that somebody else may be changing."""
    from memory.restore import restored_cache
    from memory.settings import setting_in
    from reconstruct.init import gaussians_from_points
    from reconstruct.meshed import MeshSettings, meshed
    from reconstruct.seen import SeenFrames
    from viewer import Abilities
    from worldgen.cli.viewing import shown

    scene, frames = shown(world, restored_cache(world).points), SeenFrames(world)
    splats = scene.splats
    return scene, Abilities(
        setting=lambda: setting_in(world),
        splats=lambda: gaussians_from_points(scene.points) if splats is None else splats,
        mesh=lambda *, watertight: meshed(frames, MeshSettings(watertight=watertight)).surface,
    )
