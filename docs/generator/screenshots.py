"""What a reader sees of a page: its panels, drawn by chromium."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from generator.runs import DOCS, accepted, as_one, newest, run_of
from mpcore.records import Run
from mpcore.report.page import page

WIDTH, HEIGHT = 1000, 900
"""Of the window, in pixels."""
SECONDS = 20
"""In which a panel is drawn."""


@dataclass(frozen=True)
class Screenshot:
    """The panel of this name on the page of `runs`, at its first view whose label begins with `view`."""

    panel: str
    runs: Sequence[Run]
    view: str = ""
    dark: bool = False

    @cached_property
    def _page(self) -> str:
        return page(self.runs)

    @cached_property
    def _data(self) -> dict[str, Any]:
        (data,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', self._page, flags=re.DOTALL)
        shown: dict[str, Any] = json.loads(data)["panels"][self.panel]
        return shown

    @property
    def _number(self) -> int:
        return next(number for number, view in enumerate(self._data["views"]) if view["label"].startswith(self.view))

    @property
    def figures(self) -> str:
        """The panel's words and the view's figures."""
        return json.dumps([self._data["title"], self._data["note"], self._data["views"][self._number]])

    def take(self, path: Path) -> None:
        """Writes it, with its figures as the description of the file. Raises SystemExit without chromium and chromedriver."""
        from selenium.webdriver.support.select import Select
        from selenium.webdriver.support.wait import WebDriverWait

        with tempfile.TemporaryDirectory() as folder:
            (written := Path(folder) / "report.html").write_text(self._page)
            browser = chromium(dark=self.dark)
            try:
                browser.get(written.as_uri())
                section = browser.find_element("id", self.panel)
                browser.execute_script("arguments[0].scrollIntoView()", section)
                WebDriverWait(browser, SECONDS).until(lambda _: section.find_elements("css selector", ".main-svg"))
                choice = section.find_element("css selector", "select")
                Select(choice).select_by_index(self._number)
                browser.execute_script("arguments[0].blur()", choice)
                WebDriverWait(browser, SECONDS).until(lambda _: section.find_elements("css selector", ".main-svg"))
                section.screenshot(str(path))
            finally:
                browser.quit()
        described = PngImagePlugin.PngInfo()
        described.add_text("Description", self.figures)
        with Image.open(path) as picture:
            picture.save(path, pnginfo=described, optimize=True)


def chromium(*, dark: bool) -> Any:
    from selenium import webdriver

    browser, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (browser and driver):
        raise SystemExit("pictures of the page are drawn by chromium: expected it and chromedriver on the path")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    made.set_window_size(WIDTH, HEIGHT)
    theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    made.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
    return made


def accepted_on(run: Run) -> list[Run]:
    """The accepted runs on the hardware of `run`."""
    return [run_of(path) for path in accepted(run.machine.hardware.key)]


def screenshots() -> Iterator[Screenshot]:
    """Those of docs/reading-a-report.md."""
    last, others = as_one(newest()), run_of(DOCS / "runs" / "modes.json")
    yield Screenshot("speed-up", [last], "over fp32")
    yield Screenshot("memory", [accepted_on(others)[-1], others], "resnet50", dark=True)
    yield Screenshot("history", accepted_on(last), "step time of bert-imdb-bf16-amp-graph")
    yield Screenshot("trainings", [run_of(DOCS / "runs" / "imdb.json")], "loss: bert-imdb")
    yield Screenshot("kernels", [last], "bert-imdb (full, graph)")
