"""The demo's corpus: the same for everyone, and shaped like the reports that the hosts write."""

from __future__ import annotations

import gzip
import hashlib
import ipaddress
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cuckoo_ml_plugin.behaviour.behaviour import kind_of
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.behaviour.kinds import DYNAMIC_KINDS, NETWORK_KINDS
from cuckoo_ml_plugin.report.report import report_from_results
from cuckoo_ml_samples import DemoCorpus, generate, perturb
from cuckoo_ml_samples.execute import execute
from cuckoo_ml_samples.malware.families import FAMILIES, Family
from cuckoo_ml_samples.report_formats import cape as cape_host
from cuckoo_ml_samples.report_formats import cuckoo2 as cuckoo2_host
from cuckoo_ml_samples.run import Run
from cuckoo_ml_samples.sample_files import make_sample


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> DemoCorpus:
    return generate(tmp_path_factory.mktemp("demo"), analyses=120)


def read(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    report: dict[str, Any] = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    return report


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def make_run(family: Family, variant: int, seed: str) -> Run:
    rng = Random(seed)
    chosen = family.variants[variant]
    return execute(make_sample(family, chosen, rng), chosen, rng)


# -- the corpus ------------------------------------------------------------------------------------------------------
def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    generate(tmp_path / "first", analyses=60, seed=7)
    generate(tmp_path / "again", analyses=60, seed=7)
    generate(tmp_path / "other", analyses=60, seed=8)
    first = digests(tmp_path / "first")
    assert first == digests(tmp_path / "again")
    assert set(first.values()).isdisjoint(digests(tmp_path / "other").values())


def test_the_truth_lists_every_report_and_every_role(corpus: DemoCorpus) -> None:
    header, *rows = [line.split("\t") for line in (corpus.folder / "truth.tsv").read_text().splitlines()]
    assert header == ["analysis", "family", "variant", "role"]
    assert rows == [[analysis.name, analysis.family, analysis.variant, analysis.role] for analysis in corpus.analyses]
    roles = Counter(row[3] for row in rows)
    assert roles["outlier"] == 6
    assert roles["noise"] == 6
    assert roles["mislabelled"] == roles["abnormal"] == roles["novel"] == 1
    assert len(corpus.fitted) == 120
    assert [analysis.role for analysis in corpus.new] == ["new"] * 5 + ["novel"]
    on_disk = [p for p in corpus.folder.rglob("*") if p.is_file() and p.suffix != ".tsv"]
    assert sorted(on_disk) == sorted(a.path for a in corpus.analyses)
    assert len({a.name for a in corpus.analyses}) == len(corpus.analyses)


def test_an_analysis_of_a_host_is_named_by_its_task_id(corpus: DemoCorpus) -> None:
    hosts: Counter[str] = Counter()
    for analysis in corpus.analyses:
        report = read(analysis.path)
        version = report["info"]["version"]
        hosts["cuckoo2" if version == "2.0.7" else version] += 1
        if analysis.path.name == "report.json":
            assert str(report["info"]["id"]) == analysis.name == analysis.path.parts[-3]
            assert analysis.path.parts[-6] == ("cuckoo2" if version == "2.0.7" else "cape")
    assert min(hosts["cuckoo2"], hosts["2.4-CAPE"]) > 30
    assert hosts["2.2-CAPE"] > 2


def test_labels_name_analyses_that_exist(corpus: DemoCorpus) -> None:
    rows = [line.split("\t") for line in (corpus.folder / "labels.tsv").read_text().splitlines()]
    families = {a.name: a.family for a in corpus.fitted}
    assert len(rows) >= 10
    assert all(families[name] == label for name, label in rows)


def test_outliers_noise_and_abnormal_counts_are_in_the_reports(corpus: DemoCorpus) -> None:
    def summary_size(report: dict[str, Any]) -> int:
        summary = report["behavior"]["summary"]
        return len(summary.get("file_written") or summary.get("write_files") or ())

    sizes = {a.name: summary_size(read(a.path)) for a in corpus.fitted}
    (abnormal,) = [a for a in corpus.fitted if a.role == "abnormal"]
    assert sizes[abnormal.name] > 1000 > 10 * sorted(sizes.values())[-2]
    for analysis in corpus.fitted:
        if analysis.role == "noise":
            assert read(analysis.path)["behavior"]["processes"] == []
    (wrong,) = [a for a in corpus.fitted if a.role == "mislabelled"]
    results = [scan["result"] or "" for scan in read(wrong.path)["virustotal"]["scans"].values()]
    assert sum("glacierlock" in result.lower() for result in results) > 3
    assert not any(wrong.family in result.lower() for result in results)


def test_some_files_were_analysed_twice(corpus: DemoCorpus) -> None:
    hashes = Counter(read(a.path)["target"]["file"]["sha256"] for a in corpus.fitted)
    assert 2 <= sum(count > 1 for count in hashes.values()) < len(hashes) / 5


def test_too_small_a_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 60"):
        generate(tmp_path, analyses=10)


def strings_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from strings_of(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from strings_of(entry)
    elif isinstance(value, str):
        yield value


RESERVED = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "192.168.56.0/24")  # last: the sandbox itself


def test_all_names_and_addresses_are_reserved(corpus: DemoCorpus) -> None:
    reserved = [ipaddress.ip_network(block) for block in RESERVED]
    names = re.compile(r"(?:^|\.)(?:example\.(?:com|net|org)|test|invalid)$")
    checked = 0
    for analysis in corpus.analyses:
        network = read(analysis.path).get("network") or {"hosts": [], "domains": [], "tcp": []}
        for host in network["hosts"]:
            address = ipaddress.ip_address(host if isinstance(host, str) else host["ip"])
            assert any(address in block for block in reserved), address
        for domain in network["domains"]:
            assert names.search(domain["domain"]), domain
            checked += 1
    assert checked > 100


# -- the two hosts ---------------------------------------------------------------------------------------------------
def cuckoo_facts(report: dict[str, Any]) -> set[str]:
    behavior = report["behavior"]
    facts = {f"api {call['api']}" for process in behavior["processes"] for call in process["calls"]}
    summary = behavior["summary"]
    facts |= {f"mutex {name}" for name in summary.get("mutex", ())}
    facts |= {f"key {name}" for name in summary.get("regkey_written", ())}
    facts |= {f"command {name.strip()}" for name in summary.get("command_line", ())}
    facts |= {f"deleted {name}" for name in summary.get("file_deleted", ())}
    return facts | {f"domain {entry['domain']}" for entry in report["network"]["domains"]}


def cape_facts(report: dict[str, Any]) -> set[str]:
    behavior = report["behavior"]
    system = ("services.exe", "svchost.exe")
    facts = {
        f"api {call['api']}" for p in behavior["processes"] if p["process_name"] not in system for call in p["calls"]
    }
    summary = behavior["summary"]
    moved = {e["data"]["from"] for e in behavior["enhanced"] if e["event"] == "move"}
    facts |= {f"mutex {name}" for name in summary["mutexes"]}
    facts |= {f"key {name}" for name in summary["write_keys"]}
    facts |= {f"command {name}" for name in summary["executed_commands"]}
    facts |= {f"deleted {name}" for name in summary["delete_files"] if name not in moved}
    return facts | {f"domain {entry['domain']}" for entry in report["network"]["domains"]}


def likeness(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_both_hosts_report_the_same_run(family: Family) -> None:
    run = make_run(family, 0, "two hosts")
    cuckoo = json.loads(json.dumps(cuckoo2_host.render(run, 1)))
    for old in (False, True):
        cape = json.loads(json.dumps(cape_host.render(run, 2, old=old)))
        assert likeness(cuckoo_facts(cuckoo), cape_facts(cape)) > 0.95
        assert cape["target"]["file"]["sha256"] == cuckoo["target"]["file"]["sha256"]
        assert len(cape["signatures"]) == len(cuckoo["signatures"])


def keys_of(value: Any, *, skip: frozenset[str]) -> set[str]:
    """The keys of a section, in lists the keys of all entries; below the keys in `skip` they are data, not format."""
    if isinstance(value, list):
        return set().union(*(keys_of(entry, skip=skip) for entry in value))
    if not isinstance(value, dict):
        return set()
    keys = set()
    for key, entry in value.items():
        keys.add(key)
        if key not in skip:
            keys |= {f"{key}.{below}" for below in keys_of(entry, skip=skip)}
    return keys


# The keys below these differ from sample to sample.
DATA = frozenset(
    {"arguments", "flags", "apistats", "summary", "imports", "marks", "data", "ttp", "children", "scans", "yara"}
)


CUCKOO2 = "2.0.7"
SECTIONS = {
    CUCKOO2: ("info", "target", "static", "behavior.processes", "behavior.generic", "behavior.processtree", "network",
              "metadata", "debug", "signatures"),
    "2.2-CAPE": ("info", "static.pe", "behavior.processes", "behavior.summary", "behavior.enhanced", "network", "debug",
                 "statistics", "signatures"),
    "2.4-CAPE": ("info", "target.file.pe", "behavior.processes", "behavior.summary", "behavior.enhanced", "network",
                 "debug", "statistics", "signatures", "dropped"),
}  # fmt: skip
CASES = [(version, section) for version, sections in SECTIONS.items() for section in sections]
OPTIONAL = {"pe", "strings"}  # only in dropped files that are programs


def keys_by_section(report: dict[str, Any]) -> dict[str, set[str]]:
    keys_of_section = {}
    for section in SECTIONS[report["info"]["version"]]:
        value: Any = report
        for key in section.split("."):
            value = value.get(key) or {} if isinstance(value, dict) else {}
        keys_of_section[section] = keys_of(value, skip=DATA)
    return keys_of_section


@pytest.fixture(scope="module")
def real_keys(shared_data: Path) -> dict[tuple[str, str], list[set[str]]]:
    files = sorted((shared_data / "cape").glob("*.json.gz"), key=lambda file: file.stat().st_size)[:7]
    files.append(shared_data / "cuckoo2" / "210" / "reports" / "report.json")
    keys_by_case: dict[tuple[str, str], list[set[str]]] = {}
    for real in map(read, files):
        for section, keys in keys_by_section(real).items():
            if keys:
                keys_by_case.setdefault((real["info"]["version"], section), []).append(keys)
    return keys_by_case


@pytest.fixture(scope="module")
def generated_keys(corpus: DemoCorpus) -> dict[tuple[str, str], set[str]]:
    keys_by_case: dict[tuple[str, str], set[str]] = {}
    for analysis in corpus.analyses:
        report = read(analysis.path)
        for section, keys in keys_by_section(report).items():
            keys_by_case.setdefault((report["info"]["version"], section), set()).update(keys)
    return keys_by_case


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_sections_have_the_keys_of_real_reports(
    real_keys: dict[tuple[str, str], list[set[str]]],
    generated_keys: dict[tuple[str, str], set[str]],
    case: tuple[str, str],
) -> None:
    assert real_keys[case]
    for keys in real_keys[case]:
        missing = {key for key in keys - generated_keys[case] if key.split(".")[0] not in OPTIONAL}
        assert not missing, sorted(missing)


# -- behaviour that is extracted ---------------------------------------------------------------------------------------
def dynamic_tokens(results: dict[str, Any]) -> set[str]:
    tokens = extract(report_from_results(json.loads(json.dumps(results)))).tokens
    kinds = DYNAMIC_KINDS | NETWORK_KINDS
    return {token for token in tokens if kind_of(token) in kinds}


# Kinds that only one of the hosts has in its summary. CAPE's `keys` and `files` do not tell opening from reading and
# writing, and its renames are a deletion and a write; only CAPE has resolved functions. Only Cuckoo has creations and
# listings of folders.
ONE_HOST_ONLY = {
    "resolved_api", "reg_opened", "file_opened", "file_created", "file_moved", "file_copied", "dir_created",
    "dir_enumerated",
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_run_has_nearly_the_same_behaviour_in_both_hosts(family: Family) -> None:
    run = make_run(family, 0, "two hosts")
    cuckoo = dynamic_tokens(cuckoo2_host.render(run, 1))
    cape = dynamic_tokens(cape_host.render(run, 2))
    foreign = FAMILIES[(FAMILIES.index(family) + 1) % len(FAMILIES)]
    other = dynamic_tokens(cape_host.render(make_run(foreign, 0, "other"), 3))
    assert likeness(cuckoo, cape) > likeness(cape, other) + 0.15
    shared = [{t for t in tokens if kind_of(t) not in ONE_HOST_ONLY} for tokens in (cuckoo, cape)]
    assert likeness(*shared) > 0.8


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_runs_of_a_variant_are_more_alike_than_families(family: Family) -> None:
    first = dynamic_tokens(cape_host.render(make_run(family, 0, "first"), 1))
    second = dynamic_tokens(cape_host.render(make_run(family, 0, "second"), 2))
    others = [
        dynamic_tokens(cape_host.render(make_run(other, 0, "other"), 3)) for other in FAMILIES if other is not family
    ]
    assert likeness(first, second) > 0.5
    assert likeness(first, second) > max(likeness(first, other) for other in others) + 0.1


# -- perturbed behaviours -------------------------------------------------------------------------------------------
def test_a_perturbed_behaviour_stays_near_its_origin() -> None:
    tokens = [f"file:{n}" for n in range(200)]
    other = [f"key:{n}" for n in range(200)]
    perturbed = perturb(tokens, Random(1), others=[other])
    assert perturbed == perturb(tokens, Random(1), others=[other]) == sorted(set(perturbed))
    assert perturbed != perturb(tokens, Random(2), others=[other])
    assert likeness(set(perturbed), set(tokens)) > 0.8
    assert set(perturbed) & set(other)
    assert set(perturbed) - set(tokens) - set(other)
    assert perturb([], Random(1)) == []
