"""The definition of convolution, as plain Python loops.

The rest of the package is tested against this module. It imports nothing, works on nested lists (or anything that can
be indexed), and takes every number that Python can multiply and add: `int`, `float`, `complex`, `fractions.Fraction`,
`decimal.Decimal`.

In one dimension, with ``N`` samples and ``M`` taps::

    out[o] = sum over j of kernel[j] * x[start + o * stride - j * dilation]

Flip the kernel, shift it along the signal, multiply, sum. Correlation is the same without the flip, with the kernel
conjugated. The boundary defines ``x`` outside of ``0 .. N-1``, and mode and start define which outputs are computed.

Examples
--------
>>> convolve1d([1, 2, 3], [0, 1, 10])
[0, 1, 12, 23, 30]
>>> convolve1d([1, 2, 3], [0, 1, 10], mode="same", boundary="nearest")
[11, 12, 23]
>>> from fractions import Fraction
>>> convolve1d([Fraction(1, 3)], [Fraction(1, 2), 3])
[Fraction(1, 6), Fraction(1, 1)]
"""

__all__ = [
    "conv2d",
    "conv2d_input_gradient",
    "conv2d_weight_gradient",
    "convolve",
    "convolve1d",
    "convolve2d",
    "correlate",
    "correlate1d",
    "correlate2d",
    "normalized_convolve1d",
    "normalized_convolve2d",
]


def output_range(mode, samples, taps):
    """Return the first and one-past-last index of the outputs in the full convolution, along one axis."""
    if samples < 1 or taps < 1:
        raise ValueError(f"x and kernel must not be empty; got {samples} samples and {taps} taps")
    if mode == "full":
        return 0, samples + taps - 1
    if mode == "same":
        start = (taps - 1) // 2
        return start, start + samples
    if mode == "valid":
        return min(samples, taps) - 1, max(samples, taps)
    raise ValueError(f"mode must be 'full', 'same' or 'valid'; got {mode!r}")


def output_indices(mode, samples, taps, stride=1, dilation=1, start=None):
    """Return the indices of the outputs in the full convolution, along one axis.

    A kernel with gaps is as long as the samples that it spans. A start is the index of the first output, or its name.

    >>> list(output_indices("same", 6, 3)), list(output_indices("same", 6, 3, stride=2, start="last"))
    ([1, 2, 3, 4, 5, 6], [2, 4, 6])
    """
    taps = (taps - 1) * dilation + 1
    first, last = output_range(mode, samples, taps)
    if start is not None:
        start = {"first": 0, "center": (taps - 1) // 2, "last": taps - 1}.get(start, start)
        first, last = start, last - first + start
    return range(first, last, stride)


def source_index(i, samples, boundary):
    """Return the index of the sample at position `i`, or None if there is none.

    ========  =====================  ============================================
    boundary  ``a b c d`` becomes    beyond the edge
    ========  =====================  ============================================
    zero      ``. . a b c d . .``    no samples: nothing is added to the sum
    fill      ``f f a b c d f f``    a given value
    nearest   ``a a a b c d d d``    the edge sample
    reflect   ``b a a b c d d c``    mirrored about the edge of the last sample
    mirror    ``c b a b c d c b``    mirrored about the centre of the last sample
    wrap      ``c d a b c d a b``    periodic
    ========  =====================  ============================================
    """
    if 0 <= i < samples:
        return i
    if boundary in ("zero", "fill"):
        return None
    if boundary == "nearest":
        return 0 if i < 0 else samples - 1
    if boundary == "reflect":
        i %= 2 * samples
        return i if i < samples else 2 * samples - 1 - i
    if boundary == "mirror":
        if samples == 1:
            return 0
        i %= 2 * samples - 2
        return i if i < samples else 2 * samples - 2 - i
    if boundary == "wrap":
        return i % samples
    raise ValueError(f"boundary must be 'zero', 'fill', 'nearest', 'reflect', 'mirror' or 'wrap'; got {boundary!r}")


def elements(sequence, name):
    """Return the elements of a sequence: of anything that has a length and can be indexed."""
    try:
        return [sequence[k] for k in range(len(sequence))]
    except (MemoryError, Warning):
        raise
    except Exception as error:
        raise TypeError(
            f"{name} must be a sequence of numbers; got a value of type {type(sequence).__name__}"
        ) from error


def elements_of_rows(rows, name):
    """Return the elements of each row."""
    return [elements(row, name) for row in elements(rows, name)]


def extents(rows, name):
    """Return the number of rows and their common length."""
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"{name} must have non-empty rows of equal length; got lengths of {sorted(lengths)}")
    return len(rows), lengths.pop()


