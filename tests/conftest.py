"""What several test files share, and which libraries the skipped tests want."""

import re
from collections import Counter, defaultdict

import pytest

import fastconv

# Where a distribution has another name than the module in it.
_DISTRIBUTIONS = {"cv2": "opencv-python-headless", "skimage": "scikit-image"}


@pytest.fixture
def small_tiles(monkeypatch):
    """The three smallest tiles alone, so that small arrays have many: see `sizes.least_tile`."""
    from fastconv._engines import overlap_save_tiling

    every = overlap_save_tiling.transform_sizes
    monkeypatch.setattr(overlap_save_tiling, "transform_sizes", lambda compute: every(compute)[:3])
    fastconv.clear_caches()
    yield
    fastconv.clear_caches()


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
