"""The model of a convolution: sizes, boundaries, checked arguments, separability. Nothing is computed here."""
