"""From the arguments of a convolution to an engine: plans, views of any number of axes, the choice of a method."""
