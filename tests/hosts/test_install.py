"""An admin installs, examines, installs again, changes a file, and uninstalls."""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from support.cape_loader import make_cape
from support.command import Done, cuckoo_ml
from support.old_installation import install_the_old_way

from cuckoo_ml_plugin.engine.model_lock import alone
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.installation.installer import InstallError, Site, install, uninstall
from cuckoo_ml_plugin.hosts.installation.pieces import Block
from cuckoo_ml_plugin.plumbing.files import UNFINISHED


@pytest.fixture
def cape(tmp_path: Path) -> Path:
    return make_cape(tmp_path / "CAPE v2")


def files(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def run(command: str, root: Path, *arguments: object) -> Done:
    more = ("--refit", "none") if command == "install" and "--refit" not in arguments else ()
    return cuckoo_ml(root / "unused", command, "--host", "cape", "--root", root, *arguments, *more)


def test_dry_run_shows_every_file_and_writes_none(cape: Path) -> None:
    before = files(cape)
    done = run("install", cape, "--dry-run")
    assert done.code == 0
    for name in ("modules/processing/cuckooml.py", "modules/reporting/cuckooml.py", "reporting.conf.d/cuckooml.conf"):
        assert name in done.out.replace("\n", "")
    assert files(cape) == before


def test_installed_twice_it_is_the_same_and_uninstalled_it_is_as_before(cape: Path) -> None:
    before = files(cape)
    first = run("install", cape)
    assert first.code == 0, first.err
    installed = files(cape)
    assert set(installed) - set(before) == {
        "modules/processing/cuckooml.py",
        "modules/reporting/cuckooml.py",
        "custom/conf/processing.conf.d/cuckooml.conf",
        "custom/conf/reporting.conf.d/cuckooml.conf",
        "custom/analysis_services.py",
        "custom/cuckooml/cuckooml.conf",
        "custom/cuckooml/home.id",
        "custom/cuckooml-install.json",
    }
    again = run("install", cape)
    assert again.code == 0
    assert "create" not in again.out
    assert files(cape) == installed
    assert run("uninstall", cape).code == 0
    home = {name: text for name, text in installed.items() if name.startswith("custom/cuckooml/")}
    assert files(cape) == before | home
    assert not (cape / "custom/conf/processing.conf.d").exists(), "a folder that was made goes as well"
    assert run("install", cape).code == 0
    assert run("uninstall", cape, "--purge").code == 0
    assert files(cape) == before


def test_a_changed_file_is_never_overwritten_silently(cape: Path) -> None:
    run("install", cape)
    changed = cape / "custom/conf/reporting.conf.d/cuckooml.conf"
    changed.write_text("[cuckooml]\nenabled = no\n")
    before = files(cape)
    done = run("install", cape)
    assert done.code == 1
    assert str(changed) in done.err.replace("\n", "")
    assert files(cape) == before
    assert run("install", cape, "--force").code == 0
    assert changed.with_name("cuckooml.conf.before-cuckooml").read_text() == "[cuckooml]\nenabled = no\n"
    changed.write_text("mine")
    done = run("uninstall", cape)
    assert done.code == 0
    assert "stays" in done.out
    assert changed.read_text() == "mine"


def test_a_foreign_file_in_the_way_stops_it_before_anything_is_done(cape: Path) -> None:
    foreign = cape / "modules/reporting/cuckooml.py"
    foreign.write_text("# somebody else's\n")
    before = files(cape)
    done = run("install", cape)
    assert done.code == 1
    assert "is not ours" in done.err.replace("\n", " ")
    assert files(cape) == before


def test_a_foreign_file_is_restored_however_often_install_was_forced(cape: Path) -> None:
    module = cape / "modules/reporting/cuckooml.py"
    module.write_text("# somebody else's\n")
    before = files(cape)
    assert run("install", cape, "--force").code == 0
    for change in ("changed", "changed again"):
        module.write_text(change)
        assert run("install", cape, "--force").code == 0
    assert module.with_name("cuckooml.py.before-cuckooml").read_text() == "# somebody else's\n"
    assert module.with_name("cuckooml.py.before-cuckooml-2").read_text() == "changed"
    assert module.with_name("cuckooml.py.before-cuckooml-3").read_text() == "changed again"
    dry = run("uninstall", cape, "--dry-run")
    assert "which was there before" in " ".join(dry.out.split())
    assert module.read_text() != "# somebody else's\n"
    assert run("uninstall", cape, "--purge").code == 0
    assert files(cape).items() >= before.items()


def test_a_copy_of_the_host_is_uninstalled_without_the_original(cape: Path, cuckoo2: tuple[Path, Path]) -> None:
    run("install", cape)
    installed = files(cape)
    copy = cape.parent / "copy"
    shutil.copytree(cape, copy)
    assert run("uninstall", copy, "--purge").code == 0
    assert "cuckooml" not in " ".join(files(copy))
    assert files(cape) == installed

    cwd, environment = cuckoo2
    arguments = ("--python", environment, "--refit", "none")
    assert cuckoo_ml(cwd, "install", "--host", "cuckoo2", "--root", cwd, *arguments).code == 0
    shared = files(environment)
    second = cwd.with_name("second")
    shutil.copytree(cwd, second)
    done = cuckoo_ml(cwd, "uninstall", "--host", "cuckoo2", "--root", second)
    assert "also serves" in done.out
    assert files(environment) == shared, "the original still needs them"
    assert "cuckooml" not in (second / "conf" / "reporting.conf").read_text()
    moved = cwd.rename(cwd.with_name("moved"))
    assert cuckoo_ml(cwd, "uninstall", "--host", "cuckoo2", "--root", moved).code == 0
    assert "cuckooml" not in " ".join(files(environment))


def test_settings_that_are_a_link_stay_one(cape: Path) -> None:
    settings, kept = cape / "custom/analysis_services.py", cape.parent / "kept services.py"
    kept.write_text('CUSTOM_SERVICES = ["ours"]\n')
    settings.symlink_to(kept)
    before = kept.read_text()
    assert run("install", cape).code == 0
    assert settings.is_symlink()
    assert "_put_in_place()" in kept.read_text()
    assert run("uninstall", cape).code == 0
    assert settings.is_symlink()
    assert kept.read_text() == before


def test_an_installation_that_cannot_be_finished_leaves_nothing(cape: Path) -> None:
    with_web(cape)
    foreign = cape / "modules/processing/cuckooml.py"
    foreign.write_text("# somebody else's\n")
    before = files(cape)
    folders = {path for path in cape.rglob("*") if path.is_dir()}
    full_disk = OSError(errno.ENOSPC, "No space left on device")
    original, writes = os.open, iter(range(100))

    def fails(path: Path, *arguments: Any, **more: Any) -> Any:
        if Path(path).name.startswith(UNFINISHED) and next(writes) == at:
            raise full_disk
        return original(path, *arguments, **more)

    for at in range(1, 6):
        writes = iter(range(100))
        with mock.patch.object(os, "open", fails):
            done = run("install", cape, "--force")
        assert done.code == 1, at
        assert "No space left" in done.err
        outside_home = {name: text for name, text in files(cape).items() if not name.startswith("custom/cuckooml/")}
        assert outside_home == before
        made = {path for path in cape.rglob("*") if path.is_dir()} - folders
        assert made == {cape / "custom/cuckooml", cape / "custom/cuckooml/models"}, at
    assert run("install", cape, "--force").code == 0


@pytest.mark.parametrize("newline", ["\n", ""])
def test_an_installation_of_an_older_version_is_brought_up_to_date(cape: Path, newline: str) -> None:
    """Its lines leave the file that CAPE's git tracks, and its home goes where no clean-up deletes it."""
    with_web(cape)
    settings = cape / "web/web/local_settings.py"
    settings.write_bytes(f"LOCAL_SETTINGS = True\r\nfrom .settings import *{newline}".encode())
    before, tracked = files(cape), settings.read_bytes()
    install_the_old_way(cape, newline)
    (cape / "storage/cuckooml/store.db").write_text("what was stored")
    dry = run("install", cape, "--dry-run")
    assert "the home goes to" in " ".join(dry.out.split())
    assert settings.read_bytes() != tracked
    done = run("install", cape)
    assert done.code == 0, done.err
    assert settings.read_bytes() == tracked
    assert (cape / "storage/cuckooml").resolve() == cape / "custom/cuckooml", "for processes that still run"
    assert (cape / "custom/cuckooml/store.db").read_text() == "what was stored"
    assert "_put_in_place()" in (cape / "custom/analysis_services.py").read_text()
    assert run("uninstall", cape, "--purge").code == 0
    assert files(cape) == before
    assert not os.path.lexists(cape / "storage/cuckooml")


def test_what_an_older_version_installed_is_uninstalled_without_its_list(
    cape: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CAPE's clean-up has deleted storage/, with the home and the list of what was installed."""
    monkeypatch.setenv("COLUMNS", "400")  # the table breaks no text, however long the paths are
    before = files(with_web(cape))
    install_the_old_way(cape, "\n")
    shutil.rmtree(cape / "storage/cuckooml")
    done = run("uninstall", cape)
    assert done.code == 0, done.err
    left = set(files(cape)) - set(before)
    assert left == {"custom/analysis_services.py"}, "it is of another version, so it stays"
    assert "stays; --force removes it" in " ".join(done.out.split())
    assert run("uninstall", cape, "--force").code == 0
    assert files(cape) == before


def test_a_home_that_is_a_link_is_purged_with_what_it_leads_to(cape: Path) -> None:
    run("install", cape)
    home, disk = cape / "custom/cuckooml", cape.parent / "big disk"
    home.rename(disk)
    home.symlink_to(disk)
    assert run("uninstall", cape, "--purge").code == 0
    assert not os.path.lexists(home)
    assert not disk.exists()


def test_a_home_whose_models_are_being_changed_is_not_purged(cape: Path) -> None:
    run("install", cape)
    home = Home(cape / "custom/cuckooml")
    home.spool.mkdir()
    (home.spool / "an analysis").write_text("that waits to be stored")
    with alone(home):
        before = files(cape)
        done = run("uninstall", cape, "--purge")
        assert done.code == 1
        assert "another command is at work on its models" in done.err
        assert files(cape) == before
    assert run("uninstall", cape, "--purge").code == 0
    assert not home.path.exists()


def test_lines_between_two_blocks_of_ours_stay(tmp_path: Path) -> None:
    path, site = tmp_path / "reporting.conf", Site("cape", tmp_path, tmp_path / "home")
    path.write_text("[first]\n")
    pieces = [Block(path, "[cuckooml]\nenabled = yes\n", "[cuckooml]")]
    install(pieces, site)
    block = path.read_text().removeprefix("[first]\n")
    path.write_text(f"[first]\n{block}[mine]\nkey = 1\n{block}")
    uninstall(pieces, site)
    assert path.read_text() == "[first]\n[mine]\nkey = 1\n"


def test_the_wrong_folder_is_an_error(tmp_path: Path) -> None:
    done = run("install", tmp_path)
    assert done.code == 1
    assert "is not CAPE's folder" in done.err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "CAPE").mkdir()
    assert "nothing was installed" in run("uninstall", make_cape(tmp_path / "CAPE")).err


def test_the_refit_gets_a_timer_or_a_line_for_cron(cape: Path, tmp_path: Path) -> None:
    units = tmp_path / "units"
    units.mkdir()
    assert run("install", cape, "--refit", "systemd", "--unit-dir", units).code == 0
    service = (units / "cuckoo-ml-refit.service").read_text()
    assert f'--home "{cape / "custom" / "cuckooml"}" refit --if-needed' in service
    assert "OnCalendar=hourly" in (units / "cuckoo-ml-refit.timer").read_text()
    enabled = units / "timers.target.wants" / "cuckoo-ml-refit.timer"
    enabled.parent.mkdir()
    enabled.symlink_to(units / "cuckoo-ml-refit.timer")  # as systemctl does
    assert "systemctl stop cuckoo-ml-refit.timer; systemctl daemon-reload" in run("uninstall", cape).out
    assert list(units.iterdir()) == [enabled.parent]
    assert list(enabled.parent.iterdir()) == []


def test_two_hosts_on_a_machine_have_a_timer_each(cape: Path, tmp_path: Path) -> None:
    units, other = tmp_path / "units", make_cape(tmp_path / "other")
    units.mkdir()
    schedule = ("--refit", "systemd", "--unit-dir", units)
    assert run("install", cape, *schedule).code == 0
    before = files(units)
    second = run("install", other, *schedule)
    assert second.code == 0, second.err
    [name] = {Path(name).stem for name in set(files(units)) - set(before)}
    assert f"--home {other / 'custom' / 'cuckooml'} refit" in files(units)[f"{name}.service"]
    assert f"systemctl enable --now {name}.timer" in second.out
    assert run("install", cape, *schedule).code == 0
    assert files(units).items() >= before.items()
    assert run("uninstall", cape).code == 0
    assert set(files(units)) == {f"{name}.service", f"{name}.timer"}
    assert run("install", other, *schedule).code == 0
    assert set(files(units)) == {f"{name}.service", f"{name}.timer"}
    assert f"systemctl stop {name}.timer" in run("uninstall", other).out
    assert files(units) == {}


def test_what_install_says_to_do_next_can_be_pasted_into_a_shell(cape: Path) -> None:
    """The folder has a space in its name."""
    home = str(cape / "custom" / "cuckooml")
    said = dict(line[2:].split(": ", 1) for line in run("install", cape, "--refit", "cron").out.splitlines()[-3:])
    words = {what: shlex.split(command) for what, command in said.items()}
    imports = words["Import the past analyses"]
    assert imports[-4:] == ["--home", home, "import", str(cape / "storage" / "analyses")]
    [cron] = [words[what] for what in words if what.startswith("Add to the crontab of the user ")]
    assert cron[5].endswith("/cuckoo-ml")
    assert cron[6:] == ["--home", home, "refit", "--if-needed", ">/dev/null"]
    assert "systemctl restart cape-processor cape-web" in said.values()


@pytest.fixture
def cuckoo2(tmp_path: Path) -> tuple[Path, Path]:
    """A Cuckoo Working Directory, and an environment whose Python knows where the package lies."""
    cwd, environment = tmp_path / "cwd", tmp_path / "env"
    package = environment / "lib" / "cuckoo"
    rooms = [package / name for name in ("common", "processing", "reporting")]
    for folder in (cwd / "conf", cwd / "storage", environment / "bin", *rooms):
        folder.mkdir(parents=True)
    (cwd / "web").mkdir()
    (cwd / "web" / "local_settings.py").write_text("DEBUG = False")
    for name in ("processing", "reporting"):
        (cwd / "conf" / f"{name}.conf").write_text("[jsondump]\nenabled = yes\n")
    python = environment / "bin" / "python"
    python.write_text(f"#!/bin/sh\nprintf %s '{package}'\n")
    python.chmod(0o755)
    return cwd, environment


def test_cuckoo_gets_modules_in_its_package_and_sections_in_its_configuration(cuckoo2: tuple[Path, Path]) -> None:
    cwd, environment = cuckoo2
    before = files(cwd.parent)
    arguments = ("--host", "cuckoo2", "--root", cwd)
    done = cuckoo_ml(cwd, "install", *arguments, "--python", environment, "--refit", "none")
    assert done.code == 0, done.err
    installed = files(cwd.parent)
    new = {name for name in set(installed) - set(before) if name.startswith("env")}
    assert {name for name in new if "/web/" not in name} == {
        "env/lib/cuckoo/common/cuckooml-cwds.json",
        "env/lib/cuckoo/common/cuckooml.py",
        "env/lib/cuckoo/processing/cuckooml.py",
        "env/lib/cuckoo/reporting/cuckooml.py",
    }
    assert all(name.startswith("env/lib/cuckoo/web/cuckooml/") for name in new if "/web/" in name)
    assert "install_cuckooml(globals())" in installed["cwd/web/local_settings.py"]
    assert "[cuckooml]" in installed["cwd/conf/reporting.conf"]
    reporting = cwd / "conf" / "reporting.conf"
    reporting.write_text(reporting.read_text().replace("timeout = 10", "timeout = 20"))
    again = cuckoo_ml(cwd, "install", *arguments, "--python", environment, "--refit", "none")
    assert "changed" in again.out
    assert "timeout = 20" in reporting.read_text(), "what the admin set stays"
    for name in ("reporting/cuckooml.pyc", "web/cuckooml/views.pyc", "web/cuckooml/templatetags/__init__.pyc"):
        (environment / "lib/cuckoo" / name).write_text("compiled by Python 2.7")
    assert cuckoo_ml(cwd, "uninstall", *arguments, "--purge").code == 0
    assert files(cwd.parent) == before


def with_web(cape: Path) -> Path:
    """With as much of a web interface as an installation looks at."""
    texts = {
        "web/web/local_settings.py": "LOCAL_SETTINGS = True\nfrom .settings import *\n",
        "web/templates/base.html": "{% block header %}{% endblock %}{% block content %}{% endblock %}",
        "web/templates/header.html": '<nav><ul class="navbar-nav"></ul></nav>',
        "web/templates/analysis/overview/_info.html": "<!-- Analysis Details Card -->",
        "web/templates/analysis/report.html": '{% block content %}<ul id="reportTabs"></ul><div class="tab-content">'
        '<div id="overview"></div></div>{% endblock %}',
    }
    for name, text in texts.items():
        (cape / name).parent.mkdir(parents=True, exist_ok=True)
        (cape / name).write_text(text)
    return cape


def test_an_admins_own_services_stay_and_get_ours(cape: Path) -> None:
    with_web(cape)
    services = cape / "custom" / "analysis_services.py"
    own = 'CUSTOM_SERVICES = ["ours"]\n\n\ndef handle_custom_service(*_):\n    return False, "ours"\n'
    services.write_text(own)
    before = files(cape)
    assert run("install", cape).code == 0
    assert files(cape)["web/web/local_settings.py"] == before["web/web/local_settings.py"]
    names: dict[str, object] = {}
    exec(services.read_text(), names)
    assert names["CUSTOM_SERVICES"] == ["ours", "cuckooml"]
    assert run("install", cape).code == 0
    assert run("uninstall", cape, "--purge").code == 0
    assert files(cape) == before


def test_doctor_names_the_place_that_the_hosts_page_lacks(cape: Path) -> None:
    run("install", with_web(cape))

    def web_check() -> dict[str, object]:
        return next(check for check in run("doctor", cape, "--json").json if check["check"] == "web")

    assert web_check()["ok"], web_check()
    page = cape / "web/templates/analysis/report.html"
    page.write_text(page.read_text().replace("overview", "first"))
    assert not web_check()["ok"]
    assert "instead of in its first tab" in str(web_check()["said"])


def test_doctor_hints_at_defaults_of_an_earlier_version(cape: Path) -> None:
    run("install", cape)

    def settings_check() -> dict[str, object]:
        return next(check for check in run("doctor", cape, "--json").json if check["check"] == "settings")

    assert settings_check() == {"check": "settings", "ok": True, "said": "none is a former default"}
    settings = cape / "custom" / "cuckooml" / "cuckooml.conf"
    settings.write_text(re.sub(r"(?m)^certainty = .*", "certainty = 0.62", settings.read_text()))
    check = settings_check()
    assert check["ok"], "it is a hint, no fault"
    assert str(check["said"]).endswith("unless they were chosen: certainty = 0.62 (today 0.5)")


def test_doctor_names_what_is_wrong_and_the_remedy(cape: Path) -> None:
    def checks() -> dict[str, dict[str, object]]:
        return {check["check"]: check for check in run("doctor", cape, "--json").json}

    def repeat(said: object) -> Done:
        """Run the command at the end of a message as a shell would."""
        command = shlex.split(str(said).partition("; run ")[2])
        assert Path(command[0]).is_absolute()
        return cuckoo_ml(cape / "unused", *command[command.index("install") :], "--refit", "none")

    files_check = checks()["files"]
    assert files_check["ok"] is False
    assert repeat(files_check["said"]).code == 0
    installed = checks()
    assert {name for name, check in installed.items() if not check["ok"]} == {"modules", "configuration", "web"}
    assert "base.html: cannot be read" in str(installed["web"]["said"])
    assert "waiting for 20 analyses: 0 are stored" in str(installed["model"]["said"])
    (cape / "modules/reporting/cuckooml.py").unlink()
    missing = str(checks()["files"]["said"])
    assert "is missing" in missing
    [line] = [line for line in run("doctor", cape).out.splitlines() if line.startswith("WRONG  files")]
    assert shlex.split(line.partition("; run ")[2])[-5:] == ["install", "--host", "cape", "--root", str(cape)]
    assert repeat(missing).code == 0
    assert checks()["files"]["ok"]
    shutil.rmtree(cape / "custom/cuckooml")
    assert "install" in str(checks()["home"]["said"])
    assert run("install", cape).code == 0
    (cape / "custom/cuckooml/store.db").write_bytes(b"nothing of ours" * 100)
    assert "is not an SQLite database" in str(checks()["store"]["said"])
    assert run("doctor", cape).code == 1


def test_doctor_says_what_selftest_finds(cape: Path) -> None:
    def tested() -> dict[str, Any]:
        return next(check for check in run("doctor", cape, "--json").json if check["check"] == "selftest")

    run("install", cape)
    assert tested()["ok"]
    models = cape / "custom/cuckooml/models"
    models.mkdir(exist_ok=True)
    models.chmod(0o777)
    assert not tested()["ok"]
    assert f"permissions: {models}: writable by every user; run chmod" in tested()["said"]


def test_an_environment_without_cuckoo_is_an_error(cuckoo2: tuple[Path, Path], tmp_path: Path) -> None:
    done = cuckoo_ml(tmp_path, "install", "--host", "cuckoo2", "--root", cuckoo2[0], "--python", tmp_path / "nowhere")
    assert done.code == 1
    assert "check --python" in done.err


@pytest.mark.parametrize("text", ["[first]\nkey = é\n", "[first]\r\nkey = 1\r\n", "no line break at the end", ""])
def test_lines_in_a_file_of_the_hosts_leave_the_rest_byte_for_byte(tmp_path: Path, text: str) -> None:
    path, site = tmp_path / "reporting.conf", Site("cape", tmp_path, tmp_path / "home")
    path.write_bytes(text.encode() + b"\xff" * 3)
    path.chmod(0o640)
    before = path.read_bytes()
    for content in ("[cuckooml]\nenabled = yes\n", "[cuckooml]\nenabled = no\n"):
        pieces = [Block(path, content, "[cuckooml]")]
        install(pieces, site)
        assert path.read_bytes().startswith(before)
        assert path.read_text(errors="replace").count("[cuckooml]") == 1
        assert os.stat(path).st_mode & 0o777 == 0o640
    uninstall(pieces, site)
    assert path.read_bytes() == before


def test_a_section_that_is_there_already_is_not_doubled(tmp_path: Path) -> None:
    path = tmp_path / "reporting.conf"
    path.write_text("[cuckooml]\nenabled = no\n")
    with pytest.raises(InstallError, match=r"has \[cuckooml\] already"):
        install([Block(path, "[cuckooml]\n", "[cuckooml]")], Site("cape", tmp_path, tmp_path / "home"))
