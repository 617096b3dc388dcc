"""A real browser for the stories about pages: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.needs import skip_or_fail
from support.paths import REPOSITORY
from support.time_limits import HANG

CHROMIUM = "/usr/bin/chromium"
SCREENSHOTS = REPOSITORY / "ci-output" / "screenshots"  # kept with CI's output


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


LISTS = {
    "compare": "/cuckooml/compare/?id=1005",
    "births": "/cuckooml/births/",
    "kin": "/cuckooml/kin/",
    "one-kin": "/cuckooml/kin/k0/",
    "clusters": "/cuckooml/",
}
"""Paths of our pages over the demo's home, by what their screenshots are called."""


class Reader:
    """Reads pages as a person does, and notes what a page must not do."""

    def __init__(self, browser: Any, *, width: int = 1280, height: int = 900) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.page.set_default_timeout(HANG * 1000)
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self.requested: set[str] = set()
        self.page.on("dialog", self._note_dialog)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requested.add(request.url))

    def open(self, address: str) -> int:
        """Go to an address; returns the status."""
        response = self.page.goto(address)
        return 0 if response is None else int(response.status)

    def settle(self) -> None:
        """Wait until nothing is loading and every script that is due has run."""
        self.page.wait_for_load_state("networkidle")
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")

    def follow(self, selector: str) -> None:
        """Click on a link or button, and wait for the page that it leads to."""
        with self.page.expect_navigation():
            self.page.click(selector)

    def elsewhere(self, home: str) -> list[str]:
        """The addresses on other servers that were requested."""
        own = urlsplit(home).netloc
        return sorted(
            url
            for url in self.requested
            if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != own
        )

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def overflowing(self, selector: str) -> list[str]:
        """What sticks out on the right of the elements or of the window; what an element in them cuts off does not."""
        return list(
            self.page.eval_on_selector_all(
                selector,
                """all => all.flatMap(box => {
                     const right = Math.min(box.getBoundingClientRect().right, window.innerWidth) + 1;
                     const cut = e => {
                       for (let around = e.parentElement; e !== box && around !== box; around = around.parentElement)
                         if (getComputedStyle(around).overflowX === 'hidden') return true;
                       return false;
                     };
                     return [box, ...box.querySelectorAll('*')]
                       .filter(e => e.getBoundingClientRect().right > right && !cut(e))
                       .map(e => `${e.tagName} ${e.getAttribute('class')}: ${(e.textContent || '').slice(0, 60)}`)
                   })""",
            )
        )

    def broken_words(self, selector: str) -> list[str]:
        """The words in the elements that stand in more than one line."""
        return list(
            self.page.eval_on_selector_all(
                selector,
                """all => all.flatMap(e => {
                     const broken = [], texts = document.createTreeWalker(e, NodeFilter.SHOW_TEXT);
                     while (texts.nextNode()) {
                       const text = texts.currentNode, word = document.createRange();
                       for (const found of text.data.matchAll(/[^\\s]+/g)) {
                         word.setStart(text, found.index);
                         word.setEnd(text, found.index + found[0].length);
                         const tops = [...word.getClientRects()].map(r => Math.round(r.top));
                         if (new Set(tops).size > 1) broken.push(found[0]);
                       }
                     }
                     return broken;
                   })""",
            )
        )

    def keep_fitting_pages(self, address: str, pages: dict[str, str], kept_as: str) -> None:
        """Open pages by their paths: each must fit into the window, with whole words. ``kept_as``: with ``{}``."""
        for name, path in pages.items():
            assert self.open(address + path) == 200
            assert not self.overflowing(".cml, .cml-box"), path
            assert not self.broken_words(".cml-similar td, .cml-kind, .cml-tag, .cml th, .cml-fact dt"), path
            self.keep(kept_as.format(name))

    def keep(self, name: str, *, whole: bool = False) -> None:
        """Keep a screenshot with CI's output."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)

    def close(self) -> None:
        self.page.close()

    def _note_dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()
