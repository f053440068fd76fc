"""Invalid arguments of every kind give a short error that names the argument, or else the correct result.

Every parameter of every public function is given every value of a list, one at a time; hypothesis draws all of them
together.
"""

import decimal
import enum
import fractions
import inspect
import io
import math
import re
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

import fastconv
from fastconv import image, kernels, reference
from fastconv.compat import cv2, ndimage, signal
from fastconv.compat import numpy as fnp
from fastconv.compat._unsupported import Unsupported
from tests.oracle import BOUNDARIES, MODES, expected

# The same examples in every run, without a database.
repeatable = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

LONGEST_MESSAGE = 1000

LINE, TAPS = np.arange(6.0), np.array([1.0, 2.0])
CUBE, BLOCK = np.arange(24.0).reshape(2, 3, 4), np.array([[[1.0, 2.0], [3.0, 4.0]]])
SHEET, SQUARE = np.arange(12.0).reshape(3, 4), np.array([[1.0, 2.0], [3.0, 4.0]])
FRAME = np.arange(48, dtype=np.uint8).reshape(6, 8)
OPTIONS = {"mode": "same", "boundary": "fill", "fill_value": 0, "method": "auto", "check": True}
OPTIONS |= {"workers": 1, "out": None, "progress": None, "stride": 1, "dilation": 1, "start": None}
OPTIONS |= {"nan": "propagate", "weights": None, "min_weight": 0.0, "return_weight": False, "normalize": True}
OPTIONS |= {"missing_value": None}
MISSING = {**OPTIONS, "nan": "ignore", "weights": 0.5, "min_weight": 0.25, "missing_value": 1.0}
PLANNED = {"dtype": "f8", "mode": "same", "boundary": "fill", "fill_value": 0, "method": "auto"}
PLANNED |= {"check": True, "correlate": False, "stride": 1, "dilation": 1, "start": None, "lags": None}
PLANNED |= {name: OPTIONS[name] for name in ("nan", "weights", "min_weight", "return_weight", "normalize")}
PLANNED["missing_value"] = None
BANKED = {"mode": "same", "axes": (0, 1), "boundary": "fill", "fill_value": 0, "dtype": "f8", "workers": 1, "out": None}
FITTED = {"mode": "same", "boundary": "fill", "fill_value": 0, "ridge": 0.0, "weights": None, "symmetric": False}
TREATED = {name: OPTIONS[name] for name in ("nan", "weights", "min_weight", "return_weight", "normalize")}
TREATED["missing_value"] = None
PARTLY_TREATED = {name: value for name, value in TREATED.items() if name != "normalize"}
PICTURED = {"mode": "same", "boundary": "fill", "fill_value": 0, "axes": None, "alpha": "keep", "alpha_channel": None}
PICTURED |= {"linear": False, "dtype": "float32", "method": "auto", "workers": 1, "progress": None, "out": None}

