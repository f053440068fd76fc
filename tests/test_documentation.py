"""What the documentation shows is what happens."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import fastconv

ROOT = Path(__file__).parent.parent
MODULES = [
    "convolution",
    "planning",
    "warming",
    "configuration",
    "image._filter",
    "image",
    "kernels",
    "kernels._notation",
    "kernels._pillow",
    "reference",
    "_model.geometry",
    "compat.numpy",
    "compat.signal",
    "compat.ndimage",
    "compat.cv2",
    "compat._patch",
]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(f"fastconv.{name}")
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "MIGRATING.md"])
def test_pages(name):
    text = (ROOT / name).read_text()
    # A fence must not count as part of the last output.
    text = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)
    example = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    assert doctest.DocTestRunner().run(example).failed == 0
    if name == "README.md":
        assert example.examples


def test_links_in_the_pages_lead_somewhere():
    for page in ("README.md", "CONTRIBUTING.md", "MIGRATING.md", "bench/README.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text()):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_the_changelog_has_this_version():
    assert f"## {fastconv.__version__}" in (ROOT / "CHANGELOG.md").read_text()
