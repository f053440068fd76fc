"""Fixtures of several test files, and the libraries for want of which tests were skipped."""

import re
from collections import Counter, defaultdict

import pytest

from fastconv._runtime.cpu_limits import VARIABLE
from fastconv._runtime.instrumentation import forced

# Where a distribution has another name than the module in it.
_DISTRIBUTIONS = {"cv2": "opencv-python-headless", "skimage": "scikit-image"}


@pytest.fixture
def small_tiles():
    """Only the three smallest tiles, so that small arrays have many: see `sizes.least_tile`."""
    with forced(tiles=3):
        yield


@pytest.fixture
def eight_processors(monkeypatch):
    """Eight processors, however many there are."""
    monkeypatch.delenv(VARIABLE, raising=False)
    with forced(cpus=8):
        yield


def pytest_terminal_summary(terminalreporter):
    """Say which optional libraries would run the tests that were skipped for want of them."""
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
    terminalreporter.section("skipped for want of optional libraries")
    for library in sorted({*tests, *files}):
        counted = [f"{tests[library]} test{'s' * (tests[library] > 1)}"] if tests[library] else []
        terminalreporter.write_line(f"pip install {library}: {', '.join(counted + files[library])}")