FUNCTIONS = {
    "convolve": (fastconv.convolve, {"x": LINE, "kernel": TAPS, "axes": None, **OPTIONS}),
    "correlate": (fastconv.correlate, {"x": SHEET, "kernel": SQUARE, "axes": None, **OPTIONS}),
    "convolve1d": (fastconv.convolve1d, {"x": LINE, "kernel": TAPS, "axis": 0, **OPTIONS}),
    "correlate1d": (
        fastconv.correlate1d,
        {"x": LINE, "kernel": TAPS, "axis": 0, **OPTIONS, "mode": "full", "lags": None},
    ),
    "convolve2d": (fastconv.convolve2d, {"image": SHEET, "kernel": SQUARE, "axes": (0, 1), **OPTIONS}),
    "correlate2d": (fastconv.correlate2d, {"image": SHEET, "kernel": SQUARE, "axes": (0, 1), **OPTIONS}),
    "convolve3d": (fastconv.convolve3d, {"volume": CUBE, "kernel": BLOCK, "axes": (0, 1, 2), **OPTIONS}),
    "correlate3d": (fastconv.correlate3d, {"volume": CUBE, "kernel": BLOCK, "axes": (0, 1, 2), **OPTIONS}),
    "correlation_lags": (
        fastconv.correlation_lags,
        {"samples": 6, "taps": 2, "mode": "same", "stride": 1, "dilation": 1, "start": None},
    ),
    "convolve_bank": (fastconv.convolve_bank, {"image": SHEET, "kernels": SQUARE[np.newaxis], **BANKED}),
    "correlate_bank": (fastconv.correlate_bank, {"image": SHEET, "kernels": SQUARE[np.newaxis], **BANKED}),
    "fit_kernel": (fastconv.fit_kernel, {"x": LINE, "y": 2 * LINE, "shape": 1, **FITTED}),
    "missing samples": (fastconv.convolve1d, {"x": LINE, "kernel": TAPS, "axis": 0, **MISSING}),
    "missing pixels": (fastconv.convolve2d, {"image": SHEET, "kernel": SQUARE, "axes": (0, 1), **MISSING}),
    "missing samples, some of them": (
        fastconv.correlate,
        {"x": SHEET, "kernel": np.ones((3, 2)), "axes": 1, **MISSING, "stride": 2, "dilation": 2, "start": "first"}
        | {"boundary": "reflect"},
    ),
    "plan": (fastconv.plan, {"kernel": SQUARE, "shape": (3, 4), "axes": (0, 1), "workers": 1, **PLANNED}),
    "a plan of lines": (fastconv.plan, {"kernel": TAPS, "shape": 6, "axes": 0, "workers": 1, **PLANNED}),
    "a plan of missing samples": (
        fastconv.plan,
        {"kernel": TAPS, "shape": 6, "axes": 0, "workers": 1, **PLANNED, "nan": "ignore", "weights": 0.5},
    ),
    "a plan called": (fastconv.plan(SQUARE, (3, 4)), {"x": SHEET, "out": None, "progress": None}),
    "show_config": (fastconv.show_config, {"mode": "dicts"}),
    "filter": (
        image.filter,
        {"image": FRAME, "kernel": SQUARE, "scale": 1, "offset": 0, "correlate": False, **PICTURED, **TREATED},
    ),
    "gaussian_blur": (
        image.gaussian_blur,
        {"image": FRAME, "sigma": 1.0, "truncate": 4.0, "order": 0, **PICTURED, **PARTLY_TREATED},
    ),
    "a blur of missing pixels": (
        image.gaussian_blur,
        {"image": FRAME, "sigma": 1.0, "truncate": 4.0, "order": 0, **PICTURED, **PARTLY_TREATED}
        | {"nan": "ignore", "weights": 0.5, "min_weight": 0.25},
    ),
    "motion_blur": (image.motion_blur, {"image": FRAME, "length": 3.0, "angle": 0.0, **PICTURED, **PARTLY_TREATED}),
    "box_blur": (image.box_blur, {"image": FRAME, "size": 3, **PICTURED, **PARTLY_TREATED}),
    "local_mean": (image.local_mean, {"image": FRAME, "size": 3, **PICTURED, **PARTLY_TREATED}),
    "local_std": (image.local_std, {"image": FRAME, "size": 3, **PICTURED}),
    "normalized_cross_correlation": (
        image.normalized_cross_correlation,
        {"image": FRAME, "template": FRAME[:2, :3], **PICTURED},
    ),
    "edges": (image.edges, {"image": FRAME, **PICTURED, **PARTLY_TREATED}),
    "emboss": (image.emboss, {"image": FRAME, **PICTURED, **PARTLY_TREATED}),
    "sobel_magnitude": (image.sobel_magnitude, {"image": FRAME, **PICTURED, **PARTLY_TREATED}),
    "scharr_magnitude": (image.scharr_magnitude, {"image": FRAME, **PICTURED, **PARTLY_TREATED}),
    "prewitt_magnitude": (image.prewitt_magnitude, {"image": FRAME, **PICTURED, **PARTLY_TREATED}),
    "sobel_direction": (image.sobel_direction, {"image": FRAME, **PICTURED, **PARTLY_TREATED}),
    "gaussian_gradient_magnitude": (
        image.gaussian_gradient_magnitude,
        {"image": FRAME, "sigma": 1.0, "truncate": 4.0, **PICTURED, **PARTLY_TREATED},
    ),
    "laplacian_of_gaussian": (
        image.laplacian_of_gaussian,
        {"image": FRAME, "sigma": 1.0, "truncate": 4.0, **PICTURED, **PARTLY_TREATED},
    ),
    "unsharp_mask": (
        image.unsharp_mask,
        {"image": FRAME, "sigma": 1.0, "amount": 1.0, "threshold": 1, "truncate": 4.0, **PICTURED, **PARTLY_TREATED},
    ),
    "difference_of_gaussians": (
        image.difference_of_gaussians,
        {"image": FRAME, "low_sigma": 1.0, "high_sigma": 2.0, "truncate": 4.0, **PICTURED, **PARTLY_TREATED},
    ),
    **{
        make.__name__: (make, {"dtype": "float32"})
        for make in kernels.NAMES.values()
        if list(inspect.signature(make).parameters) == ["dtype"]
    },
    "box": (kernels.box, {"size": 3, "dtype": "float32"}),
    "binomial": (kernels.binomial, {"size": 3, "dtype": "float32"}),
    "ridge": (kernels.ridge, {"neighbours": 8, "dtype": "float32"}),
    "disk": (kernels.disk, {"radius": 3.0, "dtype": "float32"}),
    "gaussian": (kernels.gaussian, {"sigma": 1.0, "truncate": 4.0, "dtype": "float32"}),
    "unsharp": (kernels.unsharp, {"sigma": 1.0, "amount": 1.0, "truncate": 4.0, "dtype": "float32"}),
    "motion": (kernels.motion, {"length": 3.0, "angle": 3.0, "dtype": "float32"}),
    "log": (kernels.log, {"sigma": 1.0, "truncate": 4.0, "dtype": "float32"}),
    "gabor": (
        kernels.gabor,
        {"wavelength": 4.0, "angle": 0.0, "sigma": 2.0, "aspect": 0.5, "phase": 0.0, "truncate": 4.0, "dtype": "f4"},
    ),
    "named": (kernels.named, {"name": "box", "dtype": "float32"}),
    "parse": (kernels.parse, {"text": "1 2", "dtype": "float32"}),
    "quotient": (kernels.quotient, {"text": "1/2"}),
    "from_pillow": (kernels.from_pillow, {"kernel": ImageFilter.BLUR, "dtype": "float32"}),
}

