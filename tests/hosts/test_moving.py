"""A home moves while processes store in it: nothing that was reported as stored is lost, and a kill leaves it whole."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.cape_loader import make_cape
from support.command import cuckoo_ml
from support.kills import killed_before
from support.reports import CUCKOO_REPORT
from support.time_limits import HANG

from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.hosts.installation import home_place, moving
from cuckoo_ml_plugin.hosts.installation.installer import Site
from cuckoo_ml_plugin.store.store import Store

PROCESSES = 3


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """CAPE's folder with a home where an older version had it, in which one analysis is stored."""
    root = make_cape(tmp_path / "cape")
    site = Site("cape", root, root / "custom/cuckooml", older=(root / "storage/cuckooml",))
    assert "not stored" not in store_one(Enricher(site.older[0]), 1)
    return site


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    memory = Path("/dev/shm")
    if not memory.is_dir() or not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own here")
    with tempfile.TemporaryDirectory(prefix="cuckoo-ml-", dir=memory) as folder:
        yield Path(folder)


def named(site: Site, place: Path) -> Site:
    return replace(site, home_line=f"home = {place}")


def store_one(enricher: Enricher, number: int) -> str:
    """Store an analysis; the message of its section."""
    report = copy.deepcopy(CUCKOO_REPORT)
    report["info"]["id"] = number
    report["target"]["file"]["sha256"] = f"{number:064x}"
    return str(enricher.enrich(report, str(number))["message"])


def stored_in(home: Path) -> set[int]:
    with Store.open(home / "store.db") as store:
        return {int(analysis.analysis) for analysis in store.analyses_in_order()}


def go_on_storing(home: Path, log: Path, first: int, *, restarts: bool) -> int:
    """Store one analysis after another in a process of its own, by a path, and log how each was reported."""
    pid = os.fork()
    if pid:
        return pid
    try:
        enricher = Enricher(home)
        with log.open("a", buffering=1) as file:
            for number in range(first, first + 100_000):
                message = store_one(Enricher(home) if restarts else enricher, number)
                file.write(f"{number} {'refused' if 'not stored' in message else 'stored'} {message}\n")
    finally:
        os._exit(70)


def while_storing(home: Path, folder: Path, work: Callable[[], object]) -> tuple[set[int], dict[int, str]]:
    """Do the work while processes store in a home; which analyses were reported as stored, and how the others were."""
    logs = [folder / f"log{number}" for number in range(PROCESSES)]
    pids = [go_on_storing(home, log, (number + 1) * 100_000, restarts=number == 0) for number, log in enumerate(logs)]

    def lines() -> list[list[str]]:
        return [log.read_text().splitlines() if log.exists() else [] for log in logs]

    def wait_for(more: int) -> None:
        target, deadline = [len(log) + more for log in lines()], time.monotonic() + HANG
        while any(len(log) < least for log, least in zip(lines(), target, strict=True)):
            assert time.monotonic() < deadline, lines()
            time.sleep(0.01)

    try:
        wait_for(3)
        work()
        wait_for(3)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    reported = [line.split(" ", 2) for log in lines() for line in log if line.count(" ") >= 2]
    return {int(line[0]) for line in reported if line[1] == "stored"}, {
        int(line[0]): line[2] for line in reported if line[1] != "stored"
    }


def check_nothing_is_lost(site: Site, reported: set[int]) -> None:
    stored = stored_in(site.home)
    assert reported <= stored
    assert len(stored - reported - {1}) <= PROCESSES, "those that were stored and not reported before the end"
    assert site.home.is_dir()
    assert not site.home.is_symlink()
    assert all(path.is_symlink() for path in site.earlier if os.path.lexists(path)), "no other home was begun"
    places = (site.home, *site.earlier)
    assert [path for place in places for path in place.parent.glob(f".unfinished-{place.name}")] == []


def test_what_is_stored_while_the_home_moves_is_in_the_home_that_moved(site: Site, tmp_path: Path) -> None:
    reported, refused = while_storing(site.older[0], tmp_path, lambda: home_place.make_home(site))
    assert refused == {}
    check_nothing_is_lost(site, reported)
    assert stored_in(site.older[0]) == stored_in(site.home), "the old path leads to it"


