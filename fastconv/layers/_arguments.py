"""Check the arguments of layers, of one to three axes."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from fastconv._model.arguments import (
    as_array,
    as_choice,
    as_count,
    as_fill_value,
    as_integer,
    check_no_fill_value,
)
from fastconv._model.checks import fits_into_memory
from fastconv._model.geometry import BOUNDARIES, FILL, reach
from fastconv._model.layer_problem import NAMED_PADDINGS, PaddedSpan, padded_span, result_type
from fastconv._model.message_formatting import clipped, shown
from fastconv._model.passed_exceptions import passed
from fastconv._runtime.bounded_cache import kept

LAYOUTS = ("channels_first", "channels_last")
_PLAIN = frozenset((int, str, type(None)))
_AXES = {1: "the axis", 2: "each of 2 axes", 3: "each of 3 axes"}
_NAMES = {1: "L", 2: "H, W", 3: "D, H, W"}
_KERNEL_NAMES = {1: "K", 2: "kH, kW", 3: "kD, kH, kW"}


class Options(NamedTuple):
    """Checked options of a layer."""

    stride: tuple[int, ...]
    padding: tuple[Any, ...]  # for each axis a pair of integers, or a name
    dilation: tuple[int, ...]
    groups: int
    boundary: int
    fill_value: Any  # checked for the type of the result by `as_filled`
    channels_last: bool
    rectify: bool

    @property
    def axes(self) -> int:
        """Number of axes that the kernel moves along."""
        return len(self.stride)


def are_plain(values) -> bool:
    """Whether all values are integers, strings or None, so that values of other types are not mistaken for them."""
    return _PLAIN.issuperset(map(type, values))


def as_options(
    axes: int, stride, padding, dilation, groups, padding_mode, fill_value, layout, activation=None
) -> Options:
    """Check all options that do not depend on arrays."""
    given = axes, stride, padding, dilation, groups, padding_mode, fill_value, layout, activation
    return (_kept_options if are_plain(given) else _options)(*given)


def _options(axes: int, stride, padding, dilation, groups, padding_mode, fill_value, layout, activation) -> Options:
    boundary = BOUNDARIES.index(as_choice(padding_mode, "padding_mode", BOUNDARIES))
    if padding_mode != "fill":
        _check_unused(fill_value)
        fill_value = 0
    return Options(
        stride=as_counts(stride, "stride", axes),
        padding=_as_padding(padding, axes),
        dilation=as_counts(dilation, "dilation", axes),
        groups=as_count(groups, "groups"),
        boundary=boundary,
        fill_value=fill_value,
        channels_last=as_choice(layout, "layout", LAYOUTS) == "channels_last",
        rectify=_is_relu(activation),
    )


_kept_options = kept(_options)


def _check_unused(fill_value) -> None:
    try:
        check_no_fill_value(fill_value)
    except ValueError as error:
        raise ValueError(str(error).replace("boundary=", "padding_mode=")) from None


def _is_relu(activation) -> bool:
    if activation is not None and not isinstance(activation, str):
        raise TypeError(f"activation must be None or 'relu'; got {shown(activation)}")
    if activation not in (None, "relu"):
        raise ValueError(f"activation must be None or 'relu'; got {shown(activation)}")
    return activation is not None


def as_counts(value, name: str, axes: int) -> tuple[int, ...]:
    """Convert a positive integer, or one for each axis, to a tuple."""
    allowed = f"a positive integer, or one for {_AXES[axes]}"
    if isinstance(value, (tuple, list)):
        if len(value) != axes:
            raise ValueError(f"{name} must be {allowed}; got {shown(value)}")
        return tuple(_as_count(step, name, allowed) for step in value)
    return (_as_count(value, name, allowed),) * axes


def _as_count(value, name: str, allowed: str) -> int:
    step = as_count(value, name, allowed)
    if step > sys.maxsize >> 8:
        raise ValueError(f"{name} must be {allowed}, of at most {sys.maxsize >> 8}; got {shown(value)}")
    return step


def _as_padding(value, axes: int) -> tuple[Any, ...]:
    """Convert a padding to a name or a pair of integers for each axis."""
    if isinstance(value, str):
        return (as_choice(value, "padding", NAMED_PADDINGS),) * axes
    if not isinstance(value, (tuple, list)):
        return ((_as_samples(value, value, axes),) * 2,) * axes
    if len(value) != axes:
        raise ValueError(f"padding must be {_padding_allowed(axes)}; got {shown(value)}")
    pairs = []
    for given in value:
        pair = tuple(given) if isinstance(given, (tuple, list)) else (given, given)
        if len(pair) != 2:
            raise ValueError(f"padding must be {_padding_allowed(axes)}; got {shown(value)}")
        pairs.append(tuple(_as_samples(samples, value, axes) for samples in pair))
    return tuple(pairs)


def _padding_allowed(axes: int) -> str:
    return (
        f"'valid', 'same', 'same_lower', an integer that is not negative, or for {_AXES[axes]} such an integer "
        "or a pair of them"
    )


def _as_samples(value, given, axes: int) -> int:
    try:
        number = as_integer(value)
    except passed():
        raise
    except Exception as error:
        raise TypeError(f"padding must be {_padding_allowed(axes)}; got {shown(given)}") from error
    if not 0 <= number < 1 << 40:
        raise ValueError(f"padding must be {_padding_allowed(axes)}; got {shown(given)}")
    return number


def as_numbers(value, name: str) -> np.ndarray:
    """Convert to a view of an array of numbers that is not empty."""
    array = as_array(value, name).view()
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{name} must hold numbers; got dtype {clipped(array.dtype)}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty; got shape {array.shape}")
    return array


def as_weights(value, axes: int, name: str = "weights") -> np.ndarray:
    """Convert the weights of a layer."""
    weights = as_numbers(value, name)
    if weights.ndim != axes + 2:
        raise ValueError(f"{name} must have shape (O, C / groups, {_KERNEL_NAMES[axes]}); got {weights.shape}")
    return weights


def as_groups(weights: np.ndarray, groups: int) -> None:
    """Check that the output channels can be divided into groups."""
    if weights.shape[0] % groups:
        raise ValueError(f"groups must divide the {weights.shape[0]} output channels of weights; got {groups}")


def as_batch(value, options: Options, name: str = "x") -> tuple[np.ndarray, bool]:
    """Convert an image, or a batch of them, to a batch in the order (number, channels, ...); say if it was one."""
    x = as_numbers(value, name)
    axes = options.axes
    if x.ndim not in (axes + 1, axes + 2):
        shape = f"N, {_NAMES[axes]}, C" if options.channels_last else f"N, C, {_NAMES[axes]}"
        raise ValueError(f"{name} must have shape ({shape}), or that without N; got {x.shape}")
    single = x.ndim == axes + 1
    if single:
        x = x[np.newaxis]
    return in_order(x, options), single


def in_order(array: np.ndarray, options: Options) -> np.ndarray:
    """A view of a batch in the order (number, channels, ...)."""
    return array.transpose(0, -1, *range(1, array.ndim - 1)) if options.channels_last else array


def in_layout(shape: tuple[int, ...], options: Options, single: bool) -> tuple[int, ...]:
    """A shape in the order (number, channels, ...) as the caller has it."""
    number, channels, *extents = shape
    image = (*extents, channels) if options.channels_last else (channels, *extents)
    return image if single else (number, *image)


def check_channels(x: np.ndarray, weights: np.ndarray, groups: int, name: str = "x") -> None:
    """Check that the channels of an input are those that the weights are for."""
    as_groups(weights, groups)
    if x.shape[1] != weights.shape[1] * groups:
        raise ValueError(
            f"{name} must have {weights.shape[1] * groups} channels, those of weights times groups, "
            f"for weights of shape {weights.shape} and groups={groups}; got {x.shape[1]}"
        )


@kept
def padded_spans(
    shape: tuple[int, ...], kernel: tuple[int, ...], options: Options, name: str = "x"
) -> tuple[PaddedSpan, ...]:
    """Outputs and starts along each axis; raise if there are no outputs."""
    found = tuple(
        padded_span(padding, samples, taps, stride, dilation)
        for padding, samples, taps, stride, dilation in zip(
            options.padding, shape[2:], kernel, options.stride, options.dilation
        )
    )
    if any(each.outputs < 1 for each in found):
        extents = tuple(map(reach, kernel, options.dilation))
        raise ValueError(
            f"{name} must be, with its padding, at least as large as the kernel and its dilation, {extents}; "
            f"got {shape[2:]} with padding={options.padding}"
        )
    return found


def check_size(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Reject a result too large for any memory."""
    if not fits_into_memory(shape, dtype):
        raise ValueError(f"x and weights must have a result that fits into memory; theirs has shape {shape}")


