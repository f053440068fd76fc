"""Convolutional layers: correlation of images with banks of kernels, summed over channels.

Examples
--------
>>> import numpy as np
>>> from fastconv import layers
>>> images = np.ones((2, 3, 32, 32), np.float32)
>>> weights = np.ones((8, 3, 3, 3), np.float32)
>>> layers.conv2d(images, weights, padding="same").shape
(2, 8, 32, 32)
"""

from fastconv.layers._convolution import conv1d, conv2d, conv3d
from fastconv.layers._plan import LayerPlan, plan2d

__all__ = ["LayerPlan", "conv1d", "conv2d", "conv3d", "plan2d"]