# Other words that an error may name for a parameter: a kernel of other dimensions needs other axes, for example.
ALSO_ACCEPTED = {
    ("plan", "kernel"): "axes|shape",
    ("a plan of lines", "kernel"): "axes|shape",
    ("difference_of_gaussians", "low_sigma"): "sigma",
    ("difference_of_gaussians", "high_sigma"): "sigma",
    ("named", "name"): "no kernel is called",
    ("parse", "text"): "kernel",
    ("quotient", "text"): "division by zero",
}


class Text(str):
    pass


class Mode(str, enum.Enum):
    SAME = "same"
    OTHER = "other"


class NoHash(str):
    def __hash__(self):
        raise KeyError("no hash")


class NoComparison(str):
    __hash__ = str.__hash__

    def __eq__(self, other):
        raise KeyError("no comparison")


class WithoutRepr:
    def __repr__(self):
        raise KeyError("no repr")


class Unhashable:
    def __hash__(self):
        raise KeyError("no hash")


class GiantIndex:
    def __index__(self):
        return 2**200


class ReturnsItself:
    def __array__(self, dtype=None, copy=None):
        return self


class ReturnsText:
    def __array__(self, dtype=None, copy=None):
        return "no array"


class WrongShape:
    shape, dtype, ndim = (100,), np.dtype("f4"), 1

    def __array__(self, dtype=None, copy=None):
        return np.arange(3.0)


class NoItems(np.ndarray):
    """An array that raises when it is indexed."""

    def __array_finalize__(self, parent):
        self.tag = 1

    def __getitem__(self, index):
        raise KeyError("no items")


def nested_list(depth):
    found = [1.0]
    for _ in range(depth):
        found = [found]
    return found


def list_in_itself():
    found = []
    found.append(found)
    return found


def closed_picture():
    picture = Image.new("L", (3, 3))
    picture.close()
    return picture


def read_only_array():
    array = np.ones(6)
    array.flags.writeable = False
    return array


def released_memory():
    view = memoryview(b"abc")
    view.release()
    return view


