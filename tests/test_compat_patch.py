"""Patching: what is replaced, what goes to whom, and that all is as it was afterwards."""

import subprocess
import sys
import textwrap
import threading
import types

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from fastconv.compat import Calls, Unsupported, patch
from fastconv.compat import numpy as ours


@pytest.fixture
def program():
    """A module that took a function with a from-import, under a name of its own."""
    module = types.ModuleType("a_program_of_somebody")
    module.smooth = np.convolve
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_names_are_replaced_and_put_back(program):
    original = np.convolve
    with patch("numpy") as patched:
        assert np.convolve is program.smooth is not original
        assert np.convolve.__wrapped__ is original
        assert np.convolve.__name__ == "convolve"
        assert {"numpy.convolve", "numpy.correlate", "a_program_of_somebody.smooth"} <= set(patched.replaced)
        assert program.smooth([1, 2, 3], [0, 1, 0.5]).tolist() == [0, 1, 2.5, 4, 1.5]
        assert patched.calls == {"numpy.convolve": Calls(fastconv=1, original=0)}
        assert "names replaced" in repr(patched)
    assert np.convolve is program.smooth is original
    assert repr(patched) == "<fastconv.compat.patch: undone>"


def test_a_plain_call_is_in_force_until_undone():
    original = scipy.ndimage.convolve
    patched = patch("scipy.ndimage", "numpy")
    try:
        assert scipy.ndimage.convolve is not original
        assert scipy.ndimage.convolve(np.ones((3, 3)), np.ones((3, 3)), mode="wrap").tolist() == [[9.0] * 3] * 3
        assert patched.calls["scipy.ndimage.convolve"].fastconv == 1
    finally:
        patched.undo()
    assert scipy.ndimage.convolve is original
    patched.undo()  # a second time does nothing
    assert scipy.ndimage.convolve is original


def test_modules_within_scipy_are_patched_too():
    with patch("scipy.signal") as patched:
        assert "scipy.signal.convolve" in patched.replaced
        assert "scipy.signal._signaltools.convolve" in patched.replaced
        assert [name for name in patched.replaced if name.startswith("scipy.signal._")]


def test_patches_may_be_nested():
    original = np.convolve
    with patch("numpy"):
        outer = np.convolve
        with patch("numpy"):
            assert np.convolve is not outer
            assert np.convolve([1, 2], [1, 1]).tolist() == [1, 3, 2]
        assert np.convolve is outer
    assert np.convolve is original


def test_what_somebody_else_has_replaced_meanwhile_is_left_alone():
    original = np.convolve
    try:
        with patch("numpy"):
            np.convolve = mine = lambda *args: None
        assert np.convolve is mine
    finally:
        np.convolve = original


def test_an_error_is_the_original_s():
    with pytest.raises(ValueError) as usual:  # noqa: PT011, the message is what is compared
        np.convolve([], [1])
    with patch("numpy") as patched, pytest.raises(ValueError) as under_patch:  # noqa: PT011
        np.convolve([], [1])
    assert str(under_patch.value) == str(usual.value)
    assert patched.calls == {"numpy.convolve": Calls(fastconv=0, original=1)}


def test_what_is_not_supported_goes_to_the_original(monkeypatch):
    def never(a, v, mode="full"):
        raise Unsupported("nothing at all")

    monkeypatch.setattr(ours, "convolve", never)
    with patch("numpy") as patched:
        assert np.convolve([1, 2], [1, 1]).tolist() == [1, 3, 2]
    assert patched.calls == {"numpy.convolve": Calls(fastconv=0, original=1)}


def test_other_libraries_arrays_keep_their_own_functions():
    class Array:
        def __array_function__(self, function, kinds, args, options):
            return "its own"

    with patch("numpy") as patched:
        assert np.convolve(Array(), [1, 2]) == "its own"
        assert np.convolve(np.ma.masked_array([1, 2]), [1]).tolist() == [1, 2]
    assert patched.calls["numpy.convolve"].original >= 1


def test_other_threads_see_it():
    seen = []
    with patch("numpy") as patched:
        thread = threading.Thread(target=lambda: seen.append(np.convolve([1, 2], [1, 1]).tolist()))
        thread.start()
        thread.join()
    assert seen == [[1, 3, 2]]
    assert patched.calls["numpy.convolve"].fastconv == 1


def test_wrong_names():
    with pytest.raises(ValueError, match=r"libraries must be one or more of 'numpy', .*; got none"):
        patch()
    with pytest.raises(ValueError, match=r"libraries must be of 'numpy', .*; got 'scipy'"):
        patch("numpy", "scipy")


def test_importing_it_imports_no_library_and_no_numba():
    code = "import sys, fastconv.compat; print([m for m in ('scipy', 'cv2', 'numba', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_program_as_it_is(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import sys
            from numpy import convolve
            print(__name__, sys.argv[1:], convolve([1, 2, 3], [0, 1, 0.5]))
        """)
    )
    command = [sys.executable, "-m", "fastconv.compat", "--only", "numpy", "--report", str(script), "--report", "-x"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout == "__main__ ['--report', '-x'] [0.  1.  2.5 4.  1.5]\n"
    assert result.stderr == "numpy.convolve: 1 by fastconv, 0 by the original\n"


def test_a_module_as_a_program(tmp_path):
    (tmp_path / "a_module_to_run.py").write_text("import numpy, sys; print(numpy.correlate([1, 2], [1]), sys.argv[1:])")
    command = [sys.executable, "-m", "fastconv.compat", "--only", "numpy", "-m", "a_module_to_run", "1"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (result.stdout, result.stderr) == ("[1 2] ['1']\n", "")
