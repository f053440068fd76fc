"""Code in fresh interpreters with full or empty caches, interleaved."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, TypeVar

import pytest

import fastconv

_WHERE = "import importlib.util; print(importlib.util.find_spec('fastconv').origin)"

T = TypeVar("T")


class Finished(NamedTuple):
    """A process that ended successfully."""

    seconds: float  # wall-clock time, from start to end
    printed: str


class Interpreters:
    """Starts fresh interpreters with separate cache folders.

    They import the same fastconv and libraries as this process, but run outside of the repository.
    """

    def __init__(self, folder: Path, own_bytecode: bool):
        self._folder = folder
        self._environment = dict(os.environ)
        self.own_bytecode = own_bytecode
        if own_bytecode:
            # Cache bytecode as after an installation, even if the environment disables it, and only in this folder.
            self._environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
            self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if paths := self._environment.get("PYTHONPATH"):  # relative paths would refer to another folder
            self._environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, paths.split(os.pathsep)))
        self._kernels = self._new_folder("kernels-")
        self._warm: dict[str, Finished] = {}
        self._check_same_fastconv()

    def warm(self, code: str) -> Finished:
        """Run `code` once to fill the caches; later calls return the first result."""
        if code not in self._warm:
            self._warm[code] = self._run(code, self._kernels)
        return self._warm[code]

    def run(self, code: str) -> Finished:
        """Run `code` with full caches; raise a RuntimeError if it adds to them."""
        cached = sorted(self._kernels.iterdir())
        finished = self._run(code, self._kernels)
        if sorted(self._kernels.iterdir()) != cached:
            raise RuntimeError("a full cache did not suffice; have the sources of fastconv changed meanwhile?")
        return finished

    def run_with_empty_cache(self, code: str) -> Finished:
        """Run `code` with cached bytecode, but no cached kernels."""
        kernels = self._new_folder("empty-")
        finished = self._run(code, kernels)
        if not any(kernels.iterdir()):
            raise RuntimeError("fastconv has not cached its kernels, so a full cache cannot be measured")
        shutil.rmtree(kernels)
        return finished

    def _run(self, code: str, kernels: Path) -> Finished:
        environment = dict(self._environment, FASTCONV_CACHE_DIR=str(kernels))
        command = [sys.executable, "-c", code]
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, cwd=self._folder, stdout=subprocess.PIPE, text=True, check=True)
        return Finished(time.perf_counter() - start, done.stdout)

    def _new_folder(self, prefix: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=prefix, dir=self._folder))

    def _check_same_fastconv(self) -> None:
        here, there = fastconv.__file__, self._run(_WHERE, self._kernels).printed.strip()
        if not os.path.samefile(here, there):
            raise RuntimeError(f"a fresh interpreter imports {there}, not {here}; pip install -e '.[bench]' helps")


@functools.cache
def interpreters(own_bytecode: bool) -> Interpreters:
    """Return the interpreters that all tests of a session share.

    Compiling all bytecode takes half a minute. Without `own_bytecode` existing bytecode is used, and missing bytecode
    costs time.
    """
    # The space in its name is a test, too.
    folder = tempfile.TemporaryDirectory(prefix="fastconv processes ")
    atexit.register(folder.cleanup)
    return Interpreters(Path(folder.name), own_bytecode)


def in_turn(sides: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run all sides in each round and return their results, so that other load slows down a round, not a side."""
    taken: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            taken[name].append(side())
    return taken


# --------------------------------------------------------------------------------------------- cases and sides

# A case has a `name`; a side has a `name` and the `library` that it needs.


def parametrize(metafunc: Any, cases_and_sides: list[tuple[Any, Any]]) -> None:
    """Parametrize a test over cases and sides, skipping sides whose library is missing."""
    metafunc.parametrize(
        ("case", "side"),
        [
            pytest.param(
                case,
                side,
                id=f"{case.name} - {side.name}",
                marks=pytest.mark.skipif(not is_installed(side.library), reason=f"{side.library} is not installed"),
            )
            for case, side in cases_and_sides
        ],
    )


def selected_sides(request: Any) -> list[Any]:
    """Return the selected sides of the case of this test: those to interleave."""
    case = request.node.callspec.params["case"]
    return [
        item.callspec.params["side"]
        for item in request.session.items
        if getattr(item, "function", None) is request.function
        and item.callspec.params["case"] == case
        and is_installed(item.callspec.params["side"].library)
    ]


@functools.cache
def is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None
