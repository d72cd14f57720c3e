"""Page: a world as one HTML file, to be sent to somebody who has nothing but a browser.

Room: viewer; the command line imports this. The page holds viser's client and what it shows, and asks no
network for anything. Viser makes scenes on servers only, so for a moment one listens on a free port of this
machine; nobody is told of it.
"""

from __future__ import annotations

import contextlib
import html
import io
from collections.abc import Iterator

import numpy as np
import torch
import viser
from jaxtyping import Float
from torch import Tensor

from reconstruct.levels import thinned
from render.gaussians import Gaussians
from viewer.browser import BrowserScene
from viewer.clouds import Cloud, as_sent, cloud_from_gaussians, pixel_unit
from viewer.conventions import ViserPose
from viewer.layers import LEAST_REACH, MOST_SPLATS, NODE_SPLATS
from viewer.stage import look_from

TITLE = "<title>Viser</title>"


def page_of(
    splats: Gaussians,
    *,
    start: ViserPose,
    up: Float[Tensor, " 3"],
    scale: float,
    title: str,
    most: int = MOST_SPLATS,
) -> tuple[bytes, int]:
    """A page that shows splats, and how many it shows.

    Args:
        splats: what is there; view-dependent colour is lost.
        start: where its reader stands at first.
        up: world up, any length; readers turn about it.
        scale: a typical distance in world units.
        title: of the window.
        most: at most so many splats, neighbours merged.

    Raises:
        ValueError: if there are no splats, or fewer than one are asked for.
    """
    if len(splats) == 0:
        raise ValueError("there are no splats to show; grow a world first")
    with torch.no_grad():
        drawn = thinned(splats, min(most, MOST_SPLATS))
        cloud = cloud_from_gaussians(drawn)
    with _server() as server:
        browser = BrowserScene(server, scale=scale)
        look_from(browser, start, up=up)
        _draw(browser, cloud)
        page = server.scene.as_html(dark_mode=True)
    page = page.replace(TITLE, f"<title>{html.escape(title)}</title>", 1)
    return page.encode(errors="replace"), len(drawn)  # names of files may be no text


@contextlib.contextmanager
def _server() -> Iterator[viser.ViserServer]:
    """A server that nobody hears of."""
    with contextlib.redirect_stdout(io.StringIO()):  # it prints where it listens, and that it has stopped
        server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
    try:
        yield server
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            server.stop()


def _draw(browser: BrowserScene, cloud: Cloud) -> None:
    """Splats wide enough to be seen by somebody who stands as far outside as the world is large."""
    low, high = np.quantile(cloud.centers, (0.01, 0.99), axis=0)
    reach = max(LEAST_REACH * browser.scale, float(np.linalg.norm(high - low)))
    for first in range(0, len(cloud), NODE_SPLATS):
        part = cloud[first : first + NODE_SPLATS]
        browser.add_splats(
            f"/splats/{first:07d}", as_sent(part, part.rgbs, reach=reach), unit=pixel_unit(reach)
        )
