"""The examples of the gallery: each runs as it stands, draws, and shows what its text says.

The one that needs scikit-learn runs when the site is built, by `.ci/docs`.
"""

import runpy
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from scipy import signal

from fastconv import kernels

matplotlib.use("agg")
import matplotlib.pyplot as plt

EXAMPLES = Path(__file__).parent.parent / "examples"
ELSEWHERE = {"learning/small_network"}


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


CLAIMS = {
    "learning/which_filter": lambda found: (
        np.abs(6 * found["fit"].kernel - np.pad([[0, -1, 0], [-1, 10, -1], [0, -1, 0]], 1)).max() < 0.01
    ),
    "pictures/borders": borders,
    "pictures/edges": edges,
    "pictures/gabor_bank": gabor_bank,
    "pictures/linear_light": linear_light,
    "pictures/motion_blur": motion_blur,
    "pictures/named_kernels": lambda found: len(found["axes"].flat) == len(kernels.NAMES),
    "pictures/scale_space": scale_space,
    "pictures/stars": stars,
    "programs/larger_than_memory": lambda found: found["after"].std() < 1 < found["before"].std(),
    "programs/inside_njit": lambda found: np.mean(np.abs(found["picked"] - found["delay"]) <= 5) > 0.9,
    "signals/decimation": decimation,
    "signals/gaps": lambda found: np.isfinite(found["mean"]).all() and np.isnan(found["price"]).mean() > 0.25,
    "signals/matched_filter": lambda found: abs(np.abs(found["matched"]).argmax() - found["delays"][0]) < 2,
    "signals/room": room,
    "signals/savitzky_golay": savitzky_golay,
    "volumes_and_maps/microscope": lambda found: (found["distance"] <= 2).sum() >= 20,
    "volumes_and_maps/missing_data": lambda found: (
        np.isnan(found["ordinary"]).mean() > 0.5 and np.nanmean(np.abs(found["ignored"] - found["expected"])) < 10
    ),
    "volumes_and_maps/reaction_diffusion": lambda found: 0.1 < (found["v"] > 0.2).mean() < 0.9,
}


def test_every_example_is_here():
    names = {path.relative_to(EXAMPLES).with_suffix("").as_posix() for path in EXAMPLES.glob("*/*.py")}
    assert names == CLAIMS.keys() | ELSEWHERE


@pytest.mark.parametrize("name", CLAIMS)
def test_an_example(name, monkeypatch):
    drawn = []
    monkeypatch.setattr(plt, "show", lambda: drawn.append(plt.gcf()))
    try:
        found = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        for figure in drawn:
            figure.canvas.draw()
        assert drawn
        assert all(
            axes.images or axes.lines for figure in drawn for axes in figure.axes if axes.get_label() != "<colorbar>"
        )
        assert CLAIMS[name](found)
    finally:
        plt.close("all")
