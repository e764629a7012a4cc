"""The interactive page: one HTML file with a run's networks and label prior embedded, assembled by build.py."""
