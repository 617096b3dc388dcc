"""One policy for text at every door: no bidirectional control and no control character leaves, whatever malware chose.

The corpus has such characters wherever a report, a file's name or a label can bring one in.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import stix2
from support.command import cuckoo_ml

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.frames.desk import Desk
from cuckoo_ml_plugin.home import Home

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
EVIL = f"{BIDI}gnp\x1b[31m\x07\x9b\u2028"
HIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")


@dataclass(frozen=True)
class Hostile:
    """A home of such analyses, and a new report that is alike."""

    home: Path
    stored: str
    new: Path
    cluster: str


def report(number: int, group: int) -> dict[str, Any]:
    calls = 10_000 if number == 0 else 10 + number % 7  # the first is outside of the fences, and named there
    mutexes = [f"{EVIL}{group}", *(f"m{group}-{letter}{EVIL}" for letter in "abcdefgh"), f"own{number % 7}{EVIL}"]
    return {
        "info": {"id": number, "version": "2.0.7", "started": f"2020-01-01 00:00:{number % 60:02d}"},
        "target": {"category": "file", "file": {"name": f"{EVIL}{number}.exe", "size": 9 + number,
                   "sha256": hashlib.sha256(str(number).encode()).hexdigest()}},
        "behavior": {"summary": {"mutex": mutexes}, "apistats": {"1": {f"Api{group}": calls}}, "processes": []},
        "signatures": [{"name": f"sig{EVIL}{group}"}],
        "network": {"domains": [{"domain": f"{EVIL}{group}.example.com"}]},
    }  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    folder = tmp_path_factory.mktemp("hostile")
    reports, labels, home, new = folder / "reports", folder / "labels.tsv", folder / "home", folder / "new.json"
    reports.mkdir()
    names = [f"{BIDI}a{number}" for number in range(60)]
    for number, name in enumerate(names):
        (reports / f"{name}.json").write_text(json.dumps(report(number, number % 3)), encoding="utf-8")
    lines = [f"{name}\tfam{BIDI}{number % 3}\n" for number, name in enumerate(names)]
    labels.write_text("".join(lines), encoding="utf-8")
    new.write_text(json.dumps(report(99, 0)), encoding="utf-8")
    done = cuckoo_ml(home, "import", reports, "--labels", labels)
    assert done.code == 0, done.err
    done = cuckoo_ml(home, "refit")
    assert done.code == 0, done.err
    stored = next(iter(Desk(home).analyses().index))
    assert "\u202e" in stored
    cluster = cuckoo_ml(home, "clusters", "--json").json[0]["id"]
    return Hostile(home, stored, new, cluster)


def answer(*words: str) -> Callable[[Hostile, Path], Any]:
    """What a command answers in JSON."""

    def ask(hostile: Hostile, _: Path) -> Any:
        names = {"NEW": hostile.new, "STORED": hostile.stored, "CLUSTER": hostile.cluster}
        done = cuckoo_ml(hostile.home, *(names.get(word, word) for word in words), "--json")
        assert done.code == 0, done.err
        return done.json

    return ask


def csv_files(hostile: Hostile, folder: Path) -> Any:
    assert cuckoo_ml(hostile.home, "export", folder, "--format", "csv").code == 0
    rows = [row for path in sorted(folder.glob("*.csv")) for row in csv.reader(path.open(encoding="utf-8", newline=""))]
    texts = [json.loads(cell) for row in rows for cell in row if cell.startswith("[")]
    assert any(texts), "a list names an analysis: its hidden characters would be escaped in it"
    return [rows, texts]


def parquet_files(hostile: Hostile, folder: Path) -> Any:
    assert cuckoo_ml(hostile.home, "export", folder, "--format", "parquet").code == 0
    return [pq.read_table(path).to_pylist() for path in sorted(folder.glob("*.parquet"))]


def misp(hostile: Hostile, folder: Path) -> Any:
    done = cuckoo_ml(hostile.home, "export", folder, "--cluster", hostile.cluster, "--format", "misp")
    assert done.code == 0, done.err
    event = json.loads(next(folder.glob("*.misp.json")).read_text(encoding="utf-8"))
    assert event["Event"]["Attribute"]
    return event


def stix(hostile: Hostile, folder: Path) -> Any:
    done = cuckoo_ml(hostile.home, "export", folder, "--cluster", hostile.cluster, "--format", "stix")
    assert done.code == 0, done.err
    text = next(folder.glob("*.stix.json")).read_text(encoding="utf-8")
    stix2.parse(text)
    bundle = json.loads(text)
    for part in bundle["objects"]:
        if part["type"] == "note":
            part["content"] = part["content"].splitlines()  # our own lines
    return bundle


def section(hostile: Hostile, _: Path) -> Any:
    finding = Engine(Home(hostile.home)).score_stored(hostile.stored)
    assert finding is not None
    made = finding.section()
    assert made["similar"]
    assert made["evidence"]
    return made


def written_report(hostile: Hostile, folder: Path) -> Any:
    folder.mkdir()
    path = folder / "report.json"
    path.write_bytes(hostile.new.read_bytes())
    assert cuckoo_ml(hostile.home, "score", path, "--write").code == 0
    return json.loads(path.read_text(encoding="utf-8"))["cuckooml"]


def atlas(hostile: Hostile, folder: Path) -> Any:
    folder.mkdir()
    assert cuckoo_ml(hostile.home, "atlas", folder / "atlas.html").code == 0
    page = (folder / "atlas.html").read_text(encoding="utf-8")
    found = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def frame_texts(frame: pd.DataFrame) -> Any:
    return [list(map(str, frame.columns)), frame.to_numpy().tolist()]


def frames(hostile: Hostile, _: Path) -> Any:
    desk = Desk(hostile.home)
    return [
        frame_texts(frame)
        for frame in (
            desk.analyses(), desk.similar(hostile.stored), desk.compare(hostile.stored, hostile.new),
            desk.cluster_table(), desk.kin_table(), desk.anomalies(), desk.label_distribution(), desk.features(),
            desk.features("simple"), desk.features("all"),
        )
    ]  # fmt: skip


DOORS: dict[str, Callable[[Hostile, Path], Any]] = {
    "CSV": csv_files,
    "Parquet": parquet_files,
    "MISP": misp,
    "STIX": stix,
    "section": section,
    "section in a report": written_report,
    "atlas": atlas,
    "frames": frames,
    "score": answer("score", "NEW"),
    "similar": answer("similar", "STORED"),
    "compare": answer("compare", "NEW", "STORED"),
    "clusters": answer("clusters"),
    "a cluster": answer("clusters", "CLUSTER"),
    "kin": answer("kin"),
    "anomalies": answer("anomalies"),
    "births": answer("births"),
    "seen": answer("seen", f"mutex:{EVIL}0"),
    "assess": answer("assess", "--resamples", "0"),
    "forget": answer("forget", "STORED", "--dry-run"),
}


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a value, also the keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from texts_in(key)
            yield from texts_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from texts_in(part)


@pytest.mark.parametrize("door", DOORS)
def test_no_hidden_character_leaves(hostile: Hostile, tmp_path: Path, door: str) -> None:
    texts = list(texts_in(DOORS[door](hostile, tmp_path / "out")))
    assert texts or door == "births"
    assert [ascii(text) for text in texts if HIDDEN.search(text)][:5] == []
    if door not in ("births", "forget", "assess", "anomalies"):
        assert any("\ufffd" in text for text in texts), "the hostile texts are shown, each character replaced"
