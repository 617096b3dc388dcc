"""The atlas in a real browser: what a click shows, and that the page neither runs nor fetches anything foreign."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from matplotlib.colors import to_hex
from support.browser import Reader
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.hostile_values import SCRIPTS
from support.reports import CUCKOO_REPORT, written

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.frames.desk import Desk
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.landscape.landscape import landscape
from cuckoo_ml_plugin.landscape.similar_behaviours import most_similar
from cuckoo_ml_plugin.plots import label_bars
from cuckoo_ml_plugin.store.store import Store

READY = "html[data-ready=yes]"


@pytest.fixture(scope="module")
def page(demo: DemoHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("atlas") / "new" / "atlas.html"
    result = cuckoo_ml(demo.home, "atlas", path)
    assert result.code == 0, result.err
    assert str(path) in result.out.replace("\n", "")
    return path


class Atlas(Reader):
    """A reader of the atlas in a browser."""

    def __init__(self, browser: Any, page: Path, **size: int) -> None:
        super().__init__(browser, **size)
        self.console: list[str] = []
        self.page.on("console", lambda message: self.console.append(message.text))
        self.own = page.as_uri()
        self.open(self.own)
        self.page.wait_for_selector(READY, state="attached", timeout=60_000)

    def is_quiet(self) -> bool:
        """Whether nothing was written to the console, fetched or popped up."""
        return not (self.console or self.errors or self.dialogs) and self.requested == {self.own}

    def tab(self, name: str) -> str:
        self.page.click(f"#tabs button[data-tab={name}]")
        return self.text("#panel")


def test_every_analysis_is_in_the_histogram_of_each_count_that_it_has(page: Path, demo: DemoHome) -> None:
    text = page.read_text(encoding="utf-8")
    script = re.search(r'<script[^>]* type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert script is not None
    numbers = Desk(demo.home).features("numerical").loc[Desk(demo.home).cluster_memberships().index]
    for count in json.loads(script[1])["counts"]:
        assert sum(count["bins"]) == numbers[count["name"].replace(" ", "_")].notna().sum(), count["name"]


@pytest.fixture
def atlas(browser: Any, page: Path) -> Iterator[Atlas]:
    atlas = Atlas(browser, page, width=1400, height=860)
    yield atlas
    assert atlas.is_quiet(), (atlas.console, atlas.errors, atlas.dialogs, atlas.requested)
    atlas.close()


def clusters(demo: DemoHome) -> list[dict[str, Any]]:
    return list(cuckoo_ml(demo.home, "clusters", "--json").json)


def painted_pixels(atlas: Atlas) -> int:
    """The number of painted pixels on the map."""
    return int(
        atlas.page.evaluate(
            """() => { const c = document.getElementById('map');
                const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
                let n = 0; for (let i = 3; i < d.length; i += 4) if (d[i]) n++; return n; }"""
        )
    )


def test_a_click_on_a_cluster_shows_it_alone_with_its_shared_behaviour(atlas: Atlas, demo: DemoHome) -> None:
    assert painted_pixels(atlas) > 500
    rows = clusters(demo)
    assert atlas.page.locator("tr[data-cluster]").count() == len(rows)
    cluster = rows[1]
    detail = cuckoo_ml(demo.home, "clusters", cluster["id"], "--json").json
    atlas.keep("atlas-clusters")
    atlas.page.click(f"tr[data-cluster={cluster['id']}]")
    panel = atlas.text("#panel")
    assert cluster["name"] in panel
    assert f"{cluster['size']} analyses" in panel
    assert detail["evidence"][0]["value"] in panel
    atlas.page.wait_for_timeout(200)
    atlas.keep("atlas-cluster")


def test_a_click_on_a_point_shows_the_analysis(atlas: Atlas, demo: DemoHome) -> None:
    with Store.open(demo.home / "store.db") as store:
        findings = store.findings_of([sample.name for sample in demo.corpus.fitted if sample.name.isdigit()])
        name = next(name for name, finding in findings.items() if finding.cluster and name.startswith("10"))
        stored = store.get(name)
    atlas.page.fill("#search", name)
    atlas.page.wait_for_timeout(400)
    box = atlas.page.locator("#map").bounding_box()
    spot = atlas.page.evaluate(
        """() => { const c = document.getElementById('map'), r = window.devicePixelRatio;
            const w = c.width, d = c.getContext('2d').getImageData(0, 0, w, c.height).data;
            let x = 0, y = 0, n = 0;
            for (let i = 0; i < d.length; i += 4) {  // the point has a colour; its ring and the names are grey
              const bright = Math.max(d[i], d[i + 1], d[i + 2]), dark = Math.min(d[i], d[i + 1], d[i + 2]);
              if (d[i + 3] > 200 && bright - dark > 60) { x += (i >> 2) % w; y += (i >> 2) / w | 0; n++; }
            }
            return [x / n / r, y / n / r]; }"""
    )
    atlas.page.click("#tabs button[data-tab=clusters]")
    atlas.page.mouse.move(box["x"] + spot[0], box["y"] + spot[1])
    assert name in atlas.text("#tip")
    atlas.page.mouse.click(box["x"] + spot[0], box["y"] + spot[1])
    panel = atlas.text("#panel")
    assert stored is not None
    assert str(stored.sha256) in panel
    assert stored.target in panel
    alike = cuckoo_ml(demo.home, "similar", name, "--json").json
    similar = atlas.page.locator("#panel tr[data-point]").all_inner_texts()
    assert similar[0].split()[0] == alike[0]["analysis"]
    assert f"{alike[0]['similarity']:.0%}".replace("%", " %") in similar[0]
    atlas.keep("atlas-analysis")
    atlas.page.click("#panel tr.row >> nth=0")
    assert str(stored.sha256) not in atlas.text("#panel")


def test_a_click_on_anomaly_tree_or_count_shows_its_analysis_or_cluster(atlas: Atlas, demo: DemoHome) -> None:
    worst = cuckoo_ml(demo.home, "anomalies", "--limit", "1", "--json").json[0]
    anomalies = atlas.tab("anomalies")
    assert worst["reasons"][0]["text"] in anomalies
    atlas.keep("atlas-anomalies")
    atlas.page.click("#panel tr.row >> nth=0")
    assert worst["analysis"] in atlas.text("#panel h2")
    atlas.tab("tree")
    atlas.keep("atlas-tree")
    atlas.page.locator("#tree rect[fill-opacity='0.9']").nth(3).click()
    assert atlas.text("#panel h2").split()[-1] in {cluster["id"] for cluster in clusters(demo)}
    assert "api calls" in atlas.tab("counts")
    atlas.keep("atlas-counts")
    atlas.page.click("#panel .count-card .link >> nth=0")
    assert "Anomaly score" in atlas.text("#panel")


def test_a_click_on_a_kin_shows_it_alone_with_its_clusters(atlas: Atlas, demo: DemoHome) -> None:
    kin = cuckoo_ml(demo.home, "kin", "--json").json
    atlas.tab("kin")
    rows = atlas.page.locator("tr[data-kin]")
    assert [rows.nth(i).get_attribute("data-kin") for i in range(rows.count())] == [group["id"] for group in kin]
    atlas.keep("atlas-kin-list")
    whole = atlas.page.locator("#map").screenshot()
    atlas.page.click(f"tr[data-kin={kin[0]['id']}]")
    atlas.page.wait_for_timeout(200)
    panel = atlas.text("#panel")
    assert (kin[0]["name"] in panel, f"{kin[0]['size']} analyses" in panel) == (True, True)
    inside = atlas.page.locator("#panel tr[data-cluster]")
    assert {inside.nth(i).get_attribute("data-cluster") for i in range(inside.count())} == set(kin[0]["clusters"])
    assert atlas.page.locator("#map").screenshot() != whole
    atlas.keep("atlas-one-kin")
    atlas.page.click("#panel tr[data-cluster] >> nth=0")
    assert "Kin: " in atlas.text("#panel")
    atlas.page.click("#panel .link >> nth=0")
    assert kin[0]["id"] in atlas.text("#panel h2"), "and back to the kin"


def test_the_map_is_coloured_five_ways_moved_and_zoomed(atlas: Atlas) -> None:
    pictures = set()
    for colour in ("cluster", "kin", "label", "anomaly", "time"):
        atlas.page.select_option("#colour", colour)
        atlas.page.wait_for_timeout(120)
        pictures.add(atlas.page.locator("#map").screenshot())
        atlas.keep(f"atlas-{colour}")
    assert len(pictures) == 5
    for press in ("ArrowLeft", "+", "-", "0"):
        atlas.page.focus("#map")
        before = atlas.page.locator("#map").screenshot()
        atlas.page.keyboard.press(press)
        atlas.page.wait_for_timeout(120)
        assert atlas.page.locator("#map").screenshot() != before or press == "-"
    atlas.page.mouse.move(500, 400)
    before = atlas.page.locator("#map").screenshot()
    atlas.page.mouse.wheel(0, -400)
    atlas.page.wait_for_timeout(120)
    zoomed = atlas.page.locator("#map").screenshot()
    assert zoomed != before
    atlas.page.mouse.down()
    atlas.page.mouse.move(650, 500)
    atlas.page.mouse.up()
    atlas.page.wait_for_timeout(120)
    assert atlas.page.locator("#map").screenshot() != zoomed


def test_clusters_are_searched_and_sorted(atlas: Atlas, demo: DemoHome) -> None:
    rows_of_command = clusters(demo)
    atlas.page.fill("#search", "velmora")
    atlas.page.wait_for_timeout(400)
    rows = atlas.page.locator("tr[data-cluster]")
    matches = {
        cluster["id"]
        for cluster in rows_of_command
        if "velmora" in cluster["name"] or "velmora" in str(cluster["labels"])
    }
    assert {rows.nth(i).get_attribute("data-cluster") for i in range(rows.count())} >= matches
    assert rows.count() < len(rows_of_command)
    atlas.page.click("th button >> text=Cluster")
    names = [rows.nth(i).locator("bdi").first.inner_text() for i in range(rows.count())]
    assert names == sorted(names, key=str.lower)


def rgb(colour: str) -> str:
    """``#0072b2`` as a browser writes it."""
    return f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"


