"""
Which filter was this?
======================

A program has changed a picture, and does not tell how. If it was a linear filter, the pair of pictures determines its
kernel: `fit_kernel` finds it, and how far to trust each tap.
"""

# sphinx_gallery_thumbnail_axes = 2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image, ImageFilter

import fastconv
from fastconv import kernels

with get_sample_data("grace_hopper.jpg") as file:
    before = Image.open(file).convert("L")
after = before.filter(ImageFilter.DETAIL)  # rounded to whole grey levels

# Pillow leaves the border alone: compare only where a kernel of 5 x 5 lies inside.
x, y = np.asarray(before), np.asarray(after)[2:-2, 2:-2]
fit = fastconv.fit_kernel(x, y, (5, 5), mode="valid", weights=(y > 0) & (y < 255))
print(fit)
print((6 * fit.kernel).round(1) + 0)

# %%
# Pillow's own kernel agrees: -1, 10 and -1, divided by 6.

pillows = kernels.from_pillow(ImageFilter.DETAIL)
print(pillows["kernel"], "/", pillows["scale"])

fig, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
for ax, picture, title in zip(axes, [before, after], ["before", "after"]):
    ax.imshow(picture.crop((140, 60, 340, 240)), cmap="gray")
    ax.set_title(title)
    ax.set_axis_off()
axes[2].imshow(fit.kernel, cmap="RdBu", vmin=-1.7, vmax=1.7)
for (row, column), tap in np.ndenumerate(fit.kernel):
    axes[2].text(column, row, f"{tap:.2f}".replace("-0.00", "0.00"), ha="center", va="center", fontsize=8)
axes[2].set_title(f"kernel, ± {fit.standard_errors.max():.4f}")
axes[2].set_axis_off()
plt.show()
