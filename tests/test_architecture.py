"""Import structure of the package, and the cost of importing it."""

import ast
import contextlib
import importlib
import inspect
import modulefinder
import re
from pathlib import Path

import pytest

import fastconv
from tests.sample_calls import succeed

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
    "njit",
    "kernels",
    "image",
    "layers",
    "dask",
    "xarray",
    "compat",
    "cli",
]
# Rooms of floors, in the order in which they may import; "" is the folder itself.
ENGINE_ROOMS = ["", "blocks", "planes", "spectra", "layers", "missing", "pictures", "calls"]
PLANNING_ROOMS = ["", "layers", "fitting", "pictures", "missing", "ndimage"]
ROOMS = {"_microkernels": ENGINE_ROOMS, "_engines": ENGINE_ROOMS, "_planning": PLANNING_ROOMS}
FILES = sorted(".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py"))


def floor_of(name):
    """Index of a file's floor; `__main__` is above all others."""
    folder = name.split(".")[0] if "." in name else ""
    return len(FLOORS) if name == "__main__" else FLOORS.index(folder)


def file_of(name):
    return PACKAGE.joinpath(*name.split(".")).with_suffix(".py")


def executed(node):
    """Yield a node and all nodes below it, except code for type checkers only."""
    yield node
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        children = node.orelse
    else:
        children = ast.iter_child_nodes(node)
    for child in children:
        yield from executed(child)


def imports(name):
    """Yield the modules of the package that a file imports, including imports inside functions."""
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
    """The module that a dotted name refers to or is defined in."""
    for end in range(len(parts), -1, -1):
        for name in (".".join(parts[:end]), ".".join([*parts[:end], "__init__"])):
            if name in FILES:
                return name
    raise AssertionError(f"{parts} is not in a module")


@pytest.mark.parametrize("name", FILES)
def test_files_import_from_lower_floors_only(name):
    for imported in imports(name):
        assert floor_of(imported) <= floor_of(name), f"{name} imports {imported} of a higher floor"


@pytest.mark.parametrize("name", [name for name in FILES if name.split(".")[0] in ROOMS])
def test_files_import_from_lower_rooms_only(name):
    folder, *room, _ = name.split(".")
    rooms = ROOMS[folder]
    for imported in imports(name):
        other, *lower, _ = imported.split(".") if "." in imported else ("", imported)
        if other == folder:
            assert rooms.index("".join(lower)) <= rooms.index("".join(room)), f"{name} imports {imported}"


@pytest.mark.parametrize("name", FILES)
def test_files_name_no_module_of_a_higher_floor_in_strings(name):
    strings = [node.value for node in ast.walk(ast.parse(file_of(name).read_text())) if isinstance(node, ast.Constant)]
    for string in strings:
        module = string.removeprefix("fastconv.") if isinstance(string, str) else ""
        if module != string and module in FILES:
            assert floor_of(module) <= floor_of(name), f"{name} names {string} of a higher floor"


def test_imports_have_no_cycles():
    below = {name: {*imports(name)} - {name} for name in FILES}
    while below:
        free = {name for name, imported in below.items() if not imported & {*below}}
        assert free, f"cyclic imports among {sorted(below)}"
        below = {name: imported for name, imported in below.items() if name not in free}


@pytest.mark.parametrize("name", [name for name in FILES if name.split(".")[0] not in ("cli", "_runtime", "_simd")])
def test_no_exception_of_a_signal_handler_is_taken_for_one_of_an_argument(name):
    if name in ("reference", "_model.passed_exceptions"):  # it imports nothing; it looks at handlers
        return
    for node in ast.walk(ast.parse(file_of(name).read_text())):
        if isinstance(node, ast.Try):
            caught = [ast.unparse(handler.type) for handler in node.handlers if handler.type is not None]
            if "Exception" in caught and caught[0] != "passed()":
                body = ast.unparse(node.handlers[caught.index("Exception")])
                assert "if is_from_signal_handler(error):\n        raise" in body, body


def test_reference_imports_nothing():
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


# Documented names of named tuples and of the interpreter.
DOCUMENTED = {"_asdict", "_exit", "_field_defaults", "_fields", "_getframe", "_make", "_register_atexit", "_replace"}
TESTS = sorted(path for folder in ("tests", "bench") for path in (PACKAGE.parent / folder).rglob("*.py"))


def is_private(name):
    return name.startswith("_") and not name.endswith("__") and name != "_" and name not in DOCUMENTED


def programs(tree):
    """Yield a module, and the programs in its strings, which run in other processes."""
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
            with contextlib.suppress(SyntaxError):
                yield ast.parse(node.value)


