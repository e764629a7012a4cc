"""The numbers that data/digit_photo.py and its copy in the page, engine/export/page/digit_photo.js, share."""

MAX_PIXELS = 50_000_000  # of a file; a larger picture is refused
LONGEST = 256  # pixels of a photo's longer side, at which the digit is looked for
SHEET = 64  # the same of the copy that shows the paper
WINDOW = 35  # side of a local median in that copy: few digits take up half of it
STEP = 8  # pixels of that copy from one local median to the next
TONE = 20.0  # from this level on, tones are logarithmic: ink stands out as much in a shadow as beside it
CONTRAST = 7.0  # of 255: ink that differs less from the paper is none
DARKER = 2.0  # times as strong as all else that stands out: the digit, and not shades, creases or ruling
SMALL = 0.1  # of the photo's longer side: nothing smaller is the digit
NEAR = 1 / 3  # of the size of the digit's heaviest component: what is farther away is not part of it
LIGHT = 1 / 20  # of the weight of the digit's heaviest component: what is lighter is a speck
PEN = 1.6  # width of the thinnest strokes, in MNIST's pixels
BOX = 20 / 28  # longer side of MNIST's digits, of the image's side
