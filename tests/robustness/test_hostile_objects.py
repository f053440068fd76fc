"""Arguments whose methods run code, and programs that change settings of NumPy and Python."""

import decimal
import itertools
import sys

import numpy as np
import pytest
from PIL import Image, ImageFilter

import fastconv
from fastconv import image, kernels, reference
from fastconv.compat import cv2, ndimage, signal
from fastconv.compat import numpy as fnp
from tests.sample_calls import succeed

RNG = np.random.default_rng(3)


class Source:
    """An object with an `__array__` that calls a function."""

    def __init__(self, call):
        self.call = call

    def __array__(self, dtype=None, copy=None):
        return self.call()


def raising(error):
    def call(*_):
        raise error

    return call


class Interface:
    """An object with an `__array_interface__` that calls a function."""

    def __init__(self, call):
        self.call = call

    @property
    def __array_interface__(self):
        return self.call()


class Sequence:
    """A sequence whose elements are the results of a function."""

    def __init__(self, call):
        self.call = call

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self.call()


SOURCES = {
    "an array": Source,
    "an interface": Interface,
    "a sequence": Sequence,
    "a list": lambda call: [1.0, Source(call)],
    "a list of lists": lambda call: [[1.0], [Source(call)]],
}
# Name of the argument, and a call with that argument.
CONVERSIONS = [
    ("x", lambda source: fastconv.convolve1d(source, [1.0])),
    ("kernel", lambda source: fastconv.convolve([1.0], source)),
    ("image", lambda source: fastconv.correlate2d(source, [[1.0]])),
    ("kernel", lambda source: fastconv.plan(source, 3)),
    ("x", lambda source: fastconv.plan([1.0], 3)(source)),
    ("image", lambda source: image.filter(source, [[1.0]])),
    ("kernel", lambda source: image.filter(np.ones((2, 2)), source)),
    ("image", lambda source: image.gaussian_blur(source, 1.0)),
    ("image", image.sobel_magnitude),
    ("image", image.sobel_direction),
    ("a", lambda source: fnp.convolve(source, [1.0])),
    ("v", lambda source: fnp.correlate([1.0], source)),
    ("in1", lambda source: signal.convolve(source, [1.0])),
    ("in2", lambda source: signal.fftconvolve([1.0], source)),
    ("fillvalue", lambda source: signal.convolve2d([[1.0]], [[1.0]], fillvalue=source)),
    ("input", lambda source: ndimage.gaussian_filter(source, 1.0)),
    ("weights", lambda source: ndimage.convolve1d([1.0], source)),
    ("weights", lambda source: ndimage.correlate([1.0], source)),
    ("output", lambda source: ndimage.uniform_filter([1.0], output=source)),
    ("cval", lambda source: ndimage.sobel([1.0], mode="constant", cval=source)),
]


class CustomError(Exception):
    pass


@pytest.mark.parametrize("kind", SOURCES)
def test_exceptions_during_array_conversion_become_type_errors(kind):
    for error in (
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        IndexError,
        OverflowError,
        RecursionError,
        CustomError,
    ):
        if kind == "a sequence" and error in (KeyError, IndexError):
            continue  # for NumPy, the object is not a sequence, or its end is reached
        raised = error("mine")
        for name, call in CONVERSIONS:
            with pytest.raises(TypeError, match=rf"^{name} must be .*") as caught:
                call(SOURCES[kind](raising(raised)))
            assert caught.value.__cause__ is raised, (name, error)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError, DeprecationWarning])
def test_exceptions_not_about_the_argument_propagate(error):
    for source in SOURCES.values():
        for _, call in CONVERSIONS:
            with pytest.raises(error, match="mine"):
                call(source(raising(error("mine"))))


