"""
All named kernels on one picture
================================

`fastconv.kernels` has kernels by name, also for the command line: ``fastconv in.jpg out.png --kernel emboss``. Results
of kernels whose taps add up to 0 are drawn around grey.
"""

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
