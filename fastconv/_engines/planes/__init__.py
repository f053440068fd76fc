"""Engines for stacks of planes and for volumes."""