def test_where_no_two_names_can_be_exchanged_nothing_is_lost_either(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "exchange", lambda *_: False)
    home_place.make_home(site)
    check_nothing_is_lost(site, {1})


def test_what_comes_late_while_the_home_moves_to_another_disk_is_reported_as_not_stored(
    site: Site, tmp_path: Path, other_disk: Path
) -> None:
    site = named(site, other_disk / "home")
    reported, refused = while_storing(site.older[0], tmp_path, lambda: home_place.make_home(site))
    enricher = Enricher(site.older[0])
    while enricher.store_waiting():
        pass
    assert all("not stored" in message for message in refused.values())
    check_nothing_is_lost(
        site, reported | {name for name, message in refused.items() if "It waits in the home" in message}
    )
    assert store_one(enricher, 2).count("not stored") == 0
    assert 2 in stored_in(site.home)


def test_the_old_store_refuses_a_process_that_waited_for_it(
    site: Site, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message says where the home is. It has the old store open, and gets its turn when the copy is made."""
    site, refused = named(site, other_disk / "home"), []

    def leave(source: Path, target: Path) -> None:
        refused.append(store_one(Enricher(source), 2))
        original(source, target)

    original = moving._leave
    monkeypatch.setattr(moving, "_leave", leave)
    home_place.make_home(site)
    assert "was not stored" in refused[0]
    assert f"the home has moved to {site.home}" in refused[0]
    assert stored_in(site.home) == {1}


@pytest.mark.parametrize("disk", ["the same disk", "another disk"])
def test_a_move_killed_at_any_moment_leaves_a_whole_home_and_is_completed_by_repeating_it(
    disk: str, site: Site, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_OPENING", 0)
    if disk == "another disk":
        site = named(site, request.getfixturevalue("other_disk") / "home")
    old, kept = site.older[0], tmp_path / "kept"
    old.rename(kept)

    def make() -> int:
        home_place.make_home(site)
        return 0

    for number in (*range(1, 20), *range(20, 200, 3)):
        for path in (old, site.home, site.usual):
            remove(path)
        shutil.copytree(kept, old)
        if not killed_before(number, make, (moving, "exchange"), (moving, "_refuse")):
            break
        assert stored_in(old) == {1}, "the old path leads to the whole home"
        make()
        check_nothing_is_lost(site, {1})
        assert store_one(Enricher(old), 2).count("not stored") == 0
        assert stored_in(site.home) == {1, 2}
    assert number > 5


def remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def test_a_move_that_is_given_up_leaves_a_home_that_can_be_used(
    site: Site, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed when the old store refused already; then the admin takes the option away."""
    moved = named(site, other_disk / "home")

    def make() -> int:
        monkeypatch.setattr(moving, "move_folder", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        home_place.make_home(moved)
        return 0

    assert killed_before(1_000, make)
    assert refuses(site.older[0])
    home_place.make_home(site)
    assert not refuses(site.home)
    assert 1 in stored_in(site.home)


def refuses(home: Path) -> bool:
    return "home has moved" in store_one(Enricher(home), 3)


def test_a_home_that_is_a_link_stays_where_it_leads(site: Site, tmp_path: Path) -> None:
    old, disk = site.older[0], tmp_path / "big disk"
    old.rename(disk)
    old.symlink_to(disk)
    home_place.make_home(site)
    assert site.home.resolve() == disk
    assert stored_in(old) == stored_in(site.home) == {1}
    assert home_place.links_to_home(site) == [old]


def test_a_refit_that_runs_keeps_the_home_where_it_is(site: Site) -> None:
    from cuckoo_ml_plugin.engine.model_lock import alone
    from cuckoo_ml_plugin.home import Home

    with alone(Home(site.older[0])):
        done = cuckoo_ml(site.root, "install", "--host", "cape", "--root", site.root, "--refit", "none")
    assert done.code == 1
    assert "another command is at work on its models" in done.err
    assert stored_in(site.older[0]) == {1}
    assert not site.home.exists()
