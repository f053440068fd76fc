"""Tests of the report: reading, statistics, Markdown and charts."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bench import report, tables
from bench.results import WANTED, against_each, read, standing

MEGABYTE = 2**20
WHITE, DARK = "#ffffff", "#0d1117"  # GitHub's light and dark page
SERIES = "images: float32 100x100"


def entry(group, case, side, seconds, **info):
    """Return a benchmark as pytest-benchmark writes it, with quartiles 10 % below and above the median."""
    info = {"case": case, "group": group, "side": side, "library": side.partition(".")[0], **info}
    stats = {"median": seconds, "q1": 0.9 * seconds, "q3": 1.1 * seconds, "rounds": 9, "min": 0.8 * seconds}
    return {
        "group": f"{group}: {case}",
        "name": case,
        "fullname": f"{case} - {side}",
        "extra_info": info,
        "stats": stats,
    }


def image(taps, side, seconds, **info):
    """Return a benchmark of a series whose bound is a millisecond for each tap."""
    shape = [taps, taps]
    info = {"series": SERIES, "kernel_shape": shape, "bound": 1e-3 * taps**2, "bound_by": "arithmetic", **info}
    return entry("images", f"float32 100x100 by {taps}x{taps}", side, seconds, **info)


def content():
    """Return results: wins by 2, 3 and 4, a loss by 2, cases without a rival and without us, and the other groups."""
    benchmarks = []
    for taps, factor in ((3, 2), (5, 3), (7, 4), (9, 0.5)):
        ours = 2e-3 * taps**2
        benchmarks += [
            image(taps, "fastconv", ours, brief=taps in (3, 9)),
            image(taps, "cv2.filter2D", ours * factor, difference="correlates"),
            image(taps, "scipy.signal.oaconvolve", ours * 10, difference="by FFT" if taps > 3 else "directly"),
        ]
    benchmarks += [
        entry("small", "alone", "fastconv", 3e-6, bound=3e-7, bound_by="memory"),
        entry("small", "without ours", "numpy.convolve", 2e-6),
        entry("cold", "import", "numpy", 0.1),
        entry("cold", "import", "fastconv, float32", 0.15, library="fastconv"),
        entry("cold", "first result, full cache", "fastconv, float32", 0.5, library="fastconv"),
    ]
    for side, peak, beside in (("scipy.signal.oaconvolve", 2600, 1800), ("fastconv", 700, 2.5)):
        sizes = {"peak_bytes": peak, "arrays_bytes": 512, "beside_bytes": beside}
        sizes = {name: int(size * MEGABYTE) for name, size in sizes.items()}
        benchmarks.append(entry("memory", "float32 8192x8192 by 5x5", side, 2.0, **sizes))
    # Not one of our cases: a run may hold other benchmarks.
    benchmarks.append({"group": "machine", "name": "peak", "extra_info": {"GFLOP/s": 99}, "stats": {"median": 1}})
    machine = {
        "node": "a-name-to-be-kept-secret",
        "processor": "a processor",
        "threads": "2",
        "versions": {"Python": "3.11", "numpy": "2.4"},
        "roofline": [{"threads": 1, "float32, GFLOP/s": 99.12, "copy, GB/s": 22.14}],
        "left out": ["cupy: there is no GPU"],
    }
    return {
        "machine_info": machine,
        "commit_info": {"id": "0123456789abcdef", "dirty": True},
        "benchmarks": benchmarks,
        "datetime": "2025-11-21T22:00:00+00:00",
        "version": "5.3.1",
    }


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content()))
    return path


@pytest.fixture
def results(file):
    return read(file)


def row(text, *wanted):
    """Return the cells of the only table row that has all of the wanted ones."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    found = [cells for cells in rows if set(wanted) <= set(cells)]
    assert len(found) == 1, found
    return found[0]


# --------------------------------------------------------------------------------------------------- the numbers


def test_groups_of_whole_processes_are_separate(results):
    assert list(results.groups) == ["images", "small"]
    assert [case.name for case in results.cold] == ["import", "first result, full cache"]
    assert len(results.memory) == 1


def test_the_best_rival_is_the_fastest(results):
    ratios = {case.name: case.ratio.median for case in results.cases if case.ratio}
    assert list(ratios.values()) == pytest.approx([2, 3, 4, 0.5])
    assert {case.best.side for case in results.groups["images"]} == {"cv2.filter2D"}
    assert [case.is_loss for case in results.cases] == [False, False, False, True, False, False]


def test_spread_of_a_ratio_is_from_its_quartiles(results):
    assert results.cases[0].ratio == pytest.approx((2 * 0.9 / 1.1, 2, 2 * 1.1 / 0.9))


def test_share_of_the_roofline(results):
    assert [case.share for case in results.cases] == [*[pytest.approx(0.5)] * 4, pytest.approx(0.1), None]


