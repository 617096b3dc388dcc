"""Pages and commands answer from the same queries: every number on a page is the command's."""

from __future__ import annotations

import re

import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from web.test_web import ADDRESSES, harmless

from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.plumbing.text import samples_and_runs
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.finding_record import FindingRecord
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_plugin.web.render import CAPE, CUCKOO2, Look
from cuckoo_ml_plugin.web.site import Site

LOOKS = pytest.mark.parametrize("look", [CUCKOO2, CAPE], ids=["cuckoo2", "cape"])


@pytest.fixture
def mixed(own_demo: DemoHome) -> DemoHome:
    """The demo with analyses that show no behaviour, each with a finding that says so, as hosts store them."""
    with Store.open(own_demo.home / "store.db") as store:
        names = store.put([AnalysisRecord(f"silent-{i}", pack([], {}), False) for i in range(6)])
        store.save_findings(FindingRecord(name, "none", None, None, None, None, False, "") for name in names)
    return own_demo


def rows_of(html: str) -> list[list[str]]:
    """The cells of the first list of a page, as text."""
    [body] = re.findall(r'cml-list">.*?<tbody>(.*?)</tbody>', html, re.DOTALL)[:1]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [
        [harmless(cell).text.strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)] for row in rows
    ]


def outside_of(text: str) -> list[str]:
    pattern = r"[Ii]n (?:no cluster|no kin|none): (.*?)[.;] ([\d,]+) more analyses have nothing to compare"
    [numbers] = re.findall(pattern, text)
    return list(numbers)


@LOOKS
@pytest.mark.parametrize(("command", "path"), [("clusters", ""), ("kin", "kin")])
def test_the_list_of_groups_counts_as_the_command_does(mixed: DemoHome, look: Look, command: str, path: str) -> None:
    site = Site(Home(mixed.home), look, ADDRESSES)
    page = site.page(path, {}).html
    listed = cuckoo_ml(mixed.home, command, "--json").json
    groups = {group["id"]: group for group in listed}
    rows = rows_of(page)
    assert len(rows) == len(groups)
    for row in rows:
        group = groups[row[0].split()[-1]]
        assert row[0] == f"{group['name']} {group['id']}"
        runs = f" {group['stored']:,} runs" if group["stored"] != group["stored_samples"] else ""
        assert row[1] == f"{group['stored_samples']:,}{runs}"
        if command == "clusters":
            assert row[2] == (f"+{group['new']:,}" if group["new"] else "–")
            assert row[3] == (group["kin"] or "none")
        else:
            assert row[2] == str(len(group["clusters"]))
        assert row[-2:] == [group["first_day"], group["last_day"]]
        for label in group["labels"][:3]:
            assert f"{label['label']} {label['count']:,}" in row[-3]
    terminal = " ".join(cuckoo_ml(mixed.home, command).out.split())
    assert outside_of(harmless(page).text) == outside_of(terminal)
    assert outside_of(terminal)[1] == "6"


@LOOKS
@pytest.mark.parametrize(("command", "path"), [("clusters", "clusters/c0"), ("kin", "kin/k0")])
def test_the_page_of_a_group_counts_as_the_command_does(mixed: DemoHome, look: Look, command: str, path: str) -> None:
    group = cuckoo_ml(mixed.home, command, path.split("/")[1], "--json").json
    html = Site(Home(mixed.home), look, ADDRESSES).page(path, {}).html
    text = harmless(html).text
    runs = f" \\({group['stored']:,} runs\\)" if group["stored"] != group["stored_samples"] else ""
    fitted = samples_and_runs(group["samples"], group["size"])
    assert re.search(rf" {group['stored_samples']:,} samples{runs} .* fitted on {fitted} of them", text)
    for label in group["labels"]:
        assert f"{label['label']} {label['count']:,} " in text
    members = rows_of(html)
    assert [row[0] for row in members] == [member["analysis"] for member in group["members"]]
    for row, member in zip(members, group["members"], strict=True):
        assert row[1:4] == [member["target"], f"{member['runs']:,}", member["label"] or "no label"]
        assert row[-2] == f"{member['probability']:.0%}".replace("%", " %")
        assert float(row[-1].split()[0]) == pytest.approx(member["anomaly_score"] * 100, abs=0.1)
    if command == "clusters":
        for piece in group["evidence"]:
            assert piece["value"] in text
        for near in group["nearest"]:
            assert near["name"] in text


@LOOKS
def test_anomalies_are_as_many_and_in_the_same_order(mixed: DemoHome, look: Look) -> None:
    site = Site(Home(mixed.home), look, ADDRESSES)
    listed = cuckoo_ml(mixed.home, "anomalies", "--json", "--limit", 1000).json
    html = site.page("anomalies", {"days": "all", "order": "score"}).html
    text = harmless(html).text
    runs = sum(anomaly["runs"] for anomaly in listed)
    assert f" {samples_and_runs(len(listed), runs)} in this period." in text
    assert [row[0].split()[0] for row in rows_of(html)] == [anomaly["analysis"] for anomaly in listed][:20]
    construction = "up to 5 % of the analyses of a fit count as unusual"
    assert construction in text
    assert construction.replace("5 %", "5.0%") in " ".join(cuckoo_ml(mixed.home, "anomalies").out.split())


@LOOKS
def test_what_a_behaviour_leads_to_is_what_the_command_lists(mixed: DemoHome, look: Look) -> None:
    group = cuckoo_ml(mixed.home, "clusters", "c0", "--json").json
    piece = group["evidence"][0]
    answer = cuckoo_ml(mixed.home, "seen", f"{piece['kind']}:{piece['value']}", "--json").json
    html = Site(Home(mixed.home), look, ADDRESSES).page("behaviour", {k: piece[k] for k in ("kind", "value")}).html
    assert [row[0] for row in rows_of(html)] == [row["analysis"] for row in answer["analyses"]]
    assert f"{answer['count']:,} analyses of {answer['samples']:,} samples" in harmless(html).text
