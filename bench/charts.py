"""SVG charts of the results: time against kernel size, and the ratios of all cases.

The background is transparent, and all colours are legible on white and on dark pages. Hue is never the only cue: rivals
have markers and dashes, and losses are hatched and labelled.
"""

from __future__ import annotations

import io
import math
import re
from typing import Any, NamedTuple, Sequence

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import blended_transform_factory

from bench.results import OURS, Case, Measurement, Results, Spread, standing
from bench.tables import mean_of, times

INK = "#777b82"  # text, axes and the roofline
OURS_COLOUR = "#2577e3"
LOSS_COLOUR = "#d4482f"
RIVAL_COLOURS = (
    "#d9730d",
    "#1d9a50",
    "#a855d8",
    "#c03a4e",
    "#0f95a3",
    "#94762a",
    "#e0559f",
    "#6a7f1c",
    "#7a7de8",
    "#a0623c",
    "#2f8f7c",
    "#9a5a8c",
)
_MARKERS = "sD^vPX<>phd*"
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))

# A page of GitHub is some 850 pixels wide; with this width in points, text keeps its size there.
_WIDTH = 8.85
_POINTS = 72
_SMALL, _MEDIUM, _LARGE = 7.5, 8.5, 11.0
_EDGE = 0.02  # where text begins, in widths of the figure
_LETTER = 0.56  # the mean width of a letter of the fonts below, in units of its height
_BOLD = 0.64

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text, searchable and in the reader's font
    "svg.hashsalt": "fastconv",  # reproducible files
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": _MEDIUM,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 1.1,
}

LEAST_SIZES = 4  # of kernels, for a chart of time


class Chart(NamedTuple):
    """One drawing; `group` is empty if it covers all groups."""

    name: str
    title: str
    group: str
    svg: bytes


def draw(results: Results) -> list[Chart]:
    """Draw every chart for which the results have enough data."""
    series = series_of(results)
    styles = styles_of(results, series)
    with matplotlib.style.context(["default", _STYLE]):
        charts = [_times(name, cases, styles) for name, cases in series.items()]
        if results.compared:
            charts.append(_ratios(results))
    return charts


def series_of(results: Results) -> dict[str, list[Case]]:
    """Return the cases of each series that has enough kernel sizes, sorted by size."""
    found: dict[str, list[Case]] = {}
    for case in results.cases:
        if case.sides[0].series and case.sides[0].kernel_shape:
            found.setdefault(case.sides[0].series, []).append(case)
    return {name: sorted(cases, key=_taps) for name, cases in found.items() if len({*map(_taps, cases)}) >= LEAST_SIZES}


def _taps(case: Case) -> int:
    return max(case.sides[0].kernel_shape)


class _Style(NamedTuple):
    colour: str
    marker: str
    dashes: Any


def styles_of(results: Results, series: dict[str, list[Case]]) -> dict[str, _Style]:
    """Assign each side a style for all charts, distinct within each chart as far as the colours suffice."""
    styles = {OURS: _Style(OURS_COLOUR, "o", "-")}
    together = [{side.side for case in cases for side in case.sides} for cases in series.values()]
    numbers: dict[str, int] = {}
    for rival in results.rivals:
        near = set().union(*(sides for sides in together if rival in sides))
        taken = [number for name, number in numbers.items() if name in near]
        numbers[rival] = min(range(len(RIVAL_COLOURS)), key=lambda number: (taken.count(number), number))
        again = list(numbers.values()).count(numbers[rival]) - 1  # sides with this colour in other charts
        styles[rival] = _Style(
            RIVAL_COLOURS[numbers[rival]],
            _MARKERS[(numbers[rival] + again) % len(_MARKERS)],
            _DASHES[(numbers[rival] + again) % len(_DASHES)],
        )
    return styles


def _chart(figure: Figure, name: str, title: str, group: str) -> Chart:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Title": title})
    return Chart(name, title, group, drawn.getvalue())


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _headline(figure: Figure, title: str, under: str) -> None:
    """Draw title and subtitle at fixed distances from the top, in points."""
    height = figure.get_figheight() * _POINTS
    figure.text(_EDGE, 1 - 10 / height, title, fontsize=_LARGE, fontweight="bold", va="top")
    figure.text(_EDGE, 1 - 28 / height, under, va="top")


