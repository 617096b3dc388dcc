"""What both hosts do with an analysis: it is stored and scored, and it is reported whatever is broken."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.hosts.enrich import Enricher, failed_section, put_section
from cuckoo_ml_plugin.report.files.decode import decode_sections
from cuckoo_ml_plugin.report.report import report_from_results
from cuckoo_ml_plugin.store.store import Store


def a_report(demo: DemoHome) -> Path:
    return sorted(path for folder in demo.corpus.import_paths for path in Path(folder).rglob("report.json"))[0]


def results_of(path: Path) -> dict[str, Any]:
    results = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(results, dict)
    return results


def test_an_analysis_is_stored_and_scored_as_its_report_file_would_be(own_demo: DemoHome, tmp_path: Path) -> None:
    path = tmp_path / "analyses" / "9001" / "reports" / "report.json"
    path.parent.mkdir(parents=True)
    shutil.copy(a_report(own_demo), path)
    enricher = Enricher(own_demo.home)
    section = enricher.enrich(results_of(path), "9001", path)
    assert section["status"] == "scored", section["message"]
    assert section["message"] == ""
    [scored] = cuckoo_ml(own_demo.home, "score", "--json", path).json
    assert section == {key: scored[key] for key in section}
    store = Store.open(own_demo.home / "store.db")
    kept = store.findings_of(["9001"])["9001"]
    assert json.loads(kept.section) == section
    assert kept.cluster == section["cluster"]["id"]
    results = results_of(path)
    put_section(results, section, enricher.seed(section))
    assert results["cuckooml"] == section
    assert results["info"]["clustering"]["hdbscan"]["clusterID"] == int(section["cluster"]["id"][1:])


def test_processing_again_and_importing_the_report_replace_the_record(own_demo: DemoHome, tmp_path: Path) -> None:
    path = tmp_path / "analyses" / "9001" / "reports" / "report.json"
    path.parent.mkdir(parents=True)
    shutil.copy(a_report(own_demo), path)
    store = Store.open(own_demo.home / "store.db")
    before = store.count()
    for _ in range(2):
        Enricher(own_demo.home).enrich(results_of(path), "9001", path)
        assert store.count() == before + 1
    assert cuckoo_ml(own_demo.home, "import", path).code == 0
    assert store.count() == before + 1
    Enricher(own_demo.home).enrich(results_of(path), "9001", path)
    assert store.count() == before + 1
    assert store.get("9001") is not None


def test_the_counts_come_without_reading_the_call_log(own_demo: DemoHome) -> None:
    class Unread(list[Any]):
        def __iter__(self) -> Any:
            raise AssertionError("the call log was read")

    results = results_of(a_report(own_demo))
    enricher = Enricher(own_demo.home)
    complete = enricher.enrich(results, "9001")["counts"]
    for process in results["behavior"]["processes"]:
        process["calls"] = Unread()
    counts = enricher.counts(results)["counts"]
    assert counts
    assert counts == {name: complete[name] for name in counts}
    assert set(complete) - set(counts) <= {"distinct_call_pairs", "api_calls", "distinct_apis"}


def test_without_a_model_the_message_says_how_many_analyses_are_stored_and_needed(
    demo: DemoHome, tmp_path: Path
) -> None:
    section = Enricher(tmp_path / "new").enrich(results_of(a_report(demo)), "1")
    assert section["status"] == "no_model"
    assert "1 analysis with behaviour is stored" in section["message"]
    assert "needs 20" in section["message"]
    assert section["counts"]


def test_a_new_model_is_used_from_the_next_analysis_on(own_demo: DemoHome) -> None:
    enricher = Enricher(own_demo.home)
    results = results_of(a_report(own_demo))
    first = enricher.enrich(results, "9001")
    assert cuckoo_ml(own_demo.home, "refit").code == 0
    assert enricher.enrich(results, "9002")["model"]["id"] != first["model"]["id"]


def test_a_store_that_cannot_be_opened_does_not_stop_scoring(
    own_demo: DemoHome, caplog: pytest.LogCaptureFixture
) -> None:
    (own_demo.home / "store.db").write_bytes(b"no database at all" * 1000)
    with caplog.at_level(logging.ERROR):
        section = Enricher(own_demo.home).enrich(results_of(a_report(own_demo)), "9001")
    assert section["status"] == "scored"
    assert "not stored" in section["message"]
    assert "store.db" in caplog.text


@pytest.mark.parametrize("broken", ["settings", "model", "home"])
def test_the_section_and_the_log_name_what_is_broken(
    own_demo: DemoHome, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    home = own_demo.home
    if broken == "settings":
        (home / "cuckooml.conf").write_text("[store]\ncolour = red\n", encoding="utf-8")
    elif broken == "model":
        for file in (home / "models").resolve().glob("*/*.npy"):
            os.truncate(file, 100)
    else:
        home = home / "cuckooml.conf" / "home"
    with caplog.at_level(logging.ERROR):
        section = Enricher(home).enrich(results_of(a_report(own_demo)), "9001")
    assert section["status"] == "failed"
    assert section["message"]
    assert section["message"][:100] in caplog.text


def test_repaired_settings_are_used_from_the_next_analysis_on(own_demo: DemoHome) -> None:
    good = (own_demo.home / "cuckooml.conf").read_text(encoding="utf-8")
    (own_demo.home / "cuckooml.conf").write_text("[store]\ncolour = red\n", encoding="utf-8")
    enricher, results = Enricher(own_demo.home), results_of(a_report(own_demo))
    assert enricher.enrich(results, "9001")["status"] == "failed"
    (own_demo.home / "cuckooml.conf").write_text(good, encoding="utf-8")
    assert enricher.enrich(results, "9001")["status"] == "scored"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_SECTIONS = st.sampled_from(["info", "target", "behavior", "network", "static", "signatures", "dropped", "cuckooml"])


@settings(max_examples=25, deadline=None)
@given(results=st.dictionaries(_SECTIONS, _JSON, max_size=4), analysis=st.text(max_size=20))
def test_results_of_any_shape_get_a_section(
    tmp_path_factory: pytest.TempPathFactory, results: dict[str, Any], analysis: str
) -> None:
    enricher = Enricher(tmp_path_factory.getbasetemp() / "hostile")
    for section in (enricher.counts(results), enricher.enrich(results, analysis)):
        assert section.keys() == failed_section("").keys()
        put_section(results, section, enricher.seed(section))
        assert results["cuckooml"] is section


class _Refuses(dict[str, Any]):
    """Results of a host whose sections cannot be read."""

    def __init__(self, error: Exception) -> None:
        super().__init__(info={})
        self.error = error

    def get(self, *_: object) -> Any:
        raise self.error


class _SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "error", [_SilentError(), ValueError("\ud800 \x1b]0;title\x07 \u202e")], ids=["silent", "hostile"]
)
def test_errors_with_hostile_or_no_messages_give_failed(demo: DemoHome, error: Exception) -> None:
    enricher = Enricher(demo.home)
    for section in (enricher.enrich(_Refuses(error), "1"), enricher.counts(_Refuses(error))):
        assert section["status"] == "failed"
        assert section["message"].isprintable()
        orjson.dumps(section)  # CAPE writes reports with it, and it takes no lone surrogates


def test_made_up_functions_do_not_change_later_analyses(own_demo: DemoHome) -> None:
    results, enricher = results_of(own_demo.corpus.new[0].path), Enricher(own_demo.home)
    before = enricher.enrich(results, "1")
    for start in range(0, 150_000, 75_000):
        calls = [{"api": f"Made{number}"} for number in range(start, start + 75_000)]
        hostile = {"info": {"version": "2.4-CAPE"}, "behavior": {"processes": [{"calls": calls}]}}
        assert enricher.counts(hostile) is not None
        assert report_from_results(hostile).calls.names == sorted(call["api"] for call in calls)
        assert enricher.enrich(results, "1")["anomaly"] == before["anomaly"]
    behavior = results["behavior"]
    new = [{"api": "OnlyHere"}, *behavior["processes"][-1].get("calls", [])]
    behavior["processes"][-1]["calls"] = new
    assert "OnlyHere" in report_from_results(results).calls.names


def test_a_report_file_s_sections_are_results_too(demo: DemoHome) -> None:
    path = a_report(demo)
    assert Enricher(demo.home).counts(decode_sections(path.read_bytes(), path)) == Enricher(demo.home).counts(
        results_of(path)
    )
