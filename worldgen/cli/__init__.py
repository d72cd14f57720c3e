"""worldgen/cli."""