def test_proxy_whose_class_raises_is_converted():
    class Proxy(Source):
        @property
        def __class__(self):
            raise RuntimeError("no class")

    proxy = Proxy(lambda: np.ones((3, 3)))
    np.ma.array([1.0])  # imports `numpy.ma`, so arguments are checked for masks
    assert fastconv.convolve2d(proxy, [[2.0]]).tolist() == [[2.0] * 3] * 3
    assert image.filter(proxy, [[2.0]]).tolist() == [[2.0] * 3] * 3


def test_reference_accepts_sequences_only():
    calls = [
        ("x", lambda source: reference.convolve1d(source, [1])),
        ("kernel", lambda source: reference.correlate1d([1], source)),
        ("image", lambda source: reference.convolve2d(source, [[1]])),
        ("image", lambda source: reference.convolve2d([source], [[1]])),
        ("kernel", lambda source: reference.correlate2d([[1]], source)),
    ]
    for name, call in calls:
        raised = RuntimeError("mine")
        with pytest.raises(
            TypeError, match=f"^{name} must be a sequence of numbers; got a value of type Sequence"
        ) as caught:
            call(Sequence(raising(raised)))
        assert caught.value.__cause__ is raised
        with pytest.raises(TypeError, match=f"^{name} must be a sequence of numbers; got a value of type int"):
            call(5)
        for error in (KeyboardInterrupt, MemoryError):
            with pytest.raises(error, match="mine"):
                call(Sequence(raising(error("mine"))))


class Scalar(float):
    """A number that calls a function when it is converted."""

    call = None

    def _convert(self):
        return self.call()

    __float__ = __int__ = __index__ = __complex__ = _convert


class Number:
    """The same for an object that is not a subclass of a number."""

    def __init__(self, call):
        self.call = call

    def _convert(self, *_):
        return self.call()

    __float__ = __int__ = __index__ = __complex__ = __len__ = __iter__ = __getitem__ = _convert


def scalar_of(call):
    number = Scalar(1.0)
    number.call = call
    return number


FRAME = np.ones((4, 4), np.uint8)
SCALARS = [
    ("fill_value", lambda value: fastconv.convolve1d([1.0], [1.0], boundary="fill", fill_value=value)),
    ("fill_value", lambda value: fastconv.convolve1d([1], [1], boundary="fill", fill_value=value)),
    ("fill_value", lambda value: fastconv.convolve1d([1j], [1], boundary="fill", fill_value=value)),
    ("axis", lambda value: fastconv.convolve1d([1.0], [1.0], axis=value)),
    ("axes", lambda value: fastconv.convolve2d([[1.0]], [[1.0]], axes=value)),
    ("axes", lambda value: fastconv.convolve2d([[1.0]], [[1.0]], axes=(0, value))),
    ("workers", lambda value: fastconv.convolve1d([1.0], [1.0], workers=value)),
    ("shape", lambda value: fastconv.plan([1.0], value)),
    ("shape", lambda value: fastconv.plan([1.0], (3, value))),
    ("scale", lambda value: image.filter(FRAME, [[1.0]], scale=value)),
    ("offset", lambda value: image.filter(FRAME, [[1.0]], offset=value)),
    ("sigma", lambda value: image.gaussian_blur(FRAME, value)),
    (r"sigma\[1\]", lambda value: kernels.gaussian((1.0, value))),
    ("size", lambda value: kernels.box(value)),
    ("kernel", lambda value: kernels.from_pillow(ImageFilter.Kernel((3, 3), [value] * 9, scale=1))),
    ("mode", lambda value: fnp.convolve([1.0], [1.0], value)),
    ("axis", lambda value: ndimage.correlate1d([1.0], [1.0], axis=value)),
    ("origin", lambda value: ndimage.convolve1d([1.0], [1.0], origin=value)),
    ("size", lambda value: ndimage.uniform_filter1d([1.0], value)),
    ("axes", lambda value: ndimage.laplace([1.0], axes=(value,))),
    ("sigma", lambda value: ndimage.gaussian_filter1d([1.0], value)),
]


