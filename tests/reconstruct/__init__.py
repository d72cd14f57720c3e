"""Tests of ``reconstruct``."""
