"""A real browser for the tests of the Pareto tab."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Frame, Locator, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")

# As root a browser needs --no-sandbox; the others keep it from looking for updates and the like.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

THREE = "Multiple instances of Three.js"
"""TensorBoard's own warning."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's chromium, headless; without one the test is skipped."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: install Debian's package chromium (looked for {NAMES})")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class Tab:
    """The Pareto tab in a page. At the end, :meth:`check` says what went wrong meanwhile.

    Args:
        page: a new one.
        url: of the TensorBoard.
        settings: of the tab, for the address.
    """

    def __init__(self, page: Page, url: str, **settings: str) -> None:
        self.page, self.url = page, url
        self.problems: list[str] = []
        self.origins: set[str] = set()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", lambda dialog: self.problems.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: self.origins.add(urlsplit(request.url).netloc))
        self.open(**settings)

    def open(self, **settings: str) -> None:
        parts = [f"p.pareto.{name}={quote(value, safe='')}" for name, value in settings.items()]
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}#{'&'.join(['pareto', *parts])}")
        self.frame.wait_for_selector(".status:not(:empty)")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and THREE not in message.text:
            self.problems.append(message.text)

    @property
    def frame(self) -> Frame:
        handle = self.page.wait_for_selector("iframe[src*=plugin_entry]")
        frame = handle.content_frame() if handle else None
        assert frame is not None
        return frame

    def find(self, selector: str) -> Locator:
        return self.frame.locator(selector)

    def text(self, selector: str) -> str:
        return self.find(selector).first.inner_text()

    def wait(self, expression: str, argument: Any = None) -> None:
        """Until a JavaScript expression in the frame holds."""
        self.frame.wait_for_function(expression, arg=argument)

    def count(self, number: int) -> None:
        """Until so many points are shown."""
        self.wait(
            "n => document.querySelector('.status strong')?.textContent.startsWith(n)",
            f"{number:,} point",
        )

    def click_point(self, key: str, *, shift: bool = False) -> None:
        """Click where a point of the front is drawn, with the mouse."""
        x, y = self.middle(f'circle.member[data-key="{key}"]')
        if shift:
            self.page.keyboard.down("Shift")
        self.page.mouse.click(x, y)
        if shift:
            self.page.keyboard.up("Shift")

    def middle(self, selector: str) -> tuple[float, float]:
        """Where the first such thing is, once it stays there: a picture is drawn again when the
        room for it changes."""
        found, before = self.find(selector).first, None
        for _ in range(100):
            found.scroll_into_view_if_needed()
            box = found.bounding_box()
            if box is not None and box == before:
                return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            before = box
            self.frame.evaluate("() => new Promise((done) => setTimeout(done, 50))")
        raise AssertionError(f"{selector} does not stay in its place")

    def keys(self) -> list[str]:
        """Run and step of each row of the table of the front."""
        rows = self.find("tr[data-key]")
        return [str(row.get_attribute("data-key")) for row in rows.all()]

    def check(self) -> None:
        assert self.problems == []
        assert self.origins <= {urlsplit(self.url).netloc, ""}


def key(row):
    return f"{row['trial']}|{row['epoch']}"


def open_tab(browser, server, **settings):
    return Tab(browser.new_page(viewport={"width": 1280, "height": 800}), server.url, **settings)


def saved(tab, label):
    with tab.page.expect_download() as download:
        tab.find(f"button:text-is('{label}')").click()
    return Path(download.value.path()).read_text()


def chosen(tab):
    return tab.find("section.card.chosen").get_attribute("data-key")