def test_a_family_has_one_colour_on_map_bars_legend_and_plots(atlas: Atlas, demo: DemoHome) -> None:
    scene = landscape(Engine(Home(demo.home)), with_map=False)
    key = label_bars(scene).axes[0].get_legend()
    plotted = {
        text.get_text(): rgb(to_hex(patch.get_facecolor()))
        for patch, text in zip(key.get_patches(), key.get_texts(), strict=True)
        if text.get_text() != "no label"
    }
    assert len(plotted) > 5

    style = "e => getComputedStyle(e).backgroundColor"
    for cluster in clusters(demo):
        row = atlas.page.locator(f"tr[data-cluster={cluster['id']}]")
        family = cluster["labels"][0]["label"]
        assert row.locator(".dot").evaluate(style) == plotted[family], cluster
        assert row.locator(".mix span").first.evaluate(style) == plotted[family], cluster
    for mode in ("cluster", "label"):
        atlas.page.select_option("#colour", mode)
        if atlas.page.locator("#legend .more").count():
            atlas.page.click("#legend .more")
        legend = {
            row.locator("bdi").inner_text(): row.locator(".dot").evaluate(style)
            for row in atlas.page.locator("#legend button:not(.more)").all()
        }
        assert {family: legend[family] for family in plotted} == plotted
    most = max(plotted, key=scene.families.count)
    atlas.page.click(f"#legend button >> text={most}")
    atlas.page.wait_for_timeout(200)
    red, green, blue = (int(part) for part in re.findall(r"\d+", plotted[most]))
    near = atlas.page.evaluate(
        """([r, g, b]) => { const c = document.getElementById('map');
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            let own = 0, other = 0;
            for (let i = 0; i < d.length; i += 4) {
              const bright = Math.max(d[i], d[i + 1], d[i + 2]), dark = Math.min(d[i], d[i + 1], d[i + 2]);
              if (d[i + 3] < 200 || bright - dark < 40) continue;  // not the names, nor what is not selected
              if (Math.hypot(d[i] - r, d[i + 1] - g, d[i + 2] - b) < 30) own++; else other++;
            }
            return [own, other]; }""",
        [red, green, blue],
    )
    assert near[0] > 20 * max(near[1], 1), "on the map, the family's points have no other colour"


