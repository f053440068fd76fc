"""Which method `auto` takes, asked from plans."""

import numpy as np
from look import BLUE, GREEN, RED
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

import fastconv

METHODS = {"direct": BLUE, "separable": GREEN, "fft": RED}
SIZES = (3, 5, 7, 9, 11, 15, 21, 31, 45, 63, 91, 127, 181, 255)


def method(shape: tuple[int, ...], size: int, outer: bool) -> str:
    """The method for a kernel of this size along each axis."""
    profile = np.hanning(size + 2)[1:-1].astype(np.float32)
    kernel = profile
    for _ in shape[1:]:
        kernel = np.multiply.outer(kernel, profile)
    if not outer:
        kernel = kernel * np.random.default_rng(1).uniform(0.5, 1, kernel.shape).astype(np.float32)
    return fastconv.plan(kernel, shape, mode="same", boundary="reflect").method


def methods() -> Figure:
    """The method by shape and size of the kernel, in float32."""
    rows = {
        "signal of 100,000": ((100_000,), False, 255),
        "image of 1000 x 1000": ((1000, 1000), False, 255),
        "by an outer product": ((1000, 1000), True, 255),
        "volume of 64 x 64 x 64": ((64, 64, 64), False, 31),
        "by an outer product ": ((64, 64, 64), True, 31),
    }
    order = [*METHODS]
    chosen = np.full((len(rows), len(SIZES)), np.nan)
    for row, (shape, outer, most) in enumerate(rows.values()):
        for column, size in enumerate(SIZES):
            if size <= most:
                chosen[row, column] = order.index(method(shape, size, outer))
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.pcolormesh(chosen, cmap=ListedColormap([*METHODS.values()]), vmin=0, vmax=2, edgecolor="white", lw=2)
    axes.set_xticks(np.arange(len(SIZES)) + 0.5, SIZES)
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.set_xlabel("taps of the kernel along each axis")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.legend([Patch(color=colour) for colour in METHODS.values()], order, ncols=3, loc="outside upper center")
    return figure