def each_axis(value, count):
    """Return a value for each axis: a tuple or a list as it is, anything else several times."""
    return value if isinstance(value, (tuple, list)) else (value,) * count


def shape_of(nested, name):
    """Return the extents of nested sequences of equal lengths."""
    shape = []
    while hasattr(nested, "__len__"):
        if isinstance(nested, str):  # whose elements are strings
            raise TypeError(f"{name} must hold numbers; got a string")
        shape.append(len(nested))
        if 0 in shape:
            raise ValueError(f"{name} must not be empty; got extents {shape}")
        nested = nested[0]
    return shape


def element(nested, place):
    """Return the element of nested sequences at a place, one index for each axis."""
    for index in place:
        nested = nested[index]
    return nested


def places(extents):
    """Yield all places of an array: lists of one index for each axis."""
    if not extents:
        yield []
    else:
        for index in range(extents[0]):
            for rest in places(extents[1:]):
                yield [index, *rest]


def convolve(x, kernel, mode="full", boundary="zero", fill_value=0, stride=1, dilation=1, start=None):
    """Convolve nested sequences along all their axes. Each option may have a value for each axis.

    A sample outside along an axis of 'zero' is left out; any other one outside along an axis of 'fill' is `fill_value`.

    Parameters
    ----------
    x, kernel : nested sequences of numbers
        The samples and the taps, of as many axes.
    mode, boundary, fill_value, stride, dilation, start : optional
        As in `fastconv.convolve`.

    Returns
    -------
    nested lists
        The results.

    Raises
    ------
    ValueError
        If an axis is empty, or for an unknown mode or boundary.

    See Also
    --------
    fastconv.convolve : The same, fast.
    convolve1d : Along one axis, which is easier to read.

    Examples
    --------
    >>> from fastconv.reference import convolve
    >>> convolve([[[1, 2, 3]]], [[[1, 10]]])
    [[[1, 12, 23, 30]]]
    >>> convolve([[1, 2, 3, 4], [5, 6, 7, 8]], [[1, 10]], stride=2, dilation=(1, 2), start=(None, "last"))
    [[13, 30, 0]]
    """
    samples, taps = shape_of(x, "x"), shape_of(kernel, "kernel")
    axes = range(len(samples))
    options = (each_axis(option, len(samples)) for option in (mode, boundary, stride, dilation, start))
    mode, boundary, stride, dilation, start = options
    boundary = ["zero" if mode[k] == "valid" else boundary[k] for k in axes]  # valid never looks outside
    outputs = [output_indices(mode[k], samples[k], taps[k], stride[k], dilation[k], start[k]) for k in axes]

    def results_at(o):
        """Return the output at `o`, or the nested outputs of the axes that it has no index for."""
        if len(o) < len(samples):
            return [results_at([*o, index]) for index in outputs[len(o)]]
        total = 0
        for j in places(taps):
            i = [source_index(o[k] - j[k] * dilation[k], samples[k], boundary[k]) for k in axes]
            if not any(i[k] is None and boundary[k] == "zero" for k in axes):
                total = total + element(kernel, j) * (fill_value if None in i else element(x, i))
        return total

    return results_at([])


