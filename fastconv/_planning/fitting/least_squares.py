"""Least squares for the taps of a kernel: by eigenvalues, by QR where these lose digits, or by conjugate gradients."""

from __future__ import annotations

import math
from typing import Callable, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fastconv._planning.fitting.normal_equations import PRODUCT_ELEMENTS, Model
from fastconv._runtime.interruptible_numpy import chunk_slices, decomposed


class Solution(NamedTuple):
    """Taps, and what is known of them."""

    taps: np.ndarray
    residual: float  # root of the weighted mean of squared residuals
    condition: float
    errors: np.ndarray | None  # standard errors


class Undetermined(Exception):
    """The samples do not determine the taps; its argument is a ridge that does."""


# Taps up to which the normal equations are solved by their eigenvalues; and products of the samples under the outputs,
# which weights and QR decompositions need.
MOST_TAPS = 2000
MOST_PRODUCTS = 4e11
_REFINEMENTS = 2
# Ratio of the least and the largest eigenvalue, for each tap, from which on products of samples suffice; and that of
# eigenvalues or singular values below which rounding decides.
LEAST_EIGENVALUE = _LEAST_RATIO = 4 * float(np.finfo(float).eps)
# Conjugate gradients stop at a slope of the first part, relative to the first; or when it has not been halved for so
# many steps, and then accept the second part.
_TOLERANCE = 1e-10
_PATIENCE = 100
_ACCEPTED = 1e-7
_PROBES = 40


def solve(model: Model, y: np.ndarray, ridge: float, symmetric: bool) -> Solution:
    """Minimize the weighted squares of the residuals, plus those of the taps times `ridge`."""
    count = math.prod(model.taps)
    products = count**2 * math.prod(model.outputs)
    if count <= MOST_TAPS and (model.weights is None or products <= MOST_PRODUCTS):
        return _by_eigenvalues(model, y, ridge, symmetric)
    return _by_conjugate_gradients(model, y, ridge, symmetric)


def _by_eigenvalues(model: Model, y: np.ndarray, ridge: float, symmetric: bool) -> Solution:
    """Solve by the eigenvalues of the matrix, and refine: products of samples lose what their residuals keep."""
    count = math.prod(model.taps)
    basis = _Mirrored(count) if symmetric else None
    gram = model.gram()
    try:
        values, vectors = decomposed(np.linalg.eigh, gram if basis is None else basis.matrix(gram))
    except np.linalg.LinAlgError:  # another thread has written something infinite meanwhile
        raise Undetermined(0.0) from None
    if not values[0] + ridge > LEAST_EIGENVALUE * count * (values[-1] + ridge):
        if count**2 * math.prod(model.outputs) > MOST_PRODUCTS:
            raise Undetermined(_sufficient_ridge(count, values[-1]))
        return _by_triangle(model, y, ridge, basis)

    def solved(right: np.ndarray) -> np.ndarray:
        inner = right.ravel() if basis is None else basis.coordinates(right.ravel())
        inner = vectors @ ((inner @ vectors) / (values + ridge))
        return (inner if basis is None else basis.taps(inner)).reshape(model.taps)

    taps = solved(model.correlations_with(model.weighted(y)))
    for _ in range(_REFINEMENTS):
        residuals = model.weighted(y - model.outputs_of(taps))
        taps += solved(model.correlations_with(residuals) - ridge * taps)
    return _stated(model, y, taps, values, vectors, ridge, basis)


