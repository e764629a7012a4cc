"""Decode z to images, lay images out on sheets, write the grids of training, look up labels by name."""
