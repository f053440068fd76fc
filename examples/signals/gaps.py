"""
A mean over days without data
=============================

Prices of a share, by calendar day: weekends and holidays are missing. The mean of the last 28 days that are known is a
kernel of ones that starts at each day, and ``nan="ignore"``; `return_weight` tells how many of the days were known.
"""

# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data

import fastconv

with get_sample_data("goog.npz") as file:
    prices = file["price_data"]
prices = prices[prices["date"] >= np.datetime64("2007-06-01")]
days = np.arange(prices["date"][0], prices["date"][-1] + 1)
price = np.full(len(days), np.nan)
price[np.searchsorted(days, prices["date"])] = prices["close"]

month = np.ones(28) / 28
mean, known = fastconv.convolve1d(price, month, "same", start="first", nan="ignore", return_weight=True)

fig, (above, below) = plt.subplots(2, 1, figsize=(8, 4.6), sharex=True, height_ratios=[3, 1], layout="constrained")
above.plot(days, price, ".", ms=3, label="price at the end of the day")
above.plot(days, mean, label="mean of the last 28 days")
above.set_ylabel("dollars")
above.legend()
below.plot(days, 28 * known, color="tab:green")
below.set(ylabel="known days", ylim=(0, 28))
plt.show()
