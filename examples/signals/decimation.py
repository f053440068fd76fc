"""
An eighth of the samples, without aliasing
==========================================

To keep each eighth sample, frequencies above a sixteenth of the rate must go first, or they come back as lower ones.
With ``stride=8`` only the samples that are kept are computed.
"""

# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numpy as np

import fastconv

rate, factor = 8000, 8
t = np.arange(4 * rate) / rate
tone = np.sin(2 * np.pi * 60 * t) + np.sin(2 * np.pi * 1900 * t)  # 1900 Hz cannot be kept at 1000 Hz

n = np.arange(-80, 81)
low_pass = np.sinc(n / factor * 0.9) * np.blackman(161)
low_pass /= low_pass.sum()

kept = fastconv.convolve1d(tone, low_pass, "same", stride=factor)
careless = tone[::factor]
assert np.allclose(kept, fastconv.convolve1d(tone, low_pass, "same")[::factor])

fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
for samples, label in [(careless, "each eighth sample"), (kept, "low-pass, then each eighth")]:
    window = np.blackman(len(samples))
    spectrum = np.abs(np.fft.rfft(samples * window)) / window.sum() * 2
    ax.plot(np.fft.rfftfreq(len(samples), factor / rate), 20 * np.log10(spectrum + 1e-9), label=label)
ax.annotate("1900 Hz come back as 100", (100, 0), (170, -15), arrowprops={"arrowstyle": "->"})
ax.set(xlabel="hertz", ylabel="decibels", ylim=(-140, 10))
ax.legend()
plt.show()
