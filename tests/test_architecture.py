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

# Folders from the lowest floor up; "" is the package itself.
FLOORS = [
    "_model",
    "_runtime",
    "_simd",
    "_microkernels",
    "_engines",
    "_planning",
    "",
    "kernels",
    "image",
    "layers",
    "compat",
    "cli",
]
FILES = sorted(".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py"))


def floor_of(name):
    """The number of a file's floor; `__main__` stands above all."""
    folder = name.split(".")[0] if "." in name else ""
    return len(FLOORS) if name == "__main__" else FLOORS.index(folder)


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
            if name in FILES:
                return name
    raise AssertionError(f"{parts} is no module")


@pytest.mark.parametrize("name", FILES)
def test_every_file_imports_only_from_below(name):
    for imported in imports(name):
        assert floor_of(imported) <= floor_of(name), f"{name} imports {imported}, from a floor above"


@pytest.mark.parametrize("name", FILES)
def test_no_file_looks_up_modules_from_above_by_name(name):
    strings = [node.value for node in ast.walk(ast.parse(file_of(name).read_text())) if isinstance(node, ast.Constant)]
    for string in strings:
        module = string.removeprefix("fastconv.") if isinstance(string, str) else ""
        if module != string and module in FILES:
            assert floor_of(module) <= floor_of(name), f"{name} names {string}, from a floor above"


def test_no_imports_go_in_a_circle():
    below = {name: {*imports(name)} - {name} for name in FILES}
    while below:
        free = {name for name, imported in below.items() if not imported & {*below}}
        assert free, f"imports go in a circle among {sorted(below)}"
        below = {name: imported for name, imported in below.items() if name not in free}


def test_the_definition_imports_nothing():
    source = ast.parse((PACKAGE / "reference.py").read_text())
    assert not [node for node in ast.walk(source) if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_the_cache_key_covers_all_files_that_kernels_import():
    from fastconv._simd import disk_cache

    needed = {name for name in FILES if name.startswith("_microkernels.") and not name.endswith("__init__")}
    found = set()
    while needed:
        name = needed.pop()
        found.add(name)
        needed |= {*imports(name)} - found
    found = {name for name in found if not name.startswith("_runtime.")}  # nothing there is compiled
    assert {f"{name.replace('.', '/')}.py" for name in found} == {*disk_cache.kernel_sources()}


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


def test_importing_takes_no_longer_than_importing_numpy(tmp_path):
    code = """
import time
start = time.thread_time()
import numpy
middle = time.thread_time()
import fastconv
print((time.thread_time() - middle) / (middle - start))
"""
    installed = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}  # the first run compiles Python
    # Measured: 0.5 to 0.7. Numba alone takes several times as long as NumPy.
    assert min(float(run(code, **installed)[0]) for _ in range(6)) < 1.5


MODULES = ["compat", "image", "kernels", "layers", "reference"]
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


def test_contributing_lists_the_floors():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("\n## Architecture\n")[1].split("\n## ")[0]
    folders = [line.split("`")[1].removesuffix("/") for line in table.splitlines() if line.startswith("| `")]
    assert folders == [floor or "fastconv" for floor in reversed(FLOORS)]
