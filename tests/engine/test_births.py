"""Analyses that belong to nothing and are like each other are noticed before a refit, which then adopts their group."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.hostile_values import SCRIPTS
from support.new_family import report_of, write
from support.postgresql import postgresql_server, postgresql_url  # noqa: F401 -- fixtures

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.engine.births import births
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.between_refits.births import Newcomer
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_plugin.store.store import Store

WRITERS = 8


def import_each(home: Path, folder: Path, numbers: Sequence[int]) -> None:
    for number in numbers:
        done = cuckoo_ml(home, "import", write(folder, number))
        assert done.code == 0, done.err


def birth_reasons(section: dict[str, Any]) -> list[str]:
    return [reason["text"] for reason in section["anomaly"]["reasons"] if reason["kind"] == "birth"]


def test_a_group_is_noticed_named_in_sections_and_adopted_by_the_next_refit(own_demo: DemoHome, tmp_path: Path) -> None:
    home = own_demo.home
    import_each(home, tmp_path, (901, 902))
    assert cuckoo_ml(home, "births", "--json").json == [], "two analyses may be a chance"
    import_each(home, tmp_path, (903,))
    [group] = cuckoo_ml(home, "births", "--json").json
    assert [member["analysis"] for member in group["members"]] == ["901", "902", "903"]
    assert (group["samples"], group["days"]) == (3, 2)
    clusters = {cluster["id"] for cluster in cuckoo_ml(home, "clusters", "--json").json}
    assert group["id"] not in clusters
    assert max(int(name[1:]) for name in clusters) < int(group["id"][1:])
    listed = cuckoo_ml(home, "births")
    assert group["id"] in listed.out
    assert "903" in listed.out

    section = Enricher(home).enrich(report_of(904), "904", tmp_path / "904.json")
    assert section["cluster"] is None
    assert birth_reasons(section) == [
        "It is one of 4 samples in 2 days that are like each other and unlike all that is known: look at the new"
        " groups."
    ]
    engine = Engine(Home(home))
    earlier = engine.score_stored("901")
    assert earlier is not None
    assert birth_reasons(earlier.section()) == birth_reasons(section), "the first analysis says so from now on"

    import_each(home, tmp_path, (905,))
    done = cuckoo_ml(home, "refit", "--json")
    assert done.code == 0, done.err
    model = Engine(Home(home)).require_model()
    labels = model.clustering.labels
    of_analysis = {
        member.analysis: model.clusters[labels[point]].id if labels[point] >= 0 else None
        for point, member in model.members.all()
    }
    assert {of_analysis[str(number)] for number in range(901, 906)} == {group["id"]}
    assert [change["kind"] for change in model.facts["changes"] if change["cluster"] == group["id"]] == ["born"]
    assert cuckoo_ml(home, "births", "--json").json == [], "the group is a cluster now"
    import_each(home, tmp_path, (906,))
    assert cuckoo_ml(home, "births", "--json").json == [], "what belongs to a cluster is no birth"
    assert model.facts["next_cluster"] > int(group["id"][1:]), "no other cluster can get the id"


def test_repeats_of_one_sample_and_what_is_known_are_no_news(own_demo: DemoHome, tmp_path: Path) -> None:
    home = own_demo.home
    for number in range(901, 906):
        assert cuckoo_ml(home, "import", write(tmp_path, number, sample="one")).code == 0
    for sample in own_demo.corpus.fitted[:6]:
        copied = tmp_path / "again" / sample.name / "report.json"
        copied.parent.mkdir(parents=True)
        shutil.copy(sample.path, copied)
        assert cuckoo_ml(home, "import", copied).code == 0
    with Store.open(home / "store.db") as store:
        assert store.births(1) == []
    import_each(home, tmp_path, (907,))
    with Store.open(home / "store.db") as store:
        [group] = store.births(1)
        assert group.samples == 2
    assert cuckoo_ml(home, "births", "--json").json == []


def test_a_forgotten_analysis_leaves_its_group_and_the_id_is_never_given_again(
    own_demo: DemoHome, tmp_path: Path
) -> None:
    home = own_demo.home
    import_each(home, tmp_path, (901, 902, 903))
    [group] = cuckoo_ml(home, "births", "--json").json
    assert cuckoo_ml(home, "forget", "902").code == 0
    assert cuckoo_ml(home, "births", "--json").json == []
    digest = sha256(b"902").hexdigest().encode()
    assert all(digest not in path.read_bytes() for path in home.glob("store.db*"))
    assert cuckoo_ml(home, "forget", "901", "903").code == 0
    with Store.open(home / "store.db") as store:
        assert store.births(1) == []
    import_each(home, tmp_path, (911, 912, 913))
    [later] = cuckoo_ml(home, "births", "--json").json
    assert int(later["id"][1:]) > int(group["id"][1:])


def test_a_backup_keeps_the_groups(own_demo: DemoHome, tmp_path: Path) -> None:
    import_each(own_demo.home, tmp_path, (901, 902, 903))
    before = cuckoo_ml(own_demo.home, "births", "--json").json
    assert len(before) == 1
    assert cuckoo_ml(own_demo.home, "backup", tmp_path / "backup.zip").code == 0
    assert cuckoo_ml(tmp_path / "restored", "restore", tmp_path / "backup.zip").code == 0
    assert cuckoo_ml(tmp_path / "restored", "births", "--json").json == before


def test_hostile_names_are_shown_harmlessly(own_demo: DemoHome, tmp_path: Path) -> None:
    for number, name in enumerate(SCRIPTS[4:10], 901):
        assert cuckoo_ml(own_demo.home, "import", write(tmp_path, number, name=name)).code == 0
    done = cuckoo_ml(own_demo.home, "births")
    assert done.code == 0, done.err
    assert "\x1b]" not in done.out
    assert len(cuckoo_ml(own_demo.home, "births", "--json").json) == 1


def test_a_store_that_fails_leaves_the_finding_as_it_is(own_demo: DemoHome, tmp_path: Path) -> None:
    import_each(own_demo.home, tmp_path, (901, 902, 903))
    with Store.open(own_demo.home / "store.db") as store:
        store._db.write(lambda connection: connection.execute(text("DROP TABLE cuckooml_birth")))
    section = Enricher(own_demo.home).enrich(report_of(904), "904", tmp_path / "904.json")
    assert section["status"] == "scored"
    assert section["anomaly"]["score"] > 0
    assert birth_reasons(section) == []


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The location of an empty store."""
    return str(request.getfixturevalue("postgresql_url") if request.param == "postgresql" else tmp_path / "store.db")