def test_compared_cases_begin_with_the_worst(results):
    assert [ratio.median for _, ratio in results.compared] == pytest.approx([0.5, 2, 3, 4])


def test_geometric_mean(results):
    assert standing(ratio for _, ratio in results.compared) == (4, 3, pytest.approx(12**0.25))
    assert standing([None]) == (0, 0, None)


def test_standings_cover_the_cases_that_both_have_computed(results):
    assert against_each(results) == {
        "cv2.filter2D": (4, 3, pytest.approx(12**0.25)),
        "scipy.signal.oaconvolve": (4, 4, pytest.approx(10)),
        "numpy.convolve": (0, 0, None),
    }


def test_other_uses_of_fastconv_are_not_rivals(tmp_path):
    path = tmp_path / "results.json"
    sides = [("fastconv", 2.0), ("fastconv, contiguous", 1.0), ("cv2.filter2D", 3.0)]
    entries = [entry("layouts", "crop", side, seconds, library=side[:8]) for side, seconds in sides]
    path.write_text(json.dumps({"benchmarks": entries}))
    results = read(path)
    assert [ratio.median for _, ratio in results.compared] == pytest.approx([1.5])
    assert results.rivals == ["cv2.filter2D"]
    assert row(tables.report(results), "2.00 s")[2:] == ["1.00 s", "3.00 s, 1.5 x"]


# -------------------------------------------------------------------------------------------------- the Markdown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0009996, "1.00 ms"),
        (0.000999, "999 \N{MICRO SIGN}s"),
        (7.31e-6, "7.31 \N{MICRO SIGN}s"),
        (0.05566, "55.7 ms"),
        (0.9999, "1.00 s"),
        (123.4, "123 s"),
        (2e-10, "0.200 ns"),
    ],
)
def test_seconds(value, text):
    assert tables.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0312, "0.031 x"), (0.7, "0.70 x"), (0.998, "1.00 x"), (1.04, "1.04 x"), (1.87, "1.9 x"), (164.6, "165 x")],
)
def test_times(value, text):
    assert tables.times(value) == text


def test_table_has_a_row_for_each_case(results):
    text = tables.report(results)
    cells = row(text, "float32 100x100 by 3x3", "50 %, arithmetic")
    assert cells == [
        "float32 100x100 by 3x3",
        "18.0 ms (16.2\N{EN DASH}19.8)",
        "`cv2.filter2D`",
        "36.0 ms (32.4\N{EN DASH}39.6)",
        "2.0 x (1.6\N{EN DASH}2.4)",
        "50 %, arithmetic",
    ]
    assert "4 ratios, geometric mean 1.86 x, ahead in 3." in text


def test_losses_are_bold_and_labelled(results):
    cells = row(tables.report(results), "float32 100x100 by 9x9", "50 %, arithmetic")
    assert cells[4] == "**0.50 x (0.41\N{EN DASH}0.61), slower**"


def test_missing_sides_are_shown(results):
    text = tables.report(results)
    assert row(text, "alone", "none")[2:] == ["none", tables.TO, tables.TO, "10 %, memory"]
    cells = row(text, "without ours", "not measured")
    assert cells[2] == "`numpy.convolve`"
    assert cells[4:] == [tables.TO, tables.TO]
    assert "- Without a rival: 1 (small: alone)." in text
    assert "- Without a result of fastconv: 1 (small: without ours)." in text


def test_every_rival_has_a_column_in_its_groups(results):
    text = tables.report(results)
    images, small = re.findall(r"<details>.*?</details>", text, re.DOTALL)
    assert row(images, "case") == ["case", "fastconv", "cv2.filter2D", "scipy.signal.oaconvolve"]
    assert row(images, "float32 100x100 by 9x9")[2:] == ["81.0 ms, **0.50 x, slower**", "1.62 s, 10 x"]
    assert row(small, "case") == ["case", "fastconv", "numpy.convolve"]
    assert row(small, "alone")[2] == tables.TO


def test_summary(results):
    summary = tables.report(results).split("## Summary")[1].split("## Notes")[0]
    assert "6 cases, 4 of them with a ratio" in summary
    assert "Geometric mean of the ratio to the best rival: 1.86 x." in summary
    assert "Ahead of the best rival in 3 of 4 cases." in summary
    assert "The worst: images: float32 100x100 by 9x9, 0.50 x beside `cv2.filter2D`." in summary
    losses = summary.split("Slower than the best rival: 1 case:")[1]
    assert "images: float32 100x100 by 9x9: **0.50 x" in losses
    assert row(summary, "`scipy.signal.oaconvolve`")[1:] == ["4", "4", "10.0 x"]
    assert row(summary, "`numpy.convolve`")[1:] == ["0", "0", tables.TO]


