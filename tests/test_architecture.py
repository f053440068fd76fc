"""The floors: a file imports only from floors below its own."""

import ast
import modulefinder
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv

PACKAGE = Path(fastconv.__file__).parent

FLOORS = [
    {
        "reference",
        "_borrowed",
        "_caches",
        "_geometry",
        "_crew",
        "_interrupts",
        "_lazy",
        "_mapped",
        "_store",
        "_version",
    },
    {"_forks", "_jit", "_shapes", "_slabs"},
    {"_vector", "_lanes", "_arguments", "_grid", "_factors"},
    {"_tile", "_transfer", "_pixels", "_fft", "_tapwise", "_progress", "_cost", "_notation", "_pillow"},
    {"_driver", "_finish", "_passes", "_picture_passes", "_premultiplied", "_spectral_driver", "_layout", "_sharing"},
    {"_leaves"},
    {"_blocks"},
    {"_direct", "_picture_separable"},
    {"_separable", "_spectral"},
    {"_engines"},
    {"_choice"},
    {"_plan", "_pictures"},
    {"convolution"},
    {"planning", "warming", "configuration"},
    {"__init__"},
    {"kernels", "_modes", "_files", "_stopwatch", "_sample"},
    {"_filter"},
    {"image"},
    {"_console", "_demo", "_jobs"},
    {"_batch", "_commands"},
    {"cli"},
    {"__main__"},
    {"compat._unsupported"},
    {"compat._nd", "compat._nd_filters", "compat._ndimage_arguments", "compat._cv2_arguments"},
    {"compat._truncation", "compat._cv2_depths", "compat._cv2_kernels"},
    {"compat._ndimage_passes", "compat._cv2_filter"},
    {"compat.numpy", "compat.signal", "compat.ndimage", "compat.cv2"},
    {"compat._patch"},
    {"compat.__init__"},
    {"compat.__main__"},
]
FLOOR = {name: number for number, floor in enumerate(FLOORS) for name in floor}
FILES = sorted(".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py"))


def file_of(name):
    return PACKAGE.joinpath(*name.split(".")).with_suffix(".py")


def executed(node):
    """All nodes below one, but what is for type checkers only."""
    yield node
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        children = node.orelse
    else:
        children = ast.iter_child_nodes(node)
    for child in children:
        yield from executed(child)


