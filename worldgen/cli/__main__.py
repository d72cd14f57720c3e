"""``python -m worldgen.cli`` is ``worldgen``."""

from worldgen.cli import main

main()