def private_names(tree):
    """Return line and name of each private attribute of other objects, and of each private name imported."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if owner in ("self", "cls"):
                own.add(node.attr)
            elif not re.search("numba|llvmlite", owner):
                found.append((node.lineno, node.attr))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fastconv"):
            names = (f"{node.module}.{alias.name}".removeprefix("fastconv.") for alias in node.names)
            found += [(node.lineno, name) for name in names if not {name, f"{name}.__init__"} & {*FILES}]
        elif isinstance(node, ast.Call) and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            if re.search("(get|set|del)attr$", ast.unparse(node.func)):
                found.append((node.lineno, str(node.args[1].value)))
    found = [(line, name.rpartition(".")[2]) for line, name in found]
    return [(line, name) for line, name in found if is_private(name) and name not in own]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_tests_use_no_private_names(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [use for program in programs(tree) for use in private_names(program)]
    assert not found, "see CONTRIBUTING.md, How tests observe the engines"


def test_private_names_are_found():
    code = """
from fastconv._engines.blocks.direct import ^block, DirectEngine
from fastconv.compat import _patch
plan.^prepared
monkeypatch.setattr(direct, "^cut", None)
case._replace(a=1)
numba.core._lock
class Own:
    def method(self):
        self._own = getattr(plan, "^choice")
Own()._own
""".replace("^", "_")  # no program of this file
    names = [name for program in programs(ast.parse(f"CODE = {code!r}")) for _, name in private_names(program)]
    assert sorted(names) == ["_block", "_choice", "_cut", "_prepared"]


def test_import_loads_no_large_library_and_changes_no_setting():
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
    assert succeed(code, **variables) == ["False", "False", "False", "False", "1", "1", "True"]


def test_import_takes_at_most_half_as_long_again_as_that_of_numpy(tmp_path):
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
    assert min(float(succeed(code, **installed)[0]) for _ in range(6)) < 1.5


MODULES = ["compat", "dask", "image", "kernels", "layers", "njit", "reference", "xarray"]
LIBRARIES = ["astropy", "cv2", "dask_image", "ndimage", "numpy", "signal"]

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
def test_submodules_are_available_after_importing_the_package(name):
    assert succeed(LAZY, name) == ["[]", "False", f"fastconv.{name}"]


def test_lazy_submodules_behave_like_other_attributes():
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
    assert " ".join(succeed(code)) == (
        "module 'fastconv' has no attribute 'nothing' True module 'fastconv.compat' has no attribute 'nothing' True"
    )


def test_static_analysis_finds_the_lazy_submodules(tmp_path):
    # Freezing tools follow the import statements of a script and of all modules that it imports.
    script = tmp_path / "script.py"
    script.write_text("from fastconv.compat import patch\n")
    libraries = ["numpy", "numba", "llvmlite", "PIL", "scipy", "cv2", "tqdm", "dask", "xarray", "zarr"]
    finder = modulefinder.ModuleFinder(excludes=libraries)
    finder.run_script(str(script))
    engines = [name for name in FILES if name.startswith("_engines.") and not name.endswith("__init__")]
    lazy = *MODULES, *(f"compat.{name}" for name in LIBRARIES), *engines
    assert {f"fastconv.{name}" for name in lazy} <= {*finder.modules}


def test_a_call_imports_only_the_engines_that_it_may_need():
    code = """
import sys
import numpy as np
import fastconv
fastconv.convolve2d(np.ones((9, 9), "f4"), np.ones((3, 3), "f4"))
print(*sorted({name.split(".")[2] for name in sys.modules if name.startswith("fastconv._engines.")} & {*sys.argv[1:]}))
"""
    assert succeed(code, *ENGINE_ROOMS[1:]) == ["blocks"]


def test_convolve_works_without_scipy_pillow_and_opencv():
    code = """
import sys
for name in ("scipy", "PIL", "cv2"):
    sys.modules[name] = None
import fastconv
print(fastconv.convolve([1, 2], [3]).tolist() == [3, 6])
"""
    assert succeed(code) == ["True"]


def test_public_functions_have_examples():
    for name in fastconv.__all__:
        function = getattr(fastconv, name)
        assert ">>>" in function.__doc__, name


def test_contributing_lists_folders_and_rooms_in_order():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("\n## Architecture\n")[1].split("\n## ")[0]
    folders = [line.split("`")[1].removesuffix("/") for line in table.splitlines() if line.startswith("| `")]
    assert folders == [*(floor or "fastconv" for floor in reversed(FLOORS)), *ENGINE_ROOMS[1:], *PLANNING_ROOMS[1:]]


@pytest.mark.parametrize("name", ["", ".kernels", ".image", ".layers", ".njit", ".compat", ".dask", ".xarray"])
def test_completion_offers_public_names_only(name):
    module = importlib.import_module(f"fastconv{name}")
    found = {one for one in dir(module) if not one.startswith("__")}
    assert not [one for one in found if one.startswith("_")]
    assert all(inspect.ismodule(getattr(module, one)) for one in found - {*module.__all__})
    assert found >= {*module.__all__}
