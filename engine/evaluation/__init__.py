"""The measurements of evaluate.py and of the test result, one file each."""
