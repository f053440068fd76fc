"""OpenCV's rule for windows that are flat up to rounding errors, which scores of templates are not divided by."""

# An energy, the sum of squares that a score is divided by, is a rounding error if it is at most this share of the sum
# of squares of the samples, and at most this large.
FLAT_SHARE, FLAT_ENERGY = 10 * 2.0**-23, 0.5
# A quotient from 1 up to this is 1.
MOST_EXCESS = 1.125
