"""worldgen/worlds."""