def convolve1d(x, kernel, mode="full", boundary="zero", fill_value=0, stride=1, dilation=1, start=None):
    """Convolve a sequence of ``N`` samples with one of ``M`` taps.

    Parameters
    ----------
    x, kernel : sequence of numbers
        The samples and the taps.
    mode, boundary, fill_value, stride, dilation, start : optional
        As in `fastconv.convolve1d`.

    Returns
    -------
    list
        The results.

    Raises
    ------
    ValueError
        If `x` or `kernel` is empty, or for an unknown mode or boundary.

    See Also
    --------
    fastconv.convolve1d : The same, fast.
    correlate1d : The same without the flip.

    Examples
    --------
    >>> from fastconv.reference import convolve1d
    >>> convolve1d([1, 2, 3], [0, 1, 10])
    [0, 1, 12, 23, 30]
    """
    x, kernel = elements(x, "x"), elements(kernel, "kernel")
    samples, taps = len(x), len(kernel)
    if mode == "valid":
        boundary = "zero"  # valid never looks outside
    out = []
    for o in output_indices(mode, samples, taps, stride, dilation, start):
        total = 0
        for j in range(taps):
            i = source_index(o - j * dilation, samples, boundary)
            if i is not None:
                total = total + kernel[j] * x[i]
            elif boundary == "fill":
                total = total + kernel[j] * fill_value
        out.append(total)
    return out


def convolve2d(image, kernel, mode="full", boundary="zero", fill_value=0, stride=1, dilation=1, start=None):
    """Convolve an image, a sequence of rows, with a kernel, a sequence of rows.

    Parameters
    ----------
    image, kernel : sequence of sequences of numbers
        Rows of equal length.
    mode, boundary, fill_value : optional
        As in `fastconv.convolve2d`, for both axes.
    stride, dilation, start : optional
        As in `fastconv.convolve2d`: a value, or a pair.

    Returns
    -------
    list of lists
        Rows of results.

    Raises
    ------
    ValueError
        If rows are missing, empty or of several lengths, for an unknown mode or boundary, and in mode 'valid' if
        neither of `image` and `kernel` contains the other.

    See Also
    --------
    fastconv.convolve2d : The same, fast.
    correlate2d : The same without the flip.

    Examples
    --------
    >>> from fastconv.reference import convolve2d
    >>> convolve2d([[1, 2], [3, 4]], [[1, 10]])
    [[1, 12, 20], [3, 34, 40]]
    """
    image, kernel = elements_of_rows(image, "image"), elements_of_rows(kernel, "kernel")
    height, width = extents(image, "image")
    rows, columns = extents(kernel, "kernel")
    (down, across), (row_step, column_step), (top, left) = map(both_axes, (stride, dilation, start))
    if mode == "valid":
        boundary = "zero"
        if (height - (rows - 1) * row_step - 1) * (width - (columns - 1) * column_step - 1) < 0:
            raise ValueError(
                "in mode 'valid' one of image and kernel must contain the other; "
                f"got {height} x {width} and {rows} x {columns}"
            )
    out = []
    for p in output_indices(mode, height, rows, down, row_step, top):
        line = []
        for q in output_indices(mode, width, columns, across, column_step, left):
            total = 0
            for i in range(rows):
                for j in range(columns):
                    r = source_index(p - i * row_step, height, boundary)
                    c = source_index(q - j * column_step, width, boundary)
                    if r is not None and c is not None:
                        total = total + kernel[i][j] * image[r][c]
                    elif boundary == "fill":
                        total = total + kernel[i][j] * fill_value
            line.append(total)
        out.append(line)
    return out


def flipped(kernel):
    """Return nested sequences reversed along all axes, with conjugated elements."""
    if hasattr(kernel, "__len__"):
        return [flipped(part) for part in reversed(elements(kernel, "kernel"))]
    return kernel.conjugate()


