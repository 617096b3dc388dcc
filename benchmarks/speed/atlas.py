"""The atlas of a large corpus: the time to make it, its size, and the time until a browser shows it.

    python -m benchmarks.speed.atlas [--sizes 1000 50000] [--data ../shared/data] [--cache FOLDER]

The stores hold perturbed real behaviour and are fitted before, which is not counted. Chromium opens the page from the
disk. "Ready" is the time until everything is drawn and responds; "a frame" is the median of 30 drawings of the whole
map while it is moved. The reference is the smallest size in the same run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.support.by_size import by_size
from benchmarks.support.paths import DATA
from benchmarks.support.perturbed import fitted_home, real_behaviours
from cuckoo_ml_plugin.atlas.html_page import render
from cuckoo_ml_plugin.atlas.page_data import page_data, script_json
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.landscape.landscape import landscape

FRAMES = """async () => {
  const canvas = document.getElementById("map"), times = [];
  for (let i = 0; i < 30; i++) {
    canvas.dispatchEvent(new KeyboardEvent("keydown", { key: i % 2 ? "ArrowLeft" : "ArrowRight", bubbles: true }));
    const start = performance.now();
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[15];
}"""


def measure(home: Path, page: Path, browser: Any) -> dict[str, float]:
    """The measurements of a corpus: seconds, megabytes and milliseconds, as their names say."""
    engine = Engine(Home(home))
    start = time.perf_counter()
    scene = landscape(engine, with_behaviours=True)
    laid_out = time.perf_counter()
    page.write_text(render(script_json(page_data(engine, scene))), encoding="utf-8")
    written = time.perf_counter()
    reader = browser.new_page(viewport={"width": 1400, "height": 860})
    opened = time.perf_counter()
    reader.goto(page.as_uri(), timeout=120_000)
    reader.wait_for_selector("html[data-ready=yes]", state="attached", timeout=120_000)
    ready = time.perf_counter()
    frame = reader.evaluate(FRAMES)
    reader.close()
    return {
        "the map, s": laid_out - start,
        "the page, s": written - laid_out,
        "size, MB": page.stat().st_size / 1e6,
        "ready in the browser, s": ready - opened,
        "a frame, ms": frame,
    }


def main() -> None:
    """Fit the homes that are missing, measure each size and print the table."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 50_000])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cache", type=Path, help="folder in which the fitted homes are kept for the next run")
    options = parser.parse_args()
    behaviours = real_behaviours(options.data)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        folder = options.cache or Path(temporary)
        measured = []
        for size in options.sizes:
            home = fitted_home(folder / str(size), behaviours, size)
            measured.append(measure(home, folder / f"atlas-{size}.html", browser))
        browser.close()
    Console(width=100).print(by_size("The atlas", options.sizes, measured, 2))


if __name__ == "__main__":
    main()
