"""The time of making a behash, and of finding the 24 most alike among a million, on one core.

    python -m benchmarks.speed.behash [--behashes 1000000] [--data ../shared/data] [--cache FILE]

The table holds behashes of real behaviours of RISS, MTS and MLRan, perturbed as if other variants had shown them.
A tenth is made from tokens; of each, nine more are made by flipping one in fifty bits of its sketches. Queries are
further perturbed behaviours, and random bytes, which are like nothing, so that sizes exclude hardly any behash.

The reference of a search is the least that a search without an index does: XOR and count of the bits of all sketches,
in the same run. That of making a behash is hashing the tokens, as the store and the model do anyway.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.quality.nearest import CORPORA, read_samples
from benchmarks.support.paths import DATA
from cuckoo_ml_plugin.behaviour.behash import BYTES, BehashTable, behash
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.engine.similar_analyses import CANDIDATES
from cuckoo_ml_plugin.plumbing.hashes import joined_tokens, token_hashes
from cuckoo_ml_plugin.report.report import read_report
from cuckoo_ml_plugin.settings import SEED
from cuckoo_ml_samples.perturb import perturb

BAR_MILLISECONDS = 50
_VARIANTS = 9
_FLIPPED = 1 / 50
_AT_ONCE = 2_500
_QUERIES = 60


def perturbed(tokens: list[list[str]], count: int, seed: int) -> list[bytes]:
    """The behashes of ``count`` perturbed behaviours."""
    rng = Random(seed)
    made = (behash(joined_tokens(perturb(rng.choice(tokens), rng, others=tokens))) for _ in range(count))
    return [one or bytes(BYTES) for one in made]


def variants(behashes: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """The behashes (n, 128) with some bits of their sketches flipped."""
    rng = np.random.default_rng(seed)
    flipped = behashes.copy()
    for _ in range(round((BYTES - 16) * 8 * _FLIPPED)):
        places = rng.integers(16, BYTES, len(behashes))
        bits = np.left_shift(1, rng.integers(0, 8, len(behashes))).astype(np.uint8)
        flipped[np.arange(len(behashes)), places] ^= bits
    return flipped


def many_behashes(tokens: list[list[str]], count: int) -> NDArray[np.uint8]:
    """(count, 128) behashes as the module's docstring says."""
    from_tokens = -(-count // (_VARIANTS + 1))
    parts = range(-(-from_tokens // _AT_ONCE))
    made = Parallel(n_jobs=-1)(delayed(perturbed)(tokens, _AT_ONCE, SEED + part) for part in parts)
    first = np.frombuffer(b"".join(one for part in made for one in part), np.uint8).reshape(-1, BYTES)[:from_tokens]
    return np.concatenate([first, *(variants(first, seed) for seed in range(_VARIANTS))])[:count]


def milliseconds(work: Callable[[], object]) -> float:
    """The time of one run."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def search_table(behashes: NDArray[np.uint8], queries: dict[str, list[bytes]]) -> Table:
    """The milliseconds of a search, beside the reference, for each kind of query."""
    table = BehashTable()
    table.append([behashes.tobytes()])
    words = np.ascontiguousarray(behashes[:, 16:]).view(np.uint64)
    shown = Table(
        title=f"The {CANDIDATES} most alike of {len(table):,} behashes, ms", caption=f"bar: {BAR_MILLISECONDS} ms"
    )
    for column in ("query", "median", "best", "longest", "XOR and count, median", "median / reference"):
        shown.add_column(column, justify="left" if column == "query" else "right")
    for name, of_kind in queries.items():
        times, references = [], []
        for one in of_kind:
            sketch = np.frombuffer(one, np.uint64)[2:]
            references.append(milliseconds(lambda sketch=sketch: np.bitwise_count(words ^ sketch).sum(axis=1)))  # type: ignore[misc]
            times.append(milliseconds(lambda one=one: table.nearest(one, CANDIDATES)))  # type: ignore[misc]
        median, reference = statistics.median(times), statistics.median(references)
        figures = (median, min(times), max(times), reference)
        shown.add_row(name, *(f"{figure:.1f}" for figure in figures), f"{median / reference:.2f}")
    return shown


def making_table(behaviours: dict[str, list[list[str]]]) -> Table:
    """The milliseconds of making one behash, beside the reference, for the behaviours of each corpus."""
    shown = Table(title="Making a behash, ms")
    for column in (
        "corpus",
        "tokens, median",
        "median",
        "longest",
        "hashing the tokens, median",
        "ratio of the medians",
    ):
        shown.add_column(column, justify="left" if column == "corpus" else "right")
    for name, of_corpus in behaviours.items():
        joined = [joined_tokens(tokens) for tokens in of_corpus]
        times = [milliseconds(lambda one=one: behash(one)) for one in joined]  # type: ignore[misc]
        references = [milliseconds(lambda one=one: token_hashes(one.split(b"\n"))) for one in joined]  # type: ignore[misc]
        median, reference = statistics.median(times), statistics.median(references)
        tokens = statistics.median(map(len, of_corpus))
        figures = (median, max(times), reference)
        shown.add_row(name, f"{tokens:,.0f}", *(f"{figure:.3f}" for figure in figures), f"{median / reference:.1f}")
    return shown


def main() -> None:
    """Make the behashes, unless they are in the cache, measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--behashes", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cache", type=Path, help="a file (.npy) in which the behashes are kept for the next run")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    samples = {name: read_samples(options.data, name) for name in CORPORA}
    behaviours = {
        name: [list(sample.behaviour.tokens) for sample in of_corpus if sample.behaviour.tokens]
        for name, of_corpus in samples.items()
    }
    tokens = [one for of_corpus in behaviours.values() for one in of_corpus]
    reports = sorted((options.data / "cape").glob("*.json.gz"))
    behaviours["CAPE, full reports"] = [list(extract(read_report(path)).tokens) for path in reports]
    if options.cache and options.cache.exists():
        behashes = np.load(options.cache)[: options.behashes]
    else:
        behashes = many_behashes(tokens, options.behashes)
        if options.cache:
            np.save(options.cache, behashes)
    rng = np.random.default_rng(SEED)
    random = rng.integers(0, 256, (_QUERIES // 3, BYTES), np.uint8)
    random[:, :16] = behashes[rng.integers(0, len(behashes), len(random)), :16]
    queries = {
        "a variant": perturbed(tokens, _QUERIES, SEED - 1),
        "like nothing": [one.tobytes() for one in random],
    }
    console = Console(width=140)
    console.print(making_table(behaviours))
    console.print(search_table(behashes, queries))


if __name__ == "__main__":
    main()