def test_a_clicked_cluster_shows_dates_nearest_clusters_and_members(atlas: Atlas, demo: DemoHome) -> None:
    cluster = cuckoo_ml(demo.home, "clusters", clusters(demo)[2]["id"], "--json").json
    atlas.page.click(f"tr[data-cluster={cluster['id']}]")
    panel = atlas.text("#panel")
    assert f"{cluster['first_seen'][:10]} to {cluster['last_seen'][:10]}" in panel
    nearest = atlas.page.locator("#panel tr[data-nearest]")
    ids = [nearest.nth(i).get_attribute("data-nearest") for i in range(nearest.count())]
    assert ids == [near["id"] for near in cluster["nearest"]]
    members = atlas.page.locator("#panel tr[data-member]")
    assert members.count() == cluster["size"]
    assert {row.get_attribute("data-member") for row in members.all()} >= {
        member["analysis"] for member in cluster["members"]
    }
    members.nth(0).focus()
    atlas.page.keyboard.press("Enter")
    assert cluster["name"] in atlas.text("#panel dl")
    atlas.page.go_back()
    atlas.page.wait_for_function("document.querySelector('#panel tr[data-nearest]')")
    nearest.nth(0).click()
    assert ids[0] in atlas.text("#panel h2")


def test_anomalies_stand_in_columns_by_their_weightiest_reason(atlas: Atlas, demo: DemoHome) -> None:
    rows = cuckoo_ml(demo.home, "anomalies", "--json").json
    text = atlas.tab("anomalies")
    assert "By construction, up to 5 % of the analyses" in text
    heads = atlas.page.locator("#panel h3.reason").all_inner_texts()
    kinds = Counter(row["reasons"][0]["kind"] for row in rows)
    assert sorted(int(head.rpartition("(")[2].rstrip(")")) for head in heads) == sorted(kinds.values())
    assert atlas.page.locator("#panel table >> nth=0").locator("th").all_inner_texts() == [
        "Analysis", "Label", "Date", "Score",
    ]  # fmt: skip
    assert atlas.page.locator("#panel tr.row").count() == len(rows)


