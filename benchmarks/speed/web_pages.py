"""The time that the web interface needs for the panel and each page, with 1,000 and 100,000 stored analyses.

    python -m benchmarks.speed.web_pages [--sizes 1000 100000] [--data ../shared/data] [--cache FOLDER]

The stores hold perturbed real behaviour and are fitted before, which is not counted. Each page is requested several
times in one process, as in a web interface. The first request, which opens store and model, has a row of its own. The
reference is the same page at the smallest size.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks.support.by_size import by_size
from benchmarks.support.paths import DATA
from benchmarks.support.perturbed import fitted_home, real_behaviours
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.web.render import CAPE
from cuckoo_ml_plugin.web.site import Addresses, Site

ROUNDS = 15
PAGES: dict[str, tuple[str, dict[str, str]]] = {
    "all clusters": ("", {}),
    "all clusters, searched and sorted": ("", {"q": "a", "sort": "last"}),
    "one cluster": ("clusters/c0", {}),
    "one cluster, its last page": ("clusters/c0", {"page": "999"}),
    "anomalies": ("anomalies", {}),
    "anomalies of all time, tenth page": ("anomalies", {"days": "all", "order": "score", "page": "10"}),
    "the model": ("model", {}),
}


def milliseconds(home: Path) -> dict[str, float]:
    """The median milliseconds of each page, and the milliseconds of the first request."""
    site = Site(Home(home), CAPE, Addresses("/cuckooml/", "/analysis/{}/"), home)
    engine = Engine(Home(home))
    analysis = engine.store.cluster_members("c0", limit=1)[0].finding.analysis
    finding = engine.score_stored(analysis)
    assert finding is not None
    section = finding.section()
    start = time.perf_counter()
    site.page("", {})
    times = {"the first request": (time.perf_counter() - start) * 1e3}
    times["panel"] = median_time(lambda: site.panel(section))
    for name, (path, query) in PAGES.items():
        assert site.page(path, query).status == 200, name
        times[name] = median_time(partial(site.page, path, query))
    times["one analysis"] = median_time(lambda: site.page("analysis", {"id": analysis}))
    return times


def median_time(work: Callable[[], object]) -> float:
    """The median milliseconds of ``ROUNDS`` calls."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def main() -> None:
    """Fit the homes that are missing, measure each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cache", type=Path, help="folder in which the fitted homes are kept for the next run")
    options = parser.parse_args()
    behaviours = real_behaviours(options.data)
    with tempfile.TemporaryDirectory() as temporary:
        homes = [
            fitted_home((options.cache or Path(temporary)) / str(size), behaviours, size) for size in options.sizes
        ]
        measured = [milliseconds(home) for home in homes]
    Console(width=100).print(by_size("Milliseconds, medians", options.sizes, measured, 1))


if __name__ == "__main__":
    main()
