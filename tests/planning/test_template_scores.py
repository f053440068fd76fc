"""Scores of templates: the compiled rules against NumPy's, and strips against the whole."""

import itertools

import numpy as np
import pytest
from numba import config

from fastconv import image
from fastconv._planning.pictures import template_scores
from fastconv._runtime.instrumentation import forced
from fastconv.compat import cv2

RULES = [
    "products",
    "differences",
    "normed products",
    "normed differences",
    "coefficients",
    "coefficients by deviation",
    "correlations",
    "correlations by deviation",
]


@pytest.mark.parametrize("rule", RULES)
def test_compiled_rules_equal_those_in_numpy(rule, monkeypatch):
    rng = np.random.default_rng(1)
    products, means, squares = rng.standard_normal((3, 40, 61))
    squares = squares**2 + means**2 * (rng.random(squares.shape) < 0.9)
    products *= 8 * rng.choice([1e-3, 1, 10], products.shape)
    special = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e300, 1e-300]
    for place, (a, b, c) in zip(np.ndindex(products.shape), itertools.product(special, repeat=3)):
        products[place], means[place], squares[place] = a, b, c
    means[20], squares[20] = 0, 1e-9  # flat
    numbers = template_scores.Numbers(0.7, 9.0, 2.5, 1e-6)
    for a, b in (("f8", "f8"), ("f4", "f4")):
        with np.errstate(all="ignore"):
            given = products.astype(a)
        found, wanted = np.empty((2, *products.shape), b)
        template_scores.fill(rule, given, means, squares, found, numbers, 1)
        with monkeypatch.context() as patch:
            patch.setattr(config, "DISABLE_JIT", 1)
            template_scores.fill(rule, given, means, squares, wanted, numbers, 1)
        # Fused sums differ from rounded ones; where these nearly cancel, so do the roots of energies.
        with np.errstate(all="ignore"):
            steady = rule not in ("coefficients", "correlations") or np.abs(squares - means**2) > 1e-9 * squares
        eps = 1e-5 if b == "f4" else 1e-12
        close = np.isclose(found, wanted, rtol=eps, atol=eps, equal_nan=True)
        assert (close | ~np.broadcast_to(steady, close.shape)).all()


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("channels", [1, 3])
def test_strips_give_the_scores_of_the_whole(dtype, channels, monkeypatch):
    rng = np.random.default_rng(2)
    shape = (70, 50) if channels == 1 else (70, 50, channels)
    x = rng.integers(0, 256, shape).astype(dtype)
    x[30:50] = 100  # flat: energies that are compared with the squares
    found = []
    for elements in (1, 1 << 19):
        monkeypatch.setattr(template_scores, "STRIP_ELEMENTS", elements)
        monkeypatch.setattr(template_scores, "WINDOWS", 1)
        with forced():
            scores = [cv2.matchTemplate(x, x[9:14, 8:20].copy(), method) for method in range(6)]
            found.append([*scores, image.normalized_cross_correlation(x, x[9:14, 8:20]).scores])
    for some, whole in zip(*found):
        np.testing.assert_allclose(some, whole, rtol=1e-6, atol=1e-6 * np.abs(whole).max())
    assert found[0][5][9, 8] == pytest.approx(1, abs=1e-5)
    assert not found[0][5][32:44].any()
