"""The dashboard and the report in a real browser: headless Chromium opens them and takes screenshots."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.request import urlopen

import pytest

from hpo.confirmation.outcome import Confirmation

from .conftest import Place, make_place
from .processes import PATIENCE, free_port, python, wait_until

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
PAGE_SECONDS = 120

pytestmark = [
    pytest.mark.pictures,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]


def browse(url: str, profile: Path, *flags: str, virtual_milliseconds: int = 30_000) -> str:
    """Open a page, let its scripts run, and return the output of Chromium."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
    done = subprocess.run(
        [*command, f"--virtual-time-budget={virtual_milliseconds}", *flags, url],
        capture_output=True,
        text=True,
        timeout=PAGE_SECONDS,
        check=True,
    )
    return done.stdout


def screenshot(url: str, profile: Path, width: int) -> tuple[int, int]:
    """The width and height of a screenshot, which must not be blank."""
    path = profile / f"page-{width}.png"
    browse(url, profile, "--hide-scrollbars", f"--window-size={width},1600", f"--screenshot={path}")
    content = path.read_bytes()
    assert len(content) > 20_000, "a blank page compresses to less"
    return struct.unpack(">II", content[16:24])  # type: ignore[return-value]


MEASURE = """
onload = () => {
  const inside = document.querySelector("iframe").contentDocument;
  const scrolls = e => /auto|scroll/.test(inside.defaultView.getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth;
  document.title = [inside.documentElement.scrollWidth, [...inside.body.querySelectorAll("*")].filter(scrolls).length];
}
"""


def widest(page: Path, folder: Path, width: int) -> tuple[int, int]:
    """The width of a page in a frame of a given width, and the number of its elements with a scroll bar."""
    frame = folder / "frame.html"
    frame.write_text(f'<script>{MEASURE}</script><iframe src="{page.as_uri()}" style="width:{width}px;border:0"></iframe>')
    shown = browse(frame.as_uri(), folder / "profile", "--allow-file-access-from-files", "--dump-dom")
    ((measured, scrolled),) = re.findall(r"<title>(\d+),(\d+)</title>", shown)
    return int(measured), int(scrolled)


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory, compiled_kernels: None) -> Place:
    """A confirmed study that all tests read and none changes."""
    place = make_place(tmp_path_factory.mktemp("confirmed"))
    assert place.run() == 0
    return place


@pytest.fixture(scope="module")
def dashboard(confirmed: Place) -> Iterator[str]:
    """The address of a running `python -m hpo.dashboard`."""
    port = free_port()
    server = python("-m", "hpo.dashboard", "--output", str(confirmed.output), "--port", str(port))
    address = f"http://127.0.0.1:{port}/dashboard"
    wait_until(lambda: answers(address), server)
    yield address
    server.terminate()
    server.communicate(timeout=PATIENCE)


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def sentences(place: Place) -> list[str]:
    """The verdict and its caveats."""
    outcome = Confirmation.read(place.output / "tiny_mml" / "confirm.yaml")
    return [*outcome.statements(), *outcome.sentences()]


def drawn_in(page: str) -> list[str]:
    """The names of the pictures that the scripts of a report have drawn."""
    return re.findall(r'id="figure-([a-z-]+)"[^>]*class="plotly-graph-div js-plotly-plot"', page)


def test_a_browser_draws_the_report(confirmed: Place, tmp_path: Path):
    page = (confirmed.output / "tiny_mml" / "report.html").as_uri()
    shown = browse(page, tmp_path / "profile", "--dump-dom")
    for sentence in sentences(confirmed):
        assert sentence in unescape(shown)
    drawn = drawn_in(shown)
    assert {"shape", "popularity", "history", "curves", "effects"} <= set(drawn), "the page's own scripts draw them"
    for width in (1280, 500):  # 500 is the narrowest window of headless Chromium
        assert screenshot(page, tmp_path / "profile", width)[0] == width


def test_the_report_fits_the_width_of_a_phone(confirmed: Place, tmp_path: Path):
    """Neither the page nor an element in it has a horizontal scroll bar."""
    for width in (400, 1280):
        measured, scrolled = widest(confirmed.output / "tiny_mml" / "report.html", tmp_path, width)
        assert measured <= width
        assert scrolled == 0


def text(html: str) -> str:
    """The visible text of a page."""
    without_code = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", without_code))


def test_a_browser_shows_the_dashboard(dashboard: str, confirmed: Place, tmp_path: Path):
    profile = tmp_path / "profile"
    assert "tiny_mml" in text(browse(dashboard, profile, "--dump-dom"))
    study = text(browse(f"{dashboard}/studies/0", profile, "--dump-dom"))
    best = Confirmation.read(confirmed.output / "tiny_mml" / "confirm.yaml").finalists[0].trial
    assert f"Best Trial (number={best})" in study
    for shown in (
        "Hyperparameter Importance",
        "Shape of the loss",
        "Learning curves of the best configs",
        "best.yaml",
        "report.html",
    ):
        assert shown in study
    note = text(browse(dashboard.removesuffix("/dashboard"), profile, "--dump-dom"))  # the start page leads to the note
    for sentence in sentences(confirmed):
        assert sentence.replace("`", "") in note, "commands are shown as code"
    assert screenshot(f"{dashboard}/studies/0", profile, 1280)[0] == 1280


def test_the_report_in_the_dashboard_cannot_change_it(dashboard: str, confirmed: Place, tmp_path: Path):
    """The report is drawn as in a file. Its scripts have no access to the dashboard on the same server."""
    server = dashboard.removesuffix("/dashboard")
    with urlopen(f"{server}/api/studies/0") as answer:
        files = {file["filename"]: file["artifact_id"] for file in json.load(answer)["artifacts"]}
    address = f"{server}/artifacts/0/{files['report.html']}"
    shown = browse(address, tmp_path / "profile", "--dump-dom")
    assert {"shape", "popularity", "history", "curves", "effects"} <= set(drawn_in(shown))
    (stored,) = (confirmed.output / "artifacts").glob(files["report.html"])
    title = "document.title ="
    script = f"fetch('/api/studies').then(a => a.json()).then(a => {title} 'read').catch(e => {title} 'refused')"
    sound = stored.read_text()
    try:
        stored.write_text(f"<!doctype html><title>waiting</title><script>{script}</script>")
        assert "<title>refused</title>" in browse(address, tmp_path / "profile", "--dump-dom")
    finally:
        stored.write_text(sound)
