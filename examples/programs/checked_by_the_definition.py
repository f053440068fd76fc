"""
Checked by the definition
=========================

`fastconv.reference` is the definition, in plain Python loops. Random arrays through both show that results agree
within rounding.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv
from fastconv import layers, reference

rng = np.random.default_rng(11)
x, taps = rng.normal(size=60), rng.normal(size=7)
image, kernel = rng.normal(size=(14, 18)), rng.normal(size=(5, 4))
holes = np.where(rng.random(image.shape) < 0.2, np.nan, image)
channels, weights = rng.normal(size=(2, 9, 10)), rng.normal(size=(3, 2, 3, 3))
back = rng.normal(size=(3, 9, 10))
same, lenient = {"mode": "same", "boundary": "mirror"}, {"mode": "same", "nan": "ignore"}

pairs = {
    "convolve1d": (fastconv.convolve1d(x, taps), reference.convolve1d(x, taps)),
    "correlate1d": (fastconv.correlate1d(x, taps), reference.correlate1d(x, taps)),
    "convolve2d": (fastconv.convolve2d(image, kernel, **same), reference.convolve2d(image, kernel, **same)),
    "correlate2d": (fastconv.correlate2d(image, kernel, **same), reference.correlate2d(image, kernel, **same)),
    "convolve": (fastconv.convolve(image, kernel), reference.convolve(image, kernel)),
    "correlate": (fastconv.correlate(image, kernel), reference.correlate(image, kernel)),
    "missing samples": (
        fastconv.convolve1d(holes[0], np.abs(taps), **lenient),
        reference.normalized_convolve1d(holes[0], np.abs(taps), **lenient)[0],
    ),
    "missing pixels": (
        fastconv.convolve2d(holes, np.abs(kernel), **lenient),
        reference.normalized_convolve2d(holes, np.abs(kernel), **lenient)[0],
    ),
    "layer": (layers.conv2d(channels, weights, padding=1), reference.conv2d(channels, weights, padding=1)),
    "gradient to its input": (
        layers.conv2d_input_gradient(back, weights, channels.shape, padding=1),
        reference.conv2d_input_gradient(back, weights, 9, 10, padding=1),
    ),
    "gradient to its weights": (
        layers.conv2d_weight_gradient(channels, back, (3, 3), padding=1),
        reference.conv2d_weight_gradient(channels, back, 3, 3, padding=1),
    ),
}

eps = np.finfo(float).eps
errors = {name: np.nanmax(np.abs(fast - slow)) / np.nanmax(np.abs(slow)) / eps for name, (fast, slow) in pairs.items()}

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(list(errors.values()), list(errors), "o")
ax.set(xlabel="largest difference, in units of the rounding of the largest result", xlim=(0, None))
ax.invert_yaxis()
ax.grid(axis="y", alpha=0.3)
plt.show()
