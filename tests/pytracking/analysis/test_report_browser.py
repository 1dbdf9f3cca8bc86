"""The HTML report in a real headless Chromium, opened from a file."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltr.dataset.boxfile import format_boxes
from pytracking import get_dataset, trackerlist
from pytracking.analysis.extract import extract_scores
from pytracking.analysis.report.html import write_report
from pytracking.analysis.scores import Scores

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1000",
)
NAMES = ("<script>document.title='x'</script>", "Second")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless Chromium; where there is none, EBM_TRACKING_REQUIRE_BROWSER=1 makes the test fail, not be skipped."""
    driver = shutil.which("chromedriver")
    if driver is None or not (shutil.which("chromium") or shutil.which("google-chrome")):
        message = "no Chromium: install Debian's packages chromium and chromium-driver (and pip install selenium)"
        if os.environ.get("EBM_TRACKING_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chromium = webdriver.Chrome(options=options, service=Service(driver))
    yield chromium
    chromium.quit()


def wait(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "the page did not get there"
        time.sleep(0.05)


def write_page(tmp_path: Path, names: tuple[str, str]) -> tuple[Path, Scores]:
    """A report of two trackers on two demo clips, and its scores."""
    sequences = get_dataset("demo", sequences=["dog", "mug"])
    sequences[0].__dict__["attributes"], sequences[1].__dict__["attributes"] = ("OCC",), ("FM",)
    runs = [run for name, label in zip("ab", names) for run in trackerlist("t", name, None, label)]
    for run, shifts in zip(runs, ((0, 9), (5, 2))):
        for sequence, shift in zip(sequences, shifts):
            file = run.result_folder(tmp_path) / f"{sequence.name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(format_boxes(sequence.ground_truth_rect + np.array([shift, 0, 0, 0])))
    path = tmp_path / "r.html"
    scores = extract_scores(runs, sequences, tmp_path)
    write_report(path, scores, runs, sequences, tmp_path, frame_height=90)
    return path, scores


def test_a_reader_uses_the_report(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    path, scores = write_page(tmp_path, NAMES)
    browser.get_log("performance")
    browser.get(path.as_uri())
    one, every = (lambda css: browser.find_element("css selector", css)), browser.find_elements

    def column() -> list[str]:
        return [node.text.lstrip("▶ ") for node in every("css selector", "#per-sequence tbody th")]

    # Sorting, by mouse and by keyboard.
    assert column() == ["dog", "mug"]
    head = one("#per-sequence th[data-key=tracker-0]")
    head.find_element("css selector", "button").click()
    by_auc = [scores.sequences[s] for s in (-scores.headline[:, 0]).argsort()]
    assert (head.get_attribute("aria-sort"), column()) == ("descending", by_auc)
    head.find_element("css selector", "button").send_keys(Keys.ENTER)
    assert (head.get_attribute("aria-sort"), column()) == ("ascending", by_auc[::-1])

    # A curve hidden and shown, an attribute chosen, the filter, values read by keyboard.
    assert len(every("css selector", "#chart-success polyline")) == 2
    one("#legend button").click()
    assert len(every("css selector", "#chart-success polyline")) == 1
    one("#legend button").click()
    before = one("#chart-success polyline").get_attribute("points")
    one("#subset option[value=subset-1]").click()
    assert one("#chart-success polyline").get_attribute("points") != before
    assert "FM" in one(".of-subset").text
    assert column() == ["mug"]
    one("#subset option[value=subset-0]").click()
    one("#filter").send_keys("occ")
    assert column() == ["dog"]
    one("#chart-prec").send_keys(Keys.ARROW_RIGHT)
    assert "20 px" in one("#chart-prec + .tip").text
    assert one("#chart-prec + .tip .swatch").size["width"] == 28

    # Playback: opened by a row, played, stepped, scrubbed.
    one("#per-sequence tbody tr").click()
    wait(lambda: one("#frame").text == "Frame 1 of 97")
    one("canvas.stage").send_keys(Keys.ARROW_RIGHT)
    assert one("#frame").text == "Frame 2 of 97"
    one("canvas.stage").send_keys(" ")
    wait(lambda: int(one("#frame").text.split()[1]) > 5)
    one("canvas.stage").send_keys(Keys.END)
    assert one("#frame").text == "Frame 97 of 97"
    one("#scrub").send_keys(Keys.HOME)
    assert one("#frame").text == "Frame 1 of 97"
    browser.execute_script(
        "const box = document.querySelector('.strip').getBoundingClientRect();"
        "jumpTo({clientX: box.left + box.width / 2});"
    )
    assert 40 < int(one("#frame").text.split()[1]) < 60
    pixels = "const c = document.querySelector('.stage'); return c.getContext('2d').getImageData(5, 5, 1, 1).data[3]"
    wait(lambda: browser.execute_script(pixels) == 255)

    # Names stay text; nothing is loaded but the file; nothing is complained about.
    assert browser.title == "Trackers on demo"
    assert NAMES[0] in one("#legend").text
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [item["params"] for item in events if item["method"] == "Network.requestWillBeSent"]
    # The browser's own first page (chrome://, chrome-untrusted://) may still be loading; only ours counts.
    asked = {item["request"]["url"] for item in requests if not item["documentURL"].startswith("chrome")}
    assert {url for url in asked if not url.startswith("data:")} == {path.as_uri()}
    assert browser.get_log("browser") == []


def test_names_and_figures_do_not_overlap_at_420_pixels(browser: Any, tmp_path: Path) -> None:
    path, _ = write_page(tmp_path, ("a_tracker_with_a_long_name_and_not_one_place_to_break_it", "Second tracker"))
    screen = {"width": 420, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(path.as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") == 420, "nothing sticks out"
    browser.find_element("css selector", "#per-sequence tbody tr").click()
    wait(lambda: browser.find_element("css selector", "#frame").text == "Frame 1 of 97")
    # [left, right] of what is in each cell of a row, before anything is scrolled to the side.
    ends = """
        for (const place of document.querySelectorAll(".scroll")) place.scrollLeft = 0;
        const range = document.createRange();
        const ends = (node) => {
          range.selectNodeContents(node);
          const box = range.getBoundingClientRect();
          return [box.left, box.right];
        };
        return [...document.querySelectorAll(arguments[0])].map((row) => [...row.children].map(ends));"""
    for rows in ("#overall tr", "#per-sequence tbody tr", ".values li"):
        found = browser.execute_script(ends, rows)
        assert len(found) >= 2
        for cells in found:
            assert all(left[1] <= right[0] for left, right in pairwise(cells)), f"{rows}: {cells}"
    # Scrolled to the side, the names cover the figures, under their own heading.
    covered = """
        const place = document.querySelector(arguments[0]);
        place.scrollLeft = 90;
        return [...place.querySelectorAll("tr")].map((row) => {
          const name = row.firstChild.getBoundingClientRect();
          row.scrollIntoView({ block: "center" });
          const box = row.getBoundingClientRect();
          const seen = document.elementFromPoint(name.right - 3, box.top + 5);
          return row.firstChild.contains(seen) && Math.abs(name.left - place.getBoundingClientRect().left) < 3;
        });"""
    for place in ("#overall", "#per-sequence"):
        assert all(browser.execute_script(covered, place)), place
