"""
Heartbeats, with SciPy's names
==============================

A program that cleans an electrocardiogram with `scipy.signal` and NumPy. Only its imports are changed, to
`fastconv.compat`: names, arguments and results stay, within rounding.
"""

# sphinx_gallery_thumbnail_axes = 1
import matplotlib.pyplot as plt
import numpy as np
import scipy.signal

from fastconv.compat import numpy as npc
from fastconv.compat import signal

rng = np.random.default_rng(17)
rate = 500
t = np.arange(20 * rate) / rate
beats = np.arange(0.5, 19.6, 0.83)
heart = sum(np.exp(-(((t - beat) / 0.012) ** 2)) + 0.25 * np.exp(-(((t - beat - 0.25) / 0.05) ** 2)) for beat in beats)
measured = heart + 0.3 * np.sin(2 * np.pi * 50 * t) + 0.4 * np.sin(2 * np.pi * 0.3 * t) + rng.normal(0, 0.1, t.size)

low_pass = scipy.signal.firwin(101, 35, fs=rate)
smooth = signal.fftconvolve(measured, low_pass, mode="same")
drift = signal.oaconvolve(smooth, np.ones(301) / 301, mode="same")
clean = smooth - drift

pattern = np.exp(-((np.arange(-25, 26) / 6) ** 2))
likeness = signal.correlate(clean, pattern - pattern.mean(), mode="same")
peaks, _ = scipy.signal.find_peaks(likeness, height=0.5 * likeness.max(), distance=rate // 3)
repeats, lags = npc.correlate(clean, clean, "full"), signal.correlation_lags(t.size, t.size)
within = (lags >= 200) & (lags < 600)
period = lags[within][repeats[within].argmax()] / rate
print(f"{60 * (len(peaks) - 1) * rate / (peaks[-1] - peaks[0]):.0f} beats per minute, {60 / period:.0f} by repetition")
print("SciPy would choose the method", signal.choose_conv_method(measured, low_pass))

fig, (above, below) = plt.subplots(2, 1, figsize=(8, 4.2), sharex=True, layout="constrained")
above.plot(t[:3000], measured[:3000], lw=0.7, color="grey")
above.set_title("measured", loc="left")
below.plot(t[:3000], clean[:3000], lw=1)
below.plot(t[peaks[peaks < 3000]], clean[peaks[peaks < 3000]], "v", color="tab:red")
below.set_title("without hum and drift", loc="left")
below.set_xlabel("seconds")
plt.show()

# %%
# Each beat as a row of a picture, blurred across beats and along time; and its slope:

rows = np.stack([clean[at - 100 : at + 200] for at in peaks if 100 <= at < t.size - 200])
blurred = signal.convolve2d(rows, np.ones((3, 5)) / 15, mode="same", boundary="symm")
slope = signal.correlate2d(blurred, [[-1, 0, 1]], mode="same", boundary="symm")
typical = npc.convolve(rows.mean(axis=0), np.ones(5) / 5, "same")
whole = signal.convolve(rows, np.ones((3, 5)) / 15, mode="same")

fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for ax, picture, title in zip(axes, [blurred, slope], ["beats, one a row", "their slope"]):
    ax.imshow(picture, aspect="auto", cmap="RdBu_r", extent=(-0.2, 0.4, len(rows), 0))
    ax.set(title=title, xlabel="seconds")
plt.show()

# %%
# The largest difference to SciPy's and NumPy's own results:

pairs = [
    (smooth, scipy.signal.fftconvolve(measured, low_pass, mode="same")),
    (blurred, scipy.signal.convolve2d(rows, np.ones((3, 5)) / 15, mode="same", boundary="symm")),
    (whole, scipy.signal.convolve(rows, np.ones((3, 5)) / 15, mode="same")),
    (typical, np.convolve(rows.mean(axis=0), np.ones(5) / 5, "same")),
]
difference = max(np.abs(ours - theirs).max() for ours, theirs in pairs)
print(f"{difference:.0e}")