# Created for each call: some can be consumed only once, and some are written to.
HOSTILE = {
    "None": lambda: None,
    "text": lambda: "abc",
    "empty text": lambda: "",
    "bytes": lambda: b"abc",
    "a set": lambda: {1, 2},
    "a dict": lambda: {1: 2},
    "a generator": lambda: (i for i in range(3)),
    "ragged": lambda: [[1], [1, 2]],
    "deep": lambda: nested_list(40),
    "very deep": lambda: nested_list(5000),
    "a list in itself": list_in_itself,
    "a class": lambda: int,
    "an object": object,
    "a function": lambda: len,
    "an ellipsis": lambda: ...,
    "a slice": lambda: slice(1),
    "a range": lambda: range(3),
    "a file": lambda: io.BytesIO(b""),
    "released memory": released_memory,
    "NaN": lambda: math.nan,
    "infinity": lambda: math.inf,
    "minus infinity": lambda: -math.inf,
    "10**400": lambda: 10**400,
    "10**5000": lambda: 10**5000,
    "-10**400": lambda: -(10**400),
    "2**63": lambda: 2**63,
    "-2**63": lambda: -(2**63),
    "2**62": lambda: 2**62,
    "1e9": lambda: 1e9,
    "1e300": lambda: 1e300,
    "1e-300": lambda: 1e-300,
    "the smallest float": lambda: 5e-324,
    "-1": lambda: -1,
    "zero": lambda: 0,
    "minus zero": lambda: -0.0,
    "True": lambda: True,
    "np.True_": lambda: np.True_,
    "1.0": lambda: 1.0,
    "complex": lambda: 1j,
    "complex NaN": lambda: complex(math.nan, 1),
    "float16 infinity": lambda: np.float16("inf"),
    "longdouble": lambda: np.longdouble("1e300") ** 10,
    "np.str_": lambda: np.str_("same"),
    "np.bytes_": lambda: np.bytes_(b"same"),
    "a date": lambda: np.datetime64("2020"),
    "a time span": lambda: np.timedelta64(1, "s"),
    "NaT": lambda: np.datetime64("NaT", "s"),
    "0-D": lambda: np.array(1.5),
    "0-D object": lambda: np.array(None, object),
    "void": lambda: np.zeros(3, "V3"),
    "structured": lambda: np.zeros(3, "i4,f4"),
    "many fields": lambda: np.zeros(3, ",".join(["i4"] * 300)),
    "dates": lambda: np.zeros(3, "M8[s]"),
    "strings": lambda: np.array(["a", "b"]),
    "objects": lambda: np.array([1, "a", None], object),
    "masked": lambda: np.ma.masked_equal([1.0, 2.0, 3.0], 2),
    "np.ma.masked": lambda: np.ma.masked,
    "masked array without a mask": lambda: np.ma.array([1.0, 2.0]),
    "a recarray": lambda: np.rec.array([(1, 2.0)], dtype="i4,f4"),
    "without items": lambda: SHEET.view(NoItems),
    "empty": lambda: np.zeros(0),
    "empty rows": lambda: np.zeros((3, 0)),
    "30-D": lambda: np.ones((1,) * 30),
    "read-only": read_only_array,
    "broadcast": lambda: np.broadcast_to(1.0, (3, 4)),
    "big-endian": lambda: SHEET.astype(">f8"),
    "2**59 numbers": lambda: np.broadcast_to(1.0, (2**59,)),
    "2**40 by 2**19": lambda: np.broadcast_to(1.0, (2**40, 2**19)),
    "a subclass of str": lambda: Text("same"),
    "an enum member": lambda: Mode.SAME,
    "another enum member": lambda: Mode.OTHER,
    "a str without a hash": lambda: NoHash("same"),
    "a str without comparison": lambda: NoComparison("same"),
    "Decimal": lambda: decimal.Decimal("1.5"),
    "a signalling NaN": lambda: decimal.Decimal("sNaN"),
    "Fraction": lambda: fractions.Fraction(1, 3),
    "a huge Fraction": lambda: fractions.Fraction(10**400, 3),
    "no repr": WithoutRepr,
    "a list without repr": lambda: [WithoutRepr(), 1],
    "no hash": Unhashable,
    "a giant index": GiantIndex,
    "array of itself": ReturnsItself,
    "array of text": ReturnsText,
    "array of another shape": WrongShape,
    "a long list": lambda: list(range(20_000)),
    "a long tuple": lambda: (1,) * 20_000,
    "a long text": lambda: "x" * 100_000,
    "long bytes": lambda: b"x" * 100_000,
    "a large dict": lambda: dict.fromkeys(range(20_000)),
    "()": lambda: (),
    "(1,)": lambda: (1,),
    "(0, 1)": lambda: (0, 1),
    "(-1, -2)": lambda: (-1, -2),
    "(2**70, 0)": lambda: (2**70, 0),
    "(10**400, 1)": lambda: (10**400, 1),
    "(-5, 3)": lambda: (-5, 3),
    "(True, False)": lambda: (True, False),
    "(1e9, 1e9)": lambda: (1e9, 1e9),
    "(2**62, 2**62)": lambda: (2**62, 2**62),
    "(NaN, 1)": lambda: (math.nan, 1),
    "(None, None)": lambda: (None, None),
    "two arrays": lambda: (np.array(0), np.array(1)),
    "axes in an array": lambda: np.array([0, 1]),
    "axes of floats": lambda: np.array([0.0, 1.0]),
    "a dtype": lambda: np.dtype("i4"),
    "a void dtype": lambda: np.dtype("V8"),
    "a picture of one bit": lambda: Image.new("1", (1, 1)),
    "a palette": lambda: Image.new("P", (3, 3)),
    "a picture of NaN": lambda: Image.new("F", (2, 2), math.nan),
    "a picture of 16 bits": lambda: Image.new("I;16", (2, 2)),
    "LAB": lambda: Image.new("LAB", (2, 2)),
    "a closed picture": closed_picture,
    "an empty picture": lambda: Image.new("L", (0, 3)),
}


