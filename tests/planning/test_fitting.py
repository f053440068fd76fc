"""Kernels by least squares, compared with the solution of the whole system, which the oracle sets up."""

import math
import pickle

import numpy as np
import pytest

import fastconv
from fastconv._planning.fitting import least_squares, normal_equations
from tests.oracle import BOUNDARIES, LAYOUTS, MODES, expected

SHAPES = [((40,), (5,)), ((9, 11), (3, 4)), ((10, 8), (4, 1)), ((3, 9, 8), (2, 3))]


@pytest.fixture(params=["eigenvalues", "triangle", "conjugate gradients"])
def way(request, monkeypatch):
    """How a system is solved."""
    if request.param == "triangle":
        monkeypatch.setattr(least_squares, "LEAST_EIGENVALUE", math.inf)
    if request.param == "conjugate gradients":
        monkeypatch.setattr(least_squares, "MOST_TAPS", 0)
    return request.param


def convolved(x, kernel, **options):
    """The convolution of the last axes, by definition."""
    return expected(x, kernel, axes=[*range(x.ndim - kernel.ndim, x.ndim)], **options)


def system(x, shape, **options):
    """The matrix of the least-squares problem: its columns are the results of the kernels with one tap."""
    units = np.eye(math.prod(shape)).reshape(-1, *shape)
    return np.stack([convolved(x, unit, **options).ravel() for unit in units], 1)


def options_for(mode, boundary):
    return {"mode": mode, "boundary": boundary, "fill_value": 3 if boundary == "fill" else 0}


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("size", "taps"), SHAPES)
def test_known_kernels_are_found(way, size, taps, mode, boundary):
    rng = np.random.default_rng(1)
    x, kernel = rng.integers(-50, 50, size), rng.integers(-9, 9, taps)
    options = options_for(mode, boundary)
    fit = fastconv.fit_kernel(x, convolved(x, kernel, **options), taps, **options)
    assert fit.kernel.dtype == np.float64
    assert fit.kernel.shape == taps
    np.testing.assert_allclose(fit.kernel, kernel, rtol=0, atol=1e-7 if way == "conjugate gradients" else 1e-12)
    assert fit.residual < 1e-6


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("size", "taps"), [((40, 3), (5,)), ((30, 2, 3), (4, 3)), ((30, 2, 3), (2, 5))])
def test_valid_results_of_kernels_longer_than_x(way, size, taps, boundary):
    test_known_kernels_are_found(way, size, taps, "valid", boundary)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("size", "taps"), SHAPES)
@pytest.mark.parametrize(
    ("weighted", "symmetric", "ridge"), [(False, False, 0), (True, False, 2.5), (False, True, 2.5), (True, True, 0)]
)
def test_solutions_of_the_whole_system(way, size, taps, mode, boundary, weighted, symmetric, ridge):
    rng = np.random.default_rng(2)
    x, options = rng.standard_normal(size), options_for(mode, boundary)
    y = rng.standard_normal(convolved(x, np.ones(taps), **options).shape)
    weights = rng.random(y.shape) if weighted else np.ones(y.shape)
    weights.flat[0] = 0 if weighted else 1
    fit = fastconv.fit_kernel(
        x, y, taps, ridge=ridge, weights=weights if weighted else None, symmetric=symmetric, **options
    )
    matrix, count = system(x, taps, **options), math.prod(taps)
    basis = np.eye(count)
    if symmetric:
        basis = np.unique(basis + basis[::-1], axis=0).T.clip(0, 1)
    root = np.sqrt(weights.ravel())
    whole = np.concatenate([root[:, None] * matrix @ basis, math.sqrt(ridge) * basis])
    right = np.concatenate([root * y.ravel(), np.zeros(count)])
    wanted = basis @ np.linalg.lstsq(whole, right, rcond=None)[0]
    np.testing.assert_allclose(fit.kernel.ravel(), wanted, rtol=0, atol=1e-7 if way == "conjugate gradients" else 1e-12)
    residuals = y.ravel() - matrix @ wanted
    assert fit.residual == pytest.approx(math.sqrt((weights.ravel() * residuals**2).mean() / weights.mean()))
    if symmetric:
        np.testing.assert_array_equal(fit.kernel, np.flip(fit.kernel))
    basis = basis / np.linalg.norm(basis, axis=0)
    squares = basis.T @ matrix.T @ (weights.ravel()[:, None] * matrix) @ basis
    regular = squares + ridge * np.eye(len(squares))
    if way == "conjugate gradients":
        assert 1 <= fit.condition < 10 * math.sqrt(np.linalg.cond(regular))
        assert fit.standard_errors is None
        return
    assert fit.condition == pytest.approx(math.sqrt(np.linalg.cond(regular)))
    inverse = np.linalg.inv(regular)
    freedom = np.count_nonzero(weights) - np.trace(inverse @ squares)
    covariance = basis @ inverse @ squares @ inverse @ basis.T * (weights.ravel() @ residuals**2 / freedom)
    np.testing.assert_allclose(fit.standard_errors.ravel(), np.sqrt(np.diag(covariance)), rtol=1e-9)


