"""The numbers by which a photo of a digit is read, in data/digit_photo.py and, put into the page, in digit_photo.js."""

from __future__ import annotations

MAX_PIXELS = 50_000_000  # of a file; a larger picture is refused before it is decoded
LONGEST = 256  # pixels of a photo's longer side, on which the digit is looked for
SHEET = 64  # the same of the copy that shows the paper
WINDOW = 31
CONTRAST = 20.0  # between ink and paper, in levels of 255: below it a picture is blank
NOISE = 5.0  # times the median distance of a pixel from the paper: below it a picture is blank
DARKER = 1.8
TONE = 50
STEP = 4  # pixels of that copy between two medians
SMALL = 0.1  # of the photo's longer side: what is smaller is not the digit, as long as the border cuts something else
NEAR = 1 / 3  # of the digit's size: what is farther from its heaviest part is another thing
LIGHT = 1 / 20  # of the weight of its heaviest part: what is lighter is a speck
PEN = 1.6  # width of the thinnest strokes, in MNIST's pixels
BOX = 20 / 28  # of the side: the longer side of MNIST's digits
