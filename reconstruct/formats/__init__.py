"""reconstruct/formats."""
