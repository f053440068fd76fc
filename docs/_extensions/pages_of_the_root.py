"""Pages of the repository outside of docs/ in the site, and links that work both there and on GitHub."""

import os
import re
from pathlib import Path

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
# Where pages and folders of the repository are in the site.
PLACES = {
    "README.md": "index.rst",
    "README.md#how-fast": "how-fast.rst",
    "docs/README.md": "index.rst",
    "examples": "gallery/index.rst",
    "MIGRATING.md": "project/migrating.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "bench/README.md": "project/benchmarks.md",
}
# Parts of the README: where they are in the site, from which heading to which, and to which page their links belong.
PARTS = {
    "project/what.txt": ("# fastconv\n", "## In five lines", "index.rst"),
    "project/five-lines.txt": ("## In five lines\n", "## Install and run", "index.rst"),
    "project/run.txt": ("## Install and run\n", "## Install and test", "index.rst"),
    "project/how-fast.txt": ("## How fast\n", "## Documentation", "how-fast.rst"),
}
# An example ends with an empty line, for doctest.
EXAMPLE = re.compile(r"^(```python\n.*?)\n+```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()(?!https?:|#)[^)]+")


def with_links_of_the_site(text: str, page: str, place: str) -> str:
    """Return a page of the repository with the links that it needs in its place in the site."""

    def changed(found: re.Match) -> str:
        target = os.path.relpath((ROOT / page).parent / found[0], ROOT)
        path, mark, anchor = target.partition("#")
        at = PLACES.get(target) or (PLACES[path] + mark + anchor if path in PLACES else os.path.join(ROOT, target))
        return os.path.relpath(DOCS / at, (DOCS / place).parent)

    return LINK.sub(changed, text)


def write_pages(app, config) -> None:
    """Write copies of the pages outside, which Git ignores, unless they are there already."""
    copies = {
        place: with_links_of_the_site((ROOT / page).read_text(encoding="utf-8"), page, place)
        for page, place in PLACES.items()
        if place.startswith("project/") and "#" not in place
    }
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for place, (first, last, page) in PARTS.items():
        part = readme[readme.index(first) + len(first) : readme.index(last)]
        copies[place] = EXAMPLE.sub(r"\1\n```", with_links_of_the_site(part, "README.md", page))
    for place, text in copies.items():
        path = DOCS / place
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def change_links(app, name: str, source: list[str]) -> None:
    source[0] = EXAMPLE.sub(r"\1\n```", source[0])
    path = Path(app.env.doc2path(name))
    if path.suffix == ".md" and path.parent == DOCS:
        source[0] = with_links_of_the_site(source[0], f"docs/{path.name}", path.name)


def setup(app) -> dict:
    app.connect("config-inited", write_pages)
    app.connect("source-read", change_links)
    return {"parallel_read_safe": True}