def test_all_public_parameters_are_tested():
    public = {name: getattr(module, name) for module in (fastconv, image, kernels) for name in module.__all__}
    checked = {function: set(arguments) for function, arguments in FUNCTIONS.values()}
    for name, function in public.items():
        # `read` reads a file, and `warmup` takes long: see test_kernels and test_warming.
        if inspect.isfunction(function) and name not in ("read", "warmup"):
            signature = inspect.signature(function).parameters.values()
            parameters = {one.name for one in signature if one.kind is not inspect.Parameter.VAR_KEYWORD}
            assert not parameters or checked[function] == parameters, name


def error_of(function, arguments):
    """Return the exception of a call, or None."""
    try:
        function(**arguments)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_name_the_invalid_argument_in_a_short_message(name):
    function, arguments = FUNCTIONS[name]
    for parameter in arguments:
        named = re.compile(
            rf"\b{parameter}\b|{ALSO_ACCEPTED.get((name, parameter), parameter)}|(axes|out) is only for arrays"
        )
        refused = 0
        for kind, value in HOSTILE.items():
            if parameter == "progress" and callable(value()):  # is called, and what it raises comes out
                continue
            error = error_of(function, {**arguments, parameter: value()})
            refused += error is not None
            if isinstance(error, MemoryError):
                assert kind.startswith("2**"), (parameter, kind, error)
            elif kind == "without items" and isinstance(error, KeyError):  # raised by a method of the array
                assert str(error) == "'no items'"
            elif error is not None:
                assert isinstance(error, (ValueError, TypeError)), (parameter, kind, error)
                assert named.search(str(error)), (parameter, kind, error)
                assert len(str(error)) <= LONGEST_MESSAGE, (parameter, kind)
        assert refused > len(HOSTILE) / 3, (parameter, refused)


def test_time_spans_and_masked_values_are_not_numbers():
    for value in (np.timedelta64(1, "s"), np.ma.masked, np.datetime64(1, "ns"), np.array(["1"])[0]):
        with pytest.raises(TypeError, match="fill_value must be a number"):
            fastconv.convolve1d([1.0], [1.0, 2.0], boundary="fill", fill_value=value)
        with pytest.raises(TypeError, match="scale must be a finite number"):
            image.filter(FRAME, SQUARE, scale=value)


def test_time_spans_are_not_bools():
    for value in (np.timedelta64(0, "s"), np.timedelta64(1, "s")):
        with pytest.raises(TypeError, match="correlate must be True or False"):
            fastconv.plan([[1.0]], (3, 3), correlate=value)


def test_bools_are_not_integers_and_integers_are_not_bools():
    for axis in (True, np.True_):
        with pytest.raises(TypeError, match=r"axis must be an integer; got .*True"):
            fastconv.convolve1d(SHEET, TAPS, axis=axis)
    with pytest.raises(TypeError, match="size must be a positive integer; got True"):
        kernels.box(True)
    for value in ("no", [], None, 2, 1.0):
        with pytest.raises(TypeError, match="correlate must be True or False"):
            fastconv.plan(TAPS, 6, correlate=value)
        with pytest.raises(TypeError, match="correlate must be True or False"):
            image.filter(FRAME, SQUARE, correlate=value)
    assert fastconv.plan(TAPS, 6, correlate=np.True_)(LINE).tolist() == fastconv.correlate1d(LINE, TAPS).tolist()


