"""What evaluate.py and the test result measure, a file for each."""
