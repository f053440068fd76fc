"""Convolutional layers against PyTorch's, in both layouts: forward, and the gradients to input and weights.

    python -m bench.layers [WORD ...] [--threads N] [--brief] [--forward]

Both sides take turns (`alternation`), allocate their results, and have the same number of threads. fastconv's forward
layers are plans, whose weights are packed beforehand; its gradients pack them in each call. Results are compared before
anything is timed. Times are minima: those of a machine that does nothing else meanwhile. The share of the peak counts
all products, also those with padding, which both sides may leave out. Words select cases by their names.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import math
import statistics
from typing import Any, Callable, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench import roofline
from bench.alternation import QUICK, Budget, alternate
from bench.data import SEED
from bench.rivals import threads
from fastconv import layers

LAYOUTS = ("channels_last", "channels_first")
OPERATIONS = ("forward", "to input", "to weights")
_peak = functools.cache(roofline.Peak)
_BUDGET = Budget(least=5, seconds=0.2, turn=0.02)


class Layer(NamedTuple):
    """A layer: images, input and output channels, rows and columns, and options."""

    name: str
    number: int
    channels: int
    outputs: int
    size: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1

    @property
    def options(self) -> dict[str, int]:
        return {"stride": self.stride, "padding": self.padding, "groups": self.groups}

    @property
    def operations(self) -> int:
        """Multiplications and additions of the definition, with those of padding."""
        rows = (self.size + 2 * self.padding - self.kernel) // self.stride + 1
        return 2 * self.number * self.outputs * rows**2 * self.channels // self.groups * self.kernel**2


CASES = [
    Layer("ResNet-50 7x7, stride 2", 4, 3, 64, 224, 7, 2, 3),
    Layer("ResNet-50 3x3, 64 at 56", 4, 64, 64, 56, 3, 1, 1),
    Layer("ResNet-50 1x1, 64 to 256 at 56", 4, 64, 256, 56, 1),
    Layer("ResNet-50 1x1, 256 to 64 at 56", 4, 256, 64, 56, 1),
    Layer("ResNet-50 3x3, 128 at 56, stride 2", 4, 128, 128, 56, 3, 2, 1),
    Layer("ResNet-50 3x3, 128 at 28", 4, 128, 128, 28, 3, 1, 1),
    Layer("ResNet-50 3x3, 256 at 14", 4, 256, 256, 14, 3, 1, 1),
    Layer("ResNet-50 3x3, 512 at 7", 4, 512, 512, 7, 3, 1, 1),
    Layer("ResNet-50 3x3, 512 at 7, one image", 1, 512, 512, 7, 3, 1, 1),
    Layer("VGG 3x3, 3 to 64 at 224", 1, 3, 64, 224, 3, 1, 1),
    Layer("VGG 3x3, 64 at 224", 1, 64, 64, 224, 3, 1, 1),
    Layer("AlexNet 11x11, stride 4", 4, 3, 64, 224, 11, 4, 2),
    Layer("LeNet 5x5, 1 to 6 at 32", 64, 1, 6, 32, 5),
    Layer("LeNet 5x5, 6 to 16 at 14", 64, 6, 16, 14, 5),
    Layer("3x3, 1024 at 14, one image", 1, 1024, 1024, 14, 3, 1, 1),
    Layer("bank of 32 9x9 at 512", 1, 1, 32, 512, 9, 1, 4),
    Layer("RGB to RGB 3x3 at 224", 1, 3, 3, 224, 3, 1, 1),
    Layer("ResNeXt 3x3, groups of 4 at 56", 4, 128, 128, 56, 3, 1, 1, 32),
    Layer("ResNeXt 3x3, groups of 8 at 28", 4, 256, 256, 28, 3, 1, 1, 32),
    Layer("depthwise 3x3, 144 at 56", 4, 144, 144, 56, 3, 1, 1, 144),
    Layer("depthwise 3x3, 96 at 112, stride 2", 4, 96, 96, 112, 3, 2, 1, 96),
    Layer("depthwise 5x5, 240 at 28", 4, 240, 240, 28, 5, 1, 2, 240),
    Layer("depthwise 7x7, 96 at 56", 4, 96, 96, 56, 7, 1, 3, 96),
    Layer("15x15, 64 at 56", 4, 64, 64, 56, 15, 1, 7),
    Layer("depthwise 31x31, 128 at 56", 4, 128, 128, 56, 31, 1, 15, 128),
]


class Calls(NamedTuple):
    """Both sides of an operation, and how to compare their results."""

    ours: Callable[[], NDArray]
    torch: Callable[[], Any]
    is_image: bool


def prepare(case: Layer, layout: str, operation: str, workers: int) -> Calls:
    """Return the calls of one operation, in one layout."""
    import torch

    torch.set_num_threads(workers)
    random = np.random.default_rng(SEED)
    x = random.uniform(-1, 1, (case.number, case.channels, case.size, case.size)).astype(np.float32)
    kernel = case.outputs, case.channels // case.groups, case.kernel, case.kernel
    weights, bias = (random.uniform(-1, 1, shape).astype(np.float32) for shape in (kernel, case.outputs))
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    images, kernels = (torch.from_numpy(array).contiguous(memory_format=memory) for array in (x, weights))
    numbers = case.stride, case.padding
    with torch.inference_mode():
        out = torch.nn.functional.conv2d(images, kernels, None, *numbers, 1, case.groups)
    slopes = torch.from_numpy(random.uniform(-1, 1, out.shape).astype(np.float32)).contiguous(memory_format=memory)
    given, gradient = (_in_layout(tensor.numpy(), layout) for tensor in (images, slopes))
    options: dict[str, Any] = {**case.options, "layout": layout, "workers": workers}

    if operation == "forward":
        plan = layers.plan2d(weights, bias, **options)
        added = torch.from_numpy(bias)

        def forward() -> Any:
            with torch.inference_mode():
                return torch.nn.functional.conv2d(images, kernels, added, *numbers, 1, case.groups)

        return Calls(lambda: plan(given), forward, True)
    pair = [[case.stride] * 2, [case.padding] * 2, [1, 1], False, [0, 0], case.groups]
    wanted = [operation == "to input", operation == "to weights", False]
    index = wanted.index(True)

    def backward() -> Any:
        return torch.ops.aten.convolution_backward(slopes, images, kernels, None, *pair, wanted)[index]

    if operation == "to input":
        return Calls(lambda: layers.conv2d_input_gradient(gradient, weights, given.shape, **options), backward, True)
    return Calls(lambda: layers.conv2d_weight_gradient(given, gradient, case.kernel, **options), backward, False)


def _in_layout(images: NDArray, layout: str) -> NDArray:
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if layout == "channels_last" else images


def check(calls: Calls, layout: str) -> None:
    """Raise an AssertionError if the results differ by more than rounding."""
    ours, theirs = calls.ours(), np.asarray(calls.torch())
    if calls.is_image and layout == "channels_last":
        ours = ours.transpose(0, 3, 1, 2)
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert error < 1e-4, f"results differ by {error:.1e} of the largest"


def measure(case: Layer, layout: str, operation: str, workers: int, budget: Budget) -> dict[str, float]:
    """Return the least seconds of both sides, their ratio, and the share of the peak that fastconv reaches."""
    calls = prepare(case, layout, operation, workers)
    check(calls, layout)
    peaks: list[float] = []

    def meter() -> float:
        peaks.append(_peak(np.float32, workers)())
        return peaks[-1]

    samples, _ = alternate({"ours": calls.ours, "torch": calls.torch}, {"peak": meter}, budget)
    ours, theirs = (min(samples[name]) for name in ("ours", "torch"))
    return {"ours": ours, "torch": theirs, "ratio": theirs / ours, "share": case.operations / ours / max(peaks)}


def table(cases: list[Layer], operations: tuple[str, ...], workers: int, budget: Budget) -> str:
    """Measure cases; return a table in Markdown, with geometric means."""
    heads = [f"{layout.replace('_', ' ')}, GFLOP/s | of the peak | to PyTorch's" for layout in LAYOUTS]
    lines = [f"| layer | | {' | '.join(heads)} |", "| --- | --- |" + " ---: |" * 6]
    ratios: dict[tuple[str, str], list[float]] = {}
    for case in cases:
        for operation in operations:
            row = [case.name, operation]
            for layout in LAYOUTS:
                found = measure(case, layout, operation, workers, budget)
                ratios.setdefault((operation, layout), []).append(found["ratio"])
                slower = ", slower" if found["ratio"] < 1 else ""
                ratio = f"{found['ratio']:.2f} x{slower}"
                row += [
                    f"{case.operations / found['ours'] / 1e9:.0f}",
                    f"{found['share']:.0%}",
                    f"**{ratio}**" if slower else ratio,
                ]
            lines.append(f"| {' | '.join(row)} |")
    for operation in operations:
        means = [math.exp(statistics.fmean(map(math.log, ratios[operation, layout]))) for layout in LAYOUTS]
        lines.append(f"| geometric mean | {operation} | | | {means[0]:.2f} x | | | {means[1]:.2f} x |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("words", nargs="*", help="measure the cases whose names have one of these words")
    parser.add_argument("--threads", type=int, default=threads(), help="of both sides; by default all that there are")
    parser.add_argument("--brief", action="store_true", help="little time for each case: rough figures")
    parser.add_argument("--forward", action="store_true", help="no gradients")
    options = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        parser.error("PyTorch is not installed: pip install 'torch>=2.2'")
    cases = [case for case in CASES if not options.words or any(word in case.name for word in options.words)]
    operations = OPERATIONS[:1] if options.forward else OPERATIONS
    print(table(cases, operations, options.threads, QUICK if options.brief else _BUDGET))


if __name__ == "__main__":
    main()