# ------------------------------------------------------------------------------------- time against kernel size

_PLOT_LEFT, _PLOT_WIDTH = 0.09, 0.645  # in widths of the figure
_PLOT_ABOVE, _PLOT_BELOW = 66, 42  # in points


class _Line(NamedTuple):
    """The curve of one side: kernel sizes and milliseconds."""

    name: str
    taps: list[int]
    milliseconds: list[float]
    spreads: list[Spread]


def _times(series: str, cases: list[Case], styles: dict[str, _Style]) -> Chart:
    group, _, what = series.partition(": ")
    title = f"{what or series}: time by kernel size"
    rows = len({side.side for case in cases for side in case.sides if side.side in styles})
    figure = Figure(figsize=(_WIDTH, max(4.9, 1.1 + 0.21 * (rows + 1))))
    height = figure.get_figheight() * _POINTS
    plot = height - _PLOT_ABOVE - _PLOT_BELOW
    axes = figure.add_axes((_PLOT_LEFT, _PLOT_BELOW / height, _PLOT_WIDTH, plot / height))

    sizes = list(dict.fromkeys(map(_taps, cases)))
    lines = [_line(name, cases) for name in sorted(styles, key=lambda name: name == OURS)]  # ours on top
    lines = [line for line in lines if line.taps]
    bounds = [(_taps(case), 1e3 * case.ours.bound) for case in cases if case.ours and case.ours.bound]
    _scales(axes, sizes, [each for line in lines for each in line.milliseconds] + [bound for _, bound in bounds])
    under = f"{group}: medians of a call, lower is better; the band shows our quartiles"
    _headline(figure, title, f"{under}; roofline: {_bound_by(cases)}" if bounds else under)
    axes.set_xlabel(_taps_label(cases))
    figure.text(_EDGE, 1 - (_PLOT_ABOVE - 8) / height, "milliseconds")  # above the axis, to be read upright

    names: list[tuple[float, float, str, dict[str, Any]]] = []
    for line in lines:
        ours = line.name == OURS
        look = _look(styles[line.name], ours)
        if ours:
            low, high = ([1e3 * getattr(spread, side) for spread in line.spreads] for side in ("low", "high"))
            axes.fill_between(line.taps, low, high, color=OURS_COLOUR, alpha=0.25, linewidth=0, gid="quartiles")
        axes.plot(line.taps, line.milliseconds, gid=f"side-{_slug(line.name)}", zorder=4 if ours else 3, **look)
        names.append((line.taps[-1], line.milliseconds[-1], line.name, look))
    if bounds:
        look = {"color": INK, "linewidth": 1.6, "linestyle": (0, (7, 3))}
        axes.plot(*zip(*bounds), gid="roofline", zorder=2, **look)
        names.append((*bounds[-1], "roofline", look))
    _name_lines(axes, names, plot)
    return _chart(figure, f"time-{_slug(series)}.svg", title, group)


def _line(name: str, cases: list[Case]) -> _Line:
    found: list[tuple[int, Measurement]] = []
    for case in cases:
        side = case.side(name)
        if side:
            found.append((_taps(case), side))
    spreads = [side.seconds for _, side in found]
    return _Line(name, [taps for taps, _ in found], [1e3 * spread.median for spread in spreads], spreads)


def _look(style: _Style, ours: bool) -> dict[str, Any]:
    return {
        "color": style.colour,
        "marker": style.marker,
        "linestyle": style.dashes,
        "linewidth": 2.8 if ours else 1.2,
        "markersize": 6 if ours else 4.5,
    }


def _taps_label(cases: list[Case]) -> str:
    shapes = [case.sides[0].kernel_shape for case in cases]
    if all(len(shape) == 1 for shape in shapes):
        return "taps of the kernel"
    if all(len({*shape}) == 1 for shape in shapes):
        return "taps along each axis (k x k kernel)"
    return "taps along the longer axis of the kernel"


