"""The page to touch: one HTML file with a run's networks and label prior inside, put together by build.py."""