def test_exceptions_during_number_conversion_become_type_errors():
    for name, call in SCALARS:
        kind = scalar_of if name.startswith(("fill_value", "scale", "offset", "sigma", "kernel")) else Number
        raised = RuntimeError("mine")
        with pytest.raises(TypeError, match=f"^{name} must ") as caught:
            call(kind(raising(raised)))
        assert caught.value.__cause__ is raised, name
        for error in (KeyboardInterrupt, MemoryError, DeprecationWarning):
            with pytest.raises(error, match="mine"):
                call(kind(raising(error("mine"))))
    with pytest.raises(cv2.error, match="ksize must be a pair of integers") as caught:
        cv2.blur(FRAME, Number(raising(raised)))
    assert caught.value.__cause__ is raised


class Picture(Image.Image):
    """A picture whose pixels are the result of a function."""

    def tobytes(self, *arguments):
        return self.call()


def test_exceptions_while_reading_pixels_name_the_argument():
    def picture(error):
        found = Image.new("L", (4, 4))
        found.__class__, found.call = Picture, raising(error)
        return found

    for call in (lambda x: image.filter(x, [[1.0]]), image.sobel_magnitude, lambda x: image.gaussian_blur(x, 1.0)):
        for error, expect in ((RuntimeError, TypeError), (CustomError, TypeError), (ValueError, ValueError)):
            raised = error("mine")
            with pytest.raises(expect, match=r"^image must be a picture that can be read; .*mine") as caught:
                call(picture(raised))
            assert caught.value.__cause__ is raised
        for error in (OSError, MemoryError, KeyboardInterrupt):
            with pytest.raises(error, match="mine"):
                call(picture(error("mine")))


def test_array_method_can_modify_the_other_argument():
    x = np.ones(3)

    def change():
        x[:] = 7
        return np.ones(2)

    assert fastconv.convolve1d(x, Source(change)).tolist() == [7, 14, 14, 7]
    picture = np.ones((2, 6))

    def reshape():
        picture.resize((3, 4), refcheck=False)
        return np.ones((1, 1))

    assert fastconv.convolve2d(picture, Source(reshape)).shape == (3, 4)


class Reshaping(float):
    """A number that reshapes an array when it is converted or compared."""

    def __new__(cls, array):
        self = super().__new__(cls, 1.0)
        self.array = array
        return self

    def __float__(self):
        self.array.resize(self.array.shape[::-1], refcheck=False)
        return 1.0

    def __ne__(self, other):
        self.array.resize(self.array.shape[::-1], refcheck=False)
        return False

    __hash__ = float.__hash__


def test_arrays_reshaped_during_a_call_keep_their_first_shape():
    for options in ({"boundary": "fill"}, {}):
        x = RNG.random((30, 40))
        wanted = fastconv.convolve2d(x, np.ones((3, 3)), "same", fill_value=1.0 if options else 0, **options)
        result = fastconv.convolve2d(x, np.ones((3, 3)), "same", fill_value=Reshaping(x), **options)
        np.testing.assert_array_equal(result, wanted)
    for name in ("scale", "offset"):
        picture = RNG.random((30, 40))
        wanted = image.filter(picture, [[1.0]], **{name: 1.0})
        np.testing.assert_array_equal(image.filter(picture, [[1.0]], **{name: Reshaping(picture)}), wanted)
    picture = np.ones((30, 40))
    kernel = Source(lambda: picture.resize(1200, refcheck=False) or np.ones((1, 1)))
    assert image.filter(picture, kernel).shape == (30, 40)


class Buffer:
    def __init__(self, **changed):
        data = np.arange(3.0).tobytes()
        self.__array_interface__ = {"shape": (3,), "typestr": "<f8", "version": 3, "data": data, **changed}


def test_invalid_array_interfaces_raise():
    assert fastconv.convolve1d(Buffer(), [1.0]).tolist() == [0, 1, 2]
    for changed in ({"shape": (-3,)}, {"shape": "abc"}, {"typestr": "<zz"}, {"data": "abc"}, {"shape": (2**62, 2**62)}):
        with pytest.raises((ValueError, TypeError)):
            fastconv.convolve1d(Buffer(**changed), [1.0])


