"""The examples of the gallery: each runs as it stands, draws, and shows what its text says.

Those that need scikit-learn, or take more than a second or so, run when the site is built, by `.ci/docs`, which sets
FASTCONV_TEST_ALL_EXAMPLES.
"""

import os
import runpy
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from scipy import signal

import fastconv
from fastconv import kernels

matplotlib.use("agg")
import matplotlib.pyplot as plt

EXAMPLES = Path(__file__).parent.parent / "examples"
ALL = bool(os.environ.get("FASTCONV_TEST_ALL_EXAMPLES"))
SLOW = {
    "learning/enlarge",
    "learning/gradient_check",
    "learning/small_network",
    "learning/which_filter",
    "pictures/flaws_in_cloth",
    "programs/film_in_chunks",
    "programs/filters_of_ndimage",
    "programs/first_call",
    "programs/inside_njit",
    "programs/larger_than_memory",
    "signals/heartbeats",
    "volumes_and_maps/named_dimensions",
}


def closer(result, other, expected):
    """The mean squared error of a result is less than that of another."""
    return np.mean(np.square(result - expected)) < np.mean(np.square(other - expected))


def edges(found):
    lengths = np.asarray(found["magnitude"])
    return lengths.shape == found["direction"].shape and lengths.max() > 60 > 5 * np.median(lengths)


def borders(found):
    means = [float(axes.get_title().partition(": ")[2]) for axes in found["axes"].flat]
    return means[0] < min(means[2:]) <= max(means[2:]) < means[1]


def gabor_bank(found):
    down, across = np.gradient(found["phase"])
    wrong = np.abs(np.rad2deg(np.arctan2(-down, across)) - found["direction"]) % 180
    return np.median(np.minimum(wrong, 180 - wrong)) < 8


def decimation(found):
    spectra = [np.abs(np.fft.rfft(found[name] * np.hanning(4000))) for name in ("careless", "kept")]
    tone, alias = 4 * 60, 4 * 100  # in the spectrum of four seconds
    return spectra[0][alias] > 0.9 * spectra[0][tone] and spectra[1][alias] < 1e-3 * spectra[1][tone]


def room(found):
    return np.allclose(found["heard"], signal.fftconvolve(found["melody"], found["hall"]), atol=1e-8)


def linear_light(found):
    return found["stored"] in (127, 128) and found["light"] in (187, 188)


def stars(found):
    black = found["black"]
    return (
        black.sum() > 10000 and np.abs(found["by_scipy"][black]).max() > 1e-6 and not found["by_fastconv"][black].any()
    )


def savitzky_golay(found):
    return all(closer(found["smoothed"], found[other], found["spectrum"]) for other in ("noisy", "averaged"))


def motion_blur(found):
    return closer(*(found[name][20:-20, 20:-20] for name in ("found", "seen", "aeroplane")))


def scale_space(found):
    radii = sorted(patch.radius for patch in found["ax"].patches)
    return all(0.7 < radius / true < 1.5 for radius, true in zip(radii, (3, 5, 7, 9, 16, 24)))


def edge_filters(found):
    spread = {name: np.ptp(lengths) for name, lengths in found["lengths"].items()}
    return spread["Scharr"] < 0.01 < spread["Sobel"] < spread["Prewitt"]


def enlarge(found):
    fine = np.arange(len(found["line"])) / found["factor"]
    interpolated = np.interp(fine, found["t"], found["samples"])
    joined = np.allclose(found["surface"][::8, ::8], found["picture"])
    return (
        np.allclose(found["line"], interpolated) and joined and np.allclose(found["solid"][:, :, 32], found["surface"])
    )


def gradient_check(found):
    order = [np.log10(error[1] / error[3]) for error in found["errors"].values()]  # from 0.3 to 0.03
    return len(order) == 9 and np.allclose(order, 2, atol=0.1) and all(min(e) < 1e-7 for e in found["errors"].values())


def what_moves(found):
    strength = found["strength"][found["middle"]]
    return strength[found["right"][:, 0], found["columns"]].min() > 4 * strength.std()


def named_dimensions(found):
    year, month = found["year"], found["air"]
    one = month.isel(month=slice(0, 13), latitude=4, longitude=7).values
    return (
        year.dims == month.dims
        and year.month[0] == month.month[6]
        and np.isclose(year[0, 4, 7], (one[:-1].mean() + one[1:].mean()) / 2)
    )


def film_in_chunks(found):
    tracked = found["shown"][list(found["panels"]).index("moves to the right")]
    row, column = np.unravel_index(tracked.argmax(), tracked.shape)
    return abs(row - 75) <= 3 and abs(column - 80) <= 3


def heartbeats(found):
    missed = np.abs(found["peaks"] / found["rate"] - found["beats"])
    return len(found["peaks"]) == len(found["beats"]) and missed.max() < 0.03 and found["difference"] < 1e-13


def flaws_in_cloth(found):
    weak, flaws = found["weak"], found["flaws"]
    return weak[flaws].mean() > 0.5 and weak[~flaws].mean() < 0.02


def sharpest(found):
    curves = found["curves"]
    return all((np.diff(curve[:8]) < 0).all() for curve in curves.values()) and (
        curves["variance of the Laplacian"][-1] / curves["variance of the Laplacian"][0]
        > 3 * curves["the same after a blur"][-1] / curves["the same after a blur"][0]
    )