def correlate(x, kernel, *args, **options):
    """Correlate nested sequences: `convolve` with the kernel conjugated, and not flipped.

    Parameters
    ----------
    x, kernel, *args, **options : see there
        As in `convolve`.

    Returns
    -------
    nested lists
        The results.

    Raises
    ------
    ValueError
        As `convolve`.

    See Also
    --------
    fastconv.correlate : The same, fast.
    convolve : With the kernel flipped.

    Examples
    --------
    >>> from fastconv.reference import correlate
    >>> correlate([[1, 2, 3]], [[1, 10]])
    [[10, 21, 32, 3]]
    """
    return convolve(x, flipped(kernel), *args, **options)


def correlate1d(x, kernel, *args, **options):
    """Correlate a sequence with a kernel: conjugated, and not flipped.

    Parameters
    ----------
    x, kernel, *args, **options : see there
        As in `convolve1d`.

    Returns
    -------
    list
        The results.

    Raises
    ------
    ValueError
        As `convolve1d`.

    See Also
    --------
    fastconv.correlate1d : The same, fast.
    convolve1d : With the kernel flipped.

    Examples
    --------
    >>> from fastconv.reference import correlate1d
    >>> correlate1d([1, 2, 3], [1, 10])
    [10, 21, 32, 3]
    """
    return convolve1d(x, [tap.conjugate() for tap in reversed(elements(kernel, "kernel"))], *args, **options)


def correlate2d(image, kernel, *args, **options):
    """Correlate an image with a kernel: conjugated, and not flipped.

    Parameters
    ----------
    image, kernel, *args, **options : see there
        As in `convolve2d`.

    Returns
    -------
    list of lists
        The results.

    Raises
    ------
    ValueError
        As `convolve2d`.

    See Also
    --------
    fastconv.correlate2d : The same, fast.
    convolve2d : With the kernel flipped.

    Examples
    --------
    >>> from fastconv.reference import correlate2d
    >>> correlate2d([[1, 2], [3, 4]], [[1, 10]])
    [[10, 21, 2], [30, 43, 4]]
    """
    rows = elements_of_rows(kernel, "kernel")
    extents(rows, "kernel")
    turned = [[tap.conjugate() for tap in reversed(row)] for row in reversed(rows)]
    return convolve2d(image, turned, *args, **options)


def known_sample(sample, weight, ignores_nan):
    """Return a sample and its weight, which is 0 for a NaN that is ignored; of weight 0, a sample is 0."""
    if weight == 0 or (ignores_nan and sample != sample):
        return 0, 0
    return sample, weight


def normalized(products, kernel_sum, kernel_size, min_weight, normalize):
    """Return a normalized sum of triples of tap, sample and weight, None where too little is known; and what is known.

    That is the share of the absolute taps, each times the weight of its sample.
    """
    total = weight_sum = known = 0
    for tap, sample, weight in products:
        if weight != 0:
            total = total + tap * (sample * weight)
            weight_sum = weight_sum + tap * weight
            known = known + abs(tap) * weight
    share = known / kernel_size
    if known == 0 or share <= min_weight:
        return None, share
    return (total / weight_sum * kernel_sum if normalize else total / share), share


