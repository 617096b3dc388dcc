"""Exports: CuckooML's tables, Parquet files, and a cluster as MISP event and STIX bundle."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pymisp
import pytest
import stix2
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.missing_packages import Missing

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.queries import cluster_number
from cuckoo_ml_plugin.export.intelligence import indicator_value
from cuckoo_ml_plugin.frames.desk import Desk
from cuckoo_ml_plugin.home import Home

SEED_FILES = (
    "clustering_results", "clustering_fit", "cluster_label_distribution", "abnormal_behaviour", "anomalies",
    "test_samples",
)  # fmt: skip
FORMULA = "=cmd|'/c calc'!A1"
SPLIT = f"x;{FORMULA}"
NASTY = "g'\\\"]} OR [file:name = 'x<script>\u202e"


@pytest.fixture(scope="module")
def exported(demo: DemoHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "tables"
    result = cuckoo_ml(demo.home, "export", folder, "--json")
    assert result.code == 0, result.err
    assert [Path(path).name for path in result.json] == [
        *(f"{name}.csv" for name in SEED_FILES), "features.parquet", "findings.parquet",
    ]  # fmt: skip
    return folder


@pytest.mark.parametrize("name", [name for name in SEED_FILES if name != "cluster_label_distribution"])
def test_the_columns_are_those_of_the_seed(exported: Path, shared_data: Path, name: str) -> None:
    published = (shared_data / "gsoc199" / "published" / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    ours = (exported / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    if name == "test_samples":
        assert [line.split(",")[0] for line in ours] == [line.split(",")[0] for line in published]
        return
    assert ours[0] == published[0] + (",kin" if name == "clustering_results" else "")
    if name == "clustering_fit":
        assert [line.split(",")[0] for line in ours] == [line.split(",")[0] for line in published]
    if name == "abnormal_behaviour":
        counts = {line.split(",")[0] for line in ours}
        assert {line.split(",")[0] for line in published} <= counts


def test_pandas_reads_the_files_and_they_agree_with_the_commands(exported: Path, demo: DemoHome) -> None:
    results = pd.read_csv(exported / "clustering_results.csv", index_col=0)
    clusters = cuckoo_ml(demo.home, "clusters", "--json").json
    sizes = Counter(results["label"])
    assert {f"c{int(label)}": count for label, count in sizes.items() if label >= 0} == {
        cluster["id"]: cluster["size"] for cluster in clusters
    }
    assert results["probability"].between(0, 1).all()
    kin = cuckoo_ml(demo.home, "kin", "--json").json
    assert {f"k{int(number)}": count for number, count in Counter(results["kin"]).items() if number >= 0} == {
        group["id"]: group["size"] for group in kin
    }
    pairs = {(int(label), int(number)) for label, number in zip(results["label"], results["kin"], strict=True)}
    assert {(f"c{label}", f"k{number}") for label, number in pairs if label >= 0} == {
        (cluster["id"], cluster["kin"]) for cluster in clusters
    }, "a cluster lies wholly in one kin"
    spread = pd.read_csv(exported / "cluster_label_distribution.csv", index_col="cluster_id")
    assert spread.sum(axis=1).to_dict() == dict(sizes)
    anomalies = pd.read_csv(exported / "anomalies.csv", index_col=0)
    assert (anomalies["outliers"].notna() == (anomalies["cluster"] == -1)).all()
    fit: Any = pd.read_csv(exported / "clustering_fit.csv", index_col=0)
    assert fit.loc["Homogeneity", "clustering"] > 0.8
    abnormal: Any = pd.read_csv(exported / "abnormal_behaviour.csv", index_col=0)
    outliers = json.loads(abnormal.loc[":count:api_calls", "outliers"])
    assert set(map(str, outliers)) <= set(map(str, results.index))


def test_an_analysis_scored_after_the_fit_is_a_test_sample_as_in_the_seed(
    own_demo: DemoHome, tmp_path: Path, shared_data: Path
) -> None:
    from cuckoo_ml_plugin.store.finding_record import FindingRecord

    engine = Engine(Home(own_demo.home))
    published = (shared_data / "gsoc199" / "published" / "test_samples.csv").read_text(encoding="utf-8").splitlines()
    for expected, newcomer in enumerate(own_demo.corpus.new[:2], start=1):
        cuckoo_ml(own_demo.home, "import", newcomer.path)
        name = next(
            stored.analysis
            for stored in engine.store.analyses_in_order(behaviours=False)
            if stored.source_path == str(newcomer.path)
        )
        finding = engine.score_stored(name)
        assert finding is not None
        record = FindingRecord.of(name, finding.section())
        assert record is not None
        engine.store.save_findings([record])
        assert cuckoo_ml(own_demo.home, "export", tmp_path).code == 0
        rows = list(csv.reader((tmp_path / "test_samples.csv").open(encoding="utf-8")))
        if expected == 1:
            assert [len(row) for row in rows] == [len(line.split(",")) for line in published]
            assert finding.cluster is None or rows[0] == ["label", f"{int(finding.cluster['id'][1:])}.0"]
        else:
            assert [len(row) for row in rows] == [3, 3, 3, 3]
            assert name in rows[0]


def test_parquet_holds_features_and_findings_of_every_analysis(exported: Path, demo: DemoHome) -> None:
    features = pq.read_table(exported / "features.parquet").to_pandas().set_index("analysis")
    findings = pq.read_table(exported / "findings.parquet").to_pandas().set_index("analysis")
    assert set(findings.index) == set(features.index)
    assert features["tokens"].map(len).min() > 0
    assert features["count_api_calls"].notna().any()
    results = pd.read_csv(exported / "clustering_results.csv", index_col=0, dtype={0: str})
    for name, row in results.iterrows():
        cluster = findings.loc[str(name), "cluster"]
        assert cluster == f"c{int(row['label'])}" if row["label"] >= 0 else pd.isna(cluster)
        kin = findings.loc[str(name), "kin"]
        assert kin == f"k{int(row['kin'])}" if row["kin"] >= 0 else pd.isna(kin)
    assert findings["kin_probability"].between(0, 1).all()


def test_an_analysis_whose_behaviour_changed_after_the_fit_counts_as_newer(demo: DemoHome, tmp_path: Path) -> None:
    home, samples = tmp_path / "home", tmp_path / "samples"
    samples.mkdir()
    shared = {a.family: a.path for a in demo.corpus.fitted if a.path.name.startswith("shared")}
    first, second = (json.loads(gzip.decompress(path.read_bytes())) for path in list(shared.values())[:2])
    for number in range(12):
        for name, report in (("a", first), ("b", second)):
            file = report["target"]["file"] | {"sha256": f"{ord(name):02x}{number:062x}"}
            other = report | {"target": report["target"] | {"file": file}}
            (samples / f"{name}{number}.json.gz").write_bytes(gzip.compress(json.dumps(other).encode()))
    assert cuckoo_ml(home, "import", samples).code == 0
    assert cuckoo_ml(home, "refit").code == 0
    assert sorted(Desk(home).cluster_memberships()["label"].value_counts()) == [12, 12]
    run = json.loads(gzip.decompress((samples / "a3.json.gz").read_bytes()))
    again = second | {"info": run["info"], "target": run["target"]}  # the run processed again, with other behaviour
    (samples / "a3.json.gz").write_bytes(gzip.compress(json.dumps(again).encode()))
    assert cuckoo_ml(home, "import", samples).code == 0
    desk = Desk(home)
    assert "a3" not in desk.cluster_memberships().index
    assert sorted(desk.label_distribution().sum(axis=1)) == [11, 12]
    assessment = cuckoo_ml(home, "assess", "--json", "--resamples", 0).json
    assert (assessment["analyses"], assessment["newer"]) == (23, 1)
    assert sorted(desk.cluster_table()["stored"]) == [11, 12]


def test_an_id_takes_precedence_over_a_name(own_demo: DemoHome, tmp_path: Path) -> None:
    clusters = cuckoo_ml(own_demo.home, "clusters", "--json").json
    renamed, other = clusters[0]["id"], clusters[1]["id"]
    members = cuckoo_ml(own_demo.home, "clusters", renamed, "--json").json["members"]
    labels = tmp_path / "labels.tsv"
    labels.write_text("".join(f"{member['analysis']}\t{other}\n" for member in members), encoding="utf-8")
    output = cuckoo_ml(own_demo.home, "import", "--labels", labels).out
    assert "The next refit" in output
    shutil.rmtree(own_demo.home / "models")
    assert cuckoo_ml(own_demo.home, "refit").code == 0
    names = {cluster["id"]: cluster["name"] for cluster in cuckoo_ml(own_demo.home, "clusters", "--json").json}
    assert f"family-{other}" in names.values()
    assert not set(names.values()) & (set(names) - {i for i, name in names.items() if i == name})
    model = Engine(Home(own_demo.home)).require_model()
    model.clusters[0] = replace(model.clusters[0], name=model.clusters[1].id)  # as in a model of an earlier version
    assert cluster_number(model, model.clusters[1].id) == 1


def test_a_cluster_is_exported_as_misp_event_and_stix_bundle(demo: DemoHome, tmp_path: Path) -> None:
    result = cuckoo_ml(demo.home, "export", tmp_path, "--cluster", "glacierlock", "--tlp", "green", "--json")
    misp, stix = map(Path, result.json)
    cluster = cuckoo_ml(demo.home, "clusters", "glacierlock", "--json").json
    hashes = {member["sha256"] for member in cluster["members"] if member["sha256"]}
    assert hashes
    event = pymisp.MISPEvent()
    event.load_file(str(misp))
    assert not event.published
    assert int(event.distribution) == 0
    assert [tag.name for tag in event.tags] == ["tlp:green"]
    files = [file.get_attributes_by_relation("sha256")[0].value for file in event.objects]
    assert sorted(files) == sorted(hashes)
    detected = {(attribute.type, attribute.value) for attribute in event.attributes if attribute.to_ids}
    domains = {piece["value"] for piece in cluster["evidence"] if piece["kind"] == "domain"}
    assert domains
    assert {value for kind, value in detected if kind == "domain"} == domains
    assert all("%" not in value and "<" not in value for _, value in detected)
    assert not [value for kind, value in detected if kind == "filename"], "a file name alone raises no alarm"
    bundle = stix2.parse(stix.read_text(encoding="utf-8"))
    by_type: dict[str, list[Any]] = {}
    for stix_object in bundle.objects:
        by_type.setdefault(stix_object.type, []).append(stix_object)
    assert {file.hashes["SHA-256"] for file in by_type["file"]} == hashes
    (family,) = by_type["malware"]
    assert family.is_family
    assert set(family.sample_refs) == {file.id for file in by_type["file"]}
    patterns = [indicator.pattern for indicator in by_type["indicator"]]
    assert {f"[domain-name:value = '{domain}']" for domain in domains} <= set(patterns)
    assert not any("file:name" in pattern for pattern in patterns)
    assert "An analyst has to decide" in family.description
    assert len(patterns) == len(set(patterns))
    sources = {relationship.source_ref for relationship in by_type["relationship"]}
    assert sources == {indicator.id for indicator in by_type["indicator"]}
    assert all(stix2.TLP_GREEN.id in indicator.object_marking_refs for indicator in by_type["indicator"])


def test_a_pattern_for_a_registry_path_matches_it_as_key_and_as_value(demo: DemoHome, tmp_path: Path) -> None:
    clusters = [cluster["id"] for cluster in cuckoo_ml(demo.home, "clusters", "--json").json]
    arguments = [argument for cluster in clusters for argument in ("--cluster", cluster)]
    assert cuckoo_ml(demo.home, "export", tmp_path, *arguments).code == 0
    text = "".join(path.read_text(encoding="utf-8") for path in tmp_path.glob("*.stix.json"))
    patterns = set(re.findall(r'"pattern": "(\[windows-registry-key.*)",', text))
    assert patterns
    for pattern in patterns:
        match = re.fullmatch(
            r"\[windows-registry-key:key = '(.+)' OR "
            r"\(windows-registry-key:key = '(.+)' AND windows-registry-key:values\[\*\].name = '(.+)'\)\]", pattern,
        )  # fmt: skip
        assert match is not None, pattern
        assert match[1] == f"{match[2]}\\\\\\\\{match[3]}"


def test_exporting_again_gives_the_same_identifiers(demo: DemoHome, tmp_path: Path) -> None:
    texts = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        assert cuckoo_ml(demo.home, "export", folder, "--cluster", "c1").code == 0
        event = json.loads((folder / "c1.misp.json").read_text())["Event"]
        texts.append((
            event["uuid"], [part["uuid"] for part in event["Attribute"] + event["Object"]],
            [part["id"] for part in json.loads((folder / "c1.stix.json").read_text())["objects"]],
        ))  # fmt: skip
    assert texts[0] == texts[1]
    assert len(set(texts[0][1])) == len(texts[0][1])


def hostile_report(number: int, group: int) -> dict[str, Any]:
    """A report whose names try to break out of the formats of exported files."""
    mutexes = [f"{NASTY} {group}", *(f"m{group}-{letter}" for letter in "abcdefgh"), f"own{number % 7}"]
    return {
        "info": {"id": number, "version": "2.0.7"},
        "target": {"category": "file", "file": {"name": FORMULA, "size": 9 + number,
                   "sha256": hashlib.sha256(str(number).encode()).hexdigest()}},
        "behavior": {"summary": {"mutex": mutexes}, "apistats": {"1": {f"Api{group}": 1}}, "processes": []},
        "signatures": [{"name": f"=HYPERLINK({group})"}, {"name": SPLIT}, {"name": f"\uff1d{group}"}],
    }  # fmt: skip


def test_hostile_names_stay_text_in_every_file(tmp_path: Path) -> None:
    reports, labels, home, out = tmp_path / "reports", tmp_path / "labels.tsv", tmp_path / "home", tmp_path / "out"
    reports.mkdir()
    for number in range(60):
        name = f"=1+{number}"
        (reports / f"{name}.json").write_text(json.dumps(hostile_report(number, number % 3)), encoding="utf-8")
    labels.write_text("".join(f"=1+{number}\t@evil{number % 3}\n" for number in range(60)), encoding="utf-8")
    assert cuckoo_ml(home, "import", reports, "--labels", labels).code == 0
    assert cuckoo_ml(home, "refit").code == 0
    assert cuckoo_ml(home, "export", out).code == 0
    for path in out.glob("*.csv"):
        for row in csv.reader(path.open(encoding="utf-8")):
            for cell in row:
                assert not cell.startswith(("=", "+", "@", "\t", "\r"))
                assert not cell.startswith("-") or float(cell)
                assert ";=" not in cell, "a spreadsheet may split at semicolons"
                assert not cell.startswith("\uff1d"), "a full-width equals sign starts a formula in Japanese"
    features = pq.read_table(out / "features.parquet").to_pandas()
    assert (features["target"] == FORMULA).all()
    cluster = cuckoo_ml(home, "clusters", "--json").json[0]
    assert cuckoo_ml(home, "export", out, "--cluster", cluster["id"]).code == 0
    event = pymisp.MISPEvent()
    event.load_file(str(out / f"{cluster['id']}.misp.json"))
    mutexes = {attribute.value for attribute in event.attributes if attribute.type == "mutex"}
    assert any("file:name = 'x" in mutex for mutex in mutexes)
    bundle = stix2.parse((out / f"{cluster['id']}.stix.json").read_text(encoding="utf-8"))
    patterns = [part.pattern for part in bundle.objects if part.type == "indicator"]
    assert patterns
    assert all(pattern.startswith("[mutex:name = '") for pattern in patterns), "the name did not become a pattern"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("file_written", "%temp%\\evil.exe", "evil.exe"),
        ("file_written", "%temp%\\<rand>.exe", None),
        ("reg_written", "hkcu\\software\\evil\\run", "HKEY_CURRENT_USER\\software\\evil\\run"),
        ("reg_written", "nonsense", None),
        ("http", "post evil.example/gate.php?id", "evil.example/gate.php"),
        ("http", "get private 10.0.0.1/x", None),
        ("http", "get evil.example/", None),
        ("host", "8.8.8.8", "8.8.8.8"),
        ("host", "private 10.0.0.1", None),
        ("domain", "evil.example", "evil.example"),
        ("domain", "wpad", None),
        ("mutex", "global\\evil", "global\\evil"),
        ("mutex", "sm0:<n>:<n>", None),
        ("api", "NtCreateFile", None),
    ],
)
def test_an_indicator_is_a_value_that_occurs_on_machines(kind: str, value: str, expected: str | None) -> None:
    assert indicator_value(kind, value) == expected


CSV_FILES = {f"{name}.csv" for name in SEED_FILES}


@pytest.mark.parametrize(
    ("package", "arguments", "name", "rest"),
    [
        ("pyarrow", (), "parquet", CSV_FILES),
        ("pymisp", ("--cluster", "c0"), "misp", {"c0.stix.json"}),
        ("stix2", ("--cluster", "c0"), "stix", {"c0.misp.json"}),
    ],
)
def test_without_a_package_the_rest_is_exported_and_the_package_named(
    demo: DemoHome,
    tmp_path: Path,
    missing: Missing,
    package: str,
    arguments: tuple[str, ...],
    name: str,
    rest: set[str],
) -> None:
    missing(package)
    out = tmp_path / "out"
    done = cuckoo_ml(demo.home, "export", out, *arguments, "--json")
    assert done.code == 0
    assert {Path(path).name for path in done.json} == rest == {path.name for path in out.iterdir()}
    assert done.err.count(f"{sys.executable} -m pip install '{package}>=") == 1
    asked = cuckoo_ml(demo.home, "export", tmp_path / "asked", *arguments, "--format", name)
    assert asked.code == 1
    assert f"{sys.executable} -m pip install '{package}>=" in asked.err
    assert not (tmp_path / "asked").exists()


def test_where_no_format_is_left_the_error_names_each_package(demo: DemoHome, tmp_path: Path, missing: Missing) -> None:
    missing("pymisp", "stix2")
    done = cuckoo_ml(demo.home, "export", tmp_path / "out", "--cluster", "c0")
    assert done.code == 1
    assert "pip install 'pymisp>=" in done.err
    assert "pip install 'stix2>=" in done.err
    assert not (tmp_path / "out").exists()


def test_only_the_format_that_is_named_is_written(demo: DemoHome, tmp_path: Path) -> None:
    for arguments, names in (
        (("--format", "csv"), CSV_FILES),
        (("--format", "parquet"), {"features.parquet", "findings.parquet"}),
        (("--cluster", "c0", "--format", "stix"), {"c0.stix.json"}),
    ):
        out = tmp_path / "-".join(arguments)
        assert cuckoo_ml(demo.home, "export", out, *arguments).code == 0
        assert {path.name for path in out.iterdir()} == names


@pytest.mark.parametrize("arguments", [("--format", "misp"), ("--format", "csv", "--cluster", "c0")])
def test_a_format_of_the_other_kind_is_wrong_usage(demo: DemoHome, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = cuckoo_ml(demo.home, "export", tmp_path / "out", *arguments)
    assert done.code == 2
    assert "does not fit" in done.err


def test_the_desk_warns_of_a_format_that_it_leaves_out(demo: DemoHome, tmp_path: Path, missing: Missing) -> None:
    missing("pyarrow")
    with pytest.warns(UserWarning, match="pip install 'pyarrow>="):
        paths = Desk(demo.home).export(tmp_path / "out")
    assert {path.name for path in paths} == CSV_FILES


def test_the_error_for_an_unknown_cluster_is_a_sentence(demo: DemoHome, tmp_path: Path) -> None:
    result = cuckoo_ml(demo.home, "export", tmp_path, "--cluster", "nobody")
    assert result.code == 1
    assert "no such cluster" in result.err
