"""Compiled kernels and the loops that call them, with the tables that they read."""
