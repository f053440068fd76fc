"""What the documentation shows is what happens."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import fastconv

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fastconv"
# All modules with examples.
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if "\n    >>> " in path.read_text() or "\n>>> " in path.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
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
