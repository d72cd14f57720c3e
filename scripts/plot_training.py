"""Draw how a training run went: loss, errors and gradient against frames, each with its running median.

    python scripts/plot_training.py runs/tiny/log.jsonl training.png

``worldgen train`` draws the same picture at every checkpoint; this is for logs that were kept. Needs
matplotlib, which is in the ``train`` extra.
"""

from __future__ import annotations

import sys
from pathlib import Path

from worldgen.training.curves import draw_curves

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: plot_training.py LOG.jsonl PICTURE.png")
    try:
        draw_curves(Path(sys.argv[1]), Path(sys.argv[2]))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{error}")
