"""Convolutional layers and the gradients of their weights."""