def test_groups_of_whole_processes_have_separate_tables(results):
    text = tables.report(results)
    cold = text.split("## Cold")[1].split("## Memory")[0]
    assert row(cold, "numpy") == ["", "fastconv, float32", "numpy"]
    assert row(cold, "import")[1].startswith("150 ms (135")
    assert row(cold, "first result, full cache")[2] == tables.TO
    memory = text.split("## Memory")[1].split("## Summary")[0]
    assert row(memory, "fastconv")[2:] == ["700 MB", "512 MB", "2.5 MB"]
    assert row(memory, "scipy.signal.oaconvolve")[4] == "1800 MB"


def test_sides_become_rows_if_they_outnumber_the_cases(results):
    text = tables.report(results._replace(cold=results.cold[:1])).split("## Cold")[1]
    assert row(text, "import") == ["", "import"]
    assert row(text, "fastconv, float32")[1].startswith("150 ms (135")


def test_notes(results):
    notes = tables.report(results).split("## Notes")[1]
    assert row(notes, "`cv2.filter2D`")[1] == "correlates"
    assert row(notes, "`scipy.signal.oaconvolve`")[1] == "directly (images); by FFT (images)"
    assert "- versions: Python 3.11, numpy 2.4\n" in notes
    assert "- commit: 0123456789, with changes not committed\n" in notes
    assert "- left out:\n  - cupy: there is no GPU\n" in notes
    assert row(notes, "99.1") == ["1", "99.1", "22.1"]
    assert "secret" not in notes


def test_brief(results):
    text = tables.brief(results)
    rows = [line for line in text.splitlines() if line.startswith("| float32")]
    assert len(rows) == 2
    assert rows[1].endswith("| 162 ms | `cv2.filter2D` | **0.50 x, slower** | 50 %, arithmetic |")
    assert "Over all 4 cases, the best rival of each: 1.86 x (geometric mean), ahead in 3; the worst is images" in text
    assert text.endswith("a processor; threads: 2; Python 3.11, numpy 2.4; 2025-11-21.\n")


def test_description_of_the_machine_is_optional(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"benchmarks": [entry("small", "one", "fastconv", 1.0)], "machine_info": None}))
    results = read(path)
    assert "### The machine" not in tables.report(results)
    assert tables.brief(results) == "\n"


# ---------------------------------------------------------------------------------------------------- the charts


@pytest.fixture
def charts():
    pytest.importorskip("matplotlib")
    from bench import charts

    return charts


@pytest.fixture
def drawn(charts, results):
    return {chart.name: chart for chart in charts.draw(results)}


def parsed(chart):
    root = ElementTree.fromstring(chart.svg)
    identifiers = {element.get("id") for element in root.iter() if element.get("id")}
    return identifiers, {element.text for element in root.iter() if element.tag.endswith("}text")}


def test_a_chart_for_each_series_with_enough_sizes(charts, results, drawn):
    assert set(drawn) == {"time-images-float32-100x100.svg", "ratios.svg"}
    fewer = results._replace(cases=results.cases[1:])
    assert [chart.name for chart in charts.draw(fewer)] == ["ratios.svg"]


def test_chart_of_times_has_all_sides_and_the_roofline(drawn):
    identifiers, texts = parsed(drawn["time-images-float32-100x100.svg"])
    assert {
        "side-fastconv",
        "side-cv2-filter2d",
        "side-scipy-signal-oaconvolve",
        "roofline",
        "quartiles",
    } <= identifiers
    assert {"fastconv", "cv2.filter2D", "scipy.signal.oaconvolve", "roofline"} <= texts
    assert {"3", "5", "7", "9", "milliseconds", "taps along each axis (k x k kernel)"} <= texts


def test_chart_of_ratios_has_all_cases_and_labels_losses(drawn):
    identifiers, texts = parsed(drawn["ratios.svg"])
    assert len([name for name in identifiers if name.startswith("win-")]) == 3
    assert [name for name in identifiers if name.startswith("loss-")] == ["loss-images-float32-100x100-by-9x9"]
    assert {"images", "float32 100x100 by 5x5", "3.0 x cv2.filter2D", "0.50 x, slower than cv2.filter2D"} <= texts
    assert b"<pattern" in drawn["ratios.svg"].svg  # the hatching


def test_charts_are_reproducible(charts, results, drawn):
    assert {chart.name: chart for chart in charts.draw(results)} == drawn


def luminance(colour):
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Return the contrast of the Web Content Accessibility Guidelines, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_matches_the_guidelines():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("page", [WHITE, DARK])
def test_all_colours_have_contrast_on_light_and_dark_pages(charts, drawn, page):
    named = {charts.INK, charts.OURS_COLOUR, charts.LOSS_COLOUR, *charts.RIVAL_COLOURS}
    used = {colour for chart in drawn.values() for colour in re.findall(r"#[0-9a-fA-F]{6}\b", chart.svg.decode())}
    assert used <= named
    assert min(contrast(colour, page) for colour in named) >= 3
    assert contrast(charts.INK, page) >= 4.2


