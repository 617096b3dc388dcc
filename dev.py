#!/usr/bin/env python3
"""The commands of the README, for a machine that has only Python 3.10 or newer.

    python3 dev.py demo [--home DIR]    set up, then make, learn and score sample analyses in DIR
    python3 dev.py test [PYTEST ARGS]   set up, then run all checks and tests on this checkout
    python3 dev.py wheel [--to DIR]     build the package into DIR (default: dist), to install it elsewhere
    python3 dev.py pictures [--hosts]   set up, then make the pictures of README.md and docs/ again

All but `wheel` set up `.venv` beside this file; a second run installs again only when the package's sources have
changed.
"""

import sys

if sys.version_info < (3, 10):  # noqa: UP036 -- said before anything below that an older Python cannot run
    sys.exit(f"cuckoo-ml-plugin needs Python 3.10 or newer; this is {sys.version.split()[0]}: try python3.11 dev.py.")

import argparse
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "cuckoo-ml-installed"
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "cuckoo_ml_plugin", "cuckoo_ml_samples", "conf", "bin")
"""What the package is built from."""
MOST_WORKERS = 4  # processes that run tests: each takes up to a gigabyte


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="set up and run the main job on sample analyses")
    demo.add_argument("--home", type=Path, default=Path("cuckoo-ml-demo"), help="default: cuckoo-ml-demo, here")
    commands.add_parser("test", help="set up and run all checks; further arguments go to pytest", add_help=False)
    wheel = commands.add_parser("wheel", help="build the package as a file that pip, poetry and uv install")
    wheel.add_argument("--to", type=Path, default=ROOT / "dist", metavar="DIR", help="default: dist, beside dev.py")
    commands.add_parser("pictures", help="set up and make the pictures of the docs", add_help=False)
    options, others = parser.parse_known_args()
    if options.command == "test":
        return run_checks(others)
    if options.command == "pictures":
        set_up(extra="test")
        return subprocess.run([PYTHON, ROOT / "docs" / "pictures.py", *others], env=pictures(), check=False).returncode
    if others:
        parser.error(f"unknown arguments: {' '.join(others)}")
    if options.command == "wheel":
        return build_wheel(options.to)
    set_up()
    demonstration = [VENV / "bin" / "cuckoo-ml", "--home", options.home, "demo"]
    return subprocess.run(demonstration, env=environment(), check=False).returncode


def run_checks(pytest_arguments: list[str]) -> int:
    """Run every check, also after one has failed; the tests come last, so that their closing line stands at the end."""
    set_up(extra="test")
    whole = not any(map(may_select, pytest_arguments))
    measured = whole and os.environ.get("CUCKOO_ML_REQUIRE") == "1"
    beside = ["-n", str(min(os.cpu_count() or 1, MOST_WORKERS)), "--dist", "loadfile"] if whole else []
    runner: list[str | Path] = [PYTHON, "-m", "coverage", "run", "-m"] if measured else [PYTHON, "-m"]
    checks: dict[str, list[str | Path]] = {
        "ruff check": [PYTHON, "-m", "ruff", "check", ROOT],
        "ruff format": [PYTHON, "-m", "ruff", "format", "--check", ROOT],
        "mypy": [PYTHON, "-m", "mypy"],
        "import contracts": [VENV / "bin" / "lint-imports", "--no-logo", "--no-cache"],
        "dead code": [PYTHON, "-m", "vulture"],
        "pytest": [*runner, "pytest", *beside, *pytest_arguments],  # -m: imports the package from this checkout
    }
    failed = [name for name, command in checks.items() if not passes(name, command)]
    if measured and not passes_coverage():
        failed.append("coverage")
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def may_select(argument: str) -> bool:
    """Whether an argument of pytest's may leave tests out, so that coverage would say nothing."""
    return not argument.startswith(("-r", "-v", "-q", "--durations", "--tb", "--color"))


def passes(name: str, command: list[str | Path]) -> bool:
    say(f"{name}:")
    return subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode == 0


