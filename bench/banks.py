"""Banks of kernels over one image: `convolve_bank` against loops of convolutions and PyTorch's layers.

    python -m bench.banks [--threads N] [--brief]

All sides take turns (`alternation`), allocate their results, compute the same and are compared before anything is
timed: `convolve_bank`, a loop of `convolve2d`, a loop of `cv2.filter2D`, and `conv2d` of PyTorch, if it is installed,
in its layout with channels first. Kernels are flipped for those that correlate, and padding is zero, outside of the
timer. Times are medians.
"""

from __future__ import annotations

import importlib.util
from typing import Any, NamedTuple

import numpy as np

import fastconv
from bench.comparisons import Comparison, Sides
from bench.data import SEED


class Bank(NamedTuple):
    """An image, and kernels of float32."""

    height: int
    width: int
    kernels: int
    size: int
    dtype: str = "float32"

    @property
    def name(self) -> str:
        return f"{self.kernels} of {self.size}x{self.size}, {self.dtype} {self.height}x{self.width}"


CASES = [
    Bank(512, 512, 32, 9),
    Bank(1080, 1920, 32, 9),
    Bank(512, 512, 32, 9, "uint8"),
    Bank(1080, 1920, 32, 9, "uint8"),
    Bank(512, 512, 16, 5),
    Bank(512, 512, 32, 3),
    Bank(512, 512, 8, 31),
    Bank(64, 64, 32, 9),
]


def prepare(case: Bank, workers: int) -> Sides:
    """Return the call of each side."""
    import cv2

    random = np.random.default_rng(SEED)
    image = random.integers(0, 256, (case.height, case.width)).astype(case.dtype)
    kernels = random.uniform(-1, 1, (case.kernels, case.size, case.size)).astype(np.float32)
    flipped = np.ascontiguousarray(kernels[:, ::-1, ::-1])
    cv2.setNumThreads(workers)

    def each() -> Any:
        out = np.empty((case.kernels, *image.shape), np.float32)
        for kernel, result in zip(kernels, out):
            fastconv.convolve2d(image, kernel, "same", out=result, workers=workers)
        return out

    def opencv() -> Any:
        out = np.empty((case.kernels, *image.shape), np.float32)
        for kernel, result in zip(flipped, out):
            cv2.filter2D(image, cv2.CV_32F, kernel, dst=result, borderType=cv2.BORDER_CONSTANT)
        return out

    sides: Sides = {
        "convolve_bank": lambda: fastconv.convolve_bank(image, kernels, workers=workers),
        "convolve2d": each,
        "cv2.filter2D": opencv,
    }
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(workers)
        weights = torch.from_numpy(flipped[:, np.newaxis])

        def layer() -> Any:
            with torch.inference_mode():
                given = torch.from_numpy(image)[None, None].to(torch.float32)
                return torch.nn.functional.conv2d(given, weights, padding="same")[0]

        sides["torch conv2d"] = layer
    return sides


COMPARISON = Comparison("bank", CASES, prepare)

if __name__ == "__main__":
    COMPARISON.command(__doc__ or "")
