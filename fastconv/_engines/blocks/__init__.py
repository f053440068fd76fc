"""Engines that sum products block by block: kernels of one or two axes."""
