"""Least squares for the taps of a kernel."""
