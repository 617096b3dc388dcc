"""A CAPE of two tenants: what is written for one, and what its users see, names nothing of the other's."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.cape_analysis import MODULES, analyse
from support.cape_loader import make_cape
from support.cape_tenants import OwnedTask, TenantCape
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.store.store import Store

REAL = os.environ.get("CAPE_ROOT")
A, B = 1, 2
FAMILY = "velmora"
SECRET = "harrowgate"  # A's own word for the family
NEW = 9001
PAGES = [("", {}), ("anomalies", {"days": "all"}), ("model", {})]


@dataclass(frozen=True)
class Shared:
    """A CAPE whose tenants have analyses in the same clusters."""

    cape: TenantCape
    owners: dict[str, int]
    hashes: dict[str, str]
    cluster: str
    new: Path

    def of(self, tenant: int) -> set[str]:
        return {task for task, owner in self.owners.items() if owner == tenant}

    def traces(self, tenant: int, text: str) -> list[str]:
        """What a text holds of a tenant alone: ids, hashes of samples that no other has, its label."""
        others = {self.hashes[task] for task, owner in self.owners.items() if owner != tenant}
        words = {self.hashes[task] for task in self.of(tenant)} - others
        ids = {task for task in self.of(tenant) if re.search(rf"(?<![0-9a-f.]){task}(?![0-9a-f])", text)}
        return sorted([*ids, *(word for word in [*words, *([SECRET] if tenant == A else [])] if word in text)])


@pytest.fixture(scope="module")
def prepared(
    request: pytest.FixtureRequest, demo: DemoHome, tmp_path_factory: pytest.TempPathFactory
) -> Shared:  # fmt: skip
    folder = tmp_path_factory.mktemp("tenants")
    if request.param == "CAPE":
        root = folder / "CAPE"
        shutil.copytree(REAL or "", root, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    else:
        root = make_cape(folder / "cape")
    cape = TenantCape(root, folder / "home")
    done = cuckoo_ml(cape.home, "install", "--host", "cape", "--root", root, "--refit", "none")
    assert done.code == 0, done.err
    conf = root / "custom" / "conf" / "reporting.conf.d" / "cuckooml.conf"
    conf.write_text(f"[cuckooml]\nenabled = yes\nhome = {cape.home}\n", encoding="utf-8")
    samples = [sample for sample in demo.corpus.fitted if "cape/storage" in str(sample.path)]
    storage = root / "storage" / "analyses"
    held_back = next(sample for sample in samples if sample.family == FAMILY)
    by_family: defaultdict[str, int] = defaultdict(int)
    owners, hashes, tasks, labels = {}, {}, [], []
    for sample in samples:
        if sample is held_back:
            continue
        shutil.copytree(sample.path.parents[1], storage / sample.name)
        report = json.loads(sample.path.read_bytes())
        by_family[sample.family] += 1
        owner = B if by_family[sample.family] % 3 == 0 else A
        owners[sample.name], hashes[sample.name] = owner, report["target"]["file"]["sha256"]
        tasks.append(OwnedTask.of(int(sample.name), report, owner))
        if sample.family == FAMILY:
            labels.append(f"{sample.name}\t{SECRET if owner == A else FAMILY}\n")
    (folder / "labels.tsv").write_text("".join(labels), encoding="utf-8")
    for arguments in (("import", storage, "--labels", folder / "labels.tsv"), ("refit",)):
        done = cuckoo_ml(cape.home, *arguments)
        assert done.code == 0, done.err
    cape.add_tasks(tasks)
    with Store.open(cape.home / "store.db") as store:
        members = store.findings_of(task for task in owners if any(line.startswith(task) for line in labels))
    clusters = [record.cluster for record in members.values() if record.cluster]
    return Shared(cape, owners, hashes, max(set(clusters), key=clusters.count), held_back.path)


@pytest.fixture
def shared(prepared: Shared, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    monkeypatch.setenv("CAPE_DSN", prepared.cape.environment["CAPE_DSN"])
    prepared.cape.serve_tenants()
    yield prepared
    prepared.cape.serve_tenants(enabled=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "prepared" in metafunc.fixturenames:
        metafunc.parametrize("prepared", ["our loader", *(["CAPE"] if REAL else [])], indirect=True, scope="module")


def analyse_for(shared: Shared, task: int, tenant: int, visibility: str = "tenant", **more: Any) -> dict[str, Any]:
    report = json.loads(shared.new.read_bytes())
    shared.cape.add_tasks([OwnedTask.of(task, report, tenant, visibility, **more)])
    written, seen = analyse(shared.cape.root, shared.new, task, MODULES)
    assert seen["errors"] == 0
    return written


def test_a_report_names_nothing_of_another_tenant_and_says_how_much_is_left_out(shared: Shared) -> None:
    written = analyse_for(shared, NEW, B)
    section = written["cuckooml"]
    assert section["status"] == "scored"
    assert section["cluster"]["id"] == shared.cluster
    assert section["cluster"]["name"] == FAMILY, "by the labels that B may see"
    assert {label["label"] for label in section["cluster"]["labels"]} == {FAMILY}
    assert {similar["analysis"] for similar in section["similar"]} <= shared.of(B)
    assert len(section["similar"]) == 5, "B's own are listed, also from further down"
    assert re.search(r"^[1-5] similar analys[ei]s of other tenants (is|are) left out\.$", section["message"])
    with Store.open(shared.cape.home / "store.db") as store:
        own = store.cluster_members(shared.cluster, limit=1000)
        visible = [record for record in own if shared.owners.get(record.finding.analysis, B) == B]
        kept = store.findings_of([str(NEW)])[str(NEW)].section
        relatives = store.kin_members(section["kin"]["id"], limit=1000)
        known = [record for record in relatives if shared.owners.get(record.finding.analysis, B) == B]
    assert section["cluster"]["size"] == len(visible) < len(own)
    assert section["kin"]["size"] == len(known) < len(relatives)
    assert section["kin"]["name"] in (FAMILY, section["kin"]["id"])
    assert sum(label["count"] for label in section["kin"]["labels"]) == sum(bool(record.label) for record in known)
    assert not shared.traces(A, json.dumps(written["cuckooml"]))
    assert not shared.traces(A, (shared.cape.root / f"storage/analyses/{NEW}/reports/report.json").read_text())
    assert SECRET in kept, "the store keeps the whole finding"


def test_a_report_that_everybody_may_read_names_public_analyses_only(shared: Shared) -> None:
    section = analyse_for(shared, NEW + 1, B, "public")["cuckooml"]
    assert {similar["analysis"] for similar in section["similar"]} <= {str(NEW + 1)}
    assert (section["cluster"]["size"], section["kin"]["size"]) == (1, 1)
    assert section["cluster"]["name"] in (shared.cluster, FAMILY)
    assert not shared.traces(A, json.dumps(section)) + shared.traces(B, json.dumps(section["similar"]))


@pytest.mark.parametrize(
    ("task", "more"), [(NEW + 2, {"options": "main_task_id=5"}), (NEW + 3, {"user": 0, "visibility": "private"})]
)
def test_where_the_owner_is_not_known_nothing_of_others_is_written(
    shared: Shared, task: int, more: dict[str, Any]
) -> None:
    visibility = more.pop("visibility", "tenant")
    section = analyse_for(shared, task, 0 if more.get("user") == 0 else B, visibility, **more)["cuckooml"]
    public = {str(NEW + 1)}
    assert {similar["analysis"] for similar in section["similar"]} <= public
    assert not shared.traces(A, json.dumps(section)) + shared.traces(B, json.dumps(section["similar"]))


def test_one_tenant_alone_gets_the_whole_section(shared: Shared) -> None:
    shared.cape.serve_tenants(enabled=False)
    section = analyse_for(shared, NEW + 4, B)["cuckooml"]
    assert section["cluster"]["name"] == SECRET
    assert section["message"] == ""


def test_the_pages_show_a_tenant_s_user_his_own_and_nothing_of_the_other(shared: Shared) -> None:
    mine, theirs = sorted(shared.of(B))[0], sorted(shared.of(A))[0]
    with Store.open(shared.cape.home / "store.db") as store:
        members = [member.finding.analysis for member in store.cluster_members(shared.cluster, limit=1000)]
        whole = store.findings_of([mine])[mine].section
        kin = store.findings_of([members[0]])[members[0]].kin
        relatives = [member.finding.analysis for member in store.kin_members(str(kin), limit=1000)]
    section = cuckoo_ml(shared.cape.home, "score", shared.cape.root / f"storage/analyses/{mine}/reports/report.json",
                        "--json").json[0]  # fmt: skip
    pages = [*PAGES, (f"clusters/{shared.cluster}", {}), ("analysis", {"id": mine}), ("analysis", {"id": theirs})]
    pages += [("kin", {}), (f"kin/{kin}", {}), ("kin/k999", {})]
    answers, panel = shared.cape.view(B, pages, section, mine)
    assert [status for status, _ in answers] == [200, 200, 403, 200, 200, 404, 200, 200, 404], whole
    for _, html in answers:
        assert not shared.traces(A, html.replace(f"id={theirs}", ""))
    assert not shared.traces(A, panel)
    assert FAMILY in answers[0][1]
    cluster = answers[3][1]
    own = {member for member in members if shared.owners.get(member) == B}
    assert all(f"/analysis/{member}/" in cluster for member in own)
    stated = re.search(
        r"<strong>(\d+)</strong> samples(?: \(\d+ runs\))? behave alike of those that you may see", cluster
    )
    assert stated
    assert len({shared.hashes[member] for member in own}) <= int(stated[1]) < len(members)
    assert f"/analysis/{mine}/" in answers[4][1]
    assert f"/kin/{kin}/" in answers[6][1]
    of_kin = {member for member in relatives if shared.owners.get(member) == B}
    stated = re.search(
        r"<strong>(\d+)</strong> samples(?: \(\d+ runs\))? have much in common of those that you may see", answers[7][1]
    )
    assert stated
    assert len({shared.hashes[member] for member in of_kin}) <= int(stated[1]) < len(relatives)


def test_a_stranger_sees_nothing_and_an_administrator_everything(shared: Shared) -> None:
    pages = [*PAGES, (f"clusters/{shared.cluster}", {}), ("analysis", {"id": sorted(shared.of(A))[0]})]
    answers, _ = shared.cape.view(0, pages)
    for _, html in answers:
        assert not shared.traces(A, html.replace(pages[-1][1]["id"], ""))
        assert not shared.traces(B, html)
    assert answers[-1][0] == 404
    answers, _ = shared.cape.view(A, pages, admin=True)
    assert [status for status, _ in answers] == [200] * 5
    assert SECRET in answers[0][1]
    assert shared.traces(B, answers[3][1])


def test_a_task_number_that_another_sample_has_now_opens_nothing(shared: Shared) -> None:
    """The host's ids began again: A's old record lies in a folder that is B's task now."""
    old = sorted(shared.of(A))[1]
    before = shared.cape.change_task(old, tenant_id=B)
    try:
        assert shared.cape.view(B, [("analysis", {"id": old})])[0][0][0] == 200, "the task is B's, and the same run"
        foreign = shared.cape.change_task(sorted(shared.of(A))[-1])["sample_id"]
        for change in ({"sample_id": foreign}, {"started_on": "2026-01-01 00:00:00.000000"}):
            shared.cape.change_task(old, **before | {"tenant_id": B} | change)
            assert shared.cape.view(B, [("analysis", {"id": old})])[0][0][0] == 404, change
    finally:
        shared.cape.change_task(old, **before)


def test_commands_write_nothing_of_another_tenant_into_reports(shared: Shared) -> None:
    analyse_for(shared, NEW + 5, B)
    report = shared.cape.root / f"storage/analyses/{NEW + 5}/reports/report.json"
    done = cuckoo_ml(shared.cape.home, "refit")
    assert done.code == 0, done.err
    done = cuckoo_ml(shared.cape.home, "refresh", "--analyses", shared.cape.root / "storage" / "analyses")
    assert done.code == 0, done.err
    for _ in ("refresh", "score --write"):
        section = json.loads(report.read_bytes())["cuckooml"]
        assert section["similar"] == []
        assert "of other tenants are left out" in section["message"]
        assert not shared.traces(A, json.dumps(section))
        done = cuckoo_ml(shared.cape.home, "score", "--write", report)
        assert done.code == 0, done.err
