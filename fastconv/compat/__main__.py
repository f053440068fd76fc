"""``python -m fastconv.compat script.py args...``: run an unchanged program with fastconv's functions."""

from __future__ import annotations

import argparse
import importlib.util
import os
import runpy
import sys
from collections.abc import Sequence

from fastconv._runtime.cpu_limits import check_variable
from fastconv.compat._patch import LIBRARIES, patch

# Their imports take half a second and more.
_IF_ASKED_FOR = ("astropy.convolution", "dask_image.ndfilters")


def main(argv: Sequence[str] | None = None) -> None:
    """Run a script, or with ``-m`` a module, with the functions of all installed libraries replaced."""
    parser = argparse.ArgumentParser(
        prog="python -m fastconv.compat",
        description="Run a Python program with fastconv in place of other libraries.",
    )
    names = list(LIBRARIES)
    parser.add_argument(
        "--only",
        metavar="LIBRARY",
        action="append",
        choices=names,
        help=f"a library; may be repeated, and names {' or '.join(_IF_ASKED_FOR)}, which are not replaced otherwise",
    )
    parser.add_argument("--report", action="store_true", help="print on stderr how many calls each side computed")
    parser.add_argument("-m", dest="is_module", action="store_true", help="run a module instead of a script")
    parser.add_argument("program", help="a script, or with -m a module")
    own = parser.add_argument("args", nargs=argparse.REMAINDER, help="the program's own arguments")
    own.required = False  # argparse names it as missing otherwise
    options = parser.parse_args(argv)

    try:
        check_variable()
    except ValueError as error:
        parser.error(str(error))
    if not options.is_module and not os.path.exists(options.program):
        parser.error(f"{options.program}: no such file")
    libraries = options.only or [name for name in LIBRARIES if name not in _IF_ASKED_FOR and _is_installed(name)]
    try:
        patched = patch(*libraries)
    except ImportError as error:
        parser.error(f"cannot import what is to be replaced: {error}")
    sys.argv = [options.program, *options.args]
    # In safe-path mode the interpreter has not added a folder to the path.
    has_folder = not (getattr(sys.flags, "safe_path", False) or sys.flags.isolated)
    try:
        if options.is_module:
            if has_folder:
                sys.path[0] = os.getcwd()
            runpy.run_module(options.program, run_name="__main__", alter_sys=True)
        else:
            if has_folder:
                sys.path[0] = os.path.dirname(os.path.abspath(options.program))
            runpy.run_path(options.program, run_name="__main__")
    finally:
        if options.report:
            for name, calls in sorted(patched.calls.items()):
                print(f"{name}: {calls.fastconv} by fastconv, {calls.original} by the original", file=sys.stderr)
            for name, reason in sorted(patched.refused.items()):
                print(f"{name}: computed by the original where fastconv raised {reason}", file=sys.stderr)


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent package is not installed
        return False


if __name__ == "__main__":
    main()