class WrongShape(np.ndarray):
    """An array that reports a wrong shape and raises on assignment."""

    @property
    def shape(self):
        return (10_000,)

    def __setitem__(self, index, value):
        raise KeyError("not to be written to")


def test_overrides_of_array_subclasses_are_ignored():
    np.testing.assert_array_equal(fastconv.convolve1d(np.ones(3).view(WrongShape), [1.0, 1.0]), [1, 2, 2, 1])
    out = np.zeros(4).view(WrongShape)
    with pytest.raises(ValueError, match=r"out must have shape \(10000,\); got \(4,\)"):
        fastconv.convolve1d(np.ones(10_000), [1.0], out=out)
    shared = np.ones(4)
    for x in (np.ones(3), shared[:3]):
        given = shared.view(WrongShape)
        assert fastconv.convolve1d(x, [1.0, 1.0], out=given) is given
        assert shared.tolist() == [1, 2, 2, 1]
        shared[:] = 1
    given = np.zeros(4).view(WrongShape)
    assert fastconv.plan([1.0, 1.0], 3)(np.ones(3), given) is given
    frame = np.ones((4, 4))
    given = frame.view(WrongShape)
    assert image.filter(frame, [[2.0]], out=given) is given
    assert (frame == 2).all()


def test_out_can_be_a_memory_map_or_a_masked_array(tmp_path):
    file = np.memmap(tmp_path / "out", np.float64, "w+", shape=(4,))
    assert fastconv.convolve1d(np.ones(3), [1.0, 1.0], out=file) is file
    assert file.tolist() == [1, 2, 2, 1]
    masked = np.ma.masked_equal([1.0, 2.0, 3.0], 2)
    for x in (np.ones(3), masked.data):
        assert fastconv.convolve1d(x, [5.0], out=masked) is masked
        assert masked.data[0] == 5
        masked.data[0] = 1
        assert masked.mask.tolist() == [False, True, False]


@pytest.mark.parametrize("mode", ["r", "c"])
def test_out_can_be_another_map_of_the_file_of_the_input(tmp_path, mode):
    path, kernel = tmp_path / "x", np.ones((5, 5), np.float32)
    values = np.random.default_rng(1).random((700, 800), np.float32)
    calls = [
        lambda x, out: fastconv.convolve2d(x, kernel, "same", out=out),
        lambda x, out: fastconv.plan(kernel, x.shape, x.dtype, mode="same")(x, out),
        lambda x, out: fastconv.image.box_blur(x, 5, out=out),
        lambda x, out: fastconv.compat.ndimage.convolve(x, kernel, output=out),
        lambda x, out: fastconv.convolve2d(x, kernel, "same", nan="ignore", out=out),
        lambda x, out: fastconv.layers.conv2d(x[np.newaxis], kernel[np.newaxis, np.newaxis], padding=2, out=out[None]),
    ]
    for call in calls:
        values.tofile(path)
        x, out = (np.memmap(path, np.float32, each, shape=values.shape) for each in (mode, "r+"))
        expected = np.empty_like(values)
        call(values, expected)
        call(x, out)
        np.testing.assert_array_equal(out, expected)


def test_out_can_be_unaligned_reversed_strided_or_overlapping():
    wanted = fastconv.convolve1d(np.arange(4.0), [1.0, 2.0])
    unaligned = np.zeros(41, np.uint8)[1:].view(np.float64)
    backwards = np.zeros(5)[::-1]
    spread = np.zeros(10)[::2]
    for out in (unaligned, backwards, spread):
        assert fastconv.convolve1d(np.arange(4.0), [1.0, 2.0], out=out) is out
        np.testing.assert_array_equal(out, wanted)
    x = np.arange(6.0)
    fastconv.convolve1d(x[:5], [1.0, 2.0], out=x)
    np.testing.assert_array_equal(x, fastconv.convolve1d(np.arange(5.0), [1.0, 2.0]))


