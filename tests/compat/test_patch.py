"""`fastconv.compat.patch`: what is replaced, which calls go to the original, and that everything is restored."""

import copy
import functools
import inspect
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import types
import weakref

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

import fastconv.compat.ndimage
import fastconv.compat.signal
from fastconv.compat import Calls, Unsupported, _patch, patch
from fastconv.compat import numpy as ours

LIBRARIES = {
    "numpy": (np, ours),
    "scipy.signal": (scipy.signal, fastconv.compat.signal),
    "scipy.ndimage": (scipy.ndimage, fastconv.compat.ndimage),
}
CODE = {name: getattr(np, name).__wrapped__.__code__ for name in ours.__all__}


def functions(library):
    """List the replaced functions: name, original, and replacement."""
    theirs, own = LIBRARIES[library]
    pairs = [(name, getattr(theirs, name), getattr(own, name)) for name in own.__all__]
    return [pair for pair in pairs if not isinstance(pair[2], type)]


@pytest.fixture(autouse=True)
def numpy_is_restored():
    """Check after each test that NumPy is restored."""
    before = {name: getattr(np, name) for name in ours.__all__}
    yield
    for name, function in before.items():
        assert getattr(np, name) is function
        assert function.__wrapped__.__code__ is CODE[name]
        assert not hasattr(function.__wrapped__, "__signature__")


@pytest.fixture
def by_name(monkeypatch):
    """Treat NumPy's functions as functions without replaceable code, such as OpenCV's."""
    monkeypatch.setattr(_patch, "plain_function", lambda function: None)


@pytest.fixture(params=["in place", "by name"])
def both_ways(request):
    if request.param == "by name":
        request.getfixturevalue("by_name")


@pytest.fixture
def program():
    """A module that has imported a function under another name."""
    module = types.ModuleType("a_program")
    module.smooth = np.convolve
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.fixture
def late(tmp_path, monkeypatch):
    """The name of a module, not imported yet, that imports a function under another name and keeps it in a list."""
    (tmp_path / "imported_late.py").write_text("from numpy import convolve as smooth\nkept = [smooth]")
    monkeypatch.syspath_prepend(tmp_path)
    yield "imported_late"
    sys.modules.pop("imported_late", None)


