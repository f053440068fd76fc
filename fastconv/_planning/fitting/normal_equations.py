"""The normal equations of least squares for the taps of a kernel.

All arrays are float64. With samples `e` extended as the boundary says, of shape (images, P + K - 1, Q + L - 1), the
model of an output is a correlation, and the taps are flipped in the end::

    y[n, p, q] = sum over i, j of taps[i, j] * e[n, p + i, q + j]
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fastconv._model.layer_problem import Geometry
from fastconv._planning.layers.layer_gradients import weight_gradient
from fastconv._planning.plans import find
from fastconv._runtime.interruptible_numpy import chunk_slices

_DOUBLE = np.dtype(np.float64)
# Elements of the matrices of one product: some 50 ms, since Python handles Ctrl-C between products.
PRODUCT_ELEMENTS = 1 << 20


class Model(NamedTuple):
    """The samples under each output, and its weight."""

    extended: np.ndarray
    taps: tuple[int, int]
    weights: np.ndarray | None  # of the shape of the outputs; None if all are 1

    @property
    def outputs(self) -> tuple[int, int, int]:
        number, rows, columns = self.extended.shape
        return number, rows - self.taps[0] + 1, columns - self.taps[1] + 1

    def outputs_of(self, taps: np.ndarray) -> np.ndarray:
        """The outputs of a kernel."""
        plan = find("x", _DOUBLE, self.extended.shape, _DOUBLE, self.taps, "valid", (1, 2), "zero", 0, "auto", False)
        out = np.empty(plan.shape)
        plan(self.extended, taps, out, None)
        return out

    def correlations_with(self, outputs: np.ndarray) -> np.ndarray:
        """For each tap, the sum of the products of outputs and the samples under it: the adjoint of `outputs_of`."""
        out = np.zeros(self.taps)
        for samples, values in zip(self.extended, outputs):
            plan = find("x", _DOUBLE, samples.shape, _DOUBLE, values.shape, "valid", (0, 1), "zero", 0, "auto", False)
            part = np.empty(self.taps)
            plan(samples, values, part, None)
            out += part
        return out

    def weighted(self, outputs: np.ndarray) -> np.ndarray:
        return outputs if self.weights is None else outputs * self.weights

    @property
    def weight(self) -> float:
        """Sum of the weights."""
        return float(math.prod(self.outputs)) if self.weights is None else float(self.weights.sum())

    @property
    def samples(self) -> int:
        """Outputs that have a weight."""
        return math.prod(self.outputs) if self.weights is None else int(np.count_nonzero(self.weights))

    def residual(self, y: np.ndarray, taps: np.ndarray) -> float:
        """Root of the weighted mean of squared residuals."""
        residuals = y - self.outputs_of(taps)
        return math.sqrt(max(0.0, float(np.vdot(self.weighted(residuals), residuals)) / self.weight))

    def gram(self) -> np.ndarray:
        """The matrix of the normal equations, of shape (taps, taps)."""
        if self.weights is None:
            return _gram(self.extended, *self.taps)
        return _weighted_gram(self.extended, self.weights, self.taps)


def _gram(e: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Sums of the products of samples, ``G[i, j, k, l] = sum over n, p, q of e[n, p+i, q+j] * e[n, p+k, q+l]``.

    Both taps one row further down, the sums differ by those of the row that they leave and of the one that they reach;
    likewise for columns. So all follow from correlations of the samples, and products of the samples near the borders.
    """
    height, width = e.shape[1] - rows + 1, e.shape[2] - columns + 1
    first = np.empty((columns, rows, columns))  # with i = 0: [j, k, l]
    first[0] = _correlations(e, e[:, :height, :width], (rows, columns))
    sides = (columns - 1, columns - 1)
    reverse = _correlations(np.pad(e[:, :, :width], ((0, 0), (0, 0), sides)), e[:, :height], (rows, columns))
    first[:, :, 0] = reverse[:, ::-1].T
    if columns > 1:
        change = _columns(e[:, :, width:], rows, height) - _columns(e[:, :, : columns - 1], rows, height)
        for j in range(columns - 1):
            first[j + 1, :, 1:] = first[j, :, :-1] + change[j]
    gram = np.empty((rows, columns, rows, columns))
    gram[0] = first
    if rows > 1:
        gram[1:, :, 0] = first[:, 1:].transpose(1, 2, 0)
        change = _lines(e[:, height:], columns) - _lines(e[:, : rows - 1], columns)
        for i in range(rows - 1):
            gram[i + 1, :, 1:] = gram[i, :, :-1] + change[i]
    return gram.reshape(rows * columns, rows * columns)


def _correlations(samples: np.ndarray, outputs: np.ndarray, taps: tuple[int, int]) -> np.ndarray:
    """``sum over n, p, q of samples[n, p + i, q + j] * outputs[n, p, q]``: the gradient of a layer to its weights."""
    out = np.empty((1, 1, *taps))
    weight_gradient(samples[:, np.newaxis], outputs[:, np.newaxis], out, Geometry((0, 0)), None)
    return out[0, 0]


def _columns(e: np.ndarray, rows: int, height: int) -> np.ndarray:
    """``sum over n, p of e[n, p, j] * e[n, p + k, l]`` as [j, k, l], for the columns of `e`."""
    columns = e.shape[2]
    found = np.zeros((columns, rows * columns))
    windows = sliding_window_view(e, height, axis=1)  # [n, k, l, p]
    for chunk in chunk_slices((len(e), height), max(1, PRODUCT_ELEMENTS // found.shape[1])):
        reached = windows[(chunk[0], slice(None), slice(None), chunk[1])].transpose(1, 2, 0, 3)
        found += e[:, :height][chunk].reshape(-1, columns).T @ reached.reshape(rows * columns, -1).T
    return found.reshape(columns, rows, columns)


def _lines(e: np.ndarray, columns: int) -> np.ndarray:
    """``sum over n, q of e[n, i, q + j] * e[n, k, q + l]`` as [i, j, k, l], for the rows of `e`."""
    rows, width = e.shape[1], e.shape[2] - columns + 1
    found = np.zeros((rows * columns,) * 2)
    windows = sliding_window_view(e, width, axis=2)  # [n, i, j, q]
    for chunk in chunk_slices((len(e), width), max(1, PRODUCT_ELEMENTS // len(found))):
        part = windows[(chunk[0], slice(None), slice(None), chunk[1])].transpose(1, 2, 0, 3).reshape(len(found), -1)
        found += part @ part.T
    return found.reshape(rows, columns, rows, columns)


def _weighted_gram(e: np.ndarray, weights: np.ndarray, taps: tuple[int, int]) -> np.ndarray:
    """Sums of weighted products of samples, from the samples under each output."""
    count = math.prod(taps)
    found = np.zeros((count, count))
    windows = sliding_window_view(e, taps, axis=(1, 2))
    for chunk in chunk_slices(weights.shape, max(1, PRODUCT_ELEMENTS // count)):
        part = windows[chunk].reshape(-1, count) * np.sqrt(weights[chunk]).reshape(-1, 1)
        found += part.T @ part
    return found
