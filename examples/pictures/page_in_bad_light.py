"""
A page in bad light
===================

One threshold for the whole page fails where a shadow lies on it. Sauvola's threshold (2000) follows the mean and the
deviation of the paper around each pixel. Windows of any size take the same time.
"""

# sphinx_gallery_thumbnail_axes = 2
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw

from fastconv import image

words = "Flip one function, shift it over\nanother one, multiply, and sum.\n" * 4
page = Image.new("L", (420, 260), 255)
ImageDraw.Draw(page).multiline_text((24, 20), words, fill=30, spacing=10, font_size=24)
ink = np.asarray(page) < 128

# Light falls off to the right, and something throws a soft shadow.
y, x = np.mgrid[:260, :420]
light = 1 - 0.5 * x / 420
light *= image.box_blur(np.where(x + y > 420, 0.35, 1.0), 41)
photo = np.asarray(page) * light + np.random.default_rng(1).normal(0, 4, light.shape)

mean, deviation = image.local_mean(photo, 41), image.local_std(photo, 41)
threshold = mean * (1 + 0.3 * (deviation / 64 - 1))
read = photo < threshold
careless = photo < photo.mean()
print(f"wrong pixels: {(careless != ink).mean():.1%} by one threshold, {(read != ink).mean():.1%} by Sauvola's")

fig, axes = plt.subplots(1, 3, figsize=(11, 2.6), layout="constrained")
for ax, picture, title in zip(axes, [photo, ~careless, ~read], ["photograph", "one threshold", "mean and deviation"]):
    ax.imshow(picture, cmap="gray")
    ax.set_title(title)
    ax.set_axis_off()
plt.show()
