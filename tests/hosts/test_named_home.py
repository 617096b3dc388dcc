"""The home that the host's option ``home`` names: it is installed, watched and moved as the usual one is."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cape_loader import make_cape
from support.command import Done, cuckoo_ml
from support.cuckoo2_client import client
from support.reports import CUCKOO_REPORT

from cuckoo_ml_plugin.hosts.cape.analysis import home_of
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.store.store import Store


class Host:
    """A host's folder with the plugin in it, or about to have it."""

    def __init__(self, name: str, root: Path, *options: object) -> None:
        self.name, self.root, self._options = name, root, options
        self.usual = root / ("custom/cuckooml" if name == "cape" else "storage/cuckooml")
        self.conf = root / ("custom/conf/reporting.conf.d/cuckooml.conf" if name == "cape" else "conf/reporting.conf")

    def run(self, command: str, *more: object) -> Done:
        options = (*self._options, "--refit", "cron") if command == "install" else ()
        return cuckoo_ml(self.root / "unused", command, "--host", self.name, "--root", self.root, *options, *more)

    def install(self) -> str:
        done = self.run("install")
        assert done.code == 0, done.err
        return " ".join(done.out.split())

    def plan(self) -> str:
        """What an installation would do, without spaces: column by column, as a long text has several lines."""
        done = self.run("install", "--dry-run")
        assert done.code == 0, done.err
        rows = [line.split("│") for line in done.out.splitlines() if "│" in line]
        return re.sub(r"\s", "", "".join(cell for column in zip(*rows, strict=True) for cell in column))

    def name_home(self, line: str) -> None:
        """What an admin writes into our lines of the configuration."""
        self.conf.write_text(re.sub(r"^home\b.*$", line, self.conf.read_text(), flags=re.MULTILINE))

    def check(self, name: str) -> tuple[bool, str]:
        checks = {row["check"]: row for row in self.run("doctor", "--json").json}
        return checks[name]["ok"], str(checks[name]["said"])

    def message(self, task: int = 210) -> str:
        """The message of an analysis in the home that the host uses now."""
        named = re.findall(r"^home\s*=[ ]*(.+)$", self.conf.read_text(), re.MULTILINE)
        find: Callable[..., Path | str] = home_of if self.name == "cape" else client().home_of
        home = find(self.root if self.name == "cape" else str(self.root), named[0] if named else None)
        report = {**CUCKOO_REPORT, "info": {**CUCKOO_REPORT["info"], "id": task}}
        section = Enricher(Path(home)).enrich(report, str(task))
        assert section["status"] == "no_model", section
        return str(section["message"])


