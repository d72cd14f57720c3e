"""worldgen/training."""