def layer_by_hand(found):
    grey = np.tensordot(found["photo"], found["grey"], 1).astype(np.float32)
    slopes = np.maximum(fastconv.correlate2d(grey, kernels.sobel_x(), "same", boundary="reflect")[::2, ::2], 0)
    return np.allclose(found["features"][0], slopes, atol=1e-5)


def bad_pixels(found):
    missing = np.isnan(found["seen"])
    left = np.abs(found["filled"] - found["galaxy"])[missing]
    return missing.mean() > 0.04 and not np.isnan(found["filled"]).any() and np.median(left) < 4


CLAIMS = {
    "learning/enlarge": enlarge,
    "learning/gradient_check": gradient_check,
    "learning/layer_by_hand": layer_by_hand,
    "learning/small_network": lambda found: found["correct"][-1] > 0.9,
    "learning/which_filter": lambda found: (
        np.abs(6 * found["fit"].kernel - np.pad([[0, -1, 0], [-1, 10, -1], [0, -1, 0]], 1)).max() < 0.01
    ),
    "pictures/blend_by_pyramids": lambda found: (
        np.abs(np.diff(found["blended"][100:150, 126:130], axis=1)).max()
        < np.abs(np.diff(found["cut"][100:150, 126:130], axis=1)).max()
    ),
    "pictures/borders": borders,
    "pictures/count_cells": lambda found: abs(len(found["found"]) - len(found["cells"])) <= 2,
    "pictures/edge_filters": edge_filters,
    "pictures/edges": edges,
    "pictures/find_a_template": lambda found: found["match"].peak == (60, 220) and 0.95 < found["match"].score < 1,
    "pictures/flaws_in_cloth": flaws_in_cloth,
    "pictures/gabor_bank": gabor_bank,
    "pictures/lights_at_night": lambda found: np.isclose(
        *(found["pictures"][name].sum(dtype=float) for name in ("in focus", "in motion")), rtol=0.05
    ),
    "pictures/linear_light": linear_light,
    "pictures/motion_blur": motion_blur,
    "pictures/moved_by_how_much": lambda found: found["moved"] == (17, -12),
    "pictures/named_kernels": lambda found: len(found["axes"].flat) == len(kernels.NAMES),
    "pictures/page_in_bad_light": lambda found: (
        (found["read"] != found["ink"]).mean() < 0.05 < 0.2 < (found["careless"] != found["ink"]).mean()
    ),
    "pictures/read_a_meter": lambda found: (
        "".join(str(digit) for _, digit in sorted(found["read"].items())) == found["number"]
    ),
    "pictures/scale_space": scale_space,
    "pictures/sharpest": sharpest,
    "pictures/stars": stars,
    "programs/checked_by_the_definition": lambda found: max(found["errors"].values()) < 10,
    "programs/film_in_chunks": film_in_chunks,
    "programs/filters_of_ndimage": lambda found: len(found["results"]) == 15 and max(found["seams"].values()) < 1e-11,
    "programs/first_call": lambda found: set(found["config"]) >= {"versions", "processor", "threads", "cache"},
    "programs/larger_than_memory": lambda found: found["after"].std() < 1 < found["before"].std(),
    "programs/inside_njit": lambda found: np.mean(np.abs(found["picked"] - found["delay"]) <= 5) > 0.9,
    "programs/long_recording": lambda found: {*found["calls"].tolist()} <= {*found["found"].tolist()},
    "programs/patched": lambda found: (
        len(found["corners"]) > 20
        and all(calls.fastconv and not calls.original for calls in found["patched"].calls.values())
    ),
    "signals/decimation": decimation,
    "signals/dice": lambda found: all(np.isclose(chances.sum(), 1) for chances in found["sums"].values()),
    "signals/gaps": lambda found: np.isfinite(found["mean"]).all() and np.isnan(found["price"]).mean() > 0.25,
    "signals/heartbeats": heartbeats,
    "signals/matched_filter": lambda found: abs(np.abs(found["matched"]).argmax() - found["delays"][0]) < 2,
    "signals/room": room,
    "signals/savitzky_golay": savitzky_golay,
    "signals/two_microphones": lambda found: (
        found["lag"] == found["delay"] and abs(found["found"] - found["angle"]) < 1
    ),
    "volumes_and_maps/bad_pixels": bad_pixels,
    "volumes_and_maps/microscope": lambda found: (found["distance"] <= 2).sum() >= 20,
    "volumes_and_maps/missing_data": lambda found: (
        np.isnan(found["ordinary"]).mean() > 0.5 and np.nanmean(np.abs(found["ignored"] - found["expected"])) < 10
    ),
    "volumes_and_maps/named_dimensions": named_dimensions,
    "volumes_and_maps/reaction_diffusion": lambda found: 0.1 < (found["v"] > 0.2).mean() < 0.9,
    "volumes_and_maps/what_moves": what_moves,
}


def test_every_example_is_here():
    names = {path.relative_to(EXAMPLES).with_suffix("").as_posix() for path in EXAMPLES.glob("*/*.py")}
    assert names == CLAIMS.keys()


@pytest.mark.parametrize("name", [name for name in CLAIMS if name not in SLOW or ALL])
def test_an_example(name, monkeypatch):
    drawn = []
    monkeypatch.setattr(plt, "show", lambda: drawn.append(plt.gcf()))
    try:
        found = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        for figure in drawn:
            figure.canvas.draw()
        assert drawn
        assert all(
            axes.images or axes.lines or axes.collections
            for figure in drawn
            for axes in figure.axes
            if axes.get_label() != "<colorbar>"
        )
        assert CLAIMS[name](found)
    finally:
        plt.close("all")