def normalized_convolve1d(
    x,
    kernel,
    mode="full",
    boundary="zero",
    fill_value=0,
    weights=None,
    nan="propagate",
    min_weight=0,
    normalize=True,
):
    """Convolve samples of which some are missing: return the results, None where too little is known, and known shares.

    With ``w`` the weight of a sample, 0 for a missing one, and sums over the taps ``k`` of an output::

        result = sum(k * w * x) / sum(k * w) * sum(k)       if normalize
        result = sum(k * w * x) / share                     if not
        share = sum(|k| * w) / sum(|k|)

    Outside, a sample has the weight of the one that it repeats, a fill value the weight 1, and `zero` has no samples.
    Too little is known where ``share <= min_weight``.

    Parameters
    ----------
    x, kernel : sequence of numbers
        The samples and the taps.
    mode, boundary, fill_value : optional
        As in `fastconv.convolve1d`.
    weights : sequence of numbers, optional
        The weight of each sample, 0 .. 1.
    nan : {'propagate', 'ignore'}
        With 'ignore' a NaN is a missing sample.
    min_weight : number
        The share that must be exceeded.
    normalize : bool
        Which of the formulas.

    Returns
    -------
    tuple of two lists
        The results, and the shares.

    Raises
    ------
    ValueError
        As `convolve1d`.
    ZeroDivisionError
        If taps add up to 0, and `normalize`.

    See Also
    --------
    fastconv.convolve1d : The same, fast.
    normalized_convolve2d : Of an image.

    Examples
    --------
    >>> from fastconv.reference import normalized_convolve1d
    >>> from fractions import Fraction
    >>> nan = float("nan")
    >>> normalized_convolve1d([1, 2, nan, 1, 2], [.25, .5, .25], "same", nan="ignore")[0] == [
    ...     1 / .75, 1.25 / .75, .75 / .5, 1 / .75, 1.25 / .75]
    True
    >>> found = normalized_convolve1d([1, 5, 3], [1, 2, 1], "same", weights=[1, 0, Fraction(1, 2)])
    >>> [str(share) for share in found[1]], [round(float(result), 3) for result in found[0]]
    (['0.5', '3/8', '1/4'], [4.0, 6.667, 12.0])
    """
    x, kernel = elements(x, "x"), elements(kernel, "kernel")
    weights = [1] * len(x) if weights is None else elements(weights, "weights")
    found, shares = normalized_convolve2d(
        [x], [kernel], mode, boundary, fill_value, [weights], nan, min_weight, normalize
    )
    return found[0], shares[0]


def normalized_convolve2d(
    image,
    kernel,
    mode="full",
    boundary="zero",
    fill_value=0,
    weights=None,
    nan="propagate",
    min_weight=0,
    normalize=True,
):
    """Convolve an image of which some pixels are missing, as `normalized_convolve1d`.

    Parameters
    ----------
    image, kernel, weights : sequence of sequences of numbers
        Rows of equal length: pixels, taps, and, optionally, the weight of each pixel.
    mode, boundary, fill_value, nan, min_weight, normalize : optional
        As in `normalized_convolve1d`.

    Returns
    -------
    tuple of two lists of lists
        The results, and the shares.

    Raises
    ------
    ValueError, ZeroDivisionError
        As `convolve2d` and `normalized_convolve1d`.

    See Also
    --------
    fastconv.convolve2d : The same, fast.
    normalized_convolve1d : The formulas.

    Examples
    --------
    >>> from fastconv.reference import normalized_convolve2d
    >>> nan = float("nan")
    >>> normalized_convolve2d([[1, 2, 3], [4, nan, 6], [7, 8, 9]], [[1, 1], [1, 1]], "valid", nan="ignore")[0]
    [[9.333333333333334, 14.666666666666666], [25.333333333333332, 30.666666666666668]]
    """
    image, kernel = elements_of_rows(image, "image"), elements_of_rows(kernel, "kernel")
    height, width = extents(image, "image")
    rows, columns = extents(kernel, "kernel")
    weights = [[1] * width] * height if weights is None else elements_of_rows(weights, "weights")
    taps = [tap for line in kernel for tap in line]
    kernel_sum, kernel_size = sum(taps), sum(abs(tap) for tap in taps)
    if mode == "valid":
        boundary = "zero"
    top, bottom = output_range(mode, height, rows)
    left, right = output_range(mode, width, columns)
    out, shares = [], []
    for p in range(top, bottom):
        line = []
        for q in range(left, right):
            products = []
            for i in range(rows):
                for j in range(columns):
                    r = source_index(p - i, height, boundary)
                    c = source_index(q - j, width, boundary)
                    if r is not None and c is not None:
                        products.append((kernel[i][j], *known_sample(image[r][c], weights[r][c], nan == "ignore")))
                    elif boundary == "fill":
                        products.append((kernel[i][j], *known_sample(fill_value, 1, nan == "ignore")))
            line.append(normalized(products, kernel_sum, kernel_size, min_weight, normalize))
        out.append([result for result, _ in line])
        shares.append([share for _, share in line])
    return out, shares