def run(code, *arguments, **environment):
    """Run a program in a separate process, and return its output."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    process = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert process.returncode == 0, process.stderr
    return process.stdout


# ------------------------------------------------------------------------------------------ what is replaced


@pytest.mark.parametrize("library", LIBRARIES)
def test_patch_keeps_the_identity_of_functions(library):
    theirs, _ = LIBRARIES[library]
    with patch(library) as patched:
        assert set(patched.replaced) == {f"{library}.{name}" for name, _, _ in functions(library)}
        assert repr(patched) == f"<fastconv.compat.patch: {len(patched.replaced)} names replaced>"
        for name, function, _ in functions(library):
            assert getattr(theirs, name) is function
            assert isinstance(_patch.target_of(function), _patch.InPlace), "not in place"
    assert repr(patched) == "<fastconv.compat.patch: undone>"
    with pytest.raises(RuntimeError, match=r"has been undone, and replaces nothing; call patch\(\) again"), patched:
        pass


@pytest.mark.parametrize("library", LIBRARIES)
def test_patch_keeps_name_signature_and_source(library):
    def looks():
        return [
            (
                inspect.signature(f),
                inspect.getfullargspec(inspect.unwrap(f)),
                inspect.getsource(f),
                f.__doc__,
                f.__name__,
            )
            for _, f, _ in functions(library)
        ]

    before = looks()
    with patch(library):
        assert looks() == before
    assert looks() == before


def test_patch_takes_effect_wherever_a_reference_is_held(program, late):
    def default(a, v, smooth=np.convolve):
        return smooth(a, v)

    class Filter:
        smooth = staticmethod(np.convolve)

    table = {np.convolve: np.convolve}
    partial = functools.partial(np.convolve, [1, 2, 3])
    with patch("numpy") as patched:
        taken = __import__(late)
        calls = [np.convolve, program.smooth, default, Filter.smooth, table[np.convolve], taken.smooth, taken.kept[0]]
        calls += [lambda a, v: partial(v), copy.deepcopy(np.convolve), pickle.loads(pickle.dumps(np.convolve))]
        for number, call in enumerate(calls, 1):
            assert call([1, 2, 3], [0, 1, 0.5]).tolist() == [0, 1, 2.5, 4, 1.5]
            assert patched.calls == {"numpy.convolve": Calls(fastconv=number, original=0)}
    for call in calls:
        assert call([1, 2, 3], [0, 1, 0.5]).tolist() == [0, 1, 2.5, 4, 1.5]
    assert patched.calls == {"numpy.convolve": Calls(fastconv=len(calls), original=0)}


def test_functions_without_code_are_rebound_and_restored(by_name, program):
    original = np.convolve
    with patch("numpy") as patched:
        assert np.convolve is program.smooth is not original
        assert np.convolve.__wrapped__ is original
        assert np.convolve.__name__ == "convolve"
        assert {"numpy.convolve", "numpy.correlate", "a_program.smooth"} <= set(patched.replaced)
        assert not [name for name in patched.replaced if name.startswith("fastconv")]
        assert program.smooth([1, 2, 3], [0, 1, 0.5]).tolist() == [0, 1, 2.5, 4, 1.5]
        assert patched.calls == {"numpy.convolve": Calls(fastconv=1, original=0)}
        assert "names replaced" in repr(patched)
    assert np.convolve is program.smooth is original
    assert repr(patched) == "<fastconv.compat.patch: undone>"


def test_modules_imported_during_a_patch_have_the_original_afterwards(both_ways, late):
    original = np.convolve
    with patch("numpy") as patched:
        taken = __import__(late)
        assert taken.smooth([1, 2], [1, 1]).tolist() == [1, 3, 2]
    assert taken.smooth is original
    assert taken.kept[0]([1, 2], [1, 1]).tolist() == [1, 3, 2]
    assert patched.calls == {"numpy.convolve": Calls(fastconv=1, original=0)}


def test_opencv_functions_are_rebound_and_restored(tmp_path, monkeypatch):
    cv2 = pytest.importorskip("cv2")
    (tmp_path / "opencv_late.py").write_text("from cv2 import blur")
    monkeypatch.syspath_prepend(tmp_path)
    original, picture = cv2.blur, np.ones((5, 5), np.uint8)
    try:
        with patch("cv2") as patched:
            assert cv2.blur is not original
            taken = __import__("opencv_late")
            assert taken.blur(picture, ksize=(3, 3)).tolist() == picture.tolist()
            assert patched.calls == {"cv2.blur": Calls(fastconv=1, original=0)}
        assert cv2.blur is taken.blur is original
    finally:
        sys.modules.pop("opencv_late", None)


def test_patch_without_a_with_block_lasts_until_undo():
    patched = patch("scipy.ndimage", "numpy")
    try:
        assert scipy.ndimage.convolve(np.ones((3, 3)), np.ones((3, 3)), mode="wrap").tolist() == [[9.0] * 3] * 3
        assert patched.calls == {"scipy.ndimage.convolve": Calls(fastconv=1, original=0)}
    finally:
        patched.undo()
    patched.undo()  # a second time does nothing
    scipy.ndimage.convolve(np.ones((3, 3)), np.ones((3, 3)))
    assert patched.calls == {"scipy.ndimage.convolve": Calls(fastconv=1, original=0)}


def test_calls_within_scipy_are_patched():
    with patch("scipy.signal") as patched:
        scipy.signal.deconvolve([0, 1, 5, 6], [1, 3])
        assert patched.calls["scipy.signal.convolve"].fastconv == 1


def test_patch_works_below_the_array_backends_of_scipy():
    pytest.importorskip("scipy", "1.15")
    code = """
        import sys
        import numpy as np, scipy.ndimage, scipy.signal
        from fastconv.compat import patch
        image, function = np.ones((4, 4)), scipy.signal.convolve2d
        with patch("scipy.signal", "scipy.ndimage") as patched:
            assert scipy.signal.convolve2d is function
            scipy.signal.convolve2d(image, image)
            scipy.ndimage.convolve(image, image)
        print(*map(tuple, patched.calls.values()))
    """
    assert run(code, SCIPY_ARRAY_API="1") == "(1, 0) (1, 0)\n"


@pytest.mark.parametrize("last_first", [True, False])
def test_nested_patches_can_be_undone_in_any_order(both_ways, last_first, monkeypatch):
    original = np.convolve
    first = patch("numpy")
    monkeypatch.setattr(ours, "convolve", lambda a, v: "the second")
    second = patch("numpy")
    try:
        assert np.convolve([1, 2], [1, 1]) == "the second"
        (second if last_first else first).undo()
        if last_first:
            assert np.convolve([1, 2], [1, 1]).tolist() == [1, 3, 2]
        else:
            assert np.convolve([1, 2], [1, 1]) == "the second"
    finally:
        first.undo()
        second.undo()
    assert np.convolve is original
    np.convolve([1, 2], [1, 1])
    each = [patched.calls["numpy.convolve"].fastconv if patched.calls else 0 for patched in (first, second)]
    assert each == ([1, 1] if last_first else [0, 2])


def test_undo_keeps_names_that_others_have_rebound(both_ways, monkeypatch):
    original = np.convolve
    with patch("numpy"):
        mine = functools.wraps(np.convolve)(lambda *args, kept=np.convolve: ["mine", *kept(*args)])
        np.convolve = mine
    try:
        assert np.convolve is mine
        assert np.convolve([1, 2], [1, 1]) == ["mine", 1, 3, 2]
    finally:
        np.convolve = original


def test_undo_keeps_code_that_others_have_replaced():
    function = np.convolve.__wrapped__
    first = patch("numpy")
    try:
        # As profilers do: the current code with additions.
        function.__code__ = theirs = function.__code__.replace(co_name="profiled")
        second = patch("numpy")
        assert np.convolve([1, 2], [1, 1]).tolist() == [1, 3, 2]
        assert second.calls == {"numpy.convolve": Calls(fastconv=1, original=0)}
        second.undo()
        assert function.__code__ is theirs
        assert np.convolve([1, 2], [1, 1]).tolist() == [1, 3, 2]
        assert first.calls == {"numpy.convolve": Calls(fastconv=1, original=0)}
        first.undo()
        assert function.__code__ is theirs
        assert np.convolve([1, 2], [1, 1]).tolist() == [1, 3, 2]
        with patch("numpy") as third:
            assert np.convolve([1, 2], [1, 1]).tolist() == [1, 3, 2]
            assert third.calls == {"numpy.convolve": Calls(fastconv=1, original=0)}
        assert first.calls == {"numpy.convolve": Calls(fastconv=1, original=0)}
    finally:
        first.undo()
        function.__code__ = CODE["convolve"]


def test_failing_patch_restores_everything(by_name, program, monkeypatch):
    class Sealed(types.ModuleType):
        def __setattr__(self, name, value):
            raise RuntimeError("sealed")

    original, sealed = np.convolve, Sealed("a_sealed_module")
    vars(sealed)["smooth"] = original
    monkeypatch.setitem(sys.modules, "a_sealed_module", sealed)
    with pytest.raises(RuntimeError, match="sealed"):
        patch("numpy")
    assert np.convolve is program.smooth is sealed.smooth is original


def test_undone_patch_is_freed():
    function = lambda a, v: None  # noqa: E731
    with pytest.MonkeyPatch.context() as context:
        context.setattr(ours, "convolve", function)
        patch("numpy").undo()
    names, gone = set(vars(sys.modules[np.convolve.__wrapped__.__module__])), weakref.ref(function)
    del function
    for _ in range(10):
        patch("numpy").undo()
    assert gone() is None
    assert set(vars(sys.modules[np.convolve.__wrapped__.__module__])) == names


# ------------------------------------------------------------------------------ tables with functions as keys

NUMBA = """
    import sys
    import numpy as np
    from fastconv.compat import patch

    A, V = np.arange(6.0), np.array([1.0, 2.0])
    compiled = []

    def check():
        import numba

        @numba.njit
        def both(a, v):
            return np.convolve(a, v), np.correlate(a, v, "full")

        compiled.append(both)
        for function in compiled:
            convolved, correlated = function(A, V)
            assert convolved.tolist() == [0, 1, 4, 7, 10, 13, 10], convolved
            assert correlated.tolist() == [0, 2, 5, 8, 11, 14, 5], correlated

    for step in sys.argv[1:]:
        if step == "numba":
            import numba
        elif step == "patch":
            patched = patch("numpy")
        elif step == "call":
            np.convolve(A, V)
            assert patched.calls["numpy.convolve"].fastconv == 1
        elif step == "undo":
            patched.undo()
        else:
            check()
    print(len(compiled))
