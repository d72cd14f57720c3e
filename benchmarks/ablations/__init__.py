"""Ablations: variants of one small recipe, trained alike and measured alike; see ``__main__``."""
