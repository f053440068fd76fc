"""Functions in Numba's cache on disk call fastconv in another process, whatever has happened since."""

import shutil
from pathlib import Path

import pytest

from fastconv._runtime.cache_folder import store
from tests.sample_calls import succeed

PROGRAM = "import runpy; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
FORMS = 9  # functions that Numba caches


class Folder:
    """A copy of the program, and Numba's cache of its functions."""

    def __init__(self, path):
        self.path, self.program = path, path / "cached_forms.py"
        shutil.copy(Path(__file__).parent / "cached_forms.py", self.program)

    def run(self, *arguments, **environment):
        """Run the program; return what it prints, and the names of the functions that were compiled."""
        before = self.code()
        code = f"import sys; {PROGRAM}"
        words = succeed(
            code, self.program, *arguments, timeout=600, NUMBA_CACHE_DIR=str(self.path / "numba"), **environment
        )
        return words, {name for name, time in self.code().items() if before.get(name) != time}

    def code(self):
        """The files of machine code, and when each was written."""
        return {path.name: path.stat().st_mtime_ns for path in self.path.rglob("*.nbc")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = Folder(tmp_path_factory.mktemp("cached"))
    words, compiled = found.run()
    assert words[0] == "True"
    assert len(compiled) >= FORMS
    return found


def test_a_second_process_compiles_nothing(folder):
    assert folder.run() == (["True", "0"], set())


@pytest.mark.skipif(store().folder is None, reason="no cache folder here")
def test_kernels_are_compiled_again_where_their_folder_is_empty(folder, tmp_path):
    (right, kernels), compiled = folder.run(FASTCONV_CACHE_DIR=str(tmp_path))
    assert (right, compiled) == ("True", set())
    assert int(kernels) > 0


def test_another_interface_compiles_each_function_once_more(folder):
    words, compiled = folder.run("another")
    assert words == ["True", "0"]
    assert len(compiled) >= FORMS
    assert folder.run("another") == (["True", "0"], set())