def test_any_behaviour_is_found_with_all_that_show_it(atlas: Atlas, demo: DemoHome) -> None:
    tokens: Counter[str] = Counter()
    with Store.open(demo.home / "store.db") as store:
        for _, joined, _ in store.iter_behaviours():
            tokens.update(joined.decode().split("\n"))
    kinds: dict[str, str] = {}
    for token in sorted(tokens, key=lambda token: (-tokens[token], token)):
        if 1 < tokens[token] < 60:
            kinds.setdefault(token.partition(":")[0], token)
    assert {"mutex", "domain", "string", "ngram", "reg_written"} <= set(kinds)
    for kind in ("mutex", "domain", "string", "ngram", "reg_written"):
        token = kinds[kind]
        atlas.open(f"{atlas.own}#{urlencode({'behaviour': token})}")
        atlas.page.wait_for_function("token => document.querySelector('#panel h2')?.textContent === token", arg=token)
        assert f"{tokens[token]} of 320 analyses show this behaviour" in atlas.text("#panel")
    token = kinds["mutex"]
    atlas.page.fill("#search", token.upper())
    atlas.page.wait_for_timeout(400)
    row = atlas.page.locator("#panel tr", has_text=token).first
    assert row.locator(".number").inner_text() == str(tokens[token])
    row.locator(".link").click()
    assert f"{tokens[token]} of 320 analyses show this behaviour" in atlas.text("#panel")
    assert urlencode({"behaviour": token}) in atlas.page.url


