"""Plans of layers, of their gradients, and of banks of kernels."""
