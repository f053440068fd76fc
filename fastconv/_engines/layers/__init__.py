"""Engines for convolutional layers and the gradients of their weights."""