def _bound_by(cases: list[Case]) -> str:
    """Name the limits that bind, from the smallest kernel to the largest."""
    found = [case.ours.bound_by for case in cases if case.ours and case.ours.bound_by]
    return ", then ".join(dict.fromkeys(found)) or "the machine"


def _scales(axes: Axes, sizes: list[int], milliseconds: list[float]) -> None:
    """Set two log scales with ticks at the kernel sizes and at round milliseconds, and the grids."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    left, right = sizes[0], sizes[-1]
    margin = (right / left) ** 0.03
    axes.set_xlim(left / margin, right * margin)
    ticks: list[int] = []
    for size in sizes:  # as many as fit
        if not ticks or math.log(size / ticks[-1]) > 0.035 * math.log(right / left):
            ticks.append(size)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())

    low, high = min(milliseconds), max(milliseconds)
    margin = (high / low) ** 0.04 * 1.05
    axes.set_ylim(low / margin, high * margin)
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    steps = (1,) if high / low > 1e4 else (1, 2, 5)
    axes.yaxis.set_major_locator(FixedLocator([step * 10.0**decade for decade in decades for step in steps]))
    axes.yaxis.set_minor_locator(FixedLocator([step * 10.0**decade for decade in decades for step in range(2, 10)]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.grid(which="major", color=INK, alpha=0.28, linewidth=0.6)
    axes.grid(which="minor", color=INK, alpha=0.12, linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    axes.set_axisbelow(True)


def _name_lines(axes: Axes, names: list[tuple[float, float, str, dict[str, Any]]], height: float) -> None:
    """Label each curve to the right of the plot, as near to its end as other labels permit, with a legend line."""
    to_axes = axes.transScale + axes.transLimits
    ends = [tuple(to_axes.transform((taps, milliseconds))) for taps, milliseconds, _, _ in names]
    reaching = [x > 0.9 for x, _ in ends]
    weights = [5.0 if reaches else 1.0 for reaches in reaching]
    places = spaced([y for _, y in ends], weights, 12.5 / height, 0, 1)
    for (x, y), place, reaches, (_, _, name, look) in zip(ends, places, reaching, names):
        ours = name == OURS
        if reaches:  # a leader from a curve that ends earlier would cross others
            axes.plot(
                [x + 0.012, 1.02],
                [y, place],
                color=look["color"],
                linewidth=0.6,
                transform=axes.transAxes,
                clip_on=False,
            )
        piece = {**look, "markevery": [1]}
        axes.plot([1.025, 1.055, 1.085], [place] * 3, transform=axes.transAxes, clip_on=False, **piece)
        weight = "bold" if ours else "normal"
        axes.text(1.1, place, name, va="center_baseline", fontweight=weight, transform=axes.transAxes)


def spaced(wanted: Sequence[float], weights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return positions at least `gap` apart in `low` .. `high`, ordered like `wanted` and as near to it as possible."""
    order = sorted(range(len(wanted)), key=lambda k: wanted[k])
    # Isotonic regression on the positions less the gaps: neighbours out of order share their mean.
    blocks: list[tuple[float, float, int]] = []
    for rank, k in enumerate(order):
        mean, weight, count = wanted[k] - rank * gap, weights[k], 1
        while blocks and blocks[-1][0] > mean:
            other, heavier, more = blocks.pop()
            mean = (mean * weight + other * heavier) / (weight + heavier)
            weight, count = weight + heavier, count + more
        blocks.append((mean, weight, count))
    shared = [mean for mean, _, count in blocks for _ in range(count)]
    highest = max(low, high - (len(wanted) - 1) * gap)
    places = [0.0] * len(wanted)
    for rank, k in enumerate(order):
        places[k] = min(max(shared[rank], low), highest) + rank * gap
    return places


# -------------------------------------------------------------------------------------------- ratios of all cases

_ROW = 13.0  # points from bar to bar
_TOP, _BOTTOM = 72, 40  # points above the first row and below the last


