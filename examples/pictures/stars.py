"""
Stars on a black sky, without ringing
=====================================

A telescope spreads each star. Where a library multiplies spectra, the brightest star leaves rounding noise all over a
picture, far above faint stars of a dark sky. fastconv checks the results of transforms, and what is black stays black.
"""

# sphinx_gallery_thumbnail_axes = 1
import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import fftconvolve

import fastconv

rng = np.random.default_rng(3)
sky = np.zeros((512, 512), np.float32)
rows, columns = rng.integers(0, 512, (2, 60))
sky[rows, columns] = 10 ** rng.uniform(-6, 0, 60)  # six decades of brightness
sky[250, 260] = 1000

distance = np.hypot(*np.mgrid[-30:31, -30:31])
spread = (1 / (1 + (distance / 1.5) ** 2) ** 2.5).astype(np.float32)  # Moffat's profile
spread[distance > 30] = 0

by_scipy = fftconvolve(sky, spread, "same")
by_fastconv = fastconv.convolve2d(sky, spread, "same", method="fft")
exact = fastconv.convolve2d(sky.astype(np.float64), spread.astype(np.float64), "same", method="direct")

fig, axes = plt.subplots(1, 3, figsize=(11, 3.9), layout="constrained")
for ax, picture, title in zip(axes, [by_scipy, by_fastconv, exact], ["scipy.signal.fftconvolve", "fastconv", "exact"]):
    drawn = ax.imshow(np.log10(np.abs(picture) + 1e-14), cmap="magma", vmin=-10, vmax=0)
    ax.set_title(title)
    ax.set_axis_off()
fig.colorbar(drawn, ax=axes, label="brightness, powers of ten")
plt.show()

# %%
# Pixels that no star reaches:

black = exact == 0
for name, picture in (("SciPy", by_scipy), ("fastconv", by_fastconv)):
    print(f"{name}: at most {np.abs(picture[black]).max():.0e}")
