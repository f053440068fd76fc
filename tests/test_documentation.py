"""Run the examples of the documentation, and check its links and commands."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import fastconv

ROOT = Path(__file__).parent.parent
PACKAGE = Path(fastconv.__file__).parent
MODULES = sorted(
    ".".join(("fastconv", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for pattern in ("*.md", "docs/*.md", "bench/*.md") for path in ROOT.glob(pattern)
)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page):
    """The anchors that GitHub gives to the headings of a page."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(text_of(page))}


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


def test_public_modules_have_examples():
    public = {
        "banks",
        "convolution",
        "fitting",
        "planning",
        "warming",
        "configuration",
        "image",
        "kernels",
        "layers",
        "reference",
    }
    public |= {f"compat.{library}" for library in ("numpy", "signal", "ndimage", "cv2")}
    assert {f"fastconv.{name}" for name in public} <= {*MODULES}


@pytest.mark.parametrize("page", PAGES)
def test_page_examples(page):
    # A fence must not count as part of the last output.
    text = re.sub(r"^```.*$", "", text_of(page), flags=re.MULTILINE)
    example = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    assert doctest.DocTestRunner().run(example).failed == 0
    assert bool(example.examples) == ("```python" in text_of(page))


@pytest.mark.parametrize("page", PAGES)
def test_link_targets_exist(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text_of(page)):
        linked = (ROOT / page).parent / target if target else ROOT / page
        assert linked.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(linked), f"{page}: {target}#{anchor}"


def test_the_index_lists_every_page():
    index = text_of("docs/README.md")
    for page in PAGES:
        if page.startswith("docs/") and page != "docs/README.md":
            assert f"({page.removeprefix('docs/')})" in index, page


@pytest.mark.parametrize("heading", ["Install and run", "Install and test"])
def test_readme_commands_are_one_line_each(heading):
    # `.ci/run` runs the first fenced block after each of these headings.
    section = text_of("README.md").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (commands,) = re.findall(r"^```console\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert commands.count("\n") == 1


def test_the_readme_has_at_most_150_lines():
    assert len(text_of("README.md").splitlines()) <= 150


def test_the_changelog_has_this_version():
    assert f"## {fastconv.__version__}" in text_of("CHANGELOG.md")