def _ratios(results: Results) -> Chart:
    compared = results.compared
    total = standing(ratio for _, ratio in compared)
    title = f"{OURS} against the best rival of each case"
    rows = _rows(results)
    bars = [(place, row) for place, row in rows if isinstance(row, Case)]
    names = max(len(case.name) for _, case in bars)
    left = _EDGE + (names * _LETTER * _SMALL + 6) / (_WIDTH * _POINTS)
    width = 0.985 - left
    points = _ROW * (rows[-1][0] + 1)
    height = points + _TOP + _BOTTOM
    figure = Figure(figsize=(_WIDTH, height / _POINTS))
    axes = figure.add_axes((left, _BOTTOM / height, width, points / height))
    under = f"{total.cases} cases, geometric mean {mean_of(total)}, ahead in {total.ahead}"
    _headline(figure, title, f"{under}; hatched bars are losses")

    _ratio_scale(axes, [case for _, case in bars], width * _WIDTH * _POINTS)
    axes.set_ylim(rows[-1][0] + 0.6, -0.6)
    across = blended_transform_factory(figure.transFigure, axes.transData)
    for place, row in rows:
        if isinstance(row, Case):
            _bar(axes, place, row)
        else:
            axes.text(_EDGE, place, row, transform=across, va="center_baseline", fontweight="bold")
    axes.set_yticks([place for place, _ in bars], [case.name for _, case in bars], fontsize=_SMALL)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", top=True, labeltop=True)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("speed relative to the best rival, log scale")
    return _chart(figure, "ratios.svg", title, "")


def _rows(results: Results) -> list[tuple[float, str | Case]]:
    """Return group names and their cases that have a ratio, with the position of each, in bars from the top."""
    rows: list[tuple[float, str | Case]] = []
    place = 0.0
    for group, cases in results.groups.items():
        compared = [case for case in cases if case.ratio]
        if compared:
            rows.append((place, group))
            rows += [(place + number, case) for number, case in enumerate(compared, 1)]
            place += len(compared) + 1.6
    return rows


def _end(case: Case) -> float:
    """Return the right end of a bar with its whisker, where its text begins."""
    return max(1.0, case.ratio.high) if case.ratio else 1.0


def _label(case: Case) -> str:
    if case.ratio is None or case.best is None:
        return ""
    slower = ", slower than" if case.is_loss else ""
    return f"{times(case.ratio.median)}{slower} {case.best.side}"


def _ratio_scale(axes: Axes, cases: list[Case], points: float) -> None:
    """Set a log scale that leaves room for the text at the end of each bar; ticks at round ratios."""
    low = min([case.ratio.low for case in cases if case.ratio] + [1]) / 1.15
    unit = min(
        (points - 8 - len(_label(case)) * (_BOLD if case.is_loss else _LETTER) * _SMALL) / math.log(_end(case) / low)
        for case in cases
    )  # points for each factor of e
    high = low * math.exp(points / max(unit, 1.0))
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1,) if high / low > 3000 else (1, 2, 5)
    axes.xaxis.set_major_locator(FixedLocator([step * 10.0**decade for decade in decades for step in steps]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color=INK, alpha=0.22, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.axvline(1, color=INK, linewidth=1.4, gid="as-fast")


def _bar(axes: Axes, place: float, case: Case) -> None:
    ratio = case.ratio
    assert ratio is not None
    lost = case.is_loss
    guide = [axes.get_xlim()[0], min(1.0, ratio.low)]  # from the name to the bar, not through the text
    axes.plot(guide, [place, place], color=INK, alpha=0.2, linewidth=0.5, zorder=0.5)
    look: dict[str, Any] = {"color": OURS_COLOUR, "linewidth": 0}
    if lost:  # an outline, so that the hatching is visible on any background
        look = {"facecolor": "none", "edgecolor": LOSS_COLOUR, "linewidth": 1.0, "hatch": "/////"}
    axes.barh(
        place,
        ratio.median - 1,
        left=1,
        height=0.66,
        gid=f"{'loss' if lost else 'win'}-{_slug(case.group + ' ' + case.name)}",
        **look,
    )
    axes.plot([ratio.low, ratio.high], [place, place], color=INK, linewidth=1.0, solid_capstyle="butt")
    axes.annotate(
        _label(case),
        (_end(case), place),
        (4, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=_SMALL,
        fontweight="bold" if lost else "normal",
    )
