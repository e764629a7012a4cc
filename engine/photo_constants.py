"""Constants shared by data/digit_photo.py and its port to the page, engine/export/page/digit_photo.js."""

MAX_PIXELS = 50_000_000  # of a picture; larger ones are refused, JPEGs excepted (see data/decode.py)
LONGEST = 256  # pixels; a photo's longer side is scaled to it before the digit is segmented
SHEET = 64  # pixels; longer side of the smaller copy from which the paper is estimated
WINDOW = 35  # pixels of that copy; side of a median's window: digits rarely cover half of it
STEP = 8  # pixels of that copy; stride of the local medians
TONE = 20.0  # grey level above which tones are logarithmic, so that ink contrasts as much in shadow as in light
CONTRAST = 7.0  # of 255; minimum mean difference of ink from the paper
DARKER = 2.0  # ratio of strong ink to faint from which faint ink counts as shade, crease or ruling
SMALL = 0.1  # minimum size of the digit, of the photo's longer side
NEAR = 1 / 3  # of the size of the heaviest component: maximum distance of the digit's other components
LIGHT = 1 / 20  # of the heaviest component's weight: lighter components are specks
PEN = 1.6  # pixels of MNIST; minimum width of strokes
BOX = 20 / 28  # longer side of MNIST's digits, of the image's side
