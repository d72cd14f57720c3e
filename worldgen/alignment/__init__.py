"""Alignment: depth maps without a scale of their own, brought to the scale of a world.

Room: worldgen. Scripts call :func:`worldgen.alignment.given.take_in` for frames of a world, and
:func:`worldgen.alignment.given.aligned` for a single frame.
"""
