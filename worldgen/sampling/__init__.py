"""Sampling: noise levels and steps (``flow``), and frames that are sampled together (all else)."""
