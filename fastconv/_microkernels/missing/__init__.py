"""Sums of pairs, of a sample times its weight and that weight, where samples may be missing."""
