"""Convolutional layers: correlation of images with banks of kernels, summed over channels.

`conv1d`, `conv2d` and `conv3d` apply a layer, `plan2d` packs its weights once for many batches, and the functions of
gradients are what it takes to learn the weights. `conv_transpose2d` is the adjoint of a layer, for upsampling.

Examples
--------
>>> import numpy as np
>>> from fastconv import layers
>>> images = np.ones((2, 3, 32, 32), np.float32)
>>> weights = np.ones((8, 3, 3, 3), np.float32)
>>> layers.conv2d(images, weights, padding="same").shape
(2, 8, 32, 32)
"""

from fastconv._runtime.lazy_modules import directory
from fastconv.layers._convolution import conv1d, conv2d, conv3d
from fastconv.layers._gradients import (
    bias_gradient,
    conv1d_input_gradient,
    conv1d_weight_gradient,
    conv2d_input_gradient,
    conv2d_weight_gradient,
    conv3d_input_gradient,
    conv3d_weight_gradient,
)
from fastconv.layers._plan import LayerPlan, plan2d
from fastconv.layers._transposed import conv_transpose1d, conv_transpose2d, conv_transpose3d

__all__ = [
    "LayerPlan",
    "bias_gradient",
    "conv1d",
    "conv1d_input_gradient",
    "conv1d_weight_gradient",
    "conv2d",
    "conv2d_input_gradient",
    "conv2d_weight_gradient",
    "conv3d",
    "conv3d_input_gradient",
    "conv3d_weight_gradient",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "plan2d",
]
__dir__ = directory(__name__)
