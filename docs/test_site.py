"""The built site: its links, and its pages as a headless Chromium shows them.

    python -m sphinx -W -n docs docs/_build && python -m pytest docs/test_site.py

Needs Chromium and its driver: on Debian, the packages chromium and chromium-driver.
"""

import functools
import http.server
import json
import re
import shutil
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

SITE = Path(__file__).parent / "_build"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)
WIDE, NARROW = 1300, 390
# Two exceptions, and another name of `gaussian_filter`.
WITHOUT_EXAMPLE = {"fastconv.compat.Unsupported", "fastconv.compat.cv2.error", "fastconv.compat.dask_image.gaussian"}


class Parts(HTMLParser):
    """The links, the sources and the anchors of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed((SITE / page).read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.add(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


@functools.cache
def parts(page):
    return Parts(page)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def show(browser, width, scheme):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def luminance(colour):
    """The relative luminance of a colour in CSS (WCAG 2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def complaints(browser, address):
    """The errors of scripts, and the requests that failed or went elsewhere, since the last call."""
    yield from (entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING"))
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        kind, found = message["method"], message["params"]
        if kind == "Network.loadingFailed":
            yield f"failed: {found.get('errorText')}"
        elif kind == "Network.responseReceived" and found["response"]["status"] >= 400:
            yield f"{found['response']['status']}: {found['response']['url']}"
        elif kind == "Network.requestWillBeSent":
            url = found["request"]["url"]
            if not url.startswith((address, "data:", "blob:")):
                yield f"elsewhere: {url}"


def test_there_are_pages_of_every_kind():
    kinds = {page.partition("/")[0] for page in PAGES}
    assert {"index.html", "what-is-a-convolution.html", "boundaries.html", "gallery", "api", "project"} <= kinds
    assert len(PAGES) > 150


def test_examples_show_every_public_name():
    names = {Path(page).stem for page in PAGES if page.startswith("api/") and page != "api/index.html"}
    modules = {name for name in names if any(other.startswith(f"{name}.") for other in names)}
    shown = {name for name in names if "in-the-gallery" in parts(f"api/{name}.html").anchors}
    assert names - modules - shown == WITHOUT_EXAMPLE


@pytest.mark.parametrize("page", PAGES)
def test_links(page):
    for link in parts(page).links:
        url = urlparse(urljoin(f"site:///{page}", link))
        if url.scheme == "site":
            target = unquote(url.path).lstrip("/")
            assert (SITE / target).is_file(), link
            if url.fragment and target.endswith(".html"):
                assert unquote(url.fragment) in parts(target).anchors, link


@pytest.mark.parametrize("page", PAGES)
def test_a_page(page, browser, address):
    show(browser, WIDE, "light")
    browser.get(address + page)
    WebDriverWait(browser, 20).until(lambda _: browser.execute_script("return document.readyState") == "complete")
    if "\\(" in (text := (SITE / page).read_text(encoding="utf-8")) or "\\[" in text:
        WebDriverWait(browser, 20).until(lambda _: browser.find_elements(By.TAG_NAME, "mjx-container"))
    assert browser.execute_script("return [...document.images].filter(one => !one.complete || !one.naturalWidth)") == []
    assert (
        browser.execute_script(
            "return [...document.images].filter(one => !one.hasAttribute('alt')).map(one => one.src)"
        )
        == []
    )
    theme = "return document.documentElement.dataset.theme"
    for width in (WIDE, NARROW):
        for scheme in ("light", "dark"):
            show(browser, width, scheme)
            WebDriverWait(browser, 20).until(lambda _: browser.execute_script(theme) == scheme)  # noqa: B023
            extents = "const root = document.documentElement; return [root.scrollWidth, root.clientWidth]"
            scrolled, shown = browser.execute_script(extents)
            assert scrolled <= shown, f"{page} scrolls sideways at {width} pixels"
            style = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
            text, ground = map(luminance, browser.execute_script(style))
            assert (ground < 0.1) == (scheme == "dark")
            assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) > 7
    assert [*complaints(browser, address)] == []


def test_the_player(browser, address):
    show(browser, WIDE, "light")
    browser.get(address + "what-is-a-convolution.html")
    WebDriverWait(browser, 20).until(
        lambda _: browser.find_element(By.CSS_SELECTOR, ".animation img").get_attribute("src")
    )
    picture = browser.find_element(By.CSS_SELECTOR, ".animation img")
    slider = browser.find_element(By.CSS_SELECTOR, ".animation input[type=range]")
    seen = {picture.get_attribute("src")}
    for _ in range(10):
        slider.send_keys(Keys.ARROW_RIGHT)
        seen.add(picture.get_attribute("src"))
    assert len(seen) == 11
    assert slider.get_attribute("value") == "10"
    browser.find_element(By.CSS_SELECTOR, ".animation button[title=Play]").click()
    WebDriverWait(browser, 20).until(lambda _: picture.get_attribute("src") not in seen)
    browser.find_element(By.CSS_SELECTOR, ".animation button[title=Pause]").click()
    assert [*complaints(browser, address)] == []


def test_the_search(browser, address):
    browser.get(address + "search.html?q=matched")
    WebDriverWait(browser, 20).until(lambda _: browser.find_elements(By.CSS_SELECTOR, "#search-results li a"))
    assert [*complaints(browser, address)] == []
