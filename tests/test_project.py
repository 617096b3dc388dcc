"""The project keeps its own promises: what is written in one place is true in the others."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.paths import REPOSITORY

import cuckoo_ml_plugin
import cuckoo_ml_samples
from cuckoo_ml_plugin.cli.program import cli

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])
SCORING_SIDE = ("report", "behaviour", "finding", "model")
ONLY_FITTING_NEEDS = (
    "scipy", "sklearn", "hdbscan", "fast_hdbscan", "numba", "joblib", "sqlalchemy", "rich", "click", "pandas",
    "matplotlib",
)  # fmt: skip


def modules() -> list[str]:
    """Every module of the package but those of the hosts, which need the host's own packages."""
    found = [
        *pkgutil.walk_packages(cuckoo_ml_plugin.__path__, "cuckoo_ml_plugin."),
        *pkgutil.walk_packages(cuckoo_ml_samples.__path__, "cuckoo_ml_samples."),
    ]
    return [module.name for module in found if not module.name.startswith("cuckoo_ml_plugin.hosts.")]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def code_of(page: Path) -> list[str]:
    """The code of a page: its blocks, and what stands between backticks in a line."""
    text = page.read_text(encoding="utf-8")
    return [*re.findall(r"^```.*?^```$", text, re.DOTALL | re.MULTILINE), *re.findall(r"`([^`\n]+)`", text)]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ +(.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert next(version for version in versions if version != "Unreleased") == cuckoo_ml_plugin.__version__


@pytest.mark.parametrize("name", modules())
def test_every_module_imports_and_says_what_it_is_for(name: str) -> None:
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("room", SCORING_SIDE)
def test_scoring_imports_nothing_that_only_fitting_needs(room: str) -> None:
    of_the_room = [name for name in modules() if name.startswith(f"cuckoo_ml_plugin.{room}.")]
    assert of_the_room
    program = f"import sys, json, {', '.join(of_the_room)}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not imported & set(ONLY_FITTING_NEEDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_the_readme_gives_the_two_commands_and_they_exist() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"^python3 dev\.py (\w+)", readme, re.MULTILINE))
    assert commands == {"demo", "test"}
    for command in commands:
        shown = subprocess.run(
            [sys.executable, REPOSITORY / "dev.py", "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert re.search(rf"^ +{command} ", shown, re.MULTILINE)


def test_an_unknown_command_of_dev_py_is_wrong_usage() -> None:
    done = subprocess.run([sys.executable, REPOSITORY / "dev.py", "fly"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "invalid choice: 'fly'" in done.stderr


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "CUCKOO_ML_REQUIRE=1 python3 dev.py test" in (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")


def test_the_licence_is_the_one_that_is_declared() -> None:
    licence = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "GNU GENERAL PUBLIC LICENSE" in licence.splitlines()[0]
    assert "Version 3, 29 June 2007" in licence.splitlines()[1]
    assert 'license = { text = "GPL-3.0-or-later" }' in (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")


def cli_commands() -> dict[str, click.Command]:
    """Every command of the command line by its full name, such as "models list"."""
    found: dict[str, click.Command] = {}
    waiting = dict(cli.commands)
    while waiting:
        name, command = waiting.popitem()
        if isinstance(command, click.Group):
            waiting.update({f"{name} {below}": one for below, one in command.commands.items()})
        else:
            found[name] = command
    return found


@pytest.mark.parametrize("name", sorted(cli_commands()))
def test_every_command_is_documented_with_its_options(name: str) -> None:
    page = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
    usage = re.search(rf"^cuckoo-ml (?:--home DIR )?{name}\b.*$", page, re.MULTILINE)
    assert usage
    for option in cli_commands()[name].params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.opts[0] in usage[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_no_command_that_is_not_there(page: Path) -> None:
    names = {name.partition(" ")[0] for name in cli_commands()}
    shown = re.findall(r"cuckoo-ml (?:--home \S+ )?([a-z]+(?:-[a-z]+)*)\b", "\n".join(code_of(page)))
    assert set(shown) <= names