def environment() -> dict[str, str]:
    """The environment of what is run here."""
    changed = dict(os.environ)
    # Python 3.12 and newer measure coverage by sys.monitoring, at a small part of the cost of a trace function.
    if sys.version_info >= (3, 12):
        changed["COVERAGE_CORE"] = "sysmon"
    # Who wants no bytecode in his folders has it in .venv: else each of hundreds of processes would compile SciPy and
    # scikit-learn anew, which takes longer than all that most of them do.
    if changed.pop("PYTHONDONTWRITEBYTECODE", None):
        changed["PYTHONPYCACHEPREFIX"] = str(VENV / "bytecode")
    return changed


def pictures() -> dict[str, str]:
    """The environment in which the pictures are made: with this checkout's package."""
    return environment() | {"PYTHONPATH": str(ROOT)}


def passes_coverage() -> bool:
    """Whether the tests ran as much of the package as pyproject.toml demands; each process left a file of its own."""
    combined = passes("coverage", [PYTHON, "-m", "coverage", "combine", "--quiet"])
    return combined and passes("coverage report", [PYTHON, "-m", "coverage", "report", "--format=total"])


def set_up(extra: str = "") -> None:
    """Make `.venv` and install the package into it, with an extra's packages; does nothing where that is done."""
    wanted = [digest_of_sources(), f"{sys.version_info[0]}.{sys.version_info[1]}"]
    installed = STAMP.read_text(encoding="utf-8").split() if STAMP.is_file() else []
    if installed[:2] == wanted and (not extra or extra in installed):
        return
    began = time.monotonic()
    if installed[1:2] != wanted[1:] or not PYTHON.exists():
        say("making .venv")
        clear = ["--clear"] if installed else []  # made here for another Python; one that was made by hand is kept
        make_environment(VENV, *clear)
    STAMP.write_text(f"unfinished {wanted[1]}\n", encoding="utf-8")
    say("installing the package and what it needs into .venv (half a minute the first time)")
    with tempfile.TemporaryDirectory() as folder:  # a copy: what an older build left behind would be installed too
        copy_sources(Path(folder))
        # Compiling all of scipy and numba would take longer than installing them; Python compiles what it imports.
        flags = ["--quiet", "--disable-pip-version-check", "--no-compile", "--prefer-binary"]
        package = f"{folder}[{extra}]" if extra else folder
        if subprocess.run([PYTHON, "-m", "pip", "install", *flags, package], check=False).returncode:
            sys.exit("The package could not be installed; pip says above why. It needs to reach a package index.")
    STAMP.write_text(" ".join([*wanted, extra]) + "\n", encoding="utf-8")
    say(f"set up in {time.monotonic() - began:.0f} s")


def build_wheel(target: Path) -> int:
    """Build the wheel in an environment that is thrown away, and print its path; nothing else is installed."""
    with tempfile.TemporaryDirectory() as folder:
        sources, builder, built = Path(folder, "sources"), Path(folder, "builder"), Path(folder, "built")
        copy_sources(sources)  # a copy: what an older build left behind would be packed too
        make_environment(builder)
        options: list[str | Path] = ["--quiet", "--disable-pip-version-check", "--no-deps", "--wheel-dir", built]
        if subprocess.run(
            [builder / "bin" / "python", "-m", "pip", "wheel", *options, sources], check=False
        ).returncode:
            say("no wheel could be built; pip says above why. It needs to reach a package index, for setuptools.")
            return 1
        target.mkdir(parents=True, exist_ok=True)
        for wheel in built.glob("*.whl"):
            unfinished = target / f".{wheel.name}.{os.getpid()}"
            shutil.copyfile(wheel, unfinished)
            unfinished.replace(target / wheel.name)
            print((target / wheel.name).absolute())
    return 0


def make_environment(folder: Path, *options: str) -> None:
    if subprocess.run([sys.executable, "-m", "venv", *options, folder], check=False).returncode:
        sys.exit(f"No environment could be made in {folder}; on Debian and Ubuntu: apt-get install python3-venv")


def source_files() -> list[Path]:
    """The files that the package is built from, sorted; sources that are not there are left out."""
    found = [ROOT / name for name in SOURCES]
    files = [file for path in found for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    return sorted(file for file in files if "__pycache__" not in file.parts)


def digest_of_sources() -> str:
    digest = hashlib.sha256()
    for file in source_files():
        content = file.read_bytes()
        digest.update(f"{file.relative_to(ROOT)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def copy_sources(folder: Path) -> None:
    for file in source_files():
        target = folder / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def say(text: str) -> None:
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
