"""The demonstration: convolve a picture with eight kernels, time and check the results, and draw them on one sheet."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import fastconv
from fastconv import kernels, reference
from fastconv.cli import picture_writing, sample_picture
from fastconv.cli.console import print_stdout
from fastconv.cli.stopwatch import Stopwatch, print_preparation
from fastconv.image._pillow_modes import saturated


class WrongResult(Exception):
    """A result differs from the reference by more than rounding explains."""


class Panel(NamedTuple):
    """A kernel, and how to show its results: ``scale * result + offset``, or its absolute value."""

    name: str
    kernel: NDArray[np.float32]
    scale: float = 1
    offset: float = 0
    absolute: bool = False

    @property
    def shown(self) -> str:
        """Return how results are displayed, as text."""
        if self.absolute:
            return "absolute value"
        if self.offset:
            divided = f" / {1 / self.scale:g}" if self.scale != 1 else ""
            return f"result{divided} + {self.offset:g}"
        return ""


def panels() -> list[Panel]:
    """Return the eight kernels of the demonstration."""
    return [
        Panel("edge", kernels.edge(), absolute=True),
        Panel("sharpen", kernels.sharpen()),
        Panel("emboss", kernels.emboss()),
        Panel("box 9", kernels.box(9)),
        Panel("gaussian 3", kernels.gaussian(3)),
        Panel("sobel-x", kernels.sobel_x(), 1 / 4, 128),
        Panel("sobel-y", kernels.sobel_y(), 1 / 4, 128),
        Panel("laplacian", kernels.laplacian(), 1, 128),
    ]


def run(output: str, width: int, height: int) -> None:
    """Convolve the sample picture, write the sheet to `output`, and print a table."""
    if picture_writing.check_target(output) != "PNG":
        raise ValueError(f"{output}: the demonstration is a PNG; its name must end in .png")
    picture = sample_picture.sample(width, height)
    pixels = np.asarray(picture)
    lines = [
        f"fastconv {fastconv.__version__}: {width} x {height} pixels RGB, mode same, boundary reflect",
        f"{'kernel':<11} {'size':>7} {'ms':>8} {'Mpixel/s':>9} {'times as fast as fastconv.reference':>36}",
    ]
    shown = [(picture, "original", f"{width} x {height}")]
    preparation = 0.0
    for panel in panels():
        stopwatch = Stopwatch(calls=20)
        result = stopwatch(pixels, panel.kernel, "same", axes=(0, 1), boundary="reflect")
        preparation += stopwatch.preparation
        plain, error, bound = _against_reference(pixels, panel.kernel)
        if not error <= bound:
            raise WrongResult(f"{panel.name}: differs from the reference by {error:.3g}, rounding is {bound:.3g}")
        size = f"{panel.kernel.shape[0]} x {panel.kernel.shape[1]}"
        each = stopwatch.best / (width * height)
        lines.append(
            f"{panel.name:<11} {size:>7} {stopwatch.best * 1e3:8.3f} {1e-6 / each:9.1f} {round(plain / each):>36,}"
        )
        result *= panel.scale
        result += panel.offset
        if panel.absolute:
            np.abs(result, out=result)
        note = ", ".join(filter(None, (size, panel.shown)))
        shown.append((Image.fromarray(saturated(result, pixels.dtype)), panel.name, note))
    lines.append("The last column is per pixel. The reference, plain Python, computed a crop: equal up to rounding.")
    sheet = sample_picture.sheet(shown, f"{width} x {height} pixels, eight kernels, mode same, boundary reflect")
    picture_writing.save(sheet, output)  # before printing: stdout may be closed
    for line in lines:
        print_stdout(line)
    print_preparation(preparation)
    print_stdout(f"{output}: {sheet.width} x {sheet.height} {sheet.mode}")


def _against_reference(pixels: NDArray[np.uint8], kernel: NDArray[np.float32]) -> tuple[float, float, float]:
    """Compare with the reference on a crop: return its seconds per pixel, the largest error, and the allowed error.

    The bound is that of float32 sums in any order, ``taps * eps * sum |kernel| * 255``; the reference sums in float64.
    """
    height, width, colours = pixels.shape
    side = min(height, width, max(8, math.isqrt(120_000 // (kernel.size * colours))))
    top, left = (height - side) // 2, (width - side) // 2
    crop = pixels[top : top + side, left : left + side]
    planes = [crop[..., colour].tolist() for colour in range(colours)]
    taps = kernel.tolist()
    start = time.perf_counter()
    expected = [reference.convolve2d(plane, taps, "same", "reflect") for plane in planes]
    seconds = time.perf_counter() - start
    result = fastconv.convolve2d(crop, kernel, "same", axes=(0, 1), boundary="reflect")
    error = float(np.abs(result - np.stack(expected, axis=-1)).max())
    bound = kernel.size * float(np.finfo(np.float32).eps) * float(np.abs(kernel).sum()) * 255
    return seconds / side**2, error, bound
