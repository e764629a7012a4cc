"""From z to images, sheets of images, the grids of training, the names of labels."""