class Element:
    """An object whose sums and products are the results of a function."""

    def __init__(self, call):
        self.call = call

    def _result(self, *_):
        return self.call()

    __mul__ = __rmul__ = __add__ = __radd__ = _result

    def __repr__(self):
        raise KeyError("no repr")


def objects_of(call):
    return np.array([Element(call) for _ in range(3)], object)


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt, ZeroDivisionError, decimal.InvalidOperation])
def test_exceptions_of_objects_propagate(error):
    with pytest.raises(error, match="mine"):
        fastconv.convolve1d(objects_of(raising(error("mine"))), [1, 2])


def test_unsupported_operations_of_objects_raise_errors_of_the_arguments():
    with pytest.raises(TypeError, match="x and kernel must hold objects that can be multiplied and added"):
        fastconv.convolve1d(objects_of(lambda: "nonsense"), np.array([1, 2], object))
    for x in (10**400, [10**400, 1]):
        with pytest.raises(ValueError, match=r"x and kernel must hold objects .* too large"):
            fastconv.convolve1d(x, [1.5])


class Word:
    """An object whose products do not commute."""

    def __init__(self, text):
        self.text = text

    def __mul__(self, other):
        return Word(self.text + other.text)

    def __add__(self, other):
        return Word(f"{self.text}+{other.text}") if isinstance(other, Word) else self

    __radd__ = __add__  # only of 0, where sums begin


def test_products_of_objects_are_of_a_tap_and_a_sample_in_this_order():
    for samples, taps in itertools.product((1, 2, 3), repeat=2):
        x, kernel = (
            np.array([Word(f"{name}{k}") for k in range(n)], object) for name, n in (("x", samples), ("k", taps))
        )
        found = [each.text for each in fastconv.convolve1d(x, kernel)]
        for place, sums in enumerate(found):
            products = {f"k{j}x{place - j}" for j in range(taps) if 0 <= place - j < samples}
            assert sorted(sums.split("+")) == sorted(products)


def test_methods_of_objects_can_convolve():
    inner = objects_of(lambda: fastconv.convolve1d(np.ones(9), np.ones(3), "valid")[0])
    assert fastconv.convolve1d(inner, np.array([1, 2], object)).tolist() == [3, 6, 6, 3]
    plan = fastconv.plan(np.array([1, 2], object), 3)
    assert plan(objects_of(lambda: plan.shape[0])).tolist() == [3, 6, 6, 3]
    # So can an argument during its conversion to an array.
    source = Source(lambda: fastconv.convolve1d([1.0], [2.0]))
    assert fastconv.convolve1d(source, source).tolist() == [4]


# ---------------------------------------------------------------------------------------------------------- settings

SPECIAL = [0.0, 1e-310, 1e-45, 1e-38, 6e-8, 3e38, 1e308, np.inf, np.nan]


def array_with(dtype, value):
    with np.errstate(all="ignore"):
        x = RNG.random((300, 20)).astype(dtype)
        x[1, 1] = np.float64(value).astype(dtype)
    return x


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "c16", "g"])
def test_convolutions_cause_no_floating_point_error(dtype):
    for value in SPECIAL:
        x, kernel = array_with(dtype, value), array_with(dtype, value)[:5, :5].copy()
        with np.errstate(all="ignore"):
            line = np.multiply.outer(kernel[:, 1], kernel[2])
        fill = np.nan_to_num(value, posinf=0)
        fill = 0 if abs(fill) > np.finfo(dtype).max else fill
        calls = [
            lambda k, method, fill=fill, x=x: fastconv.convolve2d(
                x, k, "same", boundary="fill", fill_value=fill, method=method
            ),
            lambda k, method, x=x: fastconv.correlate1d(x, k[1], method=method),
        ]
        for k in (kernel, line):
            for method in ("auto", "direct", "separable", "fft"):
                for call in calls:
                    with np.errstate(all="ignore"):
                        wanted = result_or_message(call, k, method)
                    with np.errstate(all="raise"):
                        np.testing.assert_array_equal(result_or_message(call, k, method), wanted)


