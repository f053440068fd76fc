"""Shared fixtures, and a summary of the libraries that skipped tests need."""

import re
from collections import Counter, defaultdict

import pytest

import fastconv

# Distributions that are not named as their modules.
_DISTRIBUTIONS = {"cv2": "opencv-python-headless", "skimage": "scikit-image"}


@pytest.fixture
def small_tiles(monkeypatch):
    """Allow only the three smallest tiles, so that small arrays have many: see `sizes.least_tile`."""
    from fastconv._engines import overlap_save_tiling

    every = overlap_save_tiling.transform_sizes
    monkeypatch.setattr(overlap_save_tiling, "transform_sizes", lambda compute: every(compute)[:3])
    fastconv.clear_caches()
    yield
    fastconv.clear_caches()


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