@pytest.fixture(params=["cape", "cuckoo2"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    if request.param == "cape":
        return Host("cape", make_cape(tmp_path / "cape"))
    cwd, environment = tmp_path / "cwd", tmp_path / "env"
    package = environment / "lib" / "cuckoo"
    rooms = [package / name for name in ("common", "processing", "reporting")]
    for folder in (cwd / "conf", cwd / "storage", environment / "bin", *rooms):
        folder.mkdir(parents=True)
    for name in ("processing", "reporting"):
        (cwd / "conf" / f"{name}.conf").write_text("[jsondump]\nenabled = yes\n")
    python = environment / "bin" / "python"
    python.write_text(f"#!/bin/sh\nprintf %s '{package}'\n")
    python.chmod(0o755)
    return Host("cuckoo2", cwd, "--python", environment)


def analyses(home: Path) -> set[str]:
    with Store.open(home / "store.db") as store:
        return {stored.analysis for stored in store.analyses_in_order()}


def test_a_named_home_that_is_gone_or_replaced_is_said_by_all_that_use_it(host: Host, tmp_path: Path) -> None:
    home, backup = tmp_path / "disk" / "ml", tmp_path / "backup.tar.gz"
    home.parent.mkdir()
    host.install()
    host.name_home(f"home={home}")
    said = host.install()
    assert f"--home {home} refit --if-needed" in said, "the timer and what is printed use it"
    assert f"Home: {home}" in said
    assert host.check("home")[0], host.check("home")
    assert host.check("files")[0], "the admin's own line is no change of ours"
    assert "home" not in host.message()
    assert cuckoo_ml(home, "refit", "--if-needed").code == 0
    assert cuckoo_ml(home, "backup", backup).code == 0

    shutil.rmtree(home)
    ok, gone = host.check("home")
    assert not ok
    assert f"{home}: the home that was installed here is gone" in gone
    assert host.run("doctor").code == 1
    refit = cuckoo_ml(home, "refit", "--if-needed")
    assert refit.code == 1
    assert "is gone" in " ".join(refit.err.split())
    assert "was replaced by another" in host.message()
    assert "was replaced by another" in host.check("home")[1]
    refit = cuckoo_ml(home, "refit", "--if-needed")
    assert refit.code == 1
    assert "restore FILE" in " ".join(refit.err.split())

    assert cuckoo_ml(home, "restore", backup, "--force").code == 0
    assert "home" not in host.message()
    assert "replaced" not in host.check("home")[1]
    assert cuckoo_ml(home, "refit", "--if-needed").code == 0
    shutil.rmtree(home)
    host.install()  # to go on without it
    assert host.check("home")[0], host.check("home")
    assert "home" not in host.message()
    assert host.run("uninstall", "--purge").code == 0
    assert [path.name for path in home.parent.iterdir() if not path.name.startswith("ml.before")] == []


def test_an_option_that_is_set_after_the_installation_moves_nothing_before_install(host: Host, tmp_path: Path) -> None:
    host.install()
    assert "home" not in host.message(1)
    home = tmp_path / "elsewhere"
    host.name_home(f"home = {home}")
    assert "home" not in host.message(2)
    assert not home.exists(), "no other home is begun"
    ok, said = host.check("home")
    assert not ok
    assert f"{home}: the option home names this place, for which no installation is noted" in said
    assert str(host.usual) in said
    assert f"install --host {host.name} --root {host.root}" in said
    assert f"the home goes to {home}, which the option home names".replace(" ", "") in host.plan()
    assert not home.exists()
    host.install()
    assert host.usual.resolve() == home
    assert "home" not in host.message(3)
    assert analyses(home) == {"1", "2", "3"}
    assert host.check("home")[0], host.check("home")

    host.name_home("home =")
    assert "home" not in host.message(4), "the link leads to it"
    host.usual.unlink()
    assert f"the home that was installed is {home}" in host.message(5)
    assert f"the home that was installed is {home}" in host.check("home")[1]
    assert cuckoo_ml(host.usual, "refit", "--if-needed").code == 1
    host.name_home(f"home = {home}")
    assert "isnotused" in host.plan(), "both places have a home"
    host.install()
    assert "home" not in host.message(6)
    assert analyses(home) == {"1", "2", "3", "4", "6"}
    assert analyses(host.usual) == {"5"}


def test_a_home_that_was_begun_at_the_named_place_is_noted_by_install(host: Host, tmp_path: Path) -> None:
    """As older versions did, which knew the option and watched no such home."""
    host.install()
    shutil.rmtree(host.usual)
    home = tmp_path / "elsewhere"
    host.name_home(f"home = {home}")
    assert cuckoo_ml(home, "models", "list").code == 1
    assert "home" not in host.message(1)
    assert analyses(home) == {"1"}
    assert "no installation is noted" in host.check("home")[1]
    host.install()
    assert host.check("home")[0], host.check("home")
    assert json.loads(home.with_name("elsewhere-install.json").read_text())["root"] == str(host.root)
    assert host.run("uninstall").code == 0
    assert analyses(home) == {"1"}
    assert not home.with_name("elsewhere-install.json").exists()


def test_a_link_that_a_move_left_goes_with_the_installation(host: Host, tmp_path: Path) -> None:
    host.install()
    host.message()
    host.name_home(f"home = {tmp_path / 'elsewhere'}")
    host.install()
    assert host.usual.is_symlink()
    planned = host.run("uninstall", "--dry-run")
    assert "which led to the home" in " ".join(planned.out.split())
    assert host.usual.is_symlink()
    assert host.run("uninstall").code == 0
    assert not os.path.lexists(host.usual)
    assert analyses(tmp_path / "elsewhere") == {"210"}


def test_a_place_that_cannot_be_used_is_an_error_before_anything_is_moved(host: Host, tmp_path: Path) -> None:
    host.install()
    host.message()
    full = tmp_path / "full"
    full.mkdir()
    (full / "kept").write_text("mine")
    for line, why in ((f"home = {full}", "Directory not empty"), ("home = %(ENV:DISK)s/ml", "must be the path itself")):
        host.name_home(line)
        refused = host.run("install")
        assert refused.code == 1
        assert why in " ".join(refused.err.split())
    assert analyses(host.usual) == {"210"}
    assert [path.name for path in full.iterdir()] == ["kept"]


def test_doctor_says_that_capes_clean_up_deletes_a_home_in_storage(tmp_path: Path) -> None:
    host = Host("cape", make_cape(tmp_path / "cape"))
    host.install()
    host.name_home("home = storage/ml")
    host.install()
    ok, said = host.check("home")
    assert not ok
    assert f"{host.root / 'storage/ml'}: the host's clean-up deletes this place" in said
