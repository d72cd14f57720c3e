"""Training: recipes, clips of procedural worlds, checkpoints and the loop."""
