"""Banks of kernels over one image: `convolve_bank` against loops of convolutions and PyTorch's layers.

    python -m bench.banks [--threads N] [--brief]

All sides take turns (`alternation`), allocate their results, compute the same and are compared before anything is
timed: `convolve_bank`, a loop of `convolve2d`, a loop of `cv2.filter2D`, and `conv2d` of PyTorch, if it is installed,
in its layout with channels first. Kernels are flipped for those that correlate, and padding is zero, outside of the
timer. Times are medians.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
from typing import Any, Callable, NamedTuple

import numpy as np

import fastconv
from bench.alternation import QUICK, THOROUGH, Budget, alternate
from bench.data import SEED
from bench.rivals import threads


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


def prepare(case: Bank, workers: int) -> dict[str, Callable[[], Any]]:
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

    sides = {
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


def check(sides: dict[str, Callable[[], Any]]) -> None:
    """Raise an AssertionError if the results differ by more than rounding."""
    ours = sides["convolve_bank"]()
    for name, side in sides.items():
        error = np.abs(np.asarray(side()) - ours).max() / np.abs(ours).max()
        assert error < 1e-5, f"{name} differs by {error:.1e} of the largest"


def table(cases: list[Bank], workers: int, budget: Budget) -> str:
    """Measure cases; return a table in Markdown: milliseconds, and how many times as long the others take."""
    lines: list[str] = []
    for case in cases:
        sides = prepare(case, workers)
        check(sides)
        samples, _ = alternate(sides, {}, budget)
        medians = {name: statistics.median(samples[name]) for name in sides}
        ours = medians.pop("convolve_bank")
        if not lines:
            lines = [f"| bank | convolve_bank | {' | '.join(medians)} |", "| --- |" + " ---: |" * (1 + len(medians))]
        ratios = [f"{theirs / ours:.2f} x" for theirs in medians.values()]
        lines.append(f"| {case.name} | {1e3 * ours:.3g} ms | {' | '.join(ratios)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--threads", type=int, default=threads(), help="of all sides; by default all that there are")
    parser.add_argument("--brief", action="store_true", help="little time for each case: rough figures")
    options = parser.parse_args()
    print(table(CASES, options.threads, QUICK if options.brief else THOROUGH))


if __name__ == "__main__":
    main()