"""


@pytest.mark.parametrize(
    "steps",
    [
        "numba check patch call check undo check",
        "patch numba check call undo check",
        "patch call undo check patch check",
    ],
)
def test_numba_code_works_before_during_and_after_a_patch(steps):
    assert run(NUMBA, *steps.split()) == f"{steps.split().count('check')}\n"


UNITS = """
    import numpy as np

    TABLE = {}

    class Quantity(np.ndarray):
        def __new__(cls, values, unit):
            found = np.asarray(values).view(cls)
            found.unit = unit
            return found

        def __array_function__(self, function, kinds, args, options):
            if function in TABLE:
                return TABLE[function](*args, **options)
            return super().__array_function__(function, kinds, args, options)

    def multiplied(function):
        def convolve(a, v, *args, **options):
            plain = function._implementation(np.asarray(a), np.asarray(v), *args, **options)
            return Quantity(plain, a.unit + v.unit)
        return convolve

    for function in (np.convolve, np.correlate):
        TABLE[function] = multiplied(function)
"""


def test_unit_libraries_find_their_registered_functions(tmp_path):
    """The library is imported before the patch, during it, and in an unmodified program run by the command."""
    (tmp_path / "a_library_of_units.py").write_text(textwrap.dedent(UNITS))
    use = """
