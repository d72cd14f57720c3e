"""Memory: the world cache, and the world folder that loses nothing.

Imports render; worldgen, reconstruct and viewer may import this.
"""
