"""The panel and the pages by themselves: what they say, and that nothing in them is run."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.hostile_values import LONG, SCRIPTS, hostile_section

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.finding.section import read_section
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.plumbing.text import samples_and_runs
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_plugin.web import format as text
from cuckoo_ml_plugin.web.render import CAPE, CUCKOO2
from cuckoo_ml_plugin.web.site import Addresses, Site, static_panel
from cuckoo_ml_plugin.web.static_report import put_into
from cuckoo_ml_plugin.web.timeline import timeline

ADDRESSES = Addresses("/cuckooml/", "/analysis/{}/")
OUR_TAGS = (
    "a bdi br button circle code dd details div dl dt figcaption figure form h3 h4 h5 h6 i input label li link nav"
    " option p path rect section select span strong style summary svg table tbody td text th thead title tr ul"
)
TAGS = frozenset(OUR_TAGS.split())


class Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.targets: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.targets += [value or "" for name, value in attrs if name in ("href", "src", "action", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def harmless(html: str) -> Page:
    """The page, after a check that it holds only what our templates make."""
    html.encode("utf-8")
    page = Page(html)
    assert page.tags <= TAGS
    assert not [name for name in page.attributes if name.startswith("on") or name == "style"]
    assert all(target.startswith(("/cuckooml/", "/analysis/")) for target in page.targets), page.targets
    return page


@pytest.fixture
def site(demo: DemoHome) -> Site:
    return Site(Home(demo.home), CUCKOO2, ADDRESSES, demo.home / "demo" / "cape" / "storage" / "analyses")


def scored(demo: DemoHome, analysis: str) -> dict[str, Any]:
    from cuckoo_ml_plugin.engine.engine import Engine

    finding = Engine(Home(demo.home)).score_stored(analysis)
    assert finding is not None
    section: dict[str, Any] = finding.section()
    return section


def any_member(demo: DemoHome, cluster: str | None = "c0") -> str:
    with Store.open(demo.home / "store.db") as store:
        return store.cluster_members(cluster, limit=1)[0].finding.analysis


def test_the_panel_says_cluster_score_and_similar_analyses(demo: DemoHome, site: Site) -> None:
    section = scored(demo, any_member(demo))
    page = harmless(site.panel(section))
    assert section["cluster"]["name"] in page.text
    assert samples_and_runs(section["cluster"]["samples"], section["cluster"]["size"]) in page.text
    assert "/cuckooml/clusters/c0/" in page.targets
    kin = section["kin"]
    assert f"Kin {kin['name']} {kin['id']}, {samples_and_runs(kin['samples'], kin['size'])}" in page.text
    assert f"/cuckooml/kin/{kin['id']}/" in page.targets
    for similar in section["similar"]:
        assert similar["analysis"] in page.text
    for piece in section["evidence"]:
        assert piece["value"] in page.text
    for reason in section["anomaly"]["reasons"]:
        assert reason["text"] in page.text
    assert section["model"]["id"] in page.text


def test_the_panel_says_what_providers_say_and_where_that_is_not_expected(demo: DemoHome, site: Site) -> None:
    overlooked = next(sample.path for sample in demo.corpus.new if sample.name == "new-03")
    [answer] = cuckoo_ml(demo.home, "score", overlooked, "--json").json
    page = harmless(site.panel(answer))
    assert "Threat scores" in page.text
    assert "threatfox" in page.text
    assert page.text.count("VirusTotal says 0.04; the other providers' scores predict 0.") == 1 + 1, "also a reason"
    answer |= {"status": "no_behaviour", "cluster": None, "anomaly": None}
    assert "VirusTotal says 0.04" in harmless(site.panel(answer)).text
    answer["threat_scores"] = None
    assert "Threat scores" not in harmless(site.panel(answer)).text


def test_links_go_to_the_host_for_its_own_analyses_and_to_us_for_others(demo: DemoHome, tmp_path: Path) -> None:
    with Store.open(demo.home / "store.db") as store:
        paths = {stored.analysis: stored.source_path for stored in store.analyses_in_order(behaviours=False)}
    at_cape = next(name for name, path in paths.items() if path and "/cape/storage/analyses/" in path)
    storage = Path(str(paths[at_cape])).parents[2]
    section = scored(demo, at_cape)
    page = harmless(Site(Home(demo.home), CAPE, ADDRESSES, storage).panel(section))
    for similar in section["similar"]:
        at_host = str(paths[similar["analysis"]]).startswith(str(storage))
        name = similar["analysis"]
        expected = f"/analysis/{name}/" if at_host else f"/cuckooml/analysis/?id={name}"
        assert expected in page.targets
    elsewhere = harmless(Site(Home(demo.home), CAPE, ADDRESSES, tmp_path).panel(section))
    assert not [target for target in elsewhere.targets if target.startswith("/analysis/")]


def test_the_panel_says_what_threat_exchanges_say_and_where_they_disagree(demo: DemoHome, site: Site) -> None:
    section = scored(demo, any_member(demo))
    text = "VirusTotal says 0.02; the other providers' scores predict 0.61."
    section["threat_scores"] = {
        "joint": 0.64,
        "providers": [
            {
                "provider": "virustotal",
                "score": 0.02,
                "indicators": 2,
                "highest": [{"kind": "url", "indicator": "http://panel.test/gate.php", "score": 0.02}],
                "prediction": 0.61,
                "threshold": 0.3,
            },
            {"provider": "detections", "score": 0.63, "indicators": 1, "highest": [], "prediction": None},
        ],
        "disagreements": [{"provider": "virustotal", "text": text}],
    }
    for status in ("scored", "no_behaviour"):
        page = harmless(site.panel(section | {"status": status}))
        for words in (
            text,
            "joint score 0.02 of 1 exchange",  # without the detections, which an earlier version joined with it
            "other providers predict 0.61",
            "http://panel.test/gate.php",
            "detections",
        ):
            assert words in page.text
        assert "http://panel.test/gate.php" not in page.targets


def test_the_panel_of_a_sample_that_did_nothing_shows_nothing_like_a_clean_bill(site: Site) -> None:
    """Also where a version before this one wrote the section."""
    section = {
        "schema": 2, "status": "no_behaviour", "message": "No sample was run.", "model": None,
        "threat_scores": {"joint": 0.0, "disagreements": [], "providers": [
            {"provider": "detections", "score": 0.0, "indicators": 1, "highest": []},
            {"provider": "virustotal", "score": 0.0, "indicators": 1, "highest": []},
        ]},
    }  # fmt: skip
    text = harmless(site.panel(section)).text
    assert "0.00" not in text
    assert "VirusTotal" not in text
    assert "Threat scores" not in text
    assert text.endswith("No sample was run.")


@pytest.mark.parametrize("status", ["no_model", "no_behaviour", "failed"])
def test_a_section_without_a_finding_says_why_in_one_line(site: Site, status: str) -> None:
    section = {"schema": 1, "status": status, "message": "There is no model yet: 3 analyses are stored.", "model": None}
    page = harmless(site.panel(section))
    assert "There is no model yet: 3 analyses are stored." in page.text
    assert "Most similar" not in page.text


def test_every_page_of_a_corpus_opens_and_leads_on(demo: DemoHome, site: Site) -> None:
    seen, ahead = set(), ["/cuckooml/"]
    while ahead:
        target = ahead.pop()
        path, _, query = target.removeprefix("/cuckooml/").partition("?")
        if target in seen or not target.startswith("/cuckooml/") or path.startswith("style.css"):
            continue
        seen.add(target)
        answer = site.page(path.strip("/"), dict(pair.split("=") for pair in query.split("&") if pair))
        assert answer.status == 200, target
        if len(seen) < 150:
            ahead += harmless(answer.html).targets
    assert {
        "/cuckooml/",
        "/cuckooml/kin/",
        "/cuckooml/kin/k0/",
        "/cuckooml/anomalies/",
        "/cuckooml/model/",
        "/cuckooml/clusters/c0/",
    } <= seen


def test_a_reader_walks_from_kin_to_their_clusters_and_back(demo: DemoHome, site: Site) -> None:
    kin = cuckoo_ml(demo.home, "kin", "--json").json
    page = harmless(site.page("kin", {}).html)
    places = [page.text.index(f" {group['name']} {group['id']} {group['stored_samples']} ") for group in kin]
    assert len(places) == len(kin)
    for group in kin[:3]:
        assert f"/cuckooml/kin/{group['id']}/" in page.targets
        one = harmless(site.page(f"kin/{group['id']}", {}).html)
        runs = f" ({group['stored']} runs)" if group["stored"] > group["stored_samples"] else ""
        fitted = samples_and_runs(group["samples"], group["size"])
        size = f"{group['stored_samples']} samples{runs} have much in common; the model was fitted on {fitted} of them"
        assert size in one.text
        for cluster in group["clusters"]:
            assert f"/cuckooml/clusters/{cluster}/" in one.targets
            back = harmless(site.page(f"clusters/{cluster}", {}).html)
            assert f"/cuckooml/kin/{group['id']}/" in back.targets
    clusters = harmless(site.page("", {}).html)
    assert {f"/cuckooml/kin/{group['id']}/" for group in kin if group["clusters"]} <= set(clusters.targets)


def test_clusters_are_searched_sorted_and_paged(site: Site, demo: DemoHome) -> None:
    families = {cluster["name"]: cluster for cluster in cuckoo_ml(demo.home, "clusters", "--json").json}
    search = next(iter(families))
    page = harmless(site.page("", {"q": search.upper()}).html)
    assert search in page.text
    others = [name for name in families if search not in name and name not in search]
    assert not [name for name in others if f"/cuckooml/clusters/{families[name]['id']}/" in page.targets]
    assert "No cluster has this" in harmless(site.page("", {"q": "<b>nothing"}).html).text
    by_name = harmless(site.page("", {"sort": "name"}).html).text
    places = [by_name.index(f" {name} ") for name in sorted(families, key=str.lower)]
    assert places == sorted(places)
    for number in ("999999999999", "9" * 5_000, "0", "-1", "\u0661", "1e9"):
        assert site.page("", {"page": number, "sort": "'; drop"}).status == 200


def test_unknown_clusters_pages_and_analyses_give_404(site: Site) -> None:
    for path in ("clusters/c999999", "kin/k999999", "kin/c0", "nothing/here", "../../etc/passwd", "analysis"):
        answer = site.page(path, {})
        assert answer.status == 404
        harmless(answer.html)


def test_without_a_model_pages_say_what_to_do(tmp_path: Path) -> None:
    answer = Site(Home(tmp_path), CAPE, ADDRESSES).page("", {})
    assert answer.status == 503
    assert f"cuckoo-ml --home {tmp_path} import FOLDER" in harmless(answer.html).text


@pytest.fixture
def many(tmp_path: Path) -> Site:
    """120 groups of behaviour, one of them with 130 analyses."""
    home = Home(tmp_path / "home").create()
    random = Random(7)
    with Store.open(home.store_file) as store:
        for group in range(120):
            words = [f"file_written:c:\\group{group}\\{i}.txt" for i in range(30)]
            records = []
            for number in range(130 if group == 0 else 5):
                behaviour = Behaviour(sorted(random.sample(words, 28)), {"files_written": 28})
                records.append(AnalysisRecord(f"{group}-{number}", pack(behaviour.tokens, behaviour.counts), True))
            store.put(records)
    done = cuckoo_ml(home.path, "refit")
    assert done.code == 0, done.err
    return Site(home, CAPE, ADDRESSES)


def test_long_lists_are_read_page_by_page(many: Site) -> None:
    links: list[str] = []
    query: dict[str, str] = {}
    for path, prefix in (("", "/cuckooml/clusters/"), ("clusters/c0", "/cuckooml/analysis/")):
        links, query = [], {}
        while True:
            page = harmless(many.page(path, query).html)
            links += [target for target in page.targets if target.startswith(prefix)]
            ahead = [target for target in page.targets if f"page={int(query.get('page', 1)) + 1}" in target]
            if not ahead:
                break
            assert ahead[0].startswith("/cuckooml/" + (path and f"{path}/"))
            query = dict(pair.split("=") for pair in ahead[0].partition("?")[2].split("&"))
        assert int(query["page"]) == 3
        listed = set(links) if path == "" else [target for target in links if "=0-" in target]
        assert len(listed) == (120 if path == "" else 130)


@pytest.fixture
def hostile_home(own_demo: DemoHome) -> Path:
    """A corpus whose labels are hostile, and with them the names of its clusters."""
    with Store.open(own_demo.home / "store.db") as store:
        names = [stored.analysis for stored in store.analyses_in_order(behaviours=False)]
        store.set_labels({name: SCRIPTS[i % 7] * 3 for i, name in enumerate(names)})
    done = cuckoo_ml(own_demo.home, "refit")
    assert done.code == 0, done.err
    return own_demo.home


def test_hostile_labels_and_names_stay_text_on_every_page(hostile_home: Path) -> None:
    site = Site(Home(hostile_home), CUCKOO2, ADDRESSES)
    for path, query in (("", {"q": SCRIPTS[1]}), ("", {}), ("kin", {}), ("kin/k0", {}), ("clusters/c0", {}),
                        ("anomalies", {"days": "all"}), ("model", {})):  # fmt: skip
        answer = site.page(path, query)
        assert answer.status == 200
        harmless(answer.html)
    assert "alert(" in harmless(site.page("", {}).html).text  # they are shown
    harmless(site.page("clusters/c0", {}).html)


def test_a_hostile_section_is_shown_as_text_and_cut_with_a_note(site: Site) -> None:
    html = site.panel(hostile_section())
    page = harmless(html)
    assert SCRIPTS[0] in page.text
    assert f"({len(LONG):,} characters)" in page.text
    assert "\ufffd" in page.text
    assert "{{ 7*7 }}" in page.text
    assert "membership probability 1.00" in page.text  # 1e308 in the section
    assert "0" * 30 not in page.text
    assert len(html) < 200_000
    harmless(static_panel(hostile_section()))


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=30) | st.sampled_from(SCRIPTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_section_of_any_shape_gives_a_panel_or_a_line(data: st.DataObject, demo: DemoHome) -> None:
    section: Any = hostile_section()
    for key in data.draw(st.lists(st.sampled_from(sorted(section)), max_size=4)):
        section[key] = data.draw(json_values)
    if data.draw(st.integers(0, 9)) == 0:
        section = data.draw(json_values)
    html = Site(Home(demo.home), CUCKOO2, ADDRESSES).panel(section)
    assert harmless(html).text
    assert harmless(static_panel(section)).text


def test_a_section_is_read_alike_from_text_and_from_a_dict(demo: DemoHome) -> None:
    section = scored(demo, any_member(demo))
    assert read_section(section) == read_section(json.dumps(section)) == read_section(json.dumps(section).encode())


CAPE_LIKE = '<html data-bs-theme="dark"><body><ul></ul><div class="tab-pane" id="info" role="tab">HOST</div></body>'
CUCKOO_LIKE = "<html><script>var x = '</header>'</script><body><header>CUCKOO</header><div>HOST</div></body></html>"


@pytest.mark.parametrize("report", [CAPE_LIKE, CUCKOO_LIKE, "<html><body>HOST</body>", "HOST", ""])
def test_the_html_report_gets_the_panel_once_however_often_it_is_put_in(
    tmp_path: Path, demo: DemoHome, report: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text(report, encoding="utf-8")
    path.chmod(0o640)
    section = scored(demo, any_member(demo))
    for _ in range(2):
        assert put_into(path, section)
    html = path.read_text(encoding="utf-8")
    assert html.count(section["model"]["id"]) == 1
    assert html.count("HOST") == report.count("HOST")
    assert path.stat().st_mode & 0o777 == 0o640
    if report in (CAPE_LIKE, CUCKOO_LIKE):
        assert html.index("<body") < html.index("cuckoo-ml: begin") < html.index("HOST")
    assert not put_into(tmp_path / "none.html", section)


@pytest.mark.parametrize(
    "value", [10**400, -(10**400), float("nan"), float("inf"), True], ids=lambda value: str(value)[:5]
)
def test_numbers_of_any_size_are_shown_or_marked(value: float) -> None:
    for show in (text.number, text.score, text.percent, text.at_least):
        assert len(show(value)) < 40


def test_a_day_of_no_analysis_hides_no_other() -> None:
    assert [bar.count for bar in timeline([("2026-11-24", 5), ("9999-12-31", 1), ("0001-01-01", 2)]).bars] == [5]


@settings(deadline=None)
@given(st.lists(st.tuples(st.dates().map(str) | st.text(max_size=12), st.integers(1, 10**6)), max_size=50))
def test_a_timeline_counts_every_day_and_has_few_bars(days: list[tuple[str, int]]) -> None:
    line = timeline(days)
    assert len(line.bars) <= 60
    assert all(0 <= bar.height <= 1 for bar in line.bars)
    if line.unit == "day":
        from datetime import date

        def is_day(text: str) -> bool:
            try:
                return 1970 <= date.fromisoformat(text).year <= 2099
            except ValueError:
                return False

        assert sum(bar.count for bar in line.bars) == sum(count for text, count in days if is_day(text))
