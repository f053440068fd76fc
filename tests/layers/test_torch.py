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
