"""
An aeroplane's motion blur, taken back
======================================

A camera that follows too slowly blurs along a line. If its length and angle are known, Richardson and Lucy's iteration
takes much of it back: compare the picture, blurred, with what was seen, and correlate the quotient with the kernel.
"""

# sphinx_gallery_thumbnail_axes = 2
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw

import fastconv
from fastconv import kernels

drawing = Image.new("L", (320, 200), 205)
pen = ImageDraw.Draw(drawing)
pen.polygon([(40, 112), (70, 96), (250, 88), (282, 100), (250, 112), (80, 120)], fill=60)  # fuselage
pen.polygon([(130, 104), (190, 104), (120, 168), (96, 168)], fill=90)  # wings
pen.polygon([(140, 94), (176, 92), (140, 52), (124, 52)], fill=75)
pen.polygon([(48, 108), (76, 98), (46, 60), (32, 60)], fill=40)  # tail
for window in range(110, 240, 14):
    pen.ellipse((window, 96, window + 5, 101), fill=235)
aeroplane = np.asarray(drawing, np.float32)

blur = kernels.motion(15, angle=20)
rng = np.random.default_rng(1)
seen = fastconv.convolve2d(aeroplane, blur, "same", boundary="nearest") + rng.normal(0, 1, aeroplane.shape)
seen = np.clip(seen, 1, None).astype(np.float32)

# Two plans: the kernel is prepared once for all steps.
options = {"shape": seen.shape, "mode": "same", "boundary": "nearest"}
blurred, compared = fastconv.plan(blur, **options), fastconv.plan(blur, correlate=True, **options)
found = seen
for _ in range(40):
    found = found * compared(seen / blurred(found))


def error(picture):
    return np.sqrt(np.mean((picture - aeroplane)[20:-20, 20:-20] ** 2))


fig, axes = plt.subplots(1, 3, figsize=(10, 2.6), layout="constrained")
for ax, picture, title in zip(axes, [aeroplane, seen, found], ["as it is", "as it was seen", "taken back"]):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
    ax.set_title(f"{title}: error {error(picture):.1f}")
    ax.set_axis_off()
plt.show()
