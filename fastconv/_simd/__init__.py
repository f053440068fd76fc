"""Compilation by Numba, and the vector types that kernels are written with."""