def test_a_shared_link_opens_what_it_was_copied_from(atlas: Atlas, browser: Any, demo: DemoHome) -> None:
    cluster = clusters(demo)[3]
    atlas.page.click(f"tr[data-cluster={cluster['id']}]")
    assert atlas.page.url == f"{atlas.own}#cluster={cluster['id']}"
    assert atlas.page.locator("#panel .share").get_attribute("href") == f"#cluster={cluster['id']}"
    atlas.page.select_option("#colour", "label")
    for address, expected in (
        (atlas.page.url, cluster["name"]),
        (f"{atlas.own}#kin=k2", "k2"),
        (f"{atlas.own}#analysis=1005", "1005"),
        (f"{atlas.own}#find=velmora", "velmora"),
        (f"{atlas.own}#cluster=c9999", "This atlas has no cluster c9999"),
    ):
        other = Reader(browser)
        other.open(address)
        other.page.wait_for_selector(READY, state="attached")
        assert expected in other.text("#panel")
        assert other.errors == []
        other.close()
    atlas.page.go_back()
    atlas.page.wait_for_function("document.querySelectorAll('tr[data-cluster]').length > 20")


def test_a_brush_over_time_and_the_legend_count_how_many_of_how_many(atlas: Atlas, demo: DemoHome) -> None:
    scene = landscape(Engine(Home(demo.home)), with_map=False)
    first, last = int(scene.days.min()), int(scene.days.max())
    of_last = int((scene.days == last).sum())
    assert f"{len(scene.analyses)} analyses" in atlas.text("#within")
    assert f"of {len(scene.clusters)} clusters" in atlas.text("#legend .title")
    atlas.page.click("#legend .more")
    assert atlas.text("#legend .title") == f"{len(scene.clusters)} clusters, {len(scene.analyses)} analyses"
    atlas.page.wait_for_timeout(200)
    whole = atlas.page.locator("#map").screenshot()

    atlas.page.fill("#from", date.fromordinal(date(1970, 1, 1).toordinal() + last).isoformat())
    assert atlas.text("#within") == f"{of_last} of {len(scene.analyses)} analyses"
    assert f"{of_last} of {len(scene.analyses)} analyses" in atlas.text("#legend .title")
    counts = atlas.page.locator("#legend .count").all_inner_texts()
    assert sum(int(count.partition(" of ")[0]) for count in counts) == of_last
    assert "from=" in atlas.page.url
    atlas.page.wait_for_timeout(200)
    assert atlas.page.locator("#map").screenshot() != whole
    atlas.keep("atlas-brush")
    atlas.page.click("#ever")
    assert atlas.text("#within") == f"{len(scene.analyses)} analyses"

    box = atlas.page.locator("#bars").bounding_box()
    atlas.page.mouse.move(box["x"] + 3, box["y"] + 20)
    atlas.page.mouse.down()
    atlas.page.mouse.move(box["x"] + 9, box["y"] + 20)
    atlas.page.mouse.up()
    assert atlas.text("#within").startswith(f"{int((scene.days == first).sum())} of ")


