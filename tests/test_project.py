"""The project keeps its own promises: what is written in one place is true in the others."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import pkgutil
import re
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

import click
import pytest
from support.paths import REPOSITORY

import cuckoo_ml_plugin
import cuckoo_ml_samples
from cuckoo_ml_plugin.cli.program import COMMANDS, cli
from cuckoo_ml_plugin.web import pages

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])
PACKAGES = (REPOSITORY / "cuckoo_ml_plugin", REPOSITORY / "cuckoo_ml_samples")
TESTS_OF_SEVERAL_ROOMS = {"support", "samples"}
MOST_FILES = 12
LARGER_ROOMS = {
    "cuckoo_ml_plugin/behaviour": "one module for each part of a report, and those by which behaviours are compared",
    "cuckoo_ml_plugin/engine": "one module for each thing that is asked or done of a home, and one that opens it",
    "cuckoo_ml_plugin/model": "one module for each part of a model's folder, and one for the folder",
    "cuckoo_ml_plugin/plumbing": "one module for each small thing that all rooms may need",
    "cuckoo_ml_plugin/store": "one module for each part of the store, and one for the store",
}
SCORING_SIDE = ("report", "behaviour", "finding", "model")
ONLY_FITTING_NEEDS = (
    "scipy", "sklearn", "hdbscan", "fast_hdbscan", "numba", "joblib", "sqlalchemy", "rich", "click", "pandas",
    "matplotlib",
)  # fmt: skip


def rooms() -> list[Path]:
    """The folders of both packages that are packages themselves."""
    return sorted(file.parent for package in PACKAGES for file in package.rglob("__init__.py"))


def name_of(room: Path) -> str:
    return room.relative_to(REPOSITORY).as_posix()


def docstring(module: Path) -> str:
    """By the source alone: some modules import a host's own packages, and some are of Python 2.7."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""


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


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_every_module_says_what_it_holds(package: Path) -> None:
    sources = [file for file in package.rglob("*.py") if file.read_text(encoding="utf-8").strip()]
    described = {file: docstring(file) for file in sources}
    assert [name_of(file) for file, text in described.items() if not text or "to be described" in text.lower()] == []


def test_every_room_says_what_comes_in_and_what_goes_out() -> None:
    of_several = [room for room in rooms() if len(list(room.glob("*.py"))) > 2 and "hosts" not in room.parent.parts]
    assert [name_of(room) for room in of_several if len(docstring(room / "__init__.py").splitlines()) < 4] == []


def test_no_room_is_too_full_to_be_taken_in() -> None:
    sizes = {name_of(room): len(list(room.glob("*.py"))) - 1 for room in rooms()}
    assert {name for name, size in sizes.items() if size > MOST_FILES} <= set(LARGER_ROOMS)
    assert max(sizes.values()) <= MOST_FILES + 2


