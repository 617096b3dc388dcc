"""Whoever names an analysis that is not stored is offered those that he may mean, the same ones at every door."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.frames.desk import Desk
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.web.render import CAPE
from cuckoo_ml_plugin.web.request import Reader
from cuckoo_ml_plugin.web.site import Addresses, Site


def test_an_id_that_was_forgotten_brings_up_the_others_of_that_name(own_demo: DemoHome, tmp_path: Path) -> None:
    home = own_demo.home
    folders = ("mail", "proxy", "honeypot")
    for folder, sample in zip(folders, own_demo.corpus.new, strict=False):
        report = json.loads(sample.path.read_bytes())
        report["info"].pop("id", None)
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "dropper.json").write_text(json.dumps(report))
        assert cuckoo_ml(home, "import", tmp_path / folder).code == 0
    assert cuckoo_ml(home, "forget", "dropper").code == 0  # the first of them, which had the plain name

    for command in ("similar", "forget"):
        done = cuckoo_ml(home, command, "dropper")
        assert done.code == 1
        assert "did you mean honeypot/dropper or proxy/dropper?" in " ".join(done.err.split())
    labels = tmp_path / "labels.tsv"
    unknown = ["dropper.json", "backdoor", *(f"{number}-{'x' * 5000}" for number in range(30))]
    labels.write_text("".join(f"{name}\tzbot\n" for name in unknown), encoding="utf-8")
    told = cuckoo_ml(home, "import", "--labels", labels).out
    assert "no analysis dropper.json is stored, so its label was skipped; did you mean honeypot/dropper or" in told
    assert "no analysis backdoor is stored, so its label was skipped; check the id." in told
    assert "named in the labels, not stored" in told
    assert "and 22 more such names" in told
    assert len(told) < 8000, "whatever the file names"
    desk = Desk(home)
    for ask in (desk.score, desk.behaviour, desk.labels_of, desk.similar):
        with pytest.raises(CuckooMLError, match=r"did you mean honeypot/dropper or proxy/dropper\?"):
            ask("dropper")
    site = Site(Home(home), CAPE, Addresses("/cuckooml/", "/analysis/{}/"))
    answer = site.page("analysis", {"id": "dropper"})
    assert answer.status == 404
    for name in ("honeypot", "proxy"):
        assert f'<a href="/cuckooml/analysis/?id={name}%2Fdropper"><bdi>{name}/dropper</bdi></a>' in answer.html
        assert cuckoo_ml(home, "forget", f"{name}/dropper", "--dry-run").code == 0, "what is offered is stored"
    with pytest.raises(CuckooMLError, match=r"store and no such file; check the id\."):
        desk.score("backdoor")
    assert "Did you mean" not in site.page("analysis", {"id": "backdoor"}).html
    of_proxy = Reader("proxy", lambda analyses: [known.analysis for known in analyses if "proxy" in known.analysis])
    offered = site.page("analysis", {"id": "dropper"}, of_proxy)
    assert (offered.status, "proxy/dropper" in offered.html, "honeypot" in offered.html) == (404, True, False)
