"""Description of the machine on which the figures were measured."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np

import fastconv
from fastconv._runtime import cpu_limits
from fastconv._simd import target


def describe() -> dict[str, str]:
    """Processor, threads and system."""
    processor = target.processor()
    return {
        "processor": f"{_model_name()}, compiled for {processor.name}, vectors of {processor.vector_bytes * 8} bits",
        "threads": str(cpu_limits.available_workers()),
        "system": platform.platform(),
    }


def load() -> str:
    """Return the load average: other processes take cores away."""
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""


def versions() -> dict[str, str]:
    """Return the versions of Python, fastconv, and the libraries that this process has imported."""
    found = {"Python": platform.python_version()}
    for module in (fastconv, numba, np):
        found[module.__name__] = module.__version__
    for name in ("scipy", "cv2", "torch", "PIL", "pyvips", "astropy", "skimage"):
        module = sys.modules.get(name)
        if module is not None:
            found[name] = str(module.__version__)
    if "pyvips" in sys.modules:
        found["libvips"] = _libvips(sys.modules["pyvips"])
    return found


def _libvips(pyvips: Any) -> str:
    return ".".join(str(pyvips.version(part)) for part in range(3))


def _model_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