def test_tests_stand_in_the_rooms_of_what_they_test() -> None:
    folders = {path.name for path in (REPOSITORY / "tests").iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders - TESTS_OF_SEVERAL_ROOMS <= {room.name for room in rooms() if room.parent == PACKAGES[0]}


def test_the_architecture_names_every_room() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    inside = [room.relative_to(PACKAGES[0]).as_posix() for room in rooms() if room.is_relative_to(PACKAGES[0])]
    of_hosts = {f"hosts/{name}" for name in ("cape/modules", "cape/web", "cuckoo2/web")}  # named with their host
    named = [room for room in inside if room != "." and room not in of_hosts and not room.endswith("/templatetags")]
    missing = [room for room in named if f"**{room}**" not in page]
    assert missing == []
    assert "`cuckoo_ml_samples`" in page


def test_the_import_contracts_have_no_exceptions() -> None:
    configuration = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert configuration.count("[[tool.importlinter.contracts]]") >= 6
    assert "ignore_imports" not in configuration


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_paths_that_a_newcomer_reads_of_exist(page: str) -> None:
    named = re.findall(r"`([\w.-]+/[\w./-]*)`", (REPOSITORY / page).read_text(encoding="utf-8"))
    paths = [name for name in named if "NAME" not in name and not name.startswith(("models/", ".venv/"))]
    roots = (REPOSITORY, PACKAGES[0])
    assert [path for path in paths if not any((root / path).exists() for root in roots)] == []


def test_every_page_of_the_web_interface_is_documented() -> None:
    addresses = [f"/cuckooml/{path}/" if path else "/cuckooml/" for path in pages._PAGES]
    documented = (REPOSITORY / "docs" / "web.md").read_text(encoding="utf-8")
    assert [address for address in addresses if f"| `{address}" not in documented] == []


def test_every_benchmark_is_documented_and_every_command_of_the_page_is_one() -> None:
    page = (REPOSITORY / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    sources = (REPOSITORY / "benchmarks").glob("*/*.py")
    programs = [file for file in sources if '__name__ == "__main__"' in file.read_text(encoding="utf-8")]
    names = {f"benchmarks.{file.parent.name}.{file.stem}".removesuffix(".__main__") for file in programs}
    assert set(re.findall(r"python -m (benchmarks\.[\w.]+)", page)) == names


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


def test_the_readme_gives_the_commands_of_dev_py_and_they_exist() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"^python3 dev\.py (\w+)", readme, re.MULTILINE))
    assert commands == {"demo", "test", "wheel"}
    for command in commands:
        shown = subprocess.run(
            [sys.executable, REPOSITORY / "dev.py", "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert re.search(rf"^ +{command} ", shown, re.MULTILINE)


def test_an_unknown_command_of_dev_py_is_wrong_usage() -> None:
    done = subprocess.run([sys.executable, REPOSITORY / "dev.py", "fly"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "invalid choice: 'fly'" in done.stderr


def test_no_page_installs_the_package_from_an_index_where_it_is_not() -> None:
    pages = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("examples/*.ipynb")]
    from_index = re.compile(r"pip install [^\n`]*(?<![/\w])cuckoo-ml-plugin\b")
    assert [page.name for page in pages if page.name != "CHANGELOG.md" and from_index.search(page.read_text())] == []


def test_the_wheel_holds_what_the_package_reads(tmp_path: Path) -> None:
    dev = load_dev_py()
    done = subprocess.run(
        [sys.executable, REPOSITORY / "dev.py", "wheel", "--to", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.iterdir()
    assert done.stdout.strip() == str(wheel)
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {file.relative_to(REPOSITORY).as_posix() for file in dev.source_files()}
    packaged = {name for name in sources if name.startswith(("cuckoo_ml_plugin/", "cuckoo_ml_samples/"))}
    packaged |= {f"cuckoo_ml_plugin/{name}" for name in sources if name.startswith("conf/")}
    assert packaged <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def load_dev_py() -> ModuleType:
    specification = importlib.util.spec_from_file_location("dev", REPOSITORY / "dev.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """What dev.py would run; all succeeds but mypy."""
    run: list[list[str]] = []

    def pretend(command: list[str | Path], **_: object) -> subprocess.CompletedProcess[str]:
        run.append(list(map(str, command)))
        return subprocess.CompletedProcess(command, int("mypy" in run[-1]))

    monkeypatch.delenv("CUCKOO_ML_REQUIRE", raising=False)
    with mock.patch("subprocess.run", pretend):
        yield run


def test_every_check_is_run_also_after_one_has_failed(commands: list[list[str]]) -> None:
    dev = load_dev_py()
    with mock.patch.object(dev, "set_up"):
        assert dev.run_checks(["-k", "store"]) == 1
    shown = "\n".join(" ".join(command) for command in commands)
    for check in ("ruff check", "ruff format --check", "-m mypy", "lint-imports", "-m vulture", "-m pytest -k store"):
        assert check in shown
    assert "coverage" not in shown


@pytest.mark.parametrize(
    ("arguments", "measured"),
    [
        ([], True),
        (["-ra", "--durations=10"], True),
        (["-k", "store"], False),
        (["tests/store"], False),
        (["-x"], False),
    ],
)
def test_coverage_has_a_floor_only_where_all_tests_run(
    arguments: list[str], measured: bool, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = load_dev_py()
    monkeypatch.setenv("CUCKOO_ML_REQUIRE", "1")
    with mock.patch.object(dev, "set_up"):
        dev.run_checks(arguments)
    assert any("report" in command for command in commands) is measured


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert 'CUCKOO_ML_REQUIRE=1 "$newest" dev.py test' in (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")


def test_the_licence_is_the_one_that_is_declared() -> None:
    licence = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "GNU GENERAL PUBLIC LICENSE" in licence.splitlines()[0]
    assert "Version 3, 29 June 2007" in licence.splitlines()[1]
    assert 'license = { text = "GPL-3.0-or-later" }' in (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")


def cli_commands() -> dict[str, click.Command]:
    """Every command of the command line by its full name, such as "models list"."""
    found: dict[str, click.Command] = {}
    context = click.Context(cli)
    waiting = {name: command for name in COMMANDS if (command := cli.get_command(context, name)) is not None}
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
    usage = " ".join(re.findall(rf"^cuckoo-ml (?:--home DIR )?{name}\b.*$", page, re.MULTILINE))
    assert usage
    for option in cli_commands()[name].params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.opts[0] in usage


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_no_command_that_is_not_there(page: Path) -> None:
    names = {name.partition(" ")[0] for name in cli_commands()}
    shown = re.findall(r"cuckoo-ml (?:--home \S+ )?([a-z]+(?:-[a-z]+)*)\b", "\n".join(code_of(page)))
    assert set(shown) <= names
