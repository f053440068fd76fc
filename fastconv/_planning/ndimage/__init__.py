"""Correlations in the order of `scipy.ndimage`."""
