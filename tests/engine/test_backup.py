"""A home as one file: taken while the host works, checked before it is put back, and refused when it is hostile."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.hangs import locked_sqlite
from support.postgresql import postgresql_server, postgresql_url  # noqa: F401 -- fixtures

from cuckoo_ml_plugin.engine.archive.backup import FORMAT, HEADER, MANIFEST
from cuckoo_ml_plugin.engine.arrivals.spool import Spool
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.model.folder import current_id
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_plugin.store.store import Store


def state(home: Path) -> tuple[list[str], dict[str, dict[str, str]], str | None, list[str]]:
    """Analyses, labels, the model in force and all models of a home."""
    with Store.open(home / "store.db") as store:
        names = [stored.analysis for stored in store.analyses_in_order() if stored.unpack()]
        labels = store.labels_of(names)
    models = [model["id"] for model in cuckoo_ml(home, "models", "list", "--json").json]
    return names, labels, current_id(home / "models"), models


@pytest.fixture
def backup(own_demo: DemoHome, tmp_path: Path) -> Path:
    (own_demo.home / "install.json").write_text('{"root": "/opt/CAPEv2", "pieces": [], "folders": []}')
    file = tmp_path / "home.tar.gz"
    done = cuckoo_ml(own_demo.home, "backup", file)
    assert done.code == 0, done.err
    return file


def test_a_home_comes_back_whole_in_a_new_place(own_demo: DemoHome, backup: Path, tmp_path: Path) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600
    done = cuckoo_ml(tmp_path / "new" / "place", "restore", backup, "--json")
    assert done.code == 0, done.err
    new = tmp_path / "new" / "place"
    assert state(new) == state(own_demo.home)
    for name in ("cuckooml.conf", "install.json"):
        assert (new / name).read_bytes() == (own_demo.home / name).read_bytes()
    samples = [sample.path for sample in own_demo.corpus.new]
    assert (
        cuckoo_ml(new, "score", *samples, "--json").json == cuckoo_ml(own_demo.home, "score", *samples, "--json").json
    )
    assert sorted(path.name for path in new.parent.iterdir()) == ["place"], "nothing is left beside it"
    assert cuckoo_ml(new, "refit").code == 0
    assert sorted(path.name for path in tmp_path.glob(".unfinished*")) == []


def test_a_tar_program_can_read_it(backup: Path) -> None:
    with tarfile.open(backup) as archive:
        names = archive.getnames()
        manifest = json.loads(archive.extractfile(MANIFEST).read())  # type: ignore[union-attr]
        for entry in manifest["files"]:
            content = archive.extractfile(entry["path"]).read()  # type: ignore[union-attr]
            assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["size"], entry["sha256"])
    assert (names[0], names[-1]) == (HEADER, MANIFEST)
    assert {entry["path"] for entry in manifest["files"]} == set(names[1:-1])


def test_a_home_that_is_there_is_set_aside_and_never_deleted(own_demo: DemoHome, backup: Path) -> None:
    home = own_demo.home
    then = state(home)
    name = then[0][0]
    assert cuckoo_ml(home, "forget", name).code == 0
    (home / "install.json").write_text('{"root": "/opt/CAPEv2", "pieces": [1], "folders": []}')
    now = state(home)
    refused = cuckoo_ml(home, "restore", backup)
    assert refused.code == 1
    assert "not empty" in refused.err
    assert "--force" in refused.err
    assert state(home) == now
    done = cuckoo_ml(home, "restore", backup, "--force", "--json")
    assert done.code == 0, done.err
    aside = Path(done.json["aside"])
    assert aside == home.with_name(f"{home.name}.before-restore")
    assert state(home) == then
    assert state(aside) == now
    assert '"pieces": [1]' in (home / "install.json").read_text(), "what is installed now is what this machine has"
    again = cuckoo_ml(home, "restore", backup, "--force", "--json")
    assert Path(again.json["aside"]).name == f"{home.name}.before-restore-2"


def test_a_backup_replaces_a_backup_and_nothing_else(own_demo: DemoHome, backup: Path, tmp_path: Path) -> None:
    backup.chmod(0o644)
    assert cuckoo_ml(own_demo.home, "backup", backup).code == 0
    assert backup.stat().st_mode & 0o777 == 0o600
    other = tmp_path / "thesis.tar.gz"
    with tarfile.open(other, "w:gz") as archive:
        archive.add(own_demo.home / "cuckooml.conf", "chapter")
    for file, sentence in (
        (other, "this is no backup of cuckoo-ml, and is left alone"),
        (own_demo.home / "cuckooml.conf", "this is no backup of cuckoo-ml, and is left alone"),
        (tmp_path, "this is a folder"),
        (tmp_path / "nowhere" / "x.tar.gz", "there is no folder"),
    ):
        before = file.read_bytes() if file.is_file() else b""
        done = cuckoo_ml(own_demo.home, "backup", file)
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert sentence in done.err
        assert before == (file.read_bytes() if file.is_file() else b"")
    inside = own_demo.home / "mine.tar.gz"
    assert cuckoo_ml(own_demo.home, "backup", inside).code == 0
    size = inside.stat().st_size
    assert cuckoo_ml(own_demo.home, "backup", inside).code == 0
    assert inside.stat().st_size < 1.1 * size, "a backup in the home does not hold the one before"


def waits(demo: DemoHome, number: int, task: str) -> None:
    """Let an analysis wait for the store, as it does while another program keeps it."""
    results = json.loads(demo.corpus.new[number].path.read_text(encoding="utf-8"))
    with locked_sqlite(demo.home):
        section = Enricher(demo.home, patience=0.1).enrich(results, task, f"/nowhere/{task}/reports/report.json")
    assert "It waits in the home" in section["message"]


def tasks(home: Path) -> set[str]:
    with Store.open(home / "store.db") as store:
        return {stored.task for stored in store.of_tasks(["801", "802", "803"])}


def test_what_waits_to_be_stored_is_in_the_backup_and_is_stored_after_a_restore(
    own_demo: DemoHome, tmp_path: Path
) -> None:
    waits(own_demo, 0, "801")
    made = cuckoo_ml(own_demo.home, "backup", tmp_path / "home.tar.gz", "--json")
    assert made.json["waiting"] == 1
    assert "1 analysis" in cuckoo_ml(own_demo.home, "backup", tmp_path / "home.tar.gz").out
    new = tmp_path / "new"
    done = cuckoo_ml(new, "restore", tmp_path / "home.tar.gz")
    assert done.code == 0, done.err
    assert "To be stored by the next analysis or refit: 1 analysis." in done.out
    [file] = Spool(Home(new)).waiting()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert cuckoo_ml(new, "refit", "--if-needed").code == 0
    assert tasks(new) == {"801"}
    assert Spool(Home(new)).waiting() == []


def test_what_waits_in_a_home_that_is_restored_over_waits_on_in_the_restored_one(
    own_demo: DemoHome, tmp_path: Path
) -> None:
    home = own_demo.home
    waits(own_demo, 0, "801")
    assert cuckoo_ml(home, "backup", tmp_path / "home.tar.gz").code == 0
    assert cuckoo_ml(home, "refit", "--if-needed").code == 0
    waits(own_demo, 1, "802")
    done = cuckoo_ml(home, "restore", tmp_path / "home.tar.gz", "--force", "--json")
    assert done.code == 0, done.err
    assert done.json["waiting"] == 2, "that of the backup and that of the home"
    results = json.loads(own_demo.corpus.new[2].path.read_text(encoding="utf-8"))
    assert "not stored" not in Enricher(home).enrich(results, "803", None)["message"]
    assert cuckoo_ml(home, "refit", "--if-needed").code == 0
    assert tasks(home) == {"801", "802", "803"}
    assert Spool(Home(home)).waiting() == []


def test_a_backup_in_which_nothing_waits_is_one_that_earlier_versions_restore(backup: Path) -> None:
    with tarfile.open(backup) as archive:
        header = json.loads(archive.extractfile(HEADER).read())  # type: ignore[union-attr]
    assert header["format"] == 1


def test_workers_write_and_refits_publish_while_a_backup_is_taken(own_demo: DemoHome, tmp_path: Path) -> None:
    home = own_demo.home
    stop, written, failures = threading.Event(), [0], []

    def write() -> None:
        try:
            with Store.open(home / "store.db") as store:
                while not stop.is_set():
                    tokens = [f"mutex:m{written[0]}-{number}" for number in range(40)]
                    store.put([AnalysisRecord(f"live-{written[0]}", pack(tokens, {}), True)])
                    written[0] += 1
        except Exception as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    refit = threading.Thread(target=refit_twice, args=(home,))
    refit.start()
    backups: list[tuple[Path, int]] = []
    try:
        while refit.is_alive() or not backups:
            file = tmp_path / f"{len(backups)}.tar.gz"
            before = written[0]
            done = cuckoo_ml_process(home, "backup", file)
            assert done == 0
            backups.append((file, before))
    finally:
        stop.set()
        writer.join()
        refit.join()
    assert not failures
    for number, (file, before) in enumerate(backups):
        restored = tmp_path / f"restored-{number}"
        done_restore = cuckoo_ml(restored, "restore", file)
        assert done_restore.code == 0, done_restore.err
        names, _, current, models = state(restored)
        live = [name for name in names if name.startswith("live-")]
        assert len(live) >= before
        assert live == [f"live-{n}" for n in range(len(live))], "one moment of the store: nothing is missing before it"
        assert current in models


def refit_twice(home: Path) -> None:
    for _ in range(2):
        assert cuckoo_ml_process(home, "refit") == 0


def cuckoo_ml_process(home: Path, *arguments: object) -> int:
    command = [sys.executable, "-m", "cuckoo_ml_plugin", "--home", str(home), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True).returncode


# -- files that are no backup, damaged or hostile ----------------------------------------------------------------------
def _text(name: str, value: Any) -> tuple[tarfile.TarInfo, bytes]:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def _header(**changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    return _text(HEADER, {"format": 1, "version": "0", "made_at": "2026-01-01", "store": "sqlite", **changes})


def _manifest(files: dict[str, bytes], current: str | None = None) -> tuple[tarfile.TarInfo, bytes]:
    listed = [
        {"path": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    ]
    return _text(MANIFEST, {"current": current, "files": listed})


def _special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def _sparse() -> tuple[tarfile.TarInfo, bytes]:
    member, content = _text("store.db", b"x" * 512)
    member.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.size": str(10**15), "GNU.sparse.map": "0,512"}
    return member, content


def _members(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _bomb() -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as file:
        member, content = _header()
        file.write(member.tobuf() + content.ljust(512, b"\0"))
        large = tarfile.TarInfo("store.db")
        large.size = 2**33
        file.write(large.tobuf())
        for _ in range(320):
            file.write(bytes(2**20))
    return packed.getvalue()


def _huge_name() -> bytes:
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 2**33
    return gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(2**20))


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a path upwards": (lambda: _members(_header(), _text("../../etc/passwd", b"x")), "is no file of a home"),
    "an absolute path": (lambda: _members(_header(), _text("/etc/passwd", b"x")), "is no file of a home"),
    "a path through a model": (lambda: _members(_header(), _text("models/../../x", b"x")), "is no file of a home"),
    "a model in the place of the link": (lambda: _members(_header(), _text("models/current/x", b"")), "no file of a"),
    "no analysis that waits": (lambda: _members(_header(), _text("spool/x", b"x")), "is no file of a home"),
    "a file in the place of the spool": (lambda: _members(_header(), _text("spool", b"x")), "is no file of a home"),
    "a hidden file": (lambda: _members(_header(), _text(".bashrc", b"x")), "is no file of a home"),
    "a link": (lambda: _members(_header(), _special("store.db", tarfile.SYMTYPE, "/etc/shadow")), "no plain file"),
    "a hard link": (lambda: _members(_header(), _special("store.db", tarfile.LNKTYPE, "/etc/shadow")), "no plain file"),
    "a device": (lambda: _members(_header(), _special("store.db", tarfile.CHRTYPE)), "no plain file"),
    "a pipe": (lambda: _members(_header(), _special("store.db", tarfile.FIFOTYPE)), "no plain file"),
    "a sparse file": (lambda: _members(_header(), _sparse()), "no plain file"),
    "a file twice": (lambda: _members(_header(), _text("a", b"1"), _text("a", b"2")), "comes twice"),
    "a bomb": (_bomb, "unpacks to far more than a home"),
    "a name without end": (_huge_name, "too large to be read"),
    "another archive": (lambda: _members(_text("readme", b"x")), "no backup of cuckoo-ml"),
    "no archive": (lambda: b"%PDF-1.7 and so on", "no backup of cuckoo-ml"),
    "nothing": (lambda: b"", "no backup of cuckoo-ml"),
    "a newer format": (
        lambda: _members(_header(format=FORMAT + 1, version="9.9")),
        "written by a newer cuckoo-ml-plugin (9.9)",
    ),
    "no manifest": (lambda: _members(_header(), _text("cuckooml.conf", b"")), "its manifest is missing"),
    "a file that is not listed": (
        lambda: _members(_header(), _text("a", b""), _manifest({})),
        "differs from the manif",
    ),
    "a file that is missing": (lambda: _members(_header(), _manifest({"a": b""})), "differs from the manifest"),
    "a changed file": (lambda: _members(_header(), _text("a", b"x"), _manifest({"a": b"y"})), "differs from the manif"),
    "a model that is missing": (lambda: _members(_header(), _manifest({}, "m1")), "the model in force, m1, is not in"),
    "no store": (lambda: _members(_header(), _text("store.db", b"x"), _manifest({"store.db": b"x"})), "no store of"),
}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_what_is_no_backup_is_refused_by_a_sentence_and_changes_nothing(
    kind: str, unfitted_home: Path, tmp_path: Path
) -> None:
    content, sentence = HOSTILE[kind]
    file = tmp_path / "hostile.tar.gz"
    file.write_bytes(content())
    before = sorted((path, path.lstat().st_mtime_ns) for path in unfitted_home.rglob("*") if path.name != ".refit.lock")
    around = sorted(os.listdir(tmp_path))
    for home, options in ((unfitted_home, ["--force"]), (tmp_path / "fresh", [])):
        done = cuckoo_ml(home, "restore", file, *options)
        assert (done.code, done.err.count("\n")) == (1, 1), done.err
        assert sentence in done.err
    after = sorted((path, path.lstat().st_mtime_ns) for path in unfitted_home.rglob("*") if path.name != ".refit.lock")
    assert after == before
    assert sorted(os.listdir(tmp_path)) == around


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_backup_that_was_cut_off_is_refused(backup: Path, tmp_path: Path, share: float) -> None:
    content = backup.read_bytes()
    backup.write_bytes(content[: int(len(content) * share)])
    done = cuckoo_ml(tmp_path / "fresh", "restore", backup)
    assert done.code == 1
    assert "incomplete" in done.err
    assert not (tmp_path / "fresh").exists()


def test_a_missing_backup_and_a_damaged_store_are_named(own_demo: DemoHome, tmp_path: Path) -> None:
    done = cuckoo_ml(tmp_path / "fresh", "restore", tmp_path / "none.tar.gz")
    assert (done.code, "No such file" in done.err) == (1, True)
    shutil.copytree(own_demo.home, tmp_path / "damaged", symlinks=True)
    with closing(sqlite3.connect(tmp_path / "damaged" / "store.db")) as connection, connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray((tmp_path / "damaged" / "store.db").read_bytes())
    content[8192:20480] = b"\xff" * 12288
    (tmp_path / "damaged" / "store.db").write_bytes(content)
    done = cuckoo_ml(tmp_path / "damaged", "backup", tmp_path / "damaged.tar.gz")
    assert done.code == 1
    assert "damaged" in done.err
    assert not (tmp_path / "damaged.tar.gz").exists()
    assert list(tmp_path.glob(".unfinished*")) == []


def test_rows_in_postgresql_are_said_not_to_be_in_the_file(
    own_demo: DemoHome,
    postgresql_url: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    (own_demo.home / "cuckooml.conf").write_text(f"[store]\nurl = {postgresql_url}\n")
    done = cuckoo_ml(own_demo.home, "backup", tmp_path / "home.tar.gz", "--json")
    assert done.code == 0, done.err
    assert done.json["store"] == "postgresql"
    assert "pg_dump" in done.err
    restored = cuckoo_ml(tmp_path / "fresh", "restore", tmp_path / "home.tar.gz")
    assert restored.code == 0
    assert "PostgreSQL" in restored.err
    assert not (tmp_path / "fresh" / "store.db").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root acts as another user")
def test_what_root_restores_belongs_to_the_owner_of_the_home(backup: Path, own_demo: DemoHome, tmp_path: Path) -> None:
    host, groups = tmp_path / "host", os.getgroups()
    home = host / "home"
    host.mkdir()
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o011)  # pytest's folders are root's alone
    os.chown(host, 1234, 1234)
    assert cuckoo_ml(home, "restore", backup).code == 0
    assert owners_in(home) == {(1234, 1234)}
    (host / "elsewhere").symlink_to("/etc")
    assert cuckoo_ml(home, "restore", backup, "--force").code == 0
    assert owners_in(home) == {(1234, 1234)}
    for path in (home, *home.rglob("*")):  # a home of one user in the folder of another
        os.chown(path, 1235, 1235, follow_symlinks=False)
    assert cuckoo_ml(home, "restore", backup, "--force").code == 0
    assert owners_in(home) == {(1235, 1235)}
    assert host.stat().st_uid == 1234
    assert not list(host.glob(".*"))
    assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, groups)


def owners_in(home: Path) -> set[tuple[int, int]]:
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in (home, *home.rglob("*"))}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root acts as another user")
def test_a_home_of_roots_in_a_users_folder_is_restored_as_that_users(
    backup: Path, own_demo: DemoHome, tmp_path: Path
) -> None:
    """That user can rearrange the folder while root writes, so root's rights play no part in it."""
    host = tmp_path / "host"
    home = host / "home"
    home.mkdir(parents=True)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o011)
    os.chown(host, 1234, 1234)
    done = cuckoo_ml(home, "restore", backup)
    assert done.code == 0, done.err
    assert owners_in(home) == {(1234, 1234)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could be led to other files")
def test_no_link_in_a_home_leads_roots_backup_elsewhere(own_demo: DemoHome, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "model.json").write_text("root's own words")
    (own_demo.home / "notes.txt").symlink_to(secret / "model.json")
    (own_demo.home / "models" / "evil").symlink_to(secret)
    assert cuckoo_ml(own_demo.home, "backup", tmp_path / "home.tar.gz").code == 0
    assert b"root's own words" not in gzip.decompress((tmp_path / "home.tar.gz").read_bytes())
