"""
Climate along named dimensions
==============================

Temperatures by month, latitude and longitude, made up, in an `xarray.DataArray`. Dimensions are named instead of
counted, and coordinates stay: a mean over twelve months, and differences over a globe that wraps.
"""

# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import fastconv.xarray

rng = np.random.default_rng(10)
month = np.arange("2000-01", "2010-01", dtype="datetime64[M]").astype("datetime64[ns]")
latitude, longitude = np.arange(-85, 90, 10.0), np.arange(0, 360, 10.0)
season = np.cos(2 * np.pi * (np.arange(120) - 6.5) / 12)[:, None, None]
slope = np.sin(np.deg2rad(latitude))[None, :, None]
values = 28 * np.cos(np.deg2rad(latitude))[None, :, None] + 12 * season * slope
values = values + 0.02 * np.arange(120)[:, None, None] + rng.normal(0, 1.5, (120, 18, 36))
air = xr.DataArray(
    values,
    coords={"month": month, "latitude": latitude, "longitude": longitude},
    dims=("month", "latitude", "longitude"),
    name="air",
    attrs={"units": "degrees"},
)

year = fastconv.xarray.convolve(air, np.r_[0.5, np.ones(11), 0.5] / 12, "month", "valid")
smooth = fastconv.xarray.convolve(
    air, np.ones((3, 5)) / 15, ("latitude", "longitude"), boundary=("nearest", "wrap")
).sel(month="2003-07")
northwards = fastconv.xarray.correlate(smooth, [-0.05, 0, 0.05], "latitude", boundary="nearest")
print(year.dims, year.sizes["month"], "of", air.sizes["month"], "months have a whole year around them")

fig, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
for ax, field, label in zip(axes, [smooth, northwards], ["July 2003, smoothed", "per degree to the north"]):
    drawn = ax.pcolormesh(longitude, latitude, field.squeeze(), cmap="RdYlBu_r")
    ax.set(title=label, xlabel="longitude", ylabel="latitude")
    fig.colorbar(drawn, ax=ax)
one = {"latitude": 45, "longitude": 10}
axes[2].plot(month, air.sel(one), color="silver", label="by month, at 45° north")
axes[2].plot(year.month, year.sel(one), color="tab:red", label="mean of a year")
axes[2].set_xticks(month[::24], [f"{one:.4}" for one in month.astype(str)[::24]])
axes[2].legend()
plt.show()
