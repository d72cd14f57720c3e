"""The RGB-D model: layers, attention between cameras, the trunk, and the whole network in ``rgbd``."""