def behaviour_of(number: int) -> Behaviour:
    shared = [f"mutex:lock-{place}" for place in range(30)]
    return Behaviour(sorted([*shared, f"mutex:own-{number}"]), {})


def newcomer(number: int, sample: str = "") -> Newcomer:
    behaviour = behaviour_of(number)
    assert behaviour.behash is not None
    name = sample or f"sample {number}"
    return Newcomer(str(number), behaviour.digest, behaviour.behash, behaviour.joined, name, 0.1)


def put(store: Store, number: int) -> None:
    store.put([AnalysisRecord(str(number), pack(behaviour_of(number).tokens, {}), True)])


def _store_and_notice(location: str, number: int, start: Any) -> None:
    with Store.open(location) as store:
        put(store, number)
        start.wait()
        store.add_newcomer(newcomer(number), 0.6, 40)


def test_writers_at_the_same_moment_make_one_group(location: str) -> None:
    Store.open(location).close()
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(WRITERS)
    processes = [context.Process(target=_store_and_notice, args=(location, n, start)) for n in range(WRITERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * WRITERS
    with Store.open(location) as store:
        [group] = store.births(2)
        assert (group.id, group.samples) == ("c40", WRITERS)
        assert store.next_cluster_number(0) == 41


def test_a_newcomer_joins_only_what_it_is_more_like_than_anything_known(location: str) -> None:
    with Store.open(location) as store:
        for number in range(4):
            put(store, number)
        assert store.add_newcomer(newcomer(0), 0.6, 7) is None
        known = newcomer(1)
        too_known = Newcomer(known.analysis, known.digest, known.behash, known.joined, known.sample, 0.99)
        assert store.add_newcomer(too_known, 0.6, 7) is None, "it is more like something known"
        assert store.add_newcomer(newcomer(2), 0.99, 7) is None, "they are less alike than the level"
        assert store.add_newcomer(newcomer(2), 0.6, 7) is None, "it was looked at with this behaviour before"
        assert store.add_newcomer(newcomer(3), 0.6, 7) == "c7"
        assert not store.claim_cluster_numbers(7, 12), "a group has this number"
        assert store.claim_cluster_numbers(8, 12)
        assert store.next_cluster_number(3) == 12


def test_a_running_host_shows_the_same_groups_to_every_process(own_demo: DemoHome, tmp_path: Path) -> None:
    first, second = Enricher(own_demo.home), Enricher(own_demo.home)
    for number in range(901, 907):
        section = (first, second)[number % 2].enrich(report_of(number), str(number), tmp_path / f"{number}.json")
        assert section["status"] == "scored", section["message"]
    [group] = births(Engine(Home(own_demo.home)))
    assert [member.analysis for member in group.members] == [str(number) for number in range(901, 907)]
