"""Players in the place of pictures: of moments in Markdown, a player of all moments in the site.

A player is Matplotlib's, with icons of its own instead of a font from another site.
"""

import itertools
import re
import sys
from pathlib import Path

from docutils import nodes

sys.path.insert(0, str(Path(__file__).parents[1] / "figures"))

import essay

PLAYERS = {"images/essay-boxes.png": essay.boxes_player}
# On 16 x 16 points, by the names in Matplotlib's player.
ICONS = {
    "minus": "M2 7h12v2H2z",
    "plus": "M2 7h5V2h2v5h5v2H9v5H7V9H2z",
    "play": "M3 2l11 6-11 6z",
    "play fa-flip-horizontal": "M13 2L2 8l11 6z",
    "pause": "M3 2h4v12H3zM9 2h4v12H9z",
    "step-forward": "M3 2l8 6-8 6zM11 2h3v12h-3z",
    "step-backward": "M13 2L5 8l8 6zM2 2h3v12H2z",
    "fast-forward": "M1 2l6 6-6 6zM7 2l6 6-6 6zM13 2h2v12h-2z",
    "fast-backward": "M15 2L9 8l6 6zM9 2L3 8l6 6zM1 2h2v12H1z",
}


def local(html: str, number: int, alt: str) -> str:
    """Return a player without links, with fixed names, so that each build gives the same bytes."""
    html = re.sub(r"<link[^>]*>", "", html)
    (name,) = set(re.findall(r'id="_anim_img(\w+)"', html))
    html = html.replace(name, f"player{number}").replace('<img id="', f'<img alt="{alt}" id="')
    html = html.replace('type="range"', 'type="range" aria-label="moment"')

    def icon(found: re.Match) -> str:
        return f'<svg viewBox="0 0 16 16" aria-hidden="true"><path d="{ICONS[found[1]]}"/></svg>'

    return re.sub(r'<i class="fa fa-([^"]+)"></i>', icon, html)


def put_players(app, doctree: nodes.document) -> None:
    if app.builder.format == "html":
        numbers = itertools.count()
        for image in list(doctree.findall(nodes.image)):
            if image["uri"] in PLAYERS and not isinstance(image.parent, nodes.reference):
                html = local(PLAYERS[image["uri"]](), next(numbers), image["alt"])
                image.replace_self(nodes.raw("", html, format="html"))


def setup(app) -> dict:
    app.connect("doctree-read", put_players)
    return {"parallel_read_safe": True}