@pytest.mark.parametrize(
    ("size", "taps"),
    [((2, 9, 11), (3, 4)), ((1, 1, 30), (1, 5)), ((1, 30, 3), (5, 1)), ((3, 6, 6), (5, 6)), ((1, 5, 5), (1, 1))],
)
def test_the_matrix_of_integers_is_exact(monkeypatch, size, taps):
    for elements in (normal_equations.PRODUCT_ELEMENTS, 50):  # in one product, and in many
        monkeypatch.setattr(normal_equations, "PRODUCT_ELEMENTS", elements)
        extended = np.random.default_rng(3).integers(-99, 99, size).astype(float)
        windows = np.lib.stride_tricks.sliding_window_view(extended, taps, axis=(1, 2))
        rows = windows.reshape(-1, math.prod(taps))
        np.testing.assert_array_equal(normal_equations.Model(extended, taps, None).gram(), rows.T @ rows)
        weights = np.random.default_rng(4).integers(0, 2, windows.shape[:3]).astype(float)
        wanted = rows.T @ (weights.reshape(-1, 1) * rows)
        np.testing.assert_array_equal(normal_equations.Model(extended, taps, weights).gram(), wanted)


def picture(shape, seed=0):
    """Integers of 8 bits with the falling spectrum of pictures."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    rows, columns = (np.fft.fftfreq(extent) for extent in shape)
    smooth = np.fft.ifft2(np.fft.fft2(noise) / (np.hypot(rows[:, None], columns) + 1 / shape[0])).real
    return np.round(255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def test_an_edge_kernel_from_a_picture(way):
    sobel, frame = fastconv.kernels.named("sobel-x").astype(float), picture((128, 150))
    edges = fastconv.convolve2d(frame, sobel, "same", boundary="reflect")
    for shape in ((3, 3), (5, 7)):
        fit = fastconv.fit_kernel(frame, edges, shape, boundary="reflect")
        wanted = np.pad(sobel, [((taps - 3) // 2,) * 2 for taps in shape])
        np.testing.assert_allclose(fit.kernel, wanted, rtol=0, atol=1e-6)


def test_a_smooth_picture_determines_a_kernel_badly(monkeypatch):
    rng, frame = np.random.default_rng(12), fastconv.kernels.gaussian(2, dtype="f8")
    frame = fastconv.convolve2d(picture((90, 100)), frame, "same", boundary="reflect")
    kernel = rng.integers(-9, 9, (9, 9))
    y = fastconv.convolve2d(frame, kernel, "same", boundary="reflect")
    fit = fastconv.fit_kernel(frame, y, (9, 9), boundary="reflect")
    assert 1e8 < fit.condition < 1e11
    np.testing.assert_array_equal(np.rint(fit.kernel), kernel)
    monkeypatch.setattr(least_squares, "MOST_PRODUCTS", 0)
    with pytest.raises(ValueError, match="x must determine the taps"):
        fastconv.fit_kernel(frame, y, (9, 9), boundary="reflect")


def test_standard_errors_state_the_error_of_a_noisy_fit():
    rng, frame, blur = np.random.default_rng(5), picture((150, 150)), fastconv.kernels.gaussian(1, dtype="f8")
    exact = fastconv.convolve2d(frame, blur, "same", boundary="reflect")
    fit = fastconv.fit_kernel(frame, exact + 2 * rng.standard_normal(frame.shape), blur.shape, boundary="reflect")
    ratios = (fit.kernel - blur) / fit.standard_errors
    assert 0.8 < np.sqrt(np.square(ratios).mean()) < 1.2
    assert np.abs(ratios).max() < 5
    assert fit.residual == pytest.approx(2, rel=0.02)


def test_more_taps_than_are_solved_at_once():
    rng = np.random.default_rng(6)
    x, kernel = rng.standard_normal(20_000), rng.standard_normal(2500)
    fit = fastconv.fit_kernel(x, fastconv.convolve1d(x, kernel, "same"), 2500)
    assert fit.standard_errors is None
    assert 1 < fit.condition < 5  # of white noise, 8 samples for each tap
    np.testing.assert_allclose(fit.kernel, kernel, atol=1e-7)


def test_a_ridge_determines_the_kernel_of_a_sine(monkeypatch):
    monkeypatch.setattr(least_squares, "MOST_TAPS", 0)
    x, kernel = np.sin(np.arange(4000) * 0.1), np.random.default_rng(0).standard_normal(500)
    y = fastconv.convolve1d(x, kernel, "valid")
    fit = fastconv.fit_kernel(x, y, 500, mode="valid", ridge=1)
    samples = np.lib.stride_tricks.sliding_window_view(x, 500)[:, ::-1]
    right = np.linalg.solve(samples.T @ samples + np.eye(500), samples.T @ y)
    np.testing.assert_allclose(fit.kernel, right, rtol=0, atol=1e-5 * abs(right).max())


@pytest.mark.parametrize("exponent", [-1070, -900, 300, 900])
def test_numbers_of_any_size(exponent):
    rng = np.random.default_rng(7)
    x, kernel, weights = rng.integers(1, 50, 60), rng.integers(-9, 9, 4), rng.random(60)
    y = fastconv.convolve1d(x, kernel, "same") + rng.integers(-1, 1, 60)
    wanted = fastconv.fit_kernel(x, y, 4, ridge=2, weights=weights)
    small = abs(exponent) < 500
    found = fastconv.fit_kernel(
        np.ldexp(x.astype(float), exponent),
        np.ldexp(y.astype(float), exponent),
        4,
        ridge=2 * 4.0**exponent if small else 0,
        weights=weights * 2.0**-300,
    )
    if small:
        found = fastconv.fit_kernel(np.ldexp(x * 1.0, exponent), y, 4, ridge=2 * 4.0**exponent, weights=weights)
        np.testing.assert_array_equal(np.ldexp(found.kernel, exponent), wanted.kernel)
        np.testing.assert_array_equal(np.ldexp(found.standard_errors, exponent), wanted.standard_errors)
        assert found.residual == wanted.residual
    else:
        wanted = fastconv.fit_kernel(x, y, 4, weights=weights)
        np.testing.assert_array_equal(found.kernel, wanted.kernel)
        assert found.residual == math.ldexp(wanted.residual, exponent)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_types(layout):
    rng = np.random.default_rng(8)
    kernel = rng.integers(-9, 9, (3, 2))
    for dtype in ("?", "u1", "i4", "f2", "f4", "f8", "g"):
        x = rng.integers(0, 2 if dtype == "?" else 50, (2, 8, 9))
        y = convolved(x, kernel, mode="same", boundary="wrap")
        given, result = (LAYOUTS[layout](array) for array in (x.astype(dtype), y))
        fit = fastconv.fit_kernel(given, result, (3, 2), boundary="wrap")
        np.testing.assert_allclose(fit.kernel, kernel, atol=1e-12)


def test_weights_broadcast_and_leave_samples_out(way):
    rng = np.random.default_rng(9)
    x, kernel = rng.standard_normal((12, 14)), rng.standard_normal((3, 3))
    y = fastconv.convolve2d(x, kernel, "same")
    y[:, 5] = 1e6  # a broken column
    columns = np.ones(14)
    columns[5] = 0
    np.testing.assert_allclose(fastconv.fit_kernel(x, y, (3, 3), weights=columns).kernel, kernel, atol=1e-7)


def test_many_weighted_samples_are_solved_step_by_step(monkeypatch):
    monkeypatch.setattr(least_squares, "MOST_PRODUCTS", 0)
    rng = np.random.default_rng(11)
    x, kernel, weights = rng.standard_normal(100), rng.standard_normal(4), rng.random(100)
    y = fastconv.convolve1d(x, kernel, "same")
    assert fastconv.fit_kernel(x, y, 4).standard_errors is not None
    fit = fastconv.fit_kernel(x, y, 4, weights=weights)
    assert fit.standard_errors is None
    np.testing.assert_allclose(fit.kernel, kernel, atol=1e-7)


def test_samples_that_do_not_determine_a_kernel_are_refused(way):
    steps = np.arange(40.0)
    wave = np.sin(steps)
    cases = [
        (np.ones(40), {"boundary": "wrap"}),
        (wave, {"mode": "valid"}),  # of rank 2
        (steps, {"mode": "valid"}),
        (np.tile([1.0, 2.0], 20), {"boundary": "wrap"}),
        (np.zeros(40), {}),
    ]
    for x, options in cases:
        y = convolved(x, np.ones(5), **{"mode": "same", **options})
        with pytest.raises(ValueError, match=r"x must determine the taps .* or a ridge, for example"):
            fastconv.fit_kernel(x, y, 5, **options)
        fit = fastconv.fit_kernel(x, y, 5, ridge=1e-6, **options)
        assert np.isfinite(fit.kernel).all()
        np.testing.assert_allclose(convolved(x, fit.kernel, **{"mode": "same", **options}), y, atol=1e-4)
    image = np.multiply.outer(np.ones(20), np.random.default_rng(10).standard_normal(20))
    with pytest.raises(ValueError, match="x must determine"):
        fastconv.fit_kernel(image, image, (3, 3), boundary="wrap")


def test_the_ridge_of_the_message_is_enough(way):
    for scale in (1e-8, 1, 1e8):
        x = scale * np.sin(np.arange(40.0))
        y = x[4:]
        with pytest.raises(ValueError, match="for example") as caught:
            fastconv.fit_kernel(x, y, 5, mode="valid")
        ridge = float(str(caught.value).rsplit(" ", 1)[1])
        fit = fastconv.fit_kernel(x, y, 5, mode="valid", ridge=ridge)
        np.testing.assert_allclose(fastconv.convolve1d(x, fit.kernel, "valid"), y, atol=1e-6 * scale)


def test_the_result_can_be_shown_and_pickled():
    fit = fastconv.fit_kernel([1, 2, 4, 8], [1, 2, 4, 8], 1)
    assert repr(fit) == "<fastconv.KernelFit: 1 taps, residual 0, condition 1>"
    again = pickle.loads(pickle.dumps(fit))
    assert again.kernel.tolist() == [1]
    with pytest.raises(AttributeError):
        fit.kernel = None


LINE = np.arange(9.0)


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "message"),
    [
        ((LINE, LINE, 0), {}, ValueError, "shape must be a positive integer"),
        ((LINE, LINE, (1, 1, 1)), {}, ValueError, "shape must be"),
        ((LINE, LINE, 1.5), {}, TypeError, "shape must be"),
        ((LINE, LINE, (2, 2)), {}, ValueError, "x must have at least 2 dimensions"),
        ((LINE, LINE, 2**40), {}, ValueError, "shape must be of at most"),
        ((LINE, LINE, 3), {"mode": "full"}, ValueError, r"y must have shape \(11,\)"),
        ((np.ones((3, 4)), np.ones((2, 2)), (4, 3)), {"mode": "valid"}, ValueError, "in mode 'valid'"),
        ((LINE, LINE, 10), {}, ValueError, "y must have at least as many samples"),
        ((LINE * 1j, LINE, 3), {}, TypeError, "x must hold real numbers"),
        ((LINE, LINE.astype(object), 3), {}, TypeError, "y must hold real numbers"),
        ((LINE, [], 3), {}, ValueError, "y must not be empty"),
        ((LINE + np.inf, LINE, 3), {}, ValueError, "x must be finite"),
        ((LINE, LINE * np.nan, 3), {}, ValueError, "y must be finite"),
        ((LINE, LINE, 3), {"ridge": -1}, ValueError, "ridge must be"),
        ((LINE, LINE, 3), {"ridge": math.nan}, ValueError, "ridge must be"),
        ((LINE, LINE, 3), {"weights": -LINE}, ValueError, "weights must not be negative"),
        ((LINE, LINE, 3), {"weights": 0 * LINE}, ValueError, "weights must not be negative, and not all zero"),
        ((LINE, LINE, 3), {"weights": LINE[1:]}, ValueError, "weights must have the shape of y"),
        ((LINE, LINE, 3), {"weights": LINE * np.nan}, ValueError, "weights must be finite"),
        ((LINE, LINE, 3), {"boundary": "fill", "fill_value": math.nan}, ValueError, "fill_value must be"),
        ((LINE, LINE, 3), {"fill_value": 1}, ValueError, "fill_value"),
        ((LINE, LINE, 3), {"mode": "sane"}, ValueError, "mode must be"),
        ((LINE, LINE, 3), {"symmetric": "yes"}, TypeError, "symmetric must be"),
    ],
)
def test_refusals(arguments, options, kind, message):
    with pytest.raises(kind, match=message):
        fastconv.fit_kernel(*arguments, **options)