def result_or_message(call, *arguments):
    try:
        return call(*arguments)
    except ValueError as error:  # not an outer product, or a method that does not support the type
        return str(error)


def test_pictures_and_kernels_cause_no_floating_point_error():
    with np.errstate(all="raise"):
        for dtype in ("f4", "f8", "u1", "i4"):
            for value in SPECIAL[:-2] if dtype[0] in "ui" else SPECIAL:
                x = (
                    array_with("f8", value).clip(-100, 100).astype(dtype)
                    if dtype[0] in "ui"
                    else array_with(dtype, value)
                )
                for scale, offset in ((1, 0), (3, 0.5), (1, 1e-310), (1e30, 0)):
                    tiny = np.full((3, 3), 1e-200)
                    for kernel in (np.ones((3, 3)), tiny, np.eye(3) / 3):
                        image.filter(x, kernel, scale=scale, offset=offset)
                        image.filter(x, kernel, scale=scale, offset=offset, dtype="float32")
                image.sobel_magnitude(x)
                image.sobel_direction(x)
                image.unsharp_mask(x, 0.1, 3e38)
                image.unsharp_mask(x, 1.0, 1e-40, 1e-300)
                image.gaussian_blur(x, 0.1)
                image.difference_of_gaussians(x, 0.1, 0.3)
        for size in (1e-300, 0.01, 1.0, 30.0):
            for function in (kernels.gaussian, kernels.log, kernels.unsharp, kernels.gabor, kernels.disk):
                function(size)
            kernels.motion(size, 30)
            kernels.gaussian((size, 3), min(1 / size, 100))
            kernels.unsharp(size, 1e-40)
            kernels.unsharp(size, 3e38)
        kernels.gabor(4, 45, sigma=0.01, aspect=1e-3)


def test_compat_functions_cause_no_floating_point_error():
    with np.errstate(all="raise"):
        for value in SPECIAL:
            for dtype in ("f4", "f8"):
                x = array_with(dtype, value)[:12]
                kernel = x[:3, :3].copy()
                fnp.convolve(x[0], kernel[0])
                signal.fftconvolve(x, kernel)
                signal.convolve(x[:, :, np.newaxis], kernel[:, :, np.newaxis])
                signal.convolve2d(x, kernel, boundary="symm")
                ndimage.correlate(x, kernel, mode="constant", cval=value)
                ndimage.gaussian_filter(x, 1.0)
                ndimage.uniform_filter(x, 3)
                ndimage.laplace(x)
                cv2.GaussianBlur(x, (31, 31), 0.5)
                cv2.Sobel(x, -1, 1, 0, scale=1e-310)
                if np.isfinite(kernel).all() and kernel.max() < 1e30:
                    cv2.filter2D(x, -1, kernel)
                    cv2.sepFilter2D(x, -1, kernel[0], kernel[1])
        cv2.getGaussianKernel(99, 0.1, cv2.CV_32F)
        zeros = np.zeros((3, 3))
        for cval in (1e308, -1e308):
            assert not ndimage.correlate(np.ones((5, 5), np.int8), zeros, mode="constant", cval=cval).any()


def test_infinite_scale_is_unsupported_without_a_warning():
    frame = np.ones((5, 5), np.uint8)
    for call in (lambda: cv2.Sobel(frame, -1, 1, 0, scale=np.inf), lambda: cv2.Laplacian(frame, -1, scale=np.inf)):
        with pytest.raises(NotImplementedError, match="kernel must be finite"):
            call()
    with pytest.raises(cv2.error, match="delta must be a number that float64 can hold; got 1000"):
        cv2.filter2D(frame, -1, np.ones((3, 3)), delta=10**400)


