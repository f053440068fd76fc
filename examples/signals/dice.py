"""
The chances of a sum
====================

Ten dice: the chances of their sum are the convolution of the chances of each. It does not matter whether the dice are
alike, and so it is for insurance claims, delays, and demand.
"""

# sphinx_gallery_thumbnail_axes = 0
from functools import reduce

import matplotlib.pyplot as plt
import numpy as np

import fastconv

fair = np.ones(6) / 6
loaded = np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.5])

sums = {
    "ten fair dice": reduce(fastconv.convolve, [fair] * 10),
    "nine, and a loaded one": reduce(fastconv.convolve, [fair] * 9 + [loaded]),
    "ten loaded dice": reduce(fastconv.convolve, [loaded] * 10),
}

fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for label, chances in sums.items():
    ax.plot(np.arange(10, 61), 100 * chances, ".-", label=f"{label}: {chances[40:].sum():.1%} for 50 or more")
ax.set(xlabel="sum", ylabel="chance in per cent", ylim=(0, 10))
ax.legend(loc="upper left")
plt.show()
