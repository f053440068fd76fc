"""Colours and settings that the figures of the pages share."""

import matplotlib

matplotlib.use("agg")

INK, FAINT, PAPER = "#20242b", "#c9ced6", "#ffffff"
BLUE, RED, GREEN, YELLOW = "#2577e3", "#d4482f", "#2a8f5a", "#f2b33d"

matplotlib.rcParams.update(
    {
        "figure.dpi": 100,
        "savefig.dpi": 150,
        "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "lines.linewidth": 2,
        "figure.facecolor": PAPER,
        "svg.hashsalt": "fastconv",  # the same names in each run
    }
)
