"""``cuckoo-ml compare``: runs of one file, two analyses, and an analysis beside its cluster."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.store.store import Store

PARTS = ("always", "sometimes", "only_here", "lacking")


@pytest.fixture(scope="module")
def runs(demo: DemoHome) -> list[str]:
    """The runs of a file that was analysed more than once, with different behaviour."""
    files: dict[str, dict[str, str]] = defaultdict(dict)
    with Store.open(demo.home / "store.db") as store:
        for stored in store.analyses_in_order(with_behaviour_only=True):
            if stored.sha256:
                files[stored.sha256][stored.analysis] = stored.digest
    return next(list(of_file) for of_file in files.values() if len(set(of_file.values())) > 1)


def test_two_runs_share_what_both_show_and_differ_in_the_rest(demo: DemoHome, runs: list[str]) -> None:
    [there] = cuckoo_ml(demo.home, "compare", runs[0], runs[1], "--json", "--limit", 10000).json["comparisons"]
    [back] = cuckoo_ml(demo.home, "compare", runs[1], runs[0], "--json", "--limit", 10000).json["comparisons"]
    assert there["kind"] == "run"
    assert there["always"]["count"] > 20
    assert there["always"] == back["always"]
    only = [(piece["kind"], piece["value"]) for piece in there["only_here"]["shown"]]
    assert only == [(piece["kind"], piece["value"]) for piece in back["lacking"]["shown"]]
    assert there["sometimes"]["count"] == 0
    assert there["only_here"]["count"] + there["lacking"]["count"] > 0
    with Store.open(demo.home / "store.db") as store:
        tokens = [set(stored.unpack()[0]) for name in runs[:2] if (stored := store.get(name))]
    assert all(f"{kind}:{value}" in tokens[0] - tokens[1] for kind, value in only)


def test_an_analysis_is_compared_with_the_other_runs_of_its_file_and_with_its_cluster(
    demo: DemoHome, runs: list[str]
) -> None:
    answer = cuckoo_ml(demo.home, "compare", runs[0], "--json").json
    of_file, of_cluster = answer["comparisons"]
    assert of_file["kind"] == "runs"
    assert of_file["with"] == [run for run in runs if run != runs[0]]
    assert of_cluster["kind"] == "cluster"
    assert runs[0] not in of_cluster["with"]
    detail = cuckoo_ml(demo.home, "clusters", of_cluster["id"], "--json").json
    assert of_cluster["of"] == detail["stored"] - 1
    assert of_cluster["analyses"] == len(of_cluster["with"])
    for part in PARTS:
        assert len(of_cluster[part]["shown"]) <= 10


def test_a_sample_that_did_nothing_lacks_what_its_kin_do(demo: DemoHome) -> None:
    silent = next(sample.name for sample in demo.corpus.fitted if sample.role == "noise")
    done = cuckoo_ml(demo.home, "compare", silent)
    assert done.code == 0, done.err
    assert "Did it run to its end?" in done.out
    assert "write files; this run did not." in done.out
    assert "In nearly all others, not in this run" in done.out


def test_a_report_file_is_compared_without_being_stored(demo: DemoHome, tmp_path: Path) -> None:
    report = Path(shutil.copy(demo.corpus.new[0].path, tmp_path))
    answer = cuckoo_ml(demo.home, "compare", report, "--json").json
    assert answer["comparisons"][-1]["kind"] in ("cluster", "kin")
    with Store.open(demo.home / "store.db") as store:
        assert store.get(str(report)) is None


def test_an_analysis_that_is_not_stored_is_named_and_so_is_the_second(demo: DemoHome, runs: list[str]) -> None:
    for arguments in (("nobody",), (runs[0], "nobody")):
        done = cuckoo_ml(demo.home, "compare", *arguments)
        assert done.code == 1
        assert "nobody: there is no such analysis" in " ".join(done.err.split())


def test_without_a_model_the_runs_of_a_file_are_compared(unfitted_home: Path) -> None:
    with Store.open(unfitted_home / "store.db") as store:
        [name] = [stored.analysis for stored in store.analyses_in_order()]
    done = cuckoo_ml(unfitted_home, "compare", name)
    assert done.code == 0, done.err
    assert "no other run of its file is stored, and there is no model yet" in " ".join(done.out.split())