def test_modes_may_be_subclasses_of_str():
    wanted = fastconv.convolve1d(LINE, TAPS, "same")
    for mode in (Text("same"), Mode.SAME, np.str_("same"), NoHash("same"), NoComparison("same")):
        np.testing.assert_array_equal(fastconv.convolve1d(LINE, TAPS, mode), wanted)
        np.testing.assert_array_equal(fastconv.plan(TAPS, 6, mode=mode)(LINE), wanted)
        np.testing.assert_array_equal(image.filter(FRAME, SQUARE, mode=mode), image.filter(FRAME, SQUARE))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: kernels.gaussian(1e9), "sigma and truncate"),
        (lambda: kernels.gaussian((1, 1e308)), "sigma and truncate"),
        (lambda: kernels.gaussian(1, truncate=1e308), "sigma and truncate"),
        (lambda: kernels.unsharp(1e5), "sigma and truncate"),
        (lambda: kernels.log(1e5), "sigma and truncate"),
        (lambda: kernels.disk(1e5), "radius"),
        (lambda: kernels.motion(2**24, 45), "length"),
        (lambda: kernels.gabor(aspect=1e-300), "aspect"),
        (lambda: kernels.box(2**62), "size"),
        (lambda: kernels.box((2**31, 1)), "size"),
        (lambda: image.gaussian_blur(FRAME, 1e9), "sigma and truncate"),
        (lambda: image.unsharp_mask(FRAME, 1e9), "sigma and truncate"),
        (lambda: image.difference_of_gaussians(FRAME, 1e9), "sigma and truncate"),
    ],
)
def test_too_large_kernels_are_refused_before_allocation(call, named):
    with pytest.raises(ValueError, match=rf"{named}.* must give a kernel of at most 268435456 taps; got"):
        call()
    with pytest.raises(ValueError, match=r"length must be at most 16777216; got 1000000000\.0"):
        kernels.motion(1e9)


def test_smallest_kernels_are_the_identity():
    for least in (5e-324, 1e-300, 0.1):
        for kernel in (kernels.disk(least), kernels.motion(least, 30), kernels.gaussian(least)):
            assert kernel.tolist() == [[1]]
    np.testing.assert_array_equal(kernels.log(5e-324), kernels.laplacian())


def test_too_large_factors_are_refused():
    for scale in (1e300, 1e-300, 5e-324):
        with pytest.raises(ValueError, match="scale and offset must leave results that float32 can hold"):
            image.filter(FRAME, SQUARE, scale=scale)
    with pytest.raises(ValueError, match=r"amount must be a number that float32 can hold; got 1e\+300"):
        image.unsharp_mask(FRAME, amount=1e300)
    with pytest.raises(ValueError, match="amount must be a number that leaves taps finite"):
        kernels.unsharp(amount=1e300)
    np.testing.assert_array_equal(image.unsharp_mask(FRAME, threshold=1e300), FRAME)


# ----------------------------------------------------------------------------------------------- random arguments

odd = st.sampled_from(sorted(HOSTILE)).map(lambda kind: HOSTILE[kind]())
numbers = st.floats(width=32) | st.integers(-(2**40), 2**40) | st.booleans() | st.complex_numbers()
arrays = st.builds(
    lambda values, dtype, columns: array_of(values, dtype, columns),
    st.lists(st.integers(-4, 4), min_size=0, max_size=24),
    st.sampled_from(["f8", "f4", "f2", "i1", "u1", "i4", "u8", "?", "c8", "c16", ">f4", ">i2", "g", "O"]),
    st.integers(0, 4),
)


def array_of(values, dtype, columns):
    array = np.array(values, np.int64).astype(dtype)  # of negative floats, unsigned types have no value in C
    return array.reshape(-1, columns) if columns and len(values) % columns == 0 else array


PLAUSIBLE = {
    "x": arrays,
    "image": arrays | st.sampled_from([FRAME, Image.fromarray(FRAME), Image.new("RGBA", (4, 3), (9, 8, 7, 6))]),
    "kernel": arrays,
    "template": arrays,
    "volume": st.sampled_from([CUBE, CUBE.astype("u1")]),
    "axis": st.integers(-3, 3),
    "axes": st.tuples(st.integers(-3, 3), st.integers(-3, 3)),
    "shape": st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple),
    "mode": st.sampled_from(MODES),
    "boundary": st.sampled_from(BOUNDARIES),
    "stride": st.integers(1, 3),
    "dilation": st.integers(1, 3) | st.tuples(st.integers(1, 3)),
    "start": st.none() | st.sampled_from((None, "first", "center", "last", 0, 9)),
    "lags": st.none() | st.sampled_from((None, None, (0, 1), (1, 0))),
    "samples": st.integers(1, 9),
    "taps": st.integers(1, 9),
    "method": st.sampled_from(("auto", "direct", "separable", "fft")),
    "workers": st.none() | st.integers(1, 3),
    "alpha": st.sampled_from(("auto", "keep", "filter")),
    "alpha_channel": st.none() | st.integers(-2, 3),
    "linear": st.booleans(),
    "order": st.integers(0, 2),
    "dtype": st.sampled_from([None, "f4", "f8", "u1", ">i4", "c8"]),
    "out": st.none() | arrays,
    "progress": st.none(),
    "correlate": st.booleans(),
    # Options for missing samples are refused where none can be missing.
    **{name: st.just(OPTIONS[name]) for name in ("nan", "weights", "min_weight", "return_weight", "normalize")},
    "missing_value": st.none(),
}


