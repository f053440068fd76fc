"""The documentation site: `.ci/docs` builds and checks it, `python -m sphinx -W -n docs docs/_build` only builds it.

Nothing is downloaded, neither at build time nor by a reader's browser.
"""

import importlib
import importlib.metadata
import re
import sys
from pathlib import Path

from sphinx_gallery.sorting import ExplicitOrder

import fastconv

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_extensions"))

project = "fastconv"
author = "The fastconv developers"
copyright = f"{author}, MIT licence"
release = version = fastconv.__version__
language = "en"

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
    "pages_of_the_root",
    "players",
]
root_doc = "index"
exclude_patterns = ["_build", "README.md", "gallery/**/*.ipynb", "gallery/**/*.py"]
templates_path = ["_templates"]
default_role = "autolink"
add_function_parentheses = False
python_use_unqualified_type_names = True
toc_object_entries = False

# Names of other libraries, whose inventories are elsewhere.
_OTHERS = "numpy|scipy|PIL|cv2|skimage|astropy|dask|dask_image|distributed|xarray|zarr|numba|torch"
_OTHERS += "|array|code|copy|decimal|fractions"
nitpick_ignore_regex = [("py:.*", rf"({_OTHERS})(\..*)?")]

myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]

autosummary_generate = True
MODULES = re.findall(r"^   (fastconv\S*)$", (DOCS / "api/index.rst").read_text(), re.MULTILINE)
autosummary_context = {
    "public": {
        name: [one for one in module.__all__ if callable(getattr(module, one))]
        for name, module in ((name, importlib.import_module(name)) for name in MODULES)
    }
}
autosummary_context["public"]["fastconv"].append("planning.ConvolutionPlan")
# Classes that users do not make, and the functions whose examples show them.
autosummary_context["made_by"] = {
    "fastconv.KernelFit": "fastconv.fit_kernel",
    "fastconv.planning.ConvolutionPlan": "fastconv.plan",
    "fastconv.image.Match": "fastconv.image.normalized_cross_correlation",
    "fastconv.layers.LayerPlan": "fastconv.layers.plan2d",
    "fastconv.compat.Patch": "fastconv.compat.patch",
    "fastconv.compat.Calls": "fastconv.compat.patch",
}
# An example shows all kernels by this table.
named = {kernel.__name__ for kernel in fastconv.kernels.NAMES.values()}
autosummary_context["shown_by_name"] = {f"fastconv.kernels.{name}" for name in named}
autodoc_typehints = "none"
numpydoc_show_class_members = False
# All checks, except for an extended summary, which need not be, and the order of parameters, since those that are
# described together, as in the function of the other library, follow each other.
numpydoc_validation_checks = {"all", "ES01", "PR03"}
# Classes that users do not make, with their fields; and modules.
numpydoc_validation_exclude = {
    r"\.(ConvolutionPlan|KernelFit|LayerPlan|Match|Calls|Patch)(\.(?!__call__|undo)\w+)?$",
    r"\.(Unsupported|error|NAMES)$",
    r"^fastconv(\.image|\.kernels|\.layers|\.njit|\.dask|\.xarray|\.reference|\.compat(\.\w+)?)?$",
}

# Of each section, the examples that show most; the others follow.
FIRST = ["edges", "find_a_template", "blend_by_pyramids", "page_in_bad_light", "linear_light", "lights_at_night"]
FIRST += ["count_cells", "gabor_bank", "motion_blur", "borders", "stars", "edge_filters"]
FIRST += ["missing_data", "microscope", "reaction_diffusion", "matched_filter", "room", "heartbeats", "dice"]
FIRST += ["which_filter", "small_network", "larger_than_memory", "patched", "inside_njit"]
GALLERY = ["pictures", "volumes_and_maps", "signals", "learning", "programs"]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"(learn_a_kernel|read_digits|__init__)\.py$",
    "subsection_order": [f"../examples/{name}" for name in GALLERY],
    "within_subsection_order": ExplicitOrder([f"{name}.py" for name in FIRST] + ["*"]),
    "backreferences_dir": "api/backreferences",
    "doc_module": ("fastconv",),
    "reference_url": {"fastconv": None},
    "capture_repr": (),
    "download_all_examples": False,
    "show_signature": False,
    "copyfile_regex": r".*\.rst",
    "image_scrapers": ("thumbnail_panels.figures",),
    "write_computation_times": False,
    "min_reported_time": 1,
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "fastconv"
html_logo = html_favicon = "_static/logo.svg"
html_context = {"default_mode": "auto"}
html_copy_source = html_show_sourcelink = False
MATHJAX = next(file for file in importlib.metadata.files("sphinx-mathjax-offline") or () if file.name == "tex-svg.js")
html_static_path = ["_static", str(MATHJAX.locate())]
html_css_files = ["fastconv.css"]
html_theme_options = {
    "logo": {"text": "fastconv"},
    "show_prev_next": True,
    "secondary_sidebar_items": {"*": ["page-toc"], "api/*": ["page-toc"], "project/*": ["page-toc"], "boundaries": []},
    "footer_start": ["copyright"],
    "footer_end": [],
    "navbar_align": "left",
}
html_sidebars = {"index": [], "what-is-a-convolution": [], "boundaries": []}
mathjax_path = "tex-svg.js"