def test_on_a_telephone_the_list_comes_before_the_map(browser: Any, page: Path) -> None:
    atlas = Atlas(browser, page, width=420, height=900)
    tops = [atlas.page.locator(part).bounding_box()["y"] for part in ("#panel", "#map", "#time")]
    assert tops == sorted(tops)
    assert tops[0] < 300
    assert atlas.page.evaluate("document.documentElement.scrollWidth") <= 420
    for tab in ("anomalies", "kin", "clusters"):
        atlas.tab(tab)
        assert not atlas.overflowing("header, aside, #legend, #time")
        atlas.keep(f"atlas-420-{tab}")
    atlas.page.click("tr[data-cluster] >> nth=0")
    assert not atlas.overflowing("header, aside, #legend, #time")
    atlas.keep("atlas-420-cluster")
    assert atlas.is_quiet()
    atlas.close()


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 800), (480, 900)])
def test_it_fits_any_window_and_the_dark_scheme(browser: Any, page: Path, width: int, height: int) -> None:
    atlas = Atlas(browser, page, width=width, height=height)
    atlas.page.emulate_media(color_scheme="dark")
    atlas.page.wait_for_timeout(200)
    assert atlas.page.evaluate("document.documentElement.scrollWidth") <= width
    assert not atlas.overflowing("header, aside, #legend")
    atlas.keep(f"atlas-dark-{width}")
    assert atlas.is_quiet()
    atlas.close()


