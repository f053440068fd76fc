"""Routines for code that Numba compiles for users."""
