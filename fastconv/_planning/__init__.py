"""From the arguments of a convolution to an engine: plans, the choice of a method, N-D by slices."""
