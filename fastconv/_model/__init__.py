"""The model of a convolution: the problem, sizes, boundaries, argument checks, separability. Computes no results."""
