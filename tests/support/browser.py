"""A real browser for the stories about pages: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.needs import skip_or_fail
from support.paths import REPOSITORY

CHROMIUM = "/usr/bin/chromium"
SCREENSHOTS = REPOSITORY / "ci-output" / "screenshots"  # what CI leaves to look at


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium; skips, with a reason, where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip_or_fail("playwright is not installed")
    if not os.path.exists(CHROMIUM):
        skip_or_fail(f"there is no {CHROMIUM}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Reader:
    """One who reads pages, and notes what a page must not do."""

    def __init__(self, browser: Any, *, width: int = 1280, height: int = 900) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self.asked: set[str] = set()
        self.page.on("dialog", self._note_dialog)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.asked.add(request.url))

    def open(self, address: str) -> int:
        """Go there; returns the status."""
        answer = self.page.goto(address, timeout=60_000)
        return 0 if answer is None else int(answer.status)

    def follow(self, selector: str) -> None:
        """Click on what leads to another page, and wait until it is there."""
        with self.page.expect_navigation():
            self.page.click(selector)

    def elsewhere(self, home: str) -> list[str]:
        """The addresses that were asked for beyond a server."""
        ours = urlsplit(home).netloc
        return sorted(
            url for url in self.asked if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != ours
        )

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def overflowing(self, selector: str) -> list[str]:
        """What sticks out at the right of the elements or of the window."""
        return list(
            self.page.eval_on_selector_all(
                selector,
                """all => all.flatMap(one => {
                     const right = Math.min(one.getBoundingClientRect().right, window.innerWidth) + 1;
                     return [one, ...one.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > right)
                       .map(e => `${e.tagName} ${e.getAttribute('class')}: ${(e.textContent || '').slice(0, 60)}`)
                   })""",
            )
        )

    def keep(self, name: str, *, whole: bool = False) -> None:
        """A screenshot for whoever looks at CI's output."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)

    def close(self) -> None:
        self.page.close()

    def _note_dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()