def as_filled(options: Options, x: np.dtype, weights: np.dtype) -> tuple[Options, np.dtype]:
    """Check what depends on the type of the result; return it too."""
    dtype = result_type(x, weights)
    if options.boundary != FILL and not options.rectify:
        return options, dtype
    if options.boundary == FILL:
        options = options._replace(fill_value=as_fill_value(options.fill_value, dtype))
    if options.rectify and dtype.kind == "c":
        raise ValueError(f"activation='relu' is for real results; got inputs whose result is {dtype}")
    return options._replace(rectify=options.rectify and dtype.kind != "u"), dtype


def as_bias(value, outputs: int, dtype: np.dtype) -> np.ndarray | None:
    """Convert a bias to the type of the result."""
    if value is None:
        return None
    bias = as_numbers(value, "bias")
    if bias.shape != (outputs,):
        raise ValueError(f"bias must have shape ({outputs},), one number for each output channel; got {bias.shape}")
    kinds = {"i": "biu", "u": "biu", "f": "biuf", "c": "biufc"}[dtype.kind]
    if bias.dtype.kind not in kinds:
        raise TypeError(f"bias must hold numbers that {dtype}, the type of the result, can hold; got {bias.dtype}")
    with np.errstate(all="ignore"):
        return bias.astype(dtype)


