"""Layers against PyTorch's, where it is installed."""

import numpy as np
import pytest

from fastconv import layers

torch = pytest.importorskip("torch")
PADDING_MODES = {"zero": "zeros", "mirror": "reflect", "nearest": "replicate", "wrap": "circular"}


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("mode", PADDING_MODES)
def test_conv2d(layout, mode):
    rng = np.random.default_rng(0)
    for stride, padding, dilation, groups in ((1, 1, 1, 1), (2, (1, 2), 1, 2), (1, 2, 2, 1), ((2, 1), "same", 1, 4)):
        if padding == "same" and stride != 1:
            stride = 1
        module = torch.nn.Conv2d(8, 20, 3, stride, padding, dilation, groups, padding_mode=PADDING_MODES[mode])
        x = rng.normal(size=(2, 8, 13, 30)).astype(np.float32)
        with torch.inference_mode():
            expect = module(torch.from_numpy(x)).numpy()
        weights, bias = module.weight.detach().numpy(), module.bias.detach().numpy()
        given = x if layout == "channels_first" else x.transpose(0, 2, 3, 1)
        out = layers.conv2d(
            given, weights, bias, stride=stride, padding=padding, dilation=dilation, groups=groups, padding_mode=mode,
            layout=layout,
        )  # fmt: skip
        out = out if layout == "channels_first" else out.transpose(0, 3, 1, 2)
        np.testing.assert_allclose(out, expect, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_gradients(layout):
    rng = np.random.default_rng(1)
    for stride, padding, dilation, groups in ((1, 1, 1, 1), (2, (1, 2), 1, 2), (1, 2, 2, 1), ((2, 3), 0, 1, 4)):
        x = torch.tensor(rng.normal(size=(2, 8, 13, 20)), requires_grad=True)
        weights = torch.tensor(rng.normal(size=(12, 8 // groups, 3, 3)), requires_grad=True)
        bias = torch.zeros(12, dtype=torch.float64, requires_grad=True)
        out = torch.nn.functional.conv2d(x, weights, bias, stride, padding, dilation, groups)
        gradient = rng.normal(size=out.shape)
        out.backward(torch.from_numpy(gradient))
        order = (0, 1, 2, 3) if layout == "channels_first" else (0, 2, 3, 1)
        given, slopes = x.detach().numpy().transpose(order), gradient.transpose(order)
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "layout": layout}
        found = layers.conv2d_input_gradient(slopes, weights.detach().numpy(), given.shape, **options)
        np.testing.assert_allclose(found, x.grad.numpy().transpose(order), atol=1e-10)
        found = layers.conv2d_weight_gradient(given, slopes, (3, 3), **options)
        np.testing.assert_allclose(found, weights.grad.numpy(), atol=1e-10)
        np.testing.assert_allclose(layers.bias_gradient(slopes, layout=layout), bias.grad.numpy(), atol=1e-10)


def test_transposed_layers():
    rng = np.random.default_rng(2)
    for stride, padding, extra, dilation, groups in ((1, 1, 0, 1, 1), (2, 1, 1, 1, 2), (3, (0, 2), (2, 1), 2, 1)):
        x, weights = rng.normal(size=(2, 8, 5, 6)), rng.normal(size=(8, 3, 3, 4))
        bias = rng.normal(size=3 * groups)
        tensors = map(torch.from_numpy, (x, weights, bias))
        expect = torch.nn.functional.conv_transpose2d(*tensors, stride, padding, extra, groups, dilation).numpy()
        found = layers.conv_transpose2d(
            x, weights, bias, stride=stride, padding=padding, output_padding=extra, dilation=dilation, groups=groups
        )
        np.testing.assert_allclose(found, expect, atol=1e-10)