@st.composite
def calls(draw, names):
    name = draw(st.sampled_from(names))
    function, usual = FUNCTIONS[name]
    arguments, nearly_usual = {}, draw(st.booleans())
    for parameter, value in usual.items():
        plausible = PLAUSIBLE.get(parameter, numbers)
        if not draw(st.integers(0, 2 * len(usual) if nearly_usual else 7)):
            arguments[parameter] = draw(odd)
        elif nearly_usual and draw(st.integers(0, 3)):
            arguments[parameter] = value
        else:
            arguments[parameter] = draw(st.just(value) | plausible | plausible)
    return function, arguments


def result_of(function, arguments):
    """Return the result of a call, or None for a permitted error."""
    result = []
    error = error_of(lambda: result.append(function(**arguments)), {})
    if error is None:
        return result[0]
    no_items = isinstance(error, KeyError) and str(error) == "'no items'"
    assert no_items or isinstance(error, (ValueError, TypeError, MemoryError)), error
    assert len(str(error)) <= LONGEST_MESSAGE
    return None


def property_test(strategies, least):
    """Decorate a test to draw examples, of which at least `least` give a result, and as many an error.

    The test returns None for an error, else whether it checked the result.
    """

    def decorate(test):
        def run():
            outcomes = []
            repeatable(given(st.tuples(*strategies))(lambda drawn: outcomes.append(test(*drawn))))()
            assert outcomes.count(True) >= least, (test.__name__, outcomes)
            assert outcomes.count(None) >= least, (test.__name__, outcomes)

        run.__name__ = test.__name__
        return run

    return decorate


CONVOLUTIONS = [name for name in FUNCTIONS if name[:4] in ("conv", "corr") and "kernel" in FUNCTIONS[name][1]]


@property_test([calls(CONVOLUTIONS)], 4)
def test_random_arguments_of_convolutions_give_an_error_or_the_correct_result(call):
    function, arguments = call
    result = result_of(function, arguments)
    if result is None:
        return None
    first, kernel = next(arguments[name] for name in ("x", "image", "volume") if name in arguments), arguments["kernel"]
    if not (type(first) is type(kernel) is np.ndarray and first.ndim == kernel.ndim in (1, 2, 3)):
        return False
    if arguments["nan"] != "propagate" or arguments["weights"] is not None:
        return False
    if arguments.get("axes") not in (None, tuple(range(first.ndim))) or np.result_type(first, kernel).char in "gGeO":
        return False
    mode, boundary, fill = (arguments[name] for name in ("mode", "boundary", "fill_value"))
    if type(fill) not in (int, float) or not abs(fill) <= 1000 or fill != int(fill):
        return False
    steps = {name: arguments[name] for name in ("stride", "dilation", "start")}
    if arguments.get("lags") is not None or max(np.max(steps[name]) for name in ("stride", "dilation")) > 99:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the oracle about infinities
        wanted = expected(first, kernel, str(mode), str(boundary), int(fill), "convolve" in function.__name__, **steps)
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-3)
    return True


@property_test([calls(["plan", "a plan of lines"]), st.none() | arrays | odd, st.none() | arrays | odd], 5)
def test_random_arguments_of_plans_give_an_error_or_the_result_of_the_function(call, x, out):
    function, arguments = call
    plan = result_of(function, arguments)
    if plan is None:
        return None
    assert len(repr(plan)) < LONGEST_MESSAGE
    if x is None:
        x = np.arange(math.prod(plan.shape)).reshape(plan.shape).astype(plan.x_dtype)
    result = result_of(plan, {"x": x, "out": out})
    if result is None:
        return None
    kind = "correlate" if arguments["correlate"] else "convolve"
    lines = np.ndim(arguments["kernel"]) == 1
    same = getattr(fastconv, f"{kind}{1 if lines else 2}d")
    names = ["mode", "boundary", "fill_value", "method", "stride", "dilation", "start"]
    options = {name: arguments[name] for name in names + ["lags"] * (lines and kind == "correlate")}
    if arguments["axes"] is not None:
        options["axis" if lines else "axes"] = arguments["axes"]
    np.testing.assert_array_equal(result, same(x, arguments["kernel"], **options))
    return True


PICTURE_FUNCTIONS = [name for name in FUNCTIONS if FUNCTIONS[name][0].__module__.startswith("fastconv.image")]


