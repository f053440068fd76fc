"""
A smoother that keeps peaks: Savitzky and Golay
===============================================

A moving average lowers peaks. Savitzky and Golay (1964) fit a polynomial to the samples around each one instead. The
fit is linear in the samples, so it is a kernel: the row of the pseudo-inverse for the value, or for a derivative.
"""

# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numpy as np

import fastconv


def savitzky_golay(taps, degree, derivative=0):
    """Return the kernel whose correlation fits polynomials to samples."""
    places = np.arange(taps) - taps // 2
    fit = np.linalg.pinv(places[:, None] ** np.arange(degree + 1))
    return fit[derivative] * max(1, derivative)


t = np.linspace(0, 10, 500)
spectrum = sum(
    height / (1 + ((t - place) / width) ** 2) for place, height, width in [(2, 1, 0.3), (5, 0.8, 0.1), (7, 1.2, 0.15)]
)
noisy = spectrum + np.random.default_rng(1).normal(0, 0.06, t.size)

options = {"mode": "same", "boundary": "mirror"}
averaged = fastconv.correlate1d(noisy, np.full(25, 1 / 25), **options)
smoothed = fastconv.correlate1d(noisy, savitzky_golay(25, 4), **options)
slope = fastconv.correlate1d(noisy, savitzky_golay(25, 4, derivative=1), **options) / (t[1] - t[0])

fig, (above, below) = plt.subplots(2, 1, figsize=(8, 5.4), sharex=True, layout="constrained")
above.plot(t, noisy, ".", ms=3, color="lightgrey", label="measured")
above.plot(t, averaged, color="tab:red", label="mean of 25")
above.plot(t, smoothed, color="tab:blue", label="Savitzky-Golay, 25 samples, degree 4")
above.legend()
below.plot(t, np.gradient(noisy, t), color="lightgrey", lw=0.8, label="differences")
below.plot(t, slope, color="tab:blue", label="derivative of the fit")
below.set(xlabel="wavelength", ylim=(-12, 12))
below.legend()
plt.show()
