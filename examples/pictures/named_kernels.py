"""
All named kernels on one picture
================================

`fastconv.kernels` has kernels by name, also for the command line: ``fastconv in.jpg out.png --kernel emboss``. Results
of kernels whose taps add up to 0 are drawn around grey.
"""

# sphinx_gallery_thumbnail_axes = 6
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image

from fastconv import image, kernels

with get_sample_data("grace_hopper.jpg") as file:
    portrait = np.asarray(Image.open(file).convert("L").crop((110, 20, 370, 280)))

parameters = {"box": {"size": 9}, "gaussian": {"sigma": 3}, "disk": {"radius": 5}, "motion": {"length": 15}}

fig, axes = plt.subplots(3, 7, figsize=(11, 5.4), layout="constrained")
for ax, name in zip(axes.flat, kernels.NAMES):
    kernel = kernels.named(name, **parameters.get(name, {}))
    result = image.filter(portrait, kernel, dtype="float32")
    most = np.percentile(np.abs(result), 99)
    lowest, highest = (-most, most) if abs(kernel.sum()) < 0.1 else (0, 255)
    ax.imshow(result, cmap="gray", vmin=lowest, vmax=highest)
    ax.set_title(name, fontsize=10)
    ax.set_axis_off()
plt.show()

# %%
# Kernels may also be written by hand, in a string or in a file, with fractions and comments:

by_hand = kernels.parse("1 0 -1; 2 0 -2; 1 0 -1")
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "mean.txt")
    path.write_text("1/9 1/9 1/9  # of a pixel and its neighbours\n" * 3)
    mean = kernels.read(path)
print(np.array_equal(by_hand, kernels.sobel_x()), np.allclose(mean, kernels.box(3)))
