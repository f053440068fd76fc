"""
Are the gradients right?
========================

A network learns only if its gradients are right. Differences of the loss for a small step along a random direction
tell: their error shrinks with the square of the step, until rounding takes over.
"""

# sphinx_gallery_thumbnail_axes = 1
import matplotlib.pyplot as plt
import numpy as np

from fastconv import layers

rng = np.random.default_rng(8)
LAYERS = {
    1: (layers.conv1d, layers.conv1d_input_gradient, layers.conv1d_weight_gradient),
    2: (layers.conv2d, layers.conv2d_input_gradient, layers.conv2d_weight_gradient),
    3: (layers.conv3d, layers.conv3d_input_gradient, layers.conv3d_weight_gradient),
}
steps = 10.0 ** -np.arange(0, 8.5, 0.5)

fig, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
errors = {}
for ax, (dims, (layer, to_input, to_weights)) in zip(axes, LAYERS.items()):
    values = [rng.normal(size=shape) for shape in [(2, 3, *[8] * dims), (4, 3, *[3] * dims), (4,)]]

    def loss(x, weights, bias, layer=layer):
        return np.sum(np.sin(layer(x, weights, bias, stride=2, padding=1)))

    x, weights, bias = values
    back = np.cos(layer(x, weights, bias, stride=2, padding=1))  # the gradient to the layer's output
    gradients = {
        "input": to_input(back, weights, x.shape, stride=2, padding=1),
        "weights": to_weights(x, back, [3] * dims, stride=2, padding=1),
        "bias": layers.bias_gradient(back, axes=dims),
    }
    for place, (name, gradient) in enumerate(gradients.items()):
        direction = rng.normal(size=gradient.shape) / np.sqrt(gradient.size)
        slope = np.sum(gradient * direction)
        errors[dims, name] = []
        for step in steps:
            ahead, behind = (
                loss(*values[:place], values[place] + change * direction, *values[place + 1 :])
                for change in (step, -step)
            )
            errors[dims, name].append(abs((ahead - behind) / (2 * step) - slope) / abs(slope))
        ax.loglog(steps, errors[dims, name], ".-", label=name)
    ax.set(title=f"conv{dims}d", xlabel="step")
axes[0].set_ylabel("relative difference")
axes[0].legend()
plt.show()