def layer_axis(samples, taps, stride, padding, dilation):
    """Return the number of outputs of a layer along one axis, and the position of the first sample of output 0."""
    extent = (taps - 1) * dilation + 1
    if padding in ("same", "same_lower"):
        outputs = (samples + stride - 1) // stride
        total = max(0, (outputs - 1) * stride + extent - samples)
        before = total // 2 if padding == "same" else total - total // 2
        return outputs, -before
    before, after = (0, 0) if padding == "valid" else padding
    return (samples + before + after - extent) // stride + 1, -before


def both_axes(value):
    """Return a value for both axes: a pair as it is, anything else twice."""
    return value if isinstance(value, (tuple, list)) else (value, value)


def layer_paddings(padding):
    """Return the padding of each axis: a pair, or a name."""
    return [axis if isinstance(axis, str) else both_axes(axis) for axis in both_axes(padding)]


def layer_products(height, width, weights, stride, padding, dilation, groups, padding_mode):
    """Yield the places of all products of a layer: in the output, in the weights, and in the input.

    The place in the input is None for a product with the fill value.
    """
    outputs, channels, rows, columns = len(weights), len(weights[0]), len(weights[0][0]), len(weights[0][0][0])
    (down, across), (row_step, column_step) = both_axes(stride), both_axes(dilation)
    vertical, horizontal = layer_paddings(padding)
    out_height, top = layer_axis(height, rows, down, vertical, row_step)
    out_width, left = layer_axis(width, columns, across, horizontal, column_step)
    for o in range(outputs):
        group = o // (outputs // groups)
        for p in range(out_height):
            for q in range(out_width):
                for m in range(channels):
                    for i in range(rows):
                        for j in range(columns):
                            r = source_index(top + p * down + i * row_step, height, padding_mode)
                            c = source_index(left + q * across + j * column_step, width, padding_mode)
                            if r is not None and c is not None:
                                yield (o, p, q), (o, m, i, j), (group * channels + m, r, c)
                            elif padding_mode == "fill":
                                yield (o, p, q), (o, m, i, j), None


def layer_shape(height, width, weights, stride, padding, dilation):
    """Return the channels, rows and columns of the output of a layer."""
    sizes = [
        layer_axis(samples, taps, step, pad, apart)[0]
        for samples, taps, step, pad, apart in zip(
            (height, width),
            (len(weights[0][0]), len(weights[0][0][0])),
            both_axes(stride),
            layer_paddings(padding),
            both_axes(dilation),
        )
    ]
    return len(weights), *sizes


def conv2d(x, weights, bias=None, stride=1, padding=0, dilation=1, groups=1, padding_mode="zero", fill_value=0):
    """Apply a convolutional layer to an image: a sequence of channels, each of which is a sequence of rows.

    With ``g`` the group of output channel ``o``, and a pixel outside as `padding_mode` defines it::

        out[o][p][q] = bias[o] + sum over m, i, j of
            weights[o][m][i][j] * x[g * channels + m][p * stride + i * dilation - top][q * stride + j * dilation - left]

    Parameters
    ----------
    x : nested sequences, shape (C, H, W)
        The image.
    weights : nested sequences, shape (O, C / groups, kH, kW)
        The kernels.
    bias : sequence of O numbers, optional
        Added to each output channel.
    stride, padding, dilation, groups, padding_mode, fill_value : optional
        As in `fastconv.layers.conv2d`.

    Returns
    -------
    nested lists, shape (O, H', W')
        The output.

    Raises
    ------
    ValueError
        For an unknown padding mode.

    See Also
    --------
    fastconv.layers.conv2d : The same, fast, for a batch of images.
    conv2d_input_gradient, conv2d_weight_gradient : Its gradients.

    Examples
    --------
    >>> from fastconv.reference import conv2d
    >>> conv2d([[[1, 2, 3], [4, 5, 6]]], [[[[1, 10]]]], padding=((0, 0), (1, 0)))
    [[[10, 21, 32], [40, 54, 65]]]
    """
    height, width = len(x[0]), len(x[0][0])
    channels, rows, columns = layer_shape(height, width, weights, stride, padding, dilation)
    out = [[[bias[o] if bias else 0] * columns for _ in range(rows)] for o in range(channels)]
    places = layer_products(height, width, weights, stride, padding, dilation, groups, padding_mode)
    for (o, p, q), (_, m, i, j), source in places:
        sample = fill_value if source is None else x[source[0]][source[1]][source[2]]
        out[o][p][q] = out[o][p][q] + weights[o][m][i][j] * sample
    return out


