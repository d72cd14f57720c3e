"""worldgen/model."""
