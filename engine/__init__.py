"""What a reader of the article never needs to open: runs and their files, devices, drawing, measuring."""
