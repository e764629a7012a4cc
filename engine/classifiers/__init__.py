"""Small classifiers: networks and their training, and the digit reader that ships with the code."""
