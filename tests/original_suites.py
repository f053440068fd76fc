"""Run the tests shipped with NumPy, SciPy and Astropy, or in repositories, with fastconv patched in.

``python -m tests.original_suites [numpy] [signal] [ndimage] [astropy] [skimage] [dask_image] [--brief]`` prints the
numbers of passed and failed tests with and without fastconv, and the number of calls that fastconv computed. Known
deviations are in `DEVIATIONS`; the exit status is 1 for any other failure. ``--brief`` runs a part. The tests of
scikit-image and dask-image are not installed with them: ``--skimage FOLDER`` and ``--dask-image FOLDER`` are the
folders ``tests/skimage`` and ``tests/test_dask_image`` of their repositories at the installed versions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Suite(NamedTuple):
    """Tests of one library."""

    library: str
    module: str  # or folders
    classes: tuple[str, ...]  # all if empty
    brief: tuple[str, ...]


SUITES = {
    "numpy": Suite(
        "numpy",
        "numpy._core.tests.test_numeric",
        ("TestConvolve", "TestCorrelate"),
        ("TestConvolve", "TestCorrelate"),
    ),
    "signal": Suite(
        "scipy.signal",
        "scipy.signal.tests.test_signaltools",
        ("TestConvolve", "TestFFTConvolve", "TestOAConvolve", "TestAllFreqConvolves", "TestCorrelate"),
        ("TestConvolve2d", "TestCorrelate2d", "TestFFTConvolve and test_real"),
    ),
    "ndimage": Suite("scipy.ndimage", "scipy.ndimage.tests.test_filters", (), ("correlate", "gaussian", "uniform")),
    "astropy": Suite("astropy.convolution", "astropy.convolution.tests", (), ("test_convolve and test_unity",)),
    "skimage": Suite(
        "scipy.ndimage",
        "filters feature registration metrics segmentation restoration morphology transform measure",
        (),
        ("gaussian", "sobel", "corner", "blob"),
    ),
    "dask_image": Suite("dask_image.ndfilters", "test_ndfilters", (), ("test__conv",)),
}

# Parts of the names of tests that may fail, and the reasons.
DEVIATIONS: dict[str, str] = {
    "TestFFTConvolve::test_fft_nan": "expects a warning that a NaN has filled the result; here it does not spread",
}


class Outcome(NamedTuple):
    """The outcome of a suite."""

    passed: int
    failed: list[str]
    calls: dict[str, list[int]]
    refused: dict[str, str]


def run(suite: Suite, patched: bool, brief: bool, folder: str) -> Outcome:
    """Run a suite, whose folders are below `folder`, in a separate process."""
    names = suite.brief if brief else suite.classes
    options = ["-k", " or ".join(f"({name})" for name in names)] if names else []
    if folder:
        # The folder of rank filters, which are not linear, cannot be collected without a download.
        options += [f"--confcutdir={folder}", f"--rootdir={folder}", f"--ignore={folder}/filters/rank"]
        targets = [f"{folder}/{name}" for name in suite.module.split()]
    else:
        targets = ["--pyargs", suite.module]
    arguments = json.dumps([targets + options, suite.library if patched else ""])
    process = subprocess.run(
        [sys.executable, "-c", "from tests.original_suites import report; report()", arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    last = process.stdout.rstrip().rpartition("\n")[2]
    if not last.startswith("{"):
        raise RuntimeError(f"{suite.module} did not run:\n{process.stdout[-2000:]}\n{process.stderr[-2000:]}")
    return Outcome(**json.loads(last))


def report() -> None:
    """Run pytest, in the separate process, and print the outcome as a line of JSON."""
    import pytest

    from fastconv.compat import patch

    options, library = json.loads(sys.argv[1])
    patched = patch(library) if library else None
    passed, failed = 0, []

    class Listener:
        def pytest_runtest_logreport(self, report):
            nonlocal passed
            if report.failed:
                failed.append(report.nodeid.rpartition("/")[2])
            elif report.when == "call" and report.passed:
                passed += 1

    pytest.main(["-c", "/dev/null", "-q", "-p", "no:cacheprovider", *options], plugins=[Listener()])
    calls = {name: list(count) for name, count in sorted(patched.calls.items())} if patched else {}
    refused = patched.refused if patched else {}
    print(f"\n{json.dumps(Outcome(passed, failed, calls, refused)._asdict())}")


def unexpected(outcome: Outcome, without: Outcome) -> list[str]:
    """Return the failures that occur only with fastconv and are not in `DEVIATIONS`."""
    known = [name for name in outcome.failed if any(part in name for part in DEVIATIONS)]
    return [name for name in outcome.failed if name not in known and name not in without.failed]


def main() -> int:
    """Run suites, and print their outcomes."""
    parser = argparse.ArgumentParser(prog="python -m tests.original_suites", description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], help="default: all whose tests are there")
    parser.add_argument("--brief", action="store_true", help="a part of each")
    parser.add_argument("--skimage", metavar="FOLDER", help="tests/skimage of scikit-image's repository")
    parser.add_argument("--dask-image", metavar="FOLDER", help="tests/test_dask_image of dask-image's repository")
    options = parser.parse_args()
    folders = {"skimage": options.skimage, "dask_image": options.dask_image}
    for name in options.suites:
        if name in folders and not folders[name]:
            parser.error(f"the suite {name} needs --{name.replace('_', '-')} FOLDER")
    status = 0
    for name in options.suites or [name for name in SUITES if folders.get(name, True)]:
        folder = str(Path(folders[name]).resolve()) if name in folders else ""
        suite = SUITES[name]
        outcome, without = (run(suite, patched, options.brief, folder) for patched in (True, False))
        print(f"{suite.module}: {outcome.passed} passed, {len(outcome.failed)} failed", end="")
        print(f" (without fastconv: {without.passed} passed, {len(without.failed)} failed)")
        for function, (ours, theirs) in outcome.calls.items():
            print(f"    {function}: {ours} calls by fastconv, {theirs} by the original")
        for function, error in sorted(outcome.refused.items()):
            print(f"    {function}: the original has a result where fastconv raised {error}")
        for test in outcome.failed:
            reason = next((reason for part, reason in DEVIATIONS.items() if part in test), "")
            print(
                f"    failed: {test}: {reason or ('also without fastconv' if test in without.failed else 'UNEXPECTED')}"
            )
        status |= bool(unexpected(outcome, without))
    return status


if __name__ == "__main__":
    sys.exit(main())
