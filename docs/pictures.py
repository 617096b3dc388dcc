"""Makes the pictures of README.md and docs/ from today's version; `python3 dev.py pictures` runs it.

    python docs/pictures.py [--home DIR] [--hosts]

Atlas and plots are drawn of the demo's corpus, in a home that is made for it or that `--home` names. The pictures of
the web interfaces are screenshots that the browser stories in `tests/hosts/` keep: with `--hosts` these stories run, as
CONTRIBUTING.md describes, and a host that is not here keeps its earlier pictures. `docs/images/riss-curve.png` is not
among them: it rests on data that is not in the repository, and docs/benchmarks.md has its command.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

REPOSITORY = Path(__file__).resolve().parent.parent
IMAGES = REPOSITORY / "docs" / "images"
SCREENSHOTS = REPOSITORY / "ci-output" / "screenshots"  # where tests/support/browser.py keeps them
CHROMIUM = "/usr/bin/chromium"
LARGEST = 200_000  # bytes of a picture
COLOURS = (0, 256, 128, 64)  # of a palette, until the picture is small enough; first as it is
STORIES = {
    "tests/hosts/test_cape_web.py": {
        "web-cape-panel": "cape-panel", "web-cape-panel-details": "cape-panel-details",
        "web-cape-similar": "cape-similar", "web-cape-cluster": "cape-cluster", "web-cape-behaviour": "cape-behaviour",
        "web-cape-compare": "cape-compare-1280",
    },
    "tests/hosts/test_cuckoo2_web.py": {
        "web-cuckoo-panel": "cuckoo-panel", "web-cuckoo-anomalies": "cuckoo-anomalies",
        "web-cuckoo-clusters-night": "cuckoo-clusters-1280-night",
    },
}  # fmt: skip
"""The stories of each host, and which of their screenshots become which pictures."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", type=Path, help="a home of the demo (default: one is made, and removed afterwards)")
    parser.add_argument("--hosts", action="store_true", help="also the web interfaces, by their browser stories")
    options = parser.parse_args()
    if not Path(CHROMIUM).exists():
        sys.exit(f"{CHROMIUM} is missing; on Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        home = options.home or Path(folder, "home")
        if not (home / "models" / "current").exists():
            cuckoo_ml(home, "demo")
        made = [*atlas_pictures(home, Path(folder)), *plot_pictures(home, Path(folder))]
    missing: list[str] = []
    if options.hosts:
        for stories, pictures in STORIES.items():
            kept = host_pictures(stories, pictures)
            made += kept
            missing += sorted(set(pictures) - {path.stem for path in kept})
    for path in made:
        print(f"{path.relative_to(REPOSITORY)}  {path.stat().st_size / 1000:,.0f} kB")
    for name in missing:
        print(
            f"{name}: as it was; its host is not here, or its story keeps no such screenshot any more", file=sys.stderr
        )
    return 1 if missing else 0


def cuckoo_ml(home: Path, *arguments: object) -> str:
    """What a command of this checkout answers."""
    command = [sys.executable, "-m", "cuckoo_ml_plugin", "--home", str(home), *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"cuckoo-ml {arguments[0]} failed: {done.stderr}")
    return done.stdout


def atlas_pictures(home: Path, folder: Path) -> Iterator[Path]:
    """The atlas in a browser: all of it, and its largest cluster by a shared link, in the dark."""
    address = folder / "atlas.html"
    cuckoo_ml(home, "atlas", address)
    largest = max(json.loads(cuckoo_ml(home, "clusters", "--json")), key=lambda cluster: cluster["size"])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address.as_uri())
        page.wait_for_selector("html[data-ready=yes]", state="attached", timeout=60_000)
        yield save("atlas", still(page))
        page.emulate_media(color_scheme="dark")
        page.goto(f"{address.as_uri()}#cluster={largest['id']}")
        page.reload()
        page.wait_for_selector("html[data-ready=yes]", state="attached", timeout=60_000)
        yield save("atlas-cluster", still(page))
        browser.close()


def still(page: Page) -> bytes:
    page.wait_for_timeout(1000)  # the map moves for a moment
    return page.screenshot()


def plot_pictures(home: Path, folder: Path) -> Iterator[Path]:
    """The plots that the docs show."""
    cuckoo_ml(home, "plots", folder / "plots", "--format", "png")
    yield save("plot-map", (folder / "plots" / "map.png").read_bytes())


def host_pictures(stories: str, pictures: dict[str, str]) -> list[Path]:
    """Run a host's browser stories, and take over what they kept; earlier screenshots are no answer."""
    for screenshot in pictures.values():
        (SCREENSHOTS / f"{screenshot}.png").unlink(missing_ok=True)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-m", "pytest", "-q", stories], cwd=REPOSITORY, env=environment, check=False)
    return [
        save(name, path.read_bytes())
        for name, screenshot in pictures.items()
        if (path := SCREENSHOTS / f"{screenshot}.png").exists()
    ]


def save(name: str, picture: bytes) -> Path:
    """Write a picture with all its colours, or with a palette of as many as its size allows."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    if image.width > 1400:
        image = image.resize((1400, round(image.height * 1400 / image.width)), Image.Resampling.LANCZOS)
    for colours in COLOURS:
        small = io.BytesIO()
        fewer = image.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE) if colours else image
        fewer.save(small, "PNG", optimize=True)
        if small.tell() <= LARGEST:
            break
    else:
        raise ValueError(f"{name}: {small.tell():,} bytes, more than {LARGEST:,}")
    path = IMAGES / f"{name}.png"
    path.write_bytes(small.getvalue())
    return path


if __name__ == "__main__":
    sys.exit(main())
