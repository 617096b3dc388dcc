"""What the host has deleted stays known, is shown as such, and no page links to it or to what took its number."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.web.render import CAPE
from cuckoo_ml_plugin.web.site import Addresses, Site


def test_a_deleted_task_has_no_link_and_a_later_sample_with_its_number_is_another(
    demo: DemoHome, tmp_path: Path
) -> None:
    storage, home = tmp_path / "storage", tmp_path / "home"
    first, other, kept = [sample for sample in demo.corpus.fitted if "cape/storage" in str(sample.path)][:3]
    for sample, number in ((first, 1), (kept, 2)):
        put_task(sample.path, storage, number)
    assert cuckoo_ml(home, "import", storage / "analyses").code == 0
    engine = Engine(Home(home))
    old, still = sorted(engine.store.analyses_in_order(behaviours=False), key=lambda stored: str(stored.source_path))

    def page_of(analysis: str) -> str:
        site = Site(Home(home), CAPE, Addresses("/cuckooml/", "/analysis/{}/"), storage / "analyses")
        answer = site.page("analysis", {"id": analysis})
        assert answer.status == 200
        return answer.html.partition('<table class="cml-similar">')[0]  # the other analysis is similar, and has a link

    assert 'href="/analysis/1/"' in page_of(old.analysis)
    shutil.rmtree(storage / "analyses" / "1")
    assert "/analysis/1/" not in page_of(old.analysis)
    assert "no longer at the host" in page_of(old.analysis)
    assert 'href="/analysis/2/"' in page_of(still.analysis)

    put_task(other.path, storage, 1)  # ids have begun again
    assert cuckoo_ml(home, "import", storage / "analyses").code == 0
    stored = {analysis.analysis: analysis for analysis in engine.store.analyses_in_order(behaviours=False)}
    new = next(name for name in stored if name not in (old.analysis, still.analysis))
    assert stored[new].sha256 != old.sha256
    later = max((old, stored[new]), key=lambda analysis: analysis.analysed_at or "")
    earlier = old if later is not old else stored[new]
    assert 'href="/analysis/1/"' in page_of(later.analysis)
    assert "/analysis/1/" not in page_of(earlier.analysis)
    assert "no longer at the host" in page_of(earlier.analysis)
    done = cuckoo_ml(home, "forget", "--deleted-in-host", "--host-root", tmp_path, "--json")
    assert done.json["analyses"] == [earlier.analysis]


def put_task(report: Path, storage: Path, number: int) -> None:
    """An analysis of a host under another task id."""
    folder = storage / "analyses" / str(number)
    shutil.copytree(report.parents[1], folder)
    content = json.loads(report.read_bytes())
    content["info"]["id"] = number
    (folder / "reports" / "report.json").write_text(json.dumps(content))