def test_floating_point_error_callback_is_not_called():
    def complain(kind, flag):
        raise AssertionError(kind)

    before = np.seterrcall(complain)
    try:
        with np.errstate(all="call"):
            for method in ("direct", "separable", "fft"):
                kernel = np.full((3, 3), 1e-300)
                fastconv.convolve2d(array_with("f8", 1e308), kernel, method=method)
    finally:
        np.seterrcall(before)


def test_decimals_in_a_strict_context():
    tenth, one = decimal.Decimal("0.1"), decimal.Decimal(1)
    with decimal.localcontext() as context:
        context.traps[decimal.FloatOperation] = True
        context.traps[decimal.Inexact] = True
        assert fastconv.convolve1d([tenth], [one, one]).tolist() == [tenth, tenth]
        filled = fastconv.convolve1d([1.0], [1.0, 1.0], boundary="fill", fill_value=tenth)
        assert filled.tolist() == [1.1, 1.1]
        for value in (decimal.Decimal("1.5"), decimal.Decimal("sNaN"), decimal.Decimal("NaN")):
            with pytest.raises(ValueError, match="fill_value must be an integer"):
                fastconv.convolve1d([1], [1, 1], boundary="fill", fill_value=value)
            with pytest.raises(ValueError, match="fill_value is for boundary='fill' only"):
                fastconv.convolve1d([1], [1, 1], fill_value=value)
        with pytest.raises(decimal.Inexact):
            fastconv.convolve1d([one / 8], [decimal.Decimal("1." + "1" * 28)])


def test_print_options_do_not_lengthen_messages():
    with np.printoptions(threshold=sys.maxsize, precision=50):
        with pytest.raises(TypeError, match=r"got an array of shape \(1099511627776,\)") as caught:
            fastconv.convolve1d([1.0], [1.0], axis=np.broadcast_to(1.0, (2**40,)))
    assert len(str(caught.value)) < 200


# In a separate process, since code compiled or called before needs less stack. Python may refuse limits this low.
DEEP = """
import sys
import numpy as np, fastconv
from fastconv import image
failed = done = 0
for limit in range(40, 400, 8):
    shape = (300, limit)
    sys.setrecursionlimit(limit)
    try:
        fastconv.convolve2d(np.ones(shape), np.ones((9, 9)))
        image.filter(np.ones(shape, np.uint8), np.ones((3, 3)) / 9)
        done += 1
    except RecursionError:
        failed += 1
    finally:
        sys.setrecursionlimit(1000)
    assert fastconv.convolve2d(np.ones(shape), np.ones((9, 9)), "same")[100, 20] == 81, limit
    assert (image.filter(np.ones(shape, np.uint8), np.ones((3, 3)) / 9) == 1).all(), limit
assert done > 10, done
"""


def test_recursion_error_leaves_later_calls_correct():
    succeed(DEEP)


def test_tracing_does_not_change_results():
    x, kernel = RNG.random((300, 200)), RNG.random((9, 9))
    wanted = fastconv.convolve2d(x, kernel)
    seen = []

    def trace(frame, event, argument):
        seen.append(event)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        result = fastconv.convolve2d(x, kernel)
    finally:
        sys.settrace(before)
    assert "line" in seen
    np.testing.assert_array_equal(result, wanted)


def test_trace_function_can_convolve():
    x = RNG.random((50, 40))
    wanted = fastconv.convolve2d(x, np.ones((3, 3)))
    inner = []

    def trace(frame, event, argument):
        if len(inner) < 20 and frame.f_globals.get("__name__", "").startswith("fastconv"):
            sys.settrace(None)
            inner.append(fastconv.convolve2d(x, np.ones((3, 3))))
            sys.settrace(trace)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        result = fastconv.convolve2d(x + 0, np.ones((3, 3)))
    finally:
        sys.settrace(before)
    assert inner
    for one in (result, *inner):
        np.testing.assert_array_equal(one, wanted)
