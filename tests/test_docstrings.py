"""The docstrings of public functions: their sections, their parameters, and the exceptions that they promise.

numpydoc checks the rest of the form when the site is built.
"""

import builtins
import importlib
import inspect
import re
import subprocess
import sys

import pytest

from fastconv import compat

MODULES = (
    "",
    ".image",
    ".kernels",
    ".layers",
    ".njit",
    ".dask",
    ".xarray",
    ".reference",
    ".compat",
    *(f".compat.{name}" for name in ("numpy", "signal", "ndimage", "cv2", "astropy", "dask_image")),
)
FUNCTIONS = {
    f"fastconv{name}.{function}": getattr(module, function)
    for name in MODULES
    for module in [importlib.import_module(f"fastconv{name}")]
    for function in module.__all__
    if inspect.isfunction(getattr(module, function))
}
TAKES_NOTHING = {"fastconv.clear_caches", "fastconv.njit.register"}
CHOOSES_ONLY = {"fastconv.compat.signal.choose_conv_method"}
DEFINITION = {name for name in FUNCTIONS if name.startswith("fastconv.reference.")}  # leaves types to Python
WORDS = [["not", "a"], ["number", ""]]


def sections(function):
    """The sections of a docstring, by their headings."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.getdoc(function), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sections(name):
    found = sections(FUNCTIONS[name])
    assert {"Examples", "See Also"} <= found.keys()
    # Docutils takes an initial for the number of a list.
    assert not re.search(r"^\.\. \[\d+\] \w\.", found.get("References", ""), re.MULTILINE)
    assert name.rpartition(".")[2] in found["Examples"]
    assert ("Raises" in found) == (name not in TAKES_NOTHING)


def exception(function, name):
    """The exception that a docstring names."""
    return (
        getattr(builtins, name, None) or getattr(compat, name, None) or getattr(inspect.getmodule(function), name, None)
    )


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - TAKES_NOTHING - CHOOSES_ONLY - DEFINITION))
def test_exceptions_are_those_promised(name):
    function = FUNCTIONS[name]
    promised = re.findall(r"\w+", " ".join(re.findall(r"^\S.*$", sections(function)["Raises"], re.MULTILINE)))
    parameters = inspect.signature(function).parameters
    needed = [
        each for each in parameters.values() if each.default is each.empty and each.kind <= each.POSITIONAL_OR_KEYWORD
    ]
    arguments = {each.name: WORDS for each in needed} or {next(iter(parameters)): WORDS}
    with pytest.raises(tuple(filter(None, (exception(function, name) for name in promised)))):
        function(**arguments)


def test_python_without_docstrings():
    subprocess.run([sys.executable, "-OO", "-c", "import fastconv.dask, fastconv.image, fastconv.layers"], check=True)
