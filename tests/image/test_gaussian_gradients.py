"""Magnitudes of Gaussian gradients, computed in one pass over a picture."""

import numpy as np
import pytest

from fastconv import image
from fastconv._runtime.instrumentation import forced, observed
from tests.image.test_windows import frame_of
from tests.oracle import BOUNDARIES


def root_of_squares(x, sigma, **options):
    """The magnitude of two derivatives, computed one by one."""
    down, across = (
        image.gaussian_blur(x, sigma, order=order, dtype="float32", **options).astype("f8")
        for order in ((1, 0), (0, 1))
    )
    with np.errstate(all="ignore"):
        found = np.sqrt(down * down + across * across)
        return np.where(np.isfinite(found), found, np.hypot(down, across)).astype("f4")


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_magnitudes_are_those_of_the_derivatives(boundary):
    options = {"boundary": boundary, "fill_value": 77 if boundary == "fill" else 0}
    for number, shape in enumerate([(150, 190), (203, 130), (90, 80, 3)]):
        x, sigma = frame_of(shape, ("u1", "f4", "u2")[number]), (2, 1.5) if number else 2.5
        for mode in ("same", "full", "valid"):
            for block, workers in ((None, 1), ((33, 50), 2)):
                with forced(block=block), observed() as events:
                    found = image.gaussian_gradient_magnitude(
                        x, sigma, dtype="float32", mode=mode, workers=workers, **options
                    )
                assert "magnitudes" in {event.name for event in events}
                np.testing.assert_array_equal(found, root_of_squares(x, sigma, mode=mode, **options))


@pytest.mark.parametrize("odd", [np.nan, np.inf, 3e38])
def test_magnitudes_that_are_not_finite_are_those_of_the_derivatives(odd):
    x = frame_of((150, 190), "f4")
    x[70, 100:103] = odd, -odd, odd
    for workers in (1, 2):
        found = image.gaussian_gradient_magnitude(x, 1.5, workers=workers)
        np.testing.assert_array_equal(found, root_of_squares(x, 1.5))


def test_zeros_around_a_picture_are_left_out():
    x = np.zeros((600, 700), np.float32)
    x[250:300, 300:360] = frame_of((50, 60), "f4")
    with observed() as events:
        found = image.gaussian_gradient_magnitude(x, 2)
    assert "trim_input" in {event.name for event in events}
    np.testing.assert_array_equal(found, root_of_squares(x, 2))
