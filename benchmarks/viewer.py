"""The viewer in a real browser: how soon a world is seen, how soon growth is, and what a chunk costs.

Wanted: the first coloured pixel of a world of 20,000 splats, drawn as points, 5 s after the page is asked
for; at two chunks a second each of 200 chunks on screen a second after it was committed; and what the server
pays for a chunk the same in a world of any size. The second is reached by nine of ten chunks at the quality
that a browser gets which draws in software, and by half where it draws all points of a large world. Needs
Chromium. Run from the root of the repository:
``python -m benchmarks.viewer [--chunks 200] [--quality Preview]``.

2 cores of an Intel Xeon with AMX, software rendering. The table from a machine that others kept busy, which
does not show in CPU time; the clock from one with nothing else to do:

    splats      a chunk        a map
   106,496       4.8 ms      12.1 ms
   208,896       4.8 ms      22.1 ms
   413,696       5.3 ms      22.8 ms
   823,296       5.2 ms      26.9 ms

  first coloured pixel                       0.8 s (of 3: 0.8 to 1.3 s)
  on screen, 200 chunks, all points drawn    1.0 s, 95 % within 2.1 s, all within 2.7 s
  on screen, 200 chunks, quality Preview     0.6 s, 95 % within 1.1 s, all within 1.4 s

A map is drawn at most once a second, from at most 200,000 points. With hidden splats sent along with the
points, as before, the first 10 chunks took 2.1 s to be on screen, and a chunk cost 7 ms.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator
from statistics import median

import numpy as np
import torch
from playwright.sync_api import Browser, Page, sync_playwright

from render.cameras import Cameras
from tests.e2e.windows import FLAGS, HEIGHT, WIDTH, chromium, enter, picture, press
from tests.viewer.box_room import cast, look, points_of, scene_of
from tests.viewer.sockets import read_until, visiting
from viewer import Abilities, Grown, Viewer
from viewer.look_panel import QUALITIES
from viewer.stage import prepared

UP = torch.tensor([0.0, -1.0, 0.0])

SECONDS_A_CHUNK = 0.5

COLOURED = 0.15
"""Between the channels of a pixel: the empty window and its text are grey."""

WATCH = """
() => {
  window.seen = {};
  const note = () => {
    const lines = [...document.querySelectorAll("h3")].map((line) => line.textContent);
    const count = /Frames: (\\d+)/.exec(lines.join(" "));
    if (count && !(count[1] in window.seen)) {
      window.seen[count[1]] = 0;
      requestAnimationFrame(() => requestAnimationFrame(() => { window.seen[count[1]] = Date.now(); }));
    }
  };
  new MutationObserver(note).observe(document.body, {subtree: true, childList: true, characterData: true});
}
"""
"""Notes when a number of frames was first drawn: the count comes after what it counts, in the same stream."""


def opened(*, frames: int, grow: Committing | None = None) -> Viewer:
    """A viewer of so many frames of the room, 4,096 points each, drawn as points."""
    scene = scene_of(cast(look(frames, width=64, height=64)))
    viewer = Viewer(scene, up=UP, scale=2.0, abilities=Abilities(grow=grow), port=0)
    viewer._look.choose("points")
    return viewer


def seconds_to_first_pixel(browser: Browser) -> float:
    """From asking for the page to a picture of it with colours; taking the picture is part of it."""
    viewer = opened(frames=5)
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    begun = time.monotonic()
    page.goto(viewer.url)
    while np.ptp(picture(page)[HEIGHT // 2 :, : WIDTH // 3], axis=-1).max() < COLOURED:
        pass
    passed = time.monotonic() - begun
    page.close()
    viewer.close()
    return passed


@dataclasses.dataclass
class Committing:
    """Sees the room instead of imagining it, a frame every half second; knows when."""

    when: list[float] = dataclasses.field(default_factory=list)

    def __call__(self, cameras: Cameras, *, seed: int) -> Iterator[Grown]:
        begun = time.monotonic()
        for i in range(len(cameras)):
            frames = cast(look(i + 1, width=64, height=64)[-1:])
            points = points_of(frames, first_id=i)
            time.sleep(max(0.0, begun + (i + 1) * SECONDS_A_CHUNK - time.monotonic()))
            self.when.append(time.time())
            yield Grown(frames=frames, points=points)


def seconds_to_screen(browser: Browser, *, chunks: int, quality: str) -> list[float]:
    """For every chunk, from its commit until a browser has drawn it, or one that came after it."""
    growing = Committing()
    viewer = opened(frames=1, grow=growing)
    viewer._stage.layers.limit(QUALITIES[quality])
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    enter(page, viewer.url, frames=1)
    page.get_by_label("Frames to add").fill(str(chunks))
    page.keyboard.press("Tab")
    page.evaluate(WATCH)
    press(page, "Grow")
    seen = _seen(page, last=1 + chunks)
    page.close()
    viewer.close()
    return [
        min(at for count, at in seen.items() if count >= 2 + i) - when for i, when in enumerate(growing.when)
    ]


def _seen(page: Page, *, last: int) -> dict[int, float]:
    """When the window first counted how many frames, seconds; waits until it has counted ``last``."""
    while True:
        page.wait_for_timeout(1_000)
        seen = {int(count): at / 1e3 for count, at in page.evaluate("window.seen").items() if at}
        if last in seen:
            return seen


def cost_by_size(*, steps: int, chunks_a_step: int = 25) -> None:
    """Print what a chunk of 4,096 splats costs the server in CPU time, with one visitor who reads all."""
    viewer = opened(frames=1)
    stage = viewer._stage
    frames = cast(look(1, width=64, height=64))
    chunk = prepared(Grown(frames=frames, points=points_of(frames)))
    print(f"{'splats':>10} {'a chunk':>12} {'a map':>12}")
    with visiting(viewer.url) as socket:
        for _ in range(steps):
            costs = []
            for _ in range(chunks_a_step):
                begun = time.process_time()
                stage.add([chunk])
                read_until(socket, f"Frames: {stage.layers.frame_count}".encode(), timeout_s=60.0)
                costs.append(1e3 * (time.process_time() - begun))
            begun = time.thread_time()
            stage._drawn_plan()
            plan = 1e3 * (time.thread_time() - begun)
            print(f"{stage.layers.splat_count:10,} {median(costs):9.1f} ms {plan:9.1f} ms", flush=True)
    viewer.close()


def main() -> None:
    """Measure all three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=200)
    parser.add_argument("--quality", choices=QUALITIES, default="Full", help="while it grows")
    options = parser.parse_args()
    cost_by_size(steps=8)
    with sync_playwright() as playwright:
        path = chromium(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        seconds_to_first_pixel(browser)  # the browser's own first page
        firsts = [seconds_to_first_pixel(browser) for _ in range(3)]
        print(f"first coloured pixel: {median(firsts):.1f} s (of 3: {min(firsts):.1f} to {max(firsts):.1f})")
        waits = np.array(seconds_to_screen(browser, chunks=options.chunks, quality=options.quality))
        browser.close()
    print(
        f"{len(waits)} chunks on screen after {np.median(waits):.2f} s, 95 % within "
        f"{np.quantile(waits, 0.95):.2f} s, all within {waits.max():.2f} s; "
        f"the last ten after {np.median(waits[-10:]):.2f} s"
    )


if __name__ == "__main__":
    main()
