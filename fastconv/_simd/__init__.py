"""Compilation with Numba, and the intrinsics that kernels are written with."""
