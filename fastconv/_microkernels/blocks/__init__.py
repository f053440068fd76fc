"""Sums of blocks: the block loop, its microkernels for kernels of one or two axes, and what stores their results."""