@property_test([calls(PICTURE_FUNCTIONS)], 5)
def test_random_arguments_of_picture_functions_give_an_error_or_a_picture(call):
    function, arguments = call
    result = result_of(function, arguments)
    assert result is None or isinstance(result, (np.ndarray, Image.Image, image.Match))
    return None if result is None else True


@property_test([calls(["box", "disk", "gaussian", "unsharp", "motion", "log", "gabor"])], 5)
def test_random_arguments_of_kernels_give_an_error_or_finite_taps(call):
    function, arguments = call
    small = {name: value for name, value in arguments.items() if not isinstance(value, (int, float)) or value < 50}
    result = result_of(function, small)
    if result is None:
        return None
    assert result.dtype in (np.float32, np.float64)
    assert result.ndim == 2
    assert np.isfinite(result).all()
    return True


# ------------------------------------------------------------------------------------------------- compat functions

COMPAT_FUNCTIONS = {
    "np.convolve": (fnp.convolve, {"a": LINE, "v": TAPS, "mode": "same"}),
    "np.correlate": (fnp.correlate, {"a": LINE, "v": TAPS, "mode": "same"}),
    "signal.convolve": (signal.convolve, {"in1": SHEET, "in2": SQUARE, "mode": "same", "method": "auto"}),
    "signal.correlate2d": (
        signal.correlate2d,
        {"in1": SHEET, "in2": SQUARE, "mode": "same", "boundary": "fill", "fillvalue": 0},
    ),
    "signal.fftconvolve": (signal.fftconvolve, {"in1": SHEET, "in2": SQUARE, "mode": "same", "axes": (0, 1)}),
    "ndimage.correlate": (
        ndimage.correlate,
        {"input": SHEET, "weights": SQUARE, "mode": "constant", "cval": 0.0, "origin": 0, "axes": (0, 1)},
    ),
    "ndimage.laplace": (ndimage.laplace, {"input": SHEET, "mode": "reflect", "cval": 0.0, "axes": (0, 1)}),
    "cv2.filter2D": (
        cv2.filter2D,
        {"src": FRAME, "ddepth": -1, "kernel": SQUARE, "dst": None, "anchor": (0, 0), "delta": 0.0, "borderType": 4},
    ),
    "cv2.Sobel": (
        cv2.Sobel,
        {"src": FRAME, "ddepth": -1, "dx": 1, "dy": 0, "ksize": 3, "scale": 1.0, "delta": 0.0, "borderType": 4},
    ),
    "cv2.GaussianBlur": (cv2.GaussianBlur, {"src": FRAME, "ksize": (3, 3), "sigmaX": 1.0, "sigmaY": 1.0}),
}
# The originals raise these too. The last two come from Fractions, Decimals and integers.
ERRORS_OF_ORIGINALS = (
    ValueError,
    TypeError,
    RuntimeError,
    MemoryError,
    IndexError,
    OverflowError,
    decimal.InvalidOperation,
)


@pytest.mark.parametrize("name", COMPAT_FUNCTIONS)
def test_compat_functions_raise_short_errors(name):
    function, arguments = COMPAT_FUNCTIONS[name]
    for parameter in arguments:
        for kind, value in HOSTILE.items():
            with warnings.catch_warnings():
                if kind == "np.ma.masked":  # NumPy warns that it becomes a NaN
                    warnings.simplefilter("ignore", UserWarning)
                error = error_of(function, {**arguments, parameter: value()})
            if isinstance(error, KeyError):
                assert str(error) in ("'no items'", "'no hash'", "'no comparison'"), (parameter, kind)
            elif error is not None:
                assert isinstance(error, (cv2.error, Unsupported, *ERRORS_OF_ORIGINALS)), (parameter, kind, error)
                assert not isinstance(error, RecursionError), (parameter, kind)
                assert len(str(error)) <= LONGEST_MESSAGE, (parameter, kind)


# -------------------------------------------------------------------------------------------------- the reference


@pytest.mark.parametrize("function", [reference.convolve2d, reference.correlate2d])
def test_reference_reports_invalid_arguments(function):
    for picture, kernel in (([], [[1]]), ([[]], [[1]]), ([[1]], []), ([[1]], [[]]), ([[1, 2], [3]], [[1]])):
        with pytest.raises(ValueError, match="must"):
            function(picture, kernel)
    with pytest.raises(ValueError, match="mode must be"):
        function([[1]], [[1]], "some")
    with pytest.raises(ValueError, match="boundary must be"):
        function([[1]], [[1, 1]], boundary="some")