def conv2d_input_gradient(
    gradient, weights, height, width, stride=1, padding=0, dilation=1, groups=1, padding_mode="zero"
):
    """Gradient of `conv2d` to an image of these sizes: each product gives its sample the weight, times the output's.

    Parameters
    ----------
    gradient : nested sequences, shape (O, H', W')
        The gradient to the output.
    weights : nested sequences, shape (O, C / groups, kH, kW)
        The kernels. Complex ones are conjugated.
    height, width : int
        The size of the image.
    stride, padding, dilation, groups, padding_mode : optional
        Those of the layer.

    Returns
    -------
    nested lists, shape (C, height, width)
        The gradient to the image.

    Raises
    ------
    ValueError
        For an unknown padding mode.

    See Also
    --------
    fastconv.layers.conv2d_input_gradient : The same, fast.
    conv2d : The layer.

    Examples
    --------
    >>> from fastconv.reference import conv2d_input_gradient
    >>> conv2d_input_gradient([[[1, 100]]], [[[[2, 3]]]], 1, 3)
    [[[2, 203, 300]]]
    """
    channels = len(weights[0]) * groups
    result = [[[0] * width for _ in range(height)] for _ in range(channels)]
    places = layer_products(height, width, weights, stride, padding, dilation, groups, padding_mode)
    for (o, p, q), (_, m, i, j), source in places:
        if source is not None:
            c, y, x = source
            result[c][y][x] = result[c][y][x] + weights[o][m][i][j].conjugate() * gradient[o][p][q]
    return result


def conv2d_weight_gradient(
    x, gradient, rows, columns, stride=1, padding=0, dilation=1, groups=1, padding_mode="zero", fill_value=0
):
    """Gradient of `conv2d` to kernels of these sizes: each product gives its weight the sample, times the output's.

    Parameters
    ----------
    x : nested sequences, shape (C, H, W)
        The image. Complex samples are conjugated.
    gradient : nested sequences, shape (O, H', W')
        The gradient to the output.
    rows, columns : int
        The size of the kernels.
    stride, padding, dilation, groups, padding_mode, fill_value : optional
        Those of the layer.

    Returns
    -------
    nested lists, shape (O, C / groups, rows, columns)
        The gradient to the kernels.

    Raises
    ------
    ValueError
        For an unknown padding mode.

    See Also
    --------
    fastconv.layers.conv2d_weight_gradient : The same, fast.
    conv2d : The layer.

    Examples
    --------
    >>> from fastconv.reference import conv2d_weight_gradient
    >>> conv2d_weight_gradient([[[1, 2, 3]]], [[[1, 100]]], 1, 2)
    [[[[201, 302]]]]
    """
    channels = len(x) // groups
    result = [[[[0] * columns for _ in range(rows)] for _ in range(channels)] for _ in range(len(gradient))]
    places = layer_products(len(x[0]), len(x[0][0]), result, stride, padding, dilation, groups, padding_mode)
    for (o, p, q), (_, m, i, j), source in places:
        sample = fill_value if source is None else x[source[0]][source[1]][source[2]]
        result[o][m][i][j] = result[o][m][i][j] + sample.conjugate() * gradient[o][p][q]
    return result
