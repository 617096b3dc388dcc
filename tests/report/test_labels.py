"""Families come from the analyst, from the host and from VirusTotal by AVClass, in this order of precedence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.command import cuckoo_ml

from cuckoo_ml_plugin.report.labels import ANALYST, HOST, VIRUSTOTAL, Label, best_label, family_name, labels_of
from cuckoo_ml_plugin.report.report import read_report, report_from_results
from cuckoo_ml_plugin.store.store import Store

ENGINES = {
    "Kaspersky": "Trojan-Spy.Win32.Zbot.abcd",
    "Microsoft": "PWS:Win32/Zbot.gen!Y",
    "BitDefender": "Trojan.Zbot.GEN",
    "Sophos": "Mal/Zbot-FG",
    "ClamAV": None,
}


def labels(**sections: Any) -> list[Label]:
    return labels_of(report_from_results({"info": {}, **sections}))


@pytest.mark.parametrize(
    "sections",
    [
        {"detections": "QakBot"},
        {"detections": [{"family": "QakBot", "details": [{"Yara": "ab" * 32}]}]},
        {"malfamily": "QakBot"},
        {"CAPE": {"configs": [{"QakBot": {"c2": ["1.2.3.4"]}, "associated_config_hashes": {"md5": "0"}}]}},
    ],
    ids=["text", "list", "malfamily", "config"],
)
def test_the_hosts_detections_are_labels_in_every_format(sections: dict[str, Any]) -> None:
    assert labels(**sections) == [Label("qakbot", HOST)]


@pytest.mark.parametrize(
    "virustotal",
    [
        {"scans": {engine: {"result": result, "detected": bool(result)} for engine, result in ENGINES.items()}},
        {"results": [{"vendor": engine, "sig": result} for engine, result in ENGINES.items()]},
    ],
    ids=["scans", "results"],
)
def test_a_family_that_several_engines_name_is_a_label(virustotal: dict[str, Any]) -> None:
    assert labels(virustotal=virustotal) == [Label("zbot", VIRUSTOTAL)]
    assert labels(target={"file": {"virustotal": virustotal}}) == [Label("zbot", VIRUSTOTAL)]


def test_engines_that_do_not_agree_give_no_label() -> None:
    assert labels(virustotal={"scans": {"A": {"result": "Trojan.Generic.1234"}, "B": {"result": "Malware.Heur"}}}) == []


def test_generic_words_are_no_families() -> None:
    assert labels(detections=["Generic", "", "unknown", " Trojan "], malfamily=None) == []
    assert family_name(" Cobalt Strike\u202e\n") == "cobaltstrike"


def test_damaged_detections_are_no_labels() -> None:
    damages: list[Any] = [7, [7, None, {"family": 3}], {"a": 1}, [[["x"]]], [{"details": []}]]
    for damage in damages:
        assert labels(detections=damage, malfamily=damage, CAPE=damage, virustotal=damage) == []
    assert labels(virustotal={"scans": {"A": 1, "B": {"result": 7}}, "results": [{"vendor": 1, "sig": []}]}) == []


def test_the_order_of_precedence_is_analyst_host_virustotal() -> None:
    engines_label, host_label, analyst_label = Label("a", VIRUSTOTAL), Label("b", HOST), Label("c", ANALYST)
    assert best_label([engines_label, host_label, analyst_label]) == analyst_label
    assert best_label([engines_label, host_label]) == host_label
    assert best_label([]) is None


def test_scoring_and_storing_choose_the_same_of_several_detections(tmp_path: Path) -> None:
    path = tmp_path / "two.json"
    path.write_text(json.dumps({"info": {}, "detections": [{"family": "Zeta"}, {"family": "Alpha"}], "behavior": {}}))
    counted = best_label(labels_of(read_report(path)))
    assert counted == Label("zeta", HOST)
    cuckoo_ml(tmp_path / "home", "import", path)
    with Store.open(tmp_path / "home" / "store.db") as store:
        (stored,) = store.analyses_in_order()
        assert stored.label == "zeta"


def test_real_reports_name_three_families(shared_data: Path) -> None:
    labels_of_reports = [labels_of(read_report(path)) for path in sorted((shared_data / "cape").glob("*.json.gz"))]
    assert [entry for entry in labels_of_reports if entry] == [
        [Label("qakbot", HOST)],
        [Label("suncrypt", HOST)],
        [Label("cobaltstrikestager", HOST)],
    ]
