"""Pixels: two passes from bytes to bytes, rounding and saturation, alpha, magnitudes, and sums over windows."""
