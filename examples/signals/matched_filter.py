"""
A pulse in noise, found by its shape
====================================

A radar or sonar sends a chirp and looks for it in what comes back. Correlation with the pulse adds up all of its
energy at one moment, the matched filter; `lags` computes the delays that can be, and no others.
"""

# sphinx_gallery_thumbnail_axes = 1
import matplotlib.pyplot as plt
import numpy as np

import fastconv

rng = np.random.default_rng(9)
rate = 10000.0  # samples per second
t = np.arange(400) / rate
pulse = np.hanning(400) * np.sin(2 * np.pi * (500 * t + 20000 * t**2))

delays, levels = (3100, 3500, 6200), (0.5, 0.35, 0.2)
received = rng.normal(0, 0.4, 10000)
for delay, level in zip(delays, levels):
    received[delay : delay + 400] += level * pulse

matched = fastconv.correlate1d(received, pulse, lags=(0, 9600)) / np.sum(pulse**2)
print("the strongest echo:", np.abs(matched).argmax(), "samples")

fig, (above, below) = plt.subplots(2, 1, figsize=(8, 4.4), sharex=True, layout="constrained")
above.plot(np.arange(10000) / rate, received, lw=0.4)
above.set_title("received", loc="left")
below.plot(np.arange(9601) / rate, np.abs(matched), lw=0.8, color="tab:green")
below.plot(np.array(delays) / rate, levels, "v", color="tab:red", label="echoes that were put in")
below.set_title("correlation with the pulse, in units of its amplitude", loc="left")
below.set_xlabel("seconds")
below.legend()
plt.show()
