"""Engines for samples that may be missing."""
