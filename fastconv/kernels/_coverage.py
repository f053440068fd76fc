"""Pixel coverage of disks and straight lines, and directions of angles."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastconv._runtime.bounded_cache import kept

# Smaller shares of a line are rounding errors where it meets a corner of a pixel.
_SLIVER = 1e-9


def direction(angle: float) -> tuple[float, float]:
    """Return the unit step (rows down, columns to the right) at `angle` degrees counterclockwise from the right.

    Exact for multiples of 90 degrees, where the sine of a rounded pi is not quite zero.
    """
    angle = math.fmod(angle, 360)
    rest = math.remainder(angle, 90)
    right, up = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    for _ in range(round((angle - rest) / 90) % 4):
        right, up = -up, right
    return -up, right


@kept
def path(length: float, angle: float) -> NDArray[np.float64]:
    """Return the share of a straight line, centred on the central pixel, that lies in each pixel.

    Point-symmetric, of the smallest odd size that holds the line; the shares sum to 1. Kept, and read only.
    """
    length = max(length, 1.0)  # a shorter one lies in one pixel too
    half, step = length / 2, direction(angle)
    # Distances from the middle of the line to its crossings from one row or column to the next.
    crossings = [np.arange(0.5, abs(along) * half) / abs(along) for along in step if abs(along) * half > 0.5]
    stations = np.sort(np.concatenate([[0, half], *crossings]))
    parts = np.diff(stations) / length
    middles = (stations[1:] + stations[:-1]) / 2
    kept = parts > _SLIVER
    rows, columns = np.rint(np.outer(step, middles[kept])).astype(int)
    down, right = np.abs(rows).max(), np.abs(columns).max()
    forward = np.zeros((2 * down + 1, 2 * right + 1))
    np.add.at(forward, (rows + down, columns + right), parts[kept] * (0.5 / math.fsum(parts[kept])))
    whole = forward + forward[::-1, ::-1]
    whole.setflags(write=False)
    return whole


def disk(radius: float) -> NDArray[np.float64]:
    """Return the share of a disk, centred on the central pixel, that lies in each pixel, exact up to rounding.

    It has the symmetry of a square, and the smallest odd size that holds the disk.
    """
    radius = max(radius, 0.5)  # a smaller one lies in one pixel too
    reach = math.ceil(radius - 0.5)
    # One quarter of the unit disk: of the central row and column, half is in it.
    edges = np.minimum(np.append(0, np.arange(0.5, reach + 1)) / radius, 1)
    left, right = edges[:-1], edges[1:]
    bottom, top = left[:, np.newaxis], right[:, np.newaxis]
    # The arc runs above the pixel from `left` to `full`, through it to `some`, and then below.
    full, some = np.clip(_arc(top), left, right), np.clip(_arc(bottom), left, right)
    area = (full - left) * (top - bottom) + _under_arc(some) - _under_arc(full) - (some - full) * bottom
    area = np.maximum(area + area.T, 0)
    area[0] *= 2
    area[:, 0] *= 2
    distance = np.abs(np.arange(-reach, reach + 1))
    whole = area[np.ix_(distance, distance)]
    return whole / whole.sum()


def _arc(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the height of the unit circle at `x`."""
    return np.sqrt((1 - x) * (1 + x))


def _under_arc(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area under the unit circle from 0 to `x`."""
    return (x * _arc(x) + np.arcsin(x)) / 2
