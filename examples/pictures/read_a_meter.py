"""
Read a meter
============

A template for each digit, and one pass over the picture with all of them, `fastconv.correlate_bank`. With templates of
mean 0 and length 1, the strongest answer at each place tells the digit.
"""

# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw

import fastconv

number = "27182818"


def printed(text, width):
    """Return white text on black."""
    canvas = Image.new("L", (width, 40), 0)
    for place, digit in enumerate(text):
        ImageDraw.Draw(canvas).text((8 + 28 * place, 2), digit, fill=255, font_size=32)
    return np.asarray(canvas, np.float32) / 255


templates = np.stack([printed(digit, 32) for digit in "0123456789"])
templates -= templates.mean(axis=(1, 2), keepdims=True)
templates /= np.linalg.norm(templates, axis=(1, 2), keepdims=True)

meter = np.pad(printed(number, 240), ((14, 20), (30, 50)))
meter += np.random.default_rng(5).normal(0, 0.5, meter.shape).astype(np.float32)

answers = fastconv.correlate_bank(meter, templates, "valid")
strongest = answers.max(axis=0)
read = {}
for _ in number:
    row, column = np.unravel_index(strongest.argmax(), strongest.shape)
    read[int(column)] = int(answers[:, row, column].argmax())
    strongest[:, max(0, column - 14) : column + 15] = -np.inf
print(*(read[column] for column in sorted(read)))

fig, (above, below) = plt.subplots(2, 1, figsize=(7, 4.2), layout="constrained")
above.imshow(meter, cmap="gray")
for column, digit in read.items():
    above.text(column + 16, 8, f"{digit}", color="tab:orange", ha="center", va="center", fontsize=14)
above.set_axis_off()
below.imshow(answers.max(axis=1), aspect="auto", cmap="magma")
below.set(yticks=range(10), ylabel="digit", xlabel="place", title="the best answer of each template")
plt.show()
