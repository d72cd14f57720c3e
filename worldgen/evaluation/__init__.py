"""Evaluation: how good a generator is on worlds it was never trained on."""
