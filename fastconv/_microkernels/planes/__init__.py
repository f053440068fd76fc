"""Sums over stacks of planes: volumes, strides, dilations, and a kernel for each line."""
