"""worldgen."""
