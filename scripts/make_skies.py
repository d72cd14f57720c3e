"""Make the panoramas that ship with procedural worlds, and measure their light.

    python scripts/make_skies.py FOLDER

``FOLDER`` holds ``NAME.jpg`` (equirectangular, tone-mapped) and ``lowres_hdr.npz`` (linear radiance by
name). Writes ``worldgen/worlds/skies/NAME.webp`` and ``index.json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from worldgen.worlds._texture import PANORAMA_HEIGHT, PANORAMA_WIDTH
from worldgen.worlds.skies import daylight_of

NAMES = ("immenstadter_horn", "kiara_1_dawn", "rooitou_park", "venice_sunset", "dikhololo_night")


def main() -> None:
    """Write them all."""
    source, target = Path(sys.argv[1]), Path("worldgen/worlds/skies")
    radiance = np.load(source / "lowres_hdr.npz")
    entries = []
    for name in NAMES:
        picture = Image.open(source / f"{name}.jpg").convert("RGB")
        size = (PANORAMA_WIDTH, PANORAMA_HEIGHT)
        picture.resize(size, Image.Resampling.LANCZOS).save(target / f"{name}.webp", quality=82, method=6)
        to_sun, sun, above = (
            [round(value, 4) for value in vector] for vector in daylight_of(radiance[name].astype(np.float64))
        )
        entries.append({"name": name, "to_sun": to_sun, "sun": sun, "above": above})
    rows = ",\n".join(f"  {json.dumps(entry)}" for entry in entries)
    (target / "index.json").write_text(f'{{"panoramas": [\n{rows}\n]}}\n')


if __name__ == "__main__":
    main()
