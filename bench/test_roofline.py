"""The machine's own limits under pytest-benchmark, so that saved runs tell which machine they are of."""

from __future__ import annotations

import numpy as np
import pytest

from bench.roofline import Bandwidth, Peak
from fastconv import _crew


@pytest.mark.parametrize("threads", sorted({1, _crew.available_workers()}))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fma_peak(benchmark, dtype, threads):
    benchmark.group = "machine: FMA peak"
    benchmark.extra_info["GFLOP/s"] = benchmark(Peak(dtype, threads))


@pytest.mark.parametrize("threads", sorted({1, _crew.available_workers()}))
def test_copy(benchmark, threads):
    benchmark.group = "machine: copy"
    benchmark.extra_info["GB/s"] = benchmark(Bandwidth(threads))