def _by_triangle(model: Model, y: np.ndarray, ridge: float, basis: _Mirrored | None) -> Solution:
    """Solve by a QR decomposition of the samples under the outputs: products of them lose half of the digits."""
    count = math.prod(model.taps)
    free = count if basis is None else -(-count // 2)
    triangle = np.eye(free, free + 1) * math.sqrt(ridge)
    windows = sliding_window_view(model.extended, model.taps, axis=(1, 2))
    for chunk in chunk_slices(y.shape, max(4 * free, PRODUCT_ELEMENTS // count)):
        block = windows[chunk].reshape(-1, count)
        block = np.column_stack([block if basis is None else basis.coordinates(block.T).T, y[chunk].ravel()])
        if model.weights is not None:
            block *= np.sqrt(model.weights[chunk]).reshape(-1, 1)
        triangle = decomposed(np.linalg.qr, np.concatenate([triangle, block]), mode="r")
    try:
        left, values, right = decomposed(np.linalg.svd, triangle[:free, :free])
    except np.linalg.LinAlgError:
        raise Undetermined(0.0) from None
    if not values[-1] > _LEAST_RATIO * count * values[0]:
        raise Undetermined(_sufficient_ridge(count, values[0] ** 2))
    inner = right.T @ ((triangle[:free, free] @ left) / values)
    taps = (inner if basis is None else basis.taps(inner)).reshape(model.taps)
    return _stated(model, y, taps, values**2 - ridge, right.T, ridge, basis)


def _stated(model: Model, y, taps, values, vectors, ridge: float, basis: _Mirrored | None) -> Solution:
    """A solution with its residual, condition and errors; from the eigenvalues and vectors of the matrix."""
    largest, least = float(values.max()) + ridge, float(values.min()) + ridge
    inverses = 1 / (values + ridge)
    residual, freedom = model.residual(y, taps), model.samples - float((values * inverses).sum())
    errors = None
    if freedom > 0.5:
        spread = vectors * (np.sqrt(np.maximum(values, 0)) * inverses)
        spread = spread if basis is None else basis.taps(spread)
        variance = residual**2 * model.weight / freedom
        errors = np.sqrt(variance * np.square(spread).sum(axis=1)).reshape(model.taps)
    return Solution(taps, residual, math.sqrt(largest / least), errors)


def _sufficient_ridge(count: int, largest: float) -> float:
    """A ridge that leaves rounding without effect, for a largest eigenvalue."""
    return 100 * _LEAST_RATIO * count * largest


class _Mirrored:
    """Coordinates of taps that equal their mirror image, for an orthonormal basis."""

    def __init__(self, count: int):
        self._count, self._half = count, -(-count // 2)
        self._scale = np.full((self._half, 1), math.sqrt(0.5))
        if count % 2:
            self._scale[-1] = 1

    def coordinates(self, taps: np.ndarray) -> np.ndarray:
        """Coordinates of the part that is mirrored, along the first axis."""
        scale = self._scale.reshape(-1, *(1,) * (taps.ndim - 1))
        return (taps[: self._half] + taps[::-1][: self._half]) * np.where(scale == 1, 0.5, scale)

    def taps(self, coordinates: np.ndarray) -> np.ndarray:
        half = coordinates * self._scale.reshape(-1, *(1,) * (coordinates.ndim - 1))
        return np.concatenate([half, half[: self._count - self._half][::-1]])

    def matrix(self, gram: np.ndarray) -> np.ndarray:
        return self.coordinates(self.coordinates(gram).T)


class _Circulant:
    """The periodic matrix that is closest to that of the normal equations: a preconditioner.

    An element is the mean of the matrix over all pairs of taps at one distance modulo the size of the kernel (T. Chan,
    SIAM J. Sci. Stat. Comput. 9, 1988), for a matrix that does not depend on the place of the taps.
    """

    def __init__(self, model: Model, ridge: float):
        rows, columns = model.taps
        sides = (0, 0), (rows - 1, rows - 1), (columns - 1, columns - 1)
        around = Model(np.pad(model.extended, sides), (2 * rows - 1, 2 * columns - 1), None)
        sums = around.correlations_with(model.extended) * (model.weight / math.prod(model.outputs))
        for axis, taps in enumerate(model.taps):
            sums = np.moveaxis(sums, axis, 0)
            share = (np.arange(taps) / taps).reshape(-1, 1)
            folded = (1 - share) * sums[taps - 1 :]
            folded[1:] += share[1:] * sums[: taps - 1]
            sums = np.moveaxis(folded, 0, axis)
        self._taps = model.taps
        self.spectrum = np.maximum(np.fft.rfft2(sums).real, 0) + ridge

    def solve(self, right: np.ndarray) -> np.ndarray:
        return np.fft.irfft2(np.fft.rfft2(right) / self.spectrum, self._taps)


def _by_conjugate_gradients(model: Model, y: np.ndarray, ridge: float, symmetric: bool) -> Solution:
    """Solve by preconditioned conjugate gradients on the squares of the residuals (CGLS)."""
    count = math.prod(model.taps)
    circulant = _Circulant(model, ridge)
    least, largest = float(circulant.spectrum.min()), float(circulant.spectrum.max())
    undetermined = Undetermined(_sufficient_ridge(count, largest))

    def mirrored(taps: np.ndarray) -> np.ndarray:
        return (taps + taps[::-1, ::-1]) / 2 if symmetric else taps

    if not (
        least > _LEAST_RATIO * count * largest
        and _least_share(model, ridge, circulant, mirrored) > _LEAST_RATIO * count
    ):
        raise undetermined
    preconditioners: tuple[Callable, ...] = (circulant.solve,) if ridge == 0 else (circulant.solve, np.copy)
    for preconditioned in preconditioners:  # for lines of a spectrum the circulant matrix is far from the exact one
        taps = _descended(model, y, ridge, preconditioned, mirrored)
        if taps is not None:
            return Solution(taps, model.residual(y, taps), math.sqrt(largest / least), None)
    raise Undetermined(max(_sufficient_ridge(count, largest), 10 * ridge))


def _descended(
    model: Model, y: np.ndarray, ridge: float, preconditioned: Callable, mirrored: Callable
) -> np.ndarray | None:
    """The taps that conjugate gradients reach, with a preconditioner; None if they stall."""
    taps, residuals = np.zeros(model.taps), y.copy()
    slope = mirrored(model.correlations_with(model.weighted(residuals)))
    step = mirrored(preconditioned(slope))
    size = first = lowest = float(np.vdot(slope, step))
    since = 0
    while size > _TOLERANCE**2 * first and since < _PATIENCE:
        outputs = model.outputs_of(step)
        length = size / (float(np.vdot(model.weighted(outputs), outputs)) + ridge * float(np.vdot(step, step)))
        taps += length * step
        outputs *= length
        residuals -= outputs
        slope = mirrored(model.correlations_with(model.weighted(residuals)) - ridge * taps)
        conditioned = mirrored(preconditioned(slope))
        size, before = float(np.vdot(slope, conditioned)), size
        step = conditioned + (size / before) * step
        since = 0 if size < 0.5 * lowest else since + 1
        lowest = min(lowest, size)
    return taps if lowest <= _ACCEPTED**2 * first else None


def _least_share(model: Model, ridge: float, circulant: _Circulant, mirrored: Callable) -> float:
    """Ratio of the least and the largest eigenvalue of the preconditioned matrix, from a random start.

    Lanczos' method finds eigenvalues apart from the others first: those near 0, of taps that the samples leave open.
    """
    slope = mirrored(np.random.default_rng(0).standard_normal(model.taps))
    step = mirrored(circulant.solve(slope))
    size = float(np.vdot(slope, step))
    diagonal, beside = [0.0], []
    for _ in range(min(_PROBES, slope.size)):
        applied = model.correlations_with(model.weighted(model.outputs_of(step)))
        applied = mirrored(applied + ridge * step)
        curvature = float(np.vdot(step, applied))
        if not curvature > 0:
            return 0.0
        length = size / curvature
        slope = slope - length * applied
        conditioned = mirrored(circulant.solve(slope))
        size, before = float(np.vdot(slope, conditioned)), size
        diagonal[-1] += 1 / length
        diagonal.append(size / before / length)
        beside.append(math.sqrt(max(0.0, size / before)) / length)
        step = conditioned + (size / before) * step
        if not size > 0:
            break
    count = len(beside)
    values = np.linalg.eigvalsh(np.diag(diagonal[:count]) + np.diag(beside[: count - 1], -1))
    return float(values[0] / values[-1])
