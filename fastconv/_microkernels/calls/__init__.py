"""Convolutions called by code that Numba compiles for users."""
