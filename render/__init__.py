"""Render: cameras, frames, paths and Gaussians; points and splats to pictures. Ground floor.

Imports nothing of ours; every other room may import this.
"""
