"""Small networks that read labels: built and trained, and the digit reader that ships with the code."""
