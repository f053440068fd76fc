"""
Flaws in woven cloth
====================

Cloth repeats itself, and a flaw does not. Where one repeat of the pattern matches badly, or its waves are weak,
something is wrong. The functions are OpenCV's, from `fastconv.compat.cv2`.
"""

# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numpy as np

from fastconv.compat import cv2

rng = np.random.default_rng(16)
y, x = np.mgrid[:200, :300].astype(np.float32)
cloth = np.cos(2 * np.pi * x / 10) * np.cos(2 * np.pi * y / 10) + 0.3 * np.cos(2 * np.pi * x / 5)
flaws = np.zeros(cloth.shape, bool)
flaws[60:66, 70:120] = flaws[130:160, 200:206] = True
flaws |= np.hypot(x - 240, y - 50) < 9
cloth = np.where(flaws, 0.2, cloth) + rng.normal(0, 0.4, cloth.shape).astype(np.float32)

# The mean of many repeats is a template without noise.
repeat = cloth[:200, :300].reshape(20, 10, 30, 10).mean(axis=(0, 2)).astype(np.float32)
scores = cv2.matchTemplate(cloth, np.tile(repeat, (2, 2)), cv2.TM_CCOEFF_NORMED)
match = scores[:180, :280].reshape(18, 10, 28, 10).max(axis=(1, 3))

# Waves along both diagonals.
answers = []
for theta in (np.pi / 4, 3 * np.pi / 4):
    wave = cv2.getGaborKernel((21, 21), 4, theta, 10 / np.sqrt(2), 1, 0)
    answers.append(cv2.filter2D(cloth, cv2.CV_32F, wave - wave.mean()) ** 2)
spread = cv2.getGaussianKernel(15, 3)
strength = cv2.sepFilter2D(np.sqrt(sum(answers)), cv2.CV_32F, spread, spread)
weak = strength < 0.6 * np.median(strength)

# Outlines: where the slope of what is weak is not zero.
kx, ky = cv2.getDerivKernels(1, 0, 3)
across = cv2.sepFilter2D(weak.astype(np.float32), cv2.CV_32F, kx, ky)
down = cv2.sepFilter2D(weak.astype(np.float32), cv2.CV_32F, ky, kx)
outline = np.ma.masked_equal((across != 0) | (down != 0), False)

fig, axes = plt.subplots(1, 3, figsize=(11, 2.9), layout="constrained")
for ax, picture, title in zip(
    axes, [cloth, match, strength], ["cloth, and its flaws", "best match", "strength of waves"]
):
    ax.imshow(picture, cmap="gray")
    ax.set_title(title)
    ax.set_axis_off()
axes[0].imshow(outline, cmap="autumn", interpolation="nearest")
plt.show()
