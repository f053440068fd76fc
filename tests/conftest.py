"""Shared fixtures, and a summary of the libraries that skipped tests need."""

import gc
import re
from collections import Counter, defaultdict

import pytest

from fastconv._runtime.cpu_limits import VARIABLE
from fastconv._runtime.instrumentation import forced

# Distributions that are not named as their modules.
_DISTRIBUTIONS = {"cv2": "opencv-python-headless", "skimage": "scikit-image"}


@pytest.fixture
def fresh_caches():
    """Clear all caches before and after a test."""
    with forced():
        yield


@pytest.fixture
def frozen_heap():
    """Have the garbage collector leave out all that exists: after thousands of tests a collection takes a second."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def small_tiles():
    """Allow only the three smallest tiles, so that small arrays have many: see `sizes.least_tile`."""
    with forced(tiles=3):
        yield


@pytest.fixture
def eight_processors(monkeypatch):
    """Simulate eight processors."""
    monkeypatch.delenv(VARIABLE, raising=False)
    with forced(cpus=8):
        yield


def pytest_terminal_summary(terminalreporter):
    """List the missing libraries for which tests were skipped."""
    tests, files = Counter(), defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        missing = re.search(r"could not import '(\w+)", reason)
        if missing is None:
            continue
        library = _DISTRIBUTIONS.get(missing[1], missing[1])
        if isinstance(report, pytest.CollectReport):
            files[library].append(f"all of {report.nodeid}")
        else:
            tests[library] += 1
    if not tests and not files:
        return
    terminalreporter.section("tests skipped because optional libraries are missing")
    for library in sorted({*tests, *files}):
        counted = [f"{tests[library]} test{'s' * (tests[library] > 1)}"] if tests[library] else []
        terminalreporter.write_line(f"pip install {library}: {', '.join(counted + files[library])}")