@pytest.fixture
def hostile_page(own_demo: DemoHome, tmp_path: Path) -> Path:
    """A corpus with a cluster of hostile reports, and hostile labels on everything."""
    for number in range(12):
        report = json.loads(json.dumps(CUCKOO_REPORT))
        report["info"] |= {"id": 90_000 + number, "started": (1684975532.15, "0000-99-99", 1e308)[number % 3]}
        report["target"]["file"] |= {"name": SCRIPTS[number % len(SCRIPTS)], "sha256": f"{number:02x}" * 32}
        report["target"]["file"]["size"] = (4096, 1e308, -1)[number % 3]
        report["behavior"]["summary"]["mutex"] = list(SCRIPTS[: 4 + number // 4])  # a few show exactly the same
        report["signatures"] = [{"name": text, "description": text} for text in SCRIPTS]
        report["network"]["domains"] = [{"domain": text, "ip": text} for text in SCRIPTS]
        written(tmp_path, report, f"{number}.json")
    assert cuckoo_ml(own_demo.home, "import", *tmp_path.glob("[0-9]*.json")).code == 0
    with Store.open(own_demo.home / "store.db") as store:
        names = [stored.analysis for stored in store.analyses_in_order(behaviours=False)]
        store.set_labels({name: SCRIPTS[i % len(SCRIPTS)] for i, name in enumerate(names)})
    assert cuckoo_ml(own_demo.home, "refit").code == 0
    path = tmp_path / "atlas.html"
    result = cuckoo_ml(own_demo.home, "atlas", path)
    assert result.code == 0, result.err
    return path


def test_hostile_reports_and_labels_are_text(browser: Any, hostile_page: Path, own_demo: DemoHome) -> None:
    html = hostile_page.read_text(encoding="utf-8")
    assert html.count("<script") == 2
    data = json.loads(html[html.index('id="data">') + 10 : html.index("</script>")])
    assert SCRIPTS[0] in data["families"]
    assert SCRIPTS[1] in data["analyses"]["targets"]
    atlas = Atlas(browser, hostile_page)
    assert SCRIPTS[0] in atlas.text("#panel")
    for name in ("anomalies", "tree", "counts", "clusters"):
        atlas.tab(name)
        assert not atlas.overflowing("aside")
    atlas.page.fill("#search", SCRIPTS[1].lower())
    atlas.page.wait_for_timeout(400)
    atlas.page.fill("#search", "01" * 32)
    atlas.page.wait_for_timeout(400)
    assert SCRIPTS[1] in atlas.text("#panel")  # its target
    atlas.page.click("#panel dd .link")  # its cluster
    assert SCRIPTS[0] in atlas.text("#panel")
    assert not atlas.overflowing("aside")
    atlas.keep("atlas-hostile")
    assert atlas.page.locator("#panel img, #panel script, #panel iframe, #panel base, #legend img").count() == 0
    assert atlas.is_quiet(), (atlas.console, atlas.errors, atlas.dialogs, atlas.requested)
    atlas.close()

    # The legend counts analyses, even if the analyses of a behaviour have several labels.
    atlas = Atlas(browser, hostile_page)
    atlas.page.select_option("#colour", "label")
    counts = sorted(int(count.inner_text()) for count in atlas.page.locator("#legend .count").all())
    with Store.open(own_demo.home / "store.db") as store:
        labels = Counter(stored.label for stored, _, _ in store.iter_behaviours())
    assert counts == sorted(labels.values())
    assert atlas.is_quiet()
    atlas.close()


def test_the_page_shows_the_similar_analyses_of_the_findings(demo: DemoHome) -> None:
    engine = Engine(Home(demo.home))
    model = engine.require_model()
    behaviours, similarities = most_similar(model, 5)
    point_of = {member.analysis: point for point, member in model.members.all()}
    for analysis, point in point_of.items():
        stored = engine.store.get(analysis)
        assert stored is not None
        finding = model.score(engine.behaviour_of(stored), analysis=analysis, each_run=True)  # as the atlas sees it
        similar = {point_of[neighbour["analysis"]]: neighbour["similarity"] for neighbour in finding.similar}
        similar.pop(point, None)
        drawn = dict(zip(behaviours[point].tolist(), similarities[point].round(4).tolist(), strict=True))
        assert list(drawn)[: len(similar)] == list(similar), analysis
        assert list(drawn.values())[: len(similar)] == pytest.approx(list(similar.values()), abs=1e-4)


def test_what_is_newer_than_the_model_is_among_the_similar_analyses(
    browser: Any, own_demo: DemoHome, tmp_path: Path
) -> None:
    sample = next(sample for sample in own_demo.corpus.fitted if sample.name == "1005")
    report = json.loads(sample.path.read_text(encoding="utf-8"))
    report["info"] |= {"id": 99_001, "started": "2016-06-01 10:00:00", "ended": "2016-06-01 10:02:00"}
    report["target"]["file"]["sha256"] = "ab" * 32
    report["behavior"]["summary"]["mutex"] = ["newer-than-the-model"]
    assert cuckoo_ml(own_demo.home, "import", written(tmp_path, report, "99001.json")).code == 0
    similar = cuckoo_ml(own_demo.home, "similar", "1005", "--json").json
    (newer,) = [row for row in similar if row["sha256"] == "ab" * 32]
    assert cuckoo_ml(own_demo.home, "atlas", tmp_path / "atlas.html").code == 0
    atlas = Atlas(browser, tmp_path / "atlas.html")
    atlas.open(f"{atlas.own}#analysis=1005")
    row = atlas.page.locator(f"#panel tr[data-newer='{newer['analysis']}']")
    row.wait_for()
    assert f"{newer['similarity']:.0%}".replace("%", " %") in row.inner_text()
    assert "newer than the model" in row.inner_text()
    assert atlas.is_quiet()
    atlas.close()


def test_the_same_model_gives_the_same_page(demo: DemoHome, page: Path, tmp_path: Path) -> None:
    again = tmp_path / "atlas.html"
    assert cuckoo_ml(demo.home, "atlas", again).code == 0
    assert again.read_bytes() == page.read_bytes()


def test_without_a_model_it_says_what_to_do(unfitted_home: Path, tmp_path: Path) -> None:
    result = cuckoo_ml(unfitted_home, "atlas", tmp_path / "atlas.html")
    assert result.code == 1
    assert f"{unfitted_home}: there is no model yet; 1 analysis" in result.err
    assert not (tmp_path / "atlas.html").exists()


def test_a_clustering_by_dbscan_has_a_page_without_a_tree(browser: Any, own_demo: DemoHome, tmp_path: Path) -> None:
    conf = own_demo.home / "cuckooml.conf"
    conf.write_text(re.sub(r"(?m)^algorithm = .*", "algorithm = dbscan", conf.read_text(encoding="utf-8")))
    assert cuckoo_ml(own_demo.home, "refit").code == 0
    assert cuckoo_ml(own_demo.home, "atlas", tmp_path / "atlas.html").code == 0
    atlas = Atlas(browser, tmp_path / "atlas.html")
    assert "There is no tree" in atlas.tab("tree")
    assert atlas.is_quiet()
    atlas.close()
