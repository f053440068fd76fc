"""Engines for pixels: from bytes to bytes, magnitudes, and sums over windows."""
