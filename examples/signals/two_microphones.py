"""
Where does the sound come from?
===============================

A sound reaches one microphone before the other. The lag of the largest correlation is the delay, and the delay tells
the direction.
"""

# sphinx_gallery_thumbnail_axes = 1
import matplotlib.pyplot as plt
import numpy as np

import fastconv

rate, distance, speed = 48000, 0.6, 343.0  # hertz, metres between the microphones, metres per second
angle = 35.0
rng = np.random.default_rng(6)

sound = np.cumsum(rng.normal(size=4800)) * np.hanning(4800)
delay = round(distance * np.sin(np.deg2rad(angle)) / speed * rate)
left = np.pad(sound, (0, 200)) + rng.normal(0, 0.5, 5000)
right = np.pad(sound, (delay, 200 - delay)) + rng.normal(0, 0.5, 5000)

# Differences make the peak of such a rumbling sound narrow.
agreement = fastconv.correlate(np.diff(right), np.diff(left))
lags = fastconv.correlation_lags(4999, 4999)
lag = lags[agreement.argmax()]
found = np.rad2deg(np.arcsin(lag / rate * speed / distance))
print(f"{lag} samples: {found:.1f} degrees")

fig, (above, below) = plt.subplots(2, 1, figsize=(7, 4.6), layout="constrained")
above.plot(np.arange(5000) / rate, left, lw=0.6, label="left")
above.plot(np.arange(5000) / rate, right, lw=0.6, label="right")
above.set(xlabel="seconds", ylabel="sound")
above.legend(loc="upper right")
near = np.abs(lags) <= 150
below.plot(lags[near], agreement[near], color="tab:green")
below.axvline(lag, color="tab:red", ls=":", label=f"{found:.0f} degrees")
below.set(xlabel="lag in samples", ylabel="correlation")
below.legend()
plt.show()