def test_text_has_one_colour_and_the_background_is_transparent(charts, drawn):
    for chart in drawn.values():
        root = ElementTree.fromstring(chart.svg)
        texts = [element for element in root.iter() if element.tag.endswith("}text")]
        assert texts
        assert all(charts.INK in element.get("style", "") for element in texts)
        assert all("sans-serif" in element.get("style", "") for element in texts)
        background = next(element for element in root.iter() if element.get("id") == "patch_1")
        assert all("fill: none" in path.get("style", "") for path in background)


def test_sides_of_a_chart_have_distinct_styles(charts, tmp_path):
    sides = ["fastconv", *(f"rival{number}.convolve" for number in range(12))]
    entries = [image(taps, side, 1.0 + number) for taps in (3, 5, 7, 9) for number, side in enumerate(sides)]
    # Sides of other charts may share colours, but differ in marker or dashes.
    entries += [entry("small", "one", f"other{number}", 1.0) for number in range(5)]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"benchmarks": entries}))
    results = read(path)
    styles = charts.styles_of(results, charts.series_of(results))
    assert len({styles[side].colour for side in sides}) == 13
    assert len({styles[side].marker for side in sides}) == 13
    assert len({str(style) for style in styles.values()}) == len(styles) == 18


def test_labels_of_curves_do_not_overlap(charts):
    ones = [1] * 3
    assert charts.spaced([0.9, 0.1, 0.5], ones, 0.1, 0, 1) == pytest.approx([0.9, 0.1, 0.5])
    assert charts.spaced([0.5, 0.5, 0.5], ones, 0.1, 0, 1) == pytest.approx([0.4, 0.5, 0.6])
    assert charts.spaced([1, 1, 0.99], ones, 0.1, 0, 1) == pytest.approx([0.9, 1, 0.8])
    assert charts.spaced([0.5, 0.5], [3, 1], 0.1, 0, 1) == pytest.approx([0.475, 0.575])
    assert charts.spaced([], [], 0.1, 0, 1) == []


# --------------------------------------------------------------------------------------------------- the command


def test_command_prints_the_report(file, capsys):
    assert report.main([str(file)]) == 0
    assert capsys.readouterr().out == tables.report(read(file))


def test_command_prints_the_short_table_and_writes_the_rest(charts, file, tmp_path, capsys):
    markdown, folder = tmp_path / "report.md", tmp_path / "drawn" / "charts"
    assert report.main([str(file), "--brief", "--markdown", str(markdown), "--charts", str(folder)]) == 0
    assert capsys.readouterr().out == tables.brief(read(file))
    links = re.findall(r"!\[.+\]\(<(.+)>\)", markdown.read_text(encoding="utf-8"))
    assert links == ["drawn/charts/time-images-float32-100x100.svg", "drawn/charts/ratios.svg"]
    assert all((tmp_path / link).is_file() for link in links)


def without(*keys):
    changed = content()
    place = changed["benchmarks"][0]
    for key in keys[:-1]:
        place = place[key]
    del place[keys[-1]]
    return json.dumps(changed)


def twice():
    changed = content()
    changed["benchmarks"].append(changed["benchmarks"][0])
    return json.dumps(changed)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("median 1.5 ms\n", "not JSON"),
        ("\N{EN DASH}".encode("utf-16"), "not JSON"),
        ("[1, 2]", "not written by pytest-benchmark"),
        ('{"benchmarks": 3}', "not written by pytest-benchmark"),
        ('{"benchmarks": []}', "no benchmarks of fastconv"),
        ('{"benchmarks": [{"extra_info": {}}, 5]}', "no benchmarks of fastconv"),
        (without("stats", "median"), "'median' is missing"),
        (without("stats"), "'stats' is missing"),
        (
            re.sub('"median": [^,]*', '"median": NaN', json.dumps(content()), count=1),
            "median must be a positive number; got nan",
        ),
        (twice(), "fastconv occurs 2 times"),
    ],
)
def test_invalid_results_give_a_one_line_error(tmp_path, capsys, text, words):
    path = tmp_path / "foreign.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert report.main([str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert str(path) in printed.err
    assert words in printed.err


def test_missing_file_gives_a_one_line_error(tmp_path):
    command = [sys.executable, "-m", "bench.report", str(tmp_path / "nothing.json")]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"bench.report: {tmp_path / 'nothing.json'}: No such file or directory; {WANTED}\n"


@pytest.mark.parametrize("option", ["--markdown", "--charts"])
def test_unwritable_targets_give_an_error(charts, file, tmp_path, capsys, option):
    place = file / "below a file"
    assert report.main([str(file), option, str(place)]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert str(file) in printed.err
    assert "the target must be writable" in printed.err