from a_library_of_units import Quantity
for call in (np.convolve, np.correlate):
    found = call(Quantity([1.0, 2.0], "m"), v=Quantity([1.0, 1.0], "s"), mode="full")
    print(type(found).__name__, found.unit, found.tolist())
"""
    expect = "Quantity ms [1.0, 3.0, 2.0]\n" * 2
    start = "import numpy as np; from fastconv.compat import patch\n"
    for code in (
        f"{start}import a_library_of_units\npatch('numpy'){use}",
        f"{start}patch('numpy'){use}",
        f"{start}patched = patch('numpy'); import a_library_of_units; patched.undo(){use}",
    ):
        assert run(code, PYTHONPATH=str(tmp_path)) == expect
    (tmp_path / "s.py").write_text(f"import numpy as np{use}")
    command = [sys.executable, "-m", "fastconv.compat", "--only", "numpy", "--report", str(tmp_path / "s.py")]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.stdout == expect
    assert "numpy.convolve: 1 by fastconv, 0 by the original\n" in process.stderr


def test_astropy_units_are_preserved(tmp_path):
    pytest.importorskip("astropy")
    use = "from astropy import units as u; print(repr(np.convolve([1.0, 2.0] * u.m, [1.0, 1.0] * u.s)))"
    (tmp_path / "s.py").write_text(f"import numpy as np\n{use}")
    command = [sys.executable, "-m", "fastconv.compat", "--only", "numpy", str(tmp_path / "s.py")]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "<Quantity [1., 3., 2.] m s>\n"
    code = f"import numpy as np; from fastconv.compat import patch\nwith patch('numpy'):\n    {use}\n{use}"
    assert run(code) == "<Quantity [1., 3., 2.] m s>\n" * 2


def test_capability_table_of_scipy_finds_its_functions():
    array_api = pytest.importorskip("scipy._lib._array_api")
    table = getattr(array_api, "xp_capabilities_table", None)
    if not table:
        pytest.skip("this SciPy has no such table")
    known = [function for _, function, _ in functions("scipy.signal") if function in table]
    with patch("scipy.signal"):
        assert known
        assert [function for _, function, _ in functions("scipy.signal") if function in table] == known


# ------------------------------------------------------------------------------------ calls of the original


def test_errors_are_those_of_the_original():
    with pytest.raises(ValueError) as usual:  # noqa: PT011, the message is compared below
        np.convolve([], [1])
    with patch("numpy") as patched, pytest.raises(ValueError) as under_patch:  # noqa: PT011
        np.convolve([], [1])
    assert str(under_patch.value) == str(usual.value)
    assert patched.calls == {"numpy.convolve": Calls(fastconv=0, original=1)}


def test_unsupported_calls_go_to_the_original(monkeypatch):
    def never(a, v, mode="full"):
        raise Unsupported("nothing is supported")

    monkeypatch.setattr(ours, "convolve", never)
    with patch("numpy") as patched:
        assert np.convolve([1, 2], [1, 1]).tolist() == [1, 3, 2]
    assert patched.calls == {"numpy.convolve": Calls(fastconv=0, original=1)}


def test_arrays_of_other_libraries_use_their_own_functions(both_ways):
    class Array:
        def __array_function__(self, function, kinds, args, options):
            return "its own"

    with patch("numpy") as patched:
        assert np.convolve(Array(), [1, 2]) == np.convolve(v=[1, 2], a=Array()) == "its own"
        assert np.convolve(np.ma.masked_array([1, 2]), [1]).tolist() == [1, 2]
    assert patched.calls["numpy.convolve"].fastconv == 1


def test_keyword_arguments_are_checked_like_positional_ones():
    class Quantity(np.ndarray):
        def __array_function__(self, function, kinds, args, options):
            return super().__array_function__(function, kinds, args, options)

    quantity = np.ones((3, 3)).view(Quantity)
    calls = [
        lambda: scipy.signal.fftconvolve(quantity, np.ones((2, 2))),
        lambda: scipy.signal.fftconvolve(in1=quantity, in2=np.ones((2, 2))),
        lambda: scipy.signal.fftconvolve(np.ones((2, 2)), in2=quantity),
        lambda: scipy.ndimage.convolve(input=np.ones((3, 3)), weights=quantity),
        lambda: scipy.ndimage.gaussian_filter(np.ones((3, 3)), 1, output=quantity),
    ]
    for number, call in enumerate(calls):
        with patch("scipy.signal", "scipy.ndimage") as patched:
            call()
        name = "fftconvolve" if number < 3 else "convolve" if number < 4 else "gaussian_filter"
        (counted,) = [count for function, count in patched.calls.items() if function.endswith(f".{name}")]
        assert counted == Calls(fastconv=0, original=1)


def test_keyword_arguments_of_opencv_are_checked_like_positional_ones():
    cv2 = pytest.importorskip("cv2")

    class Array(np.ndarray):
        def __array_function__(self, function, kinds, args, options):
            return super().__array_function__(function, kinds, args, options)

    picture = np.ones((5, 5), np.uint8).view(Array)
    with patch("cv2") as patched:
        cv2.blur(picture, (3, 3))
        cv2.blur(src=picture, ksize=(3, 3))
    assert patched.calls == {"cv2.blur": Calls(fastconv=0, original=2)}


def test_iterators_are_passed_to_the_original():
    x, weights = np.arange(12.0).reshape(3, 4), np.ones((2, 2))
    expect = scipy.signal.fftconvolve(x, weights, axes=iter([0, 1]))
    with patch("scipy.signal") as patched:
        found = scipy.signal.fftconvolve(x, weights, axes=iter([0, 1]))
    np.testing.assert_array_equal(found, expect)
    assert patched.calls["scipy.signal.fftconvolve"] == Calls(fastconv=0, original=1)


INVALID = {
    "numpy": {"a": [None, [], [[1, 2]], "abc", {}], "v": [None, [], [[1, 2]]], "mode": ["fill", 7, 1.5, None, 10**30]},
    "scipy.signal": {
        "in1": [[1, 2], None, "abc"],
        "in2": [[1, 2], np.ones((5, 1)), [[object()]]],
        "mode": ["fill", None, [], 1],
        "method": ["quick", None],
        "axes": [5, (0, 0), (), 1.5],
        "boundary": ["reflect", None],
        "fillvalue": [[1, 2], [], 1j, "abc"],
    },
    "scipy.ndimage": {
        "input": [None, "abc", np.ones(3, "M8[s]")],
        "weights": [[], None, np.ones((1, 1, 1))],
        "mode": ["fill", None, ["wrap"] * 3],
        "origin": [5, 1.5, 10**30],
        "axis": [2, "x", 10**30],
        "axes": [(0, 0), 3, 1.5],
        "cval": ["abc", None],
        "size": [0.5, -1, (1, 2, 3)],
        "sigma": ["abc", float("inf"), (1, 2, 3)],
        "order": [-1, 1.5],
        "radius": [-1, 1.5, 2**62],
        "truncate": [float("inf"), 2**62],
        "output": [np.ones((2, 2)), 3, "abc"],
        "derivative": [None, len],
        "derivative2": [None, len],
    },
}
VALID = {
    "numpy": {"a": np.arange(6.0), "v": np.ones(2)},
    "scipy.signal": {"in1": np.ones((3, 4)), "in2": np.ones((2, 2)), "mode": "valid", "in1_len": 4, "in2_len": 2},
    "scipy.ndimage": {
        "input": np.ones((3, 4)),
        "weights": np.ones((2, 2)),
        "size": 3,
        "sigma": 1.0,
        "derivative": scipy.ndimage.sobel,
        "derivative2": scipy.ndimage.sobel,
    },
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("library", LIBRARIES)
def test_invalid_arguments_raise_the_errors_of_the_original(library):
    def outcome(function, options):
        try:
            return function(**options)
        except Exception as error:
            return type(error), str(error)

    raised = 0
    for name, function, own in functions(library):
        parameters = inspect.signature(own).parameters
        right = {key: value for key, value in VALID[library].items() if key in parameters}
        if name.endswith("1d") and "weights" in right:
            right["weights"] = np.ones(2)
        assert name == "choose_conv_method" or not isinstance(outcome(function, right), tuple), name
        for key, values in INVALID[library].items():
            for value in values if key in parameters else []:
                expect = outcome(function, {**right, key: value})
                if isinstance(expect, tuple):  # an error: the arguments are invalid for this function
                    raised += 1
                    with patch(library):
                        assert outcome(function, {**right, key: value}) == expect, (name, key, value)
    assert raised > 20


@pytest.mark.parametrize("bug", [AttributeError, IndexError, KeyError, AssertionError, MemoryError, RuntimeError])
def test_bugs_of_fastconv_reach_the_caller(both_ways, bug, monkeypatch):
    def failing(a, v, mode="full"):
        raise bug("within")

    monkeypatch.setattr(ours, "convolve", failing)
    with patch("numpy") as patched, pytest.raises(bug, match="within"):
        np.convolve([1, 2], [1, 1])
    assert not patched.refused


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_errors_of_signal_handlers_are_no_refusals(monkeypatch):
    def handler(number, frame):
        raise ValueError("time limit")

    def interrupted(a, v, mode="full"):
        signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(ours, "convolve", interrupted)
    former = signal.signal(signal.SIGUSR1, handler)
    try:
        with patch("numpy") as patched, pytest.raises(ValueError, match="time limit"):
            np.convolve([1, 2], [1, 1])
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert not patched.refused


def test_refused_records_calls_that_only_fastconv_rejects(tmp_path, monkeypatch):
    def refusing(a, v, mode="full"):
        raise ValueError("a must be even")

    monkeypatch.setattr(ours, "convolve", refusing)
    with patch("numpy") as patched:
        assert np.convolve([1, 2], [1, 1]).tolist() == [1, 3, 2]
        with pytest.raises(ValueError, match="cannot be empty") as error:
            np.convolve([], [1])
    assert error.value.__context__ is None
    assert patched.calls == {"numpy.convolve": Calls(fastconv=0, original=2)}
    assert patched.refused == {"numpy.convolve": "ValueError: a must be even"}

    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import numpy as np, scipy.signal
            print(scipy.signal.choose_conv_method(np.ones(3), np.ones(0), mode="valid"))
            print(scipy.signal.convolve(np.ones((2, 0)), np.ones((2, 2)), "valid", "direct").shape)
        """)
    )
    command = [sys.executable, "-m", "fastconv.compat", "--only", "scipy.signal", "--report", str(script)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "scipy.signal.convolve: computed by the original where fastconv raised ValueError: in1" in process.stderr


def test_tracebacks_show_the_function_and_its_file():
    with patch("numpy"):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            np.convolve([], [1])
    frames = traceback.extract_tb(error.value.__traceback__)
    file = np.convolve.__wrapped__.__code__.co_filename
    assert [frame.name for frame in frames if frame.filename == file] == ["convolve", "convolve"]
    assert "cannot be empty" in "".join(traceback.format_exception(error.value))


# ------------------------------------------------------------------------------------------------------ threads


def test_patch_affects_other_threads():
    seen = []
    with patch("numpy") as patched:
        thread = threading.Thread(target=lambda: seen.append(np.convolve([1, 2], [1, 1]).tolist()))
        thread.start()
        thread.join()
    assert seen == [[1, 3, 2]]
    assert patched.calls["numpy.convolve"].fastconv == 1


def test_call_in_progress_is_not_affected_by_undo(both_ways, monkeypatch):
    inside, undone, seen = threading.Event(), threading.Event(), []

    def slow(a, v, mode="full"):
        inside.set()
        assert undone.wait(60)
        return "ours"

    monkeypatch.setattr(ours, "convolve", slow)
    with patch("numpy") as patched:
        thread = threading.Thread(target=lambda: seen.append(np.convolve([1, 2], [1, 1])))
        thread.start()
        assert inside.wait(60)
    assert np.convolve([1, 2], [1, 1]).tolist() == [1, 3, 2]
    undone.set()
    thread.join()
    assert seen == ["ours"]
    assert patched.calls == {"numpy.convolve": Calls(fastconv=1, original=0)}


def test_threads_call_while_patches_are_applied_and_undone(both_ways):
    done, wrong, calls = threading.Event(), [], [0] * 4

    def work(number):
        while not done.is_set():
            found = np.convolve([1, 2, 3], [0, 1, 10]).tolist()
            if found != [0, 1, 12, 23, 30]:
                wrong.append(found)
            calls[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    patches = []
    for turn in range(20):
        patches += [patch("numpy"), patch("numpy")]
        before = sum(calls)
        while sum(calls) < before + 20:
            time.sleep(0)
        patches[-1 if turn % 2 else -2].undo()
        patches[-2 if turn % 2 else -1].undo()
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert 0 < sum(patched.calls["numpy.convolve"].fastconv for patched in patches if patched.calls) <= sum(calls)


# ---------------------------------------------------------------------------------------------------- the command


def test_invalid_library_names_raise():
    with pytest.raises(ValueError, match=r"libraries must be one or more of 'numpy', .*; got none"):
        patch()
    with pytest.raises(ValueError, match=r"libraries must be among 'numpy', .*; got 'scipy'"):
        patch("numpy", "scipy")
    with pytest.raises(ValueError, match=r"libraries must be among 'numpy', .*; got \['numpy'\]"):
        patch(["numpy"])


def test_modules_without_a_name_are_ignored(monkeypatch):
    cv2 = pytest.importorskip("cv2")
    nameless, numbered, original = types.ModuleType("nameless"), types.ModuleType("numbered"), cv2.blur
    del nameless.__name__
    numbered.__name__ = 7
    for name, module in (("nameless", nameless), ("numbered", numbered)):
        monkeypatch.setitem(sys.modules, name, module)
    with patch("cv2"):
        assert cv2.blur is not original
    assert cv2.blur is original


def test_command_keeps_the_import_path_in_safe_path_mode(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a_library_in_the_path.py").write_text("there = True\n")
    script = tmp_path / "script.py"
    script.write_text("import a_library_in_the_path\nprint(a_library_in_the_path.there)\n")
    path = os.pathsep.join([str(tmp_path / "lib"), *filter(None, sys.path)])
    env = dict(os.environ, PYTHONSAFEPATH="1", PYTHONPATH=path)
    command = [sys.executable, "-m", "fastconv.compat", "--only", "numpy", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_import_loads_no_library_and_no_numba():
    code = "import sys, fastconv.compat; print([m for m in ('scipy', 'cv2', 'numba', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_command_runs_an_unmodified_script(tmp_path):
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


def test_command_runs_a_module(tmp_path):
    (tmp_path / "a_module_to_run.py").write_text("import numpy, sys; print(numpy.correlate([1, 2], [1]), sys.argv[1:])")
    command = [sys.executable, "-m", "fastconv.compat", "--only", "numpy", "-m", "a_module_to_run", "1"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (result.stdout, result.stderr) == ("[1 2] ['1']\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_file.py"], "no_such_file.py: no such file"),
        ([], "the following arguments are required: program"),
        (["--only", "cv2", "-m", "this"], "cannot import what is to be replaced: No module named 'cv2'"),
    ],
)
def test_command_reports_what_it_cannot_run(monkeypatch, capsys, arguments, message):
    from fastconv.compat.__main__ import main

    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.delitem(sys.modules, "cv2")
    monkeypatch.setattr(sys, "meta_path", [NoOpenCV, *sys.meta_path])
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.endswith(f"error: {message}\n")


class NoOpenCV:
    """An importer that finds no OpenCV."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "cv2":
            raise ModuleNotFoundError("No module named 'cv2'", name=name)