def as_extent(value, name: str, allowed: str = "a positive integer") -> int:
    """Convert a positive integer that an array can have as an extent."""
    number = as_count(value, name, allowed)
    if number > sys.maxsize >> 8:
        raise ValueError(f"{name} must be an extent that fits into memory; got {shown(value)}")
    return number


def as_input_shape(value, options: Options, single: bool, number: int, kernels: tuple[int, ...]) -> tuple[int, ...]:
    """Convert the shape of a layer's input to one of a batch in the order (number, channels, ...)."""
    count, channels = options.axes + (1 if single else 2), kernels[1] * options.groups
    names = [*([] if single else ["N"]), *(["C"] if not options.channels_last else []), _NAMES[options.axes]]
    allowed = f"({', '.join(names + (['C'] if options.channels_last else []))})"
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"input_shape must be a tuple {allowed}; got {shown(value)}")
    if len(value) != count:
        raise ValueError(f"input_shape must be a tuple {allowed}; got {shown(value)}")
    shape = [as_extent(extent, "input_shape", f"a tuple {allowed} of positive integers") for extent in value]
    if single:
        shape.insert(0, 1)
    if options.channels_last:
        shape.insert(1, shape.pop())
    if shape[:2] != [number, channels]:
        raise ValueError(
            f"input_shape must have {channels} channels, those of weights times groups, and the number of images of "
            f"gradient; got {shown(value)}"
        )
    return tuple(shape)


def check_gradient(
    gradient: np.ndarray, shape: tuple[int, ...], options: Options, single: bool, output_single: bool
) -> None:
    """Check that the gradient of an output has its shape; `single` if it is of one image, without a batch."""
    if gradient.shape != shape:
        found, wanted = in_layout(gradient.shape, options, single), in_layout(shape, options, output_single)
        raise ValueError(f"gradient must have the shape of the layer's output, {wanted}; got {found}")