def imports(name):
    """Modules of the package that a file imports, inside functions too."""
    for node in executed(ast.parse(file_of(name).read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module.split(".")[0] == "fastconv":
                for alias in node.names:
                    yield module_of([*node.module.split(".")[1:], alias.name])
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "fastconv":
                    yield module_of(alias.name.split(".")[1:])


def module_of(parts):
    """The module that a dotted name is, or lies in."""
    for end in range(len(parts), -1, -1):
        for name in (".".join(parts[:end]), ".".join([*parts[:end], "__init__"])):
            if name in FLOOR:
                return name
    raise AssertionError(f"{parts} is no module")


@pytest.mark.parametrize("name", FILES)
def test_every_file_imports_only_from_below(name):
    assert name in FLOOR, f"{name}.py has no floor"
    for imported in imports(name):
        assert FLOOR[imported] < FLOOR[name], f"{name}.py imports {imported}.py, which is not below it"


def test_every_floor_is_there():
    assert sorted(FLOOR) == FILES


def test_the_definition_imports_nothing():
    source = ast.parse((PACKAGE / "reference.py").read_text())
    assert not [node for node in ast.walk(source) if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_the_kernel_sources_are_what_the_driver_imports():
    # The cache of compiled kernels is keyed on their text.
    from fastconv import _jit

    needed, found = ["_driver", "_tile", "_transfer", "_finish", "_premultiplied", "_fft"], set()
    needed += ["_passes", "_picture_passes", "_spectral_driver"]
    while needed:
        name = needed.pop()
        if name not in found:
            found.add(name)
            needed += imports(name)
    found -= {"_interrupts", "_store"}  # which have no say in what a kernel becomes
    assert sorted(f"{name}.py" for name in found) == sorted(_jit.KERNEL_SOURCES)


def run(code, *arguments, **environment):
    env = dict(os.environ, **environment)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, env=env
    ).stdout.split()


def test_importing_is_light():
    code = """
import locale, os, signal, sys, threading, warnings
import numpy

def settings():
    caught = [signal.getsignal(number) for number in signal.valid_signals()]
    limits = sys.getrecursionlimit(), sys.getswitchinterval(), sys.gettrace(), sys.getprofile(), sys.excepthook
    numbers = numpy.geterr(), numpy.get_printoptions(), numpy.random.get_state()[1].tolist()
    return dict(os.environ), caught, limits, numbers, warnings.filters[:], locale.setlocale(locale.LC_ALL), os.getcwd()

before = settings()
import fastconv
print("numba" in sys.modules, "llvmlite" in sys.modules, "PIL" in sys.modules, "scipy" in sys.modules)
print(threading.active_count(), len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 1)
print(settings() == before)
"""
    variables = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # NumPy's own threads
    assert run(code, **variables) == ["False", "False", "False", "False", "1", "1", "True"]


def test_importing_takes_no_time(tmp_path):
    code = """
import time
import numpy
start = time.thread_time()
import fastconv
print(time.thread_time() - start)
"""
    installed = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}  # the first run compiles Python
    # Of the processor, and the least of some: the machine may be busy with other things. In seconds.
    assert min(float(run(code, **installed)[0]) for _ in range(6)) < 0.03


MODULES = ["compat", "image", "kernels", "reference"]
LIBRARIES = ["cv2", "ndimage", "numpy", "signal"]

LAZY = """
import sys
import fastconv
names = sys.argv[1].split(".")
print(sorted(name for name in sys.modules if name in ("numba", "PIL", f"fastconv.{names[0]}")))
found, package = fastconv, "fastconv"
for name in names:
    assert name in dir(found)
    found, package = getattr(found, name), f"{package}.{name}"
    assert found is sys.modules[package]
print("numba" in sys.modules, found.__name__)
"""


@pytest.mark.parametrize("name", [*MODULES, *(f"compat.{name}" for name in LIBRARIES)])
def test_modules_are_there_after_importing_the_package(name):
    assert run(LAZY, name) == ["[]", "False", f"fastconv.{name}"]


def test_modules_are_attributes_like_others():
    code = """
import pickle, fastconv
from fastconv import image
from fastconv.compat import numpy
import numpy as np
assert fastconv.image is image and fastconv.compat.numpy is numpy is not np
functions = fastconv.kernels.gaussian, fastconv.compat.signal.convolve, fastconv.reference.convolve1d, image.filter
assert all(pickle.loads(pickle.dumps(function)) is function for function in functions)
for package in (fastconv, fastconv.compat):
    assert not hasattr(package, "nothing") and "nothing" not in dir(package)
    try:
        package.nothing
    except AttributeError as error:
        print(error, (error.name, error.obj) == ("nothing", package))
"""
    assert " ".join(run(code)) == (
        "module 'fastconv' has no attribute 'nothing' True module 'fastconv.compat' has no attribute 'nothing' True"
    )


def test_freezers_and_type_checkers_see_the_modules(tmp_path):
    # A freezer reads the import statements of a script, and of all that they import.
    script = tmp_path / "script.py"
    script.write_text("from fastconv.compat import patch\n")
    finder = modulefinder.ModuleFinder(excludes=["numpy", "numba", "llvmlite", "PIL", "scipy", "cv2", "tqdm"])
    finder.run_script(str(script))
    assert {f"fastconv.{name}" for name in (*MODULES, *(f"compat.{name}" for name in LIBRARIES))} <= {*finder.modules}


def test_the_engine_needs_no_scipy_and_no_pillow():
    code = """
import sys
for name in ("scipy", "PIL", "cv2"):
    sys.modules[name] = None
import fastconv
print(fastconv.convolve([1, 2], [3]).tolist() == [3, 6])
"""
    assert run(code) == ["True"]


def test_public_names_are_documented():
    for name in fastconv.__all__:
        function = getattr(fastconv, name)
        assert ">>>" in function.__doc__, name
