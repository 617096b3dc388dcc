"""The plain installation, without any extra: each command does what it can, and names the package for the rest."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from support.demo_home import DemoHome
from support.missing_packages import OPTIONAL, Missing, run_without

from cuckoo_ml_plugin import Desk
from cuckoo_ml_plugin.cli.program import COMMANDS
from cuckoo_ml_plugin.errors import MissingPackageError
from cuckoo_ml_plugin.plumbing.commands import install_command
from cuckoo_ml_plugin.plumbing.extras import requirement


def install(package: str) -> str:
    return f"run {install_command(requirement(package))}"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "scores.csv"
    path.write_text("device,vt,other\n" + "".join(f"d{n},{n / 20},{n % 7 / 10}\n" for n in range(20)), encoding="utf-8")
    return path


def test_every_command_does_what_it_can(demo: DemoHome, own_demo: DemoHome, table: Path, tmp_path: Path) -> None:
    new = next(sample.path for sample in demo.corpus.new)
    labels = tmp_path / "labels.tsv"
    labels.write_text("1001\tzbot\n", encoding="utf-8")
    stories: list[tuple[list[object], int, str, str]] = [  # arguments, exit code, files written, package named
        (["score", new], 0, "", ""),
        (["score", new, "--write"], 0, "", ""),
        (["import", new, "--labels", labels], 0, "", ""),
        (["refit"], 0, "", ""),
        (["clusters"], 0, "", ""),
        (["clusters", "c0"], 0, "", ""),
        (["anomalies"], 0, "", ""),
        (["models", "list"], 0, "", ""),
        (["refresh"], 0, "", ""),
        (["refresh", "--mongodb", "mongodb://127.0.0.1:9/cuckoo"], 1, "", "pymongo"),
        (["assess", "--resamples", "0"], 0, "", ""),
        (["export", tmp_path / "tables"], 0, "clustering_fit.csv", "pyarrow"),
        (["export", tmp_path / "asked", "--format", "parquet"], 1, "", "pyarrow"),
        (["export", tmp_path / "cluster", "--cluster", "c0"], 1, "", "stix2"),
        (["atlas", tmp_path / "atlas.html"], 0, "atlas.html", "openTSNE"),
        (["plots", tmp_path / "plots"], 1, "", "matplotlib"),
        (["threat-scores", table, "--output", tmp_path / "study"], 0, "threat-scores.html", "matplotlib"),
        (["threat-scores", "--by", "machine"], 0, "", ""),
        (["threat-scores", table.with_suffix(".parquet")], 1, "", "pyarrow"),
        (["models", "rollback"], 0, "", ""),
    ]
    table.with_suffix(".parquet").write_bytes(b"PAR1" + bytes(20) + b"PAR1")
    commands = [arguments for arguments, *_ in stories]
    helps = [[name, "--help"] for name in COMMANDS]
    answers = run_without(OPTIONAL, own_demo.home, [*commands, *helps], tmp_path)
    written = {path.name for path in tmp_path.rglob("*")}
    for (arguments, code, file, package), done in zip(stories, answers, strict=False):
        assert done.code == code, (arguments, done.out, done.err)
        assert "Traceback" not in done.err
        assert not file or file in written, arguments
        assert done.err.count(install(package)) == 1 if package else "pip install" not in done.err + done.out, (
            arguments, done.err,
        )  # fmt: skip
    assert [
        (name, done.code) for (name, _), done in zip(helps, answers[len(stories) :], strict=True) if done.code
    ] == []
    assert not (tmp_path / "asked").exists()
    assert not (tmp_path / "plots").exists()
    assert "<svg" not in (tmp_path / "study" / "threat-scores.html").read_text().lower()
    assert (tmp_path / "study" / "study.json").stat().st_size


def test_without_hdbscan_a_refit_finds_the_same_clusters(demo: DemoHome, own_demo: DemoHome, tmp_path: Path) -> None:
    """As on Linux on ARM, for which hdbscan has no wheel."""
    commands = [["refit"], ["clusters", "--json"], ["assess", "--resamples", "0", "--json"]]
    (tmp_path / "with").mkdir()
    shutil.copytree(demo.home, tmp_path / "with" / "home", symlinks=True)
    before = run_without([], tmp_path / "with" / "home", commands, tmp_path / "with")
    after = run_without(["hdbscan"], own_demo.home, commands, tmp_path)
    assert [done.code for done in after] == [0, 0, 0], [done.err for done in after]
    assert [(c["name"], c["size"]) for c in after[1].json] == [(c["name"], c["size"]) for c in before[1].json]
    assert len(after[1].json) > 10
    assert before[2].json["without_labels"]["dbcv"] is not None
    assert after[2].json["without_labels"]["dbcv"] is None


def test_a_store_in_postgresql_names_its_package(own_demo: DemoHome, tmp_path: Path) -> None:
    settings = own_demo.home / "cuckooml.conf"
    settings.write_text(settings.read_text().replace("\nurl =", "\nurl = postgresql://me:secret@localhost/x"))
    (done,) = run_without(["psycopg"], own_demo.home, [["clusters"]], tmp_path)
    assert done.code == 1
    assert install("psycopg") in done.err
    assert "psycopg[binary]>=" in done.err
    assert "secret" not in done.err


def test_the_desk_without_pandas_answers_what_is_no_frame(
    demo: DemoHome, missing: Missing, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing("pandas")
    for name in [name for name in sys.modules if name.startswith("cuckoo_ml_plugin.frames.") and "desk" not in name]:
        monkeypatch.delitem(sys.modules, name)
    desk = Desk(demo.home)
    assert desk.score(demo.corpus.new[0].path).status == "scored"
    with pytest.raises(MissingPackageError, match="pip install 'pandas>="):
        desk.analyses()


def test_the_atlas_of_principal_components_has_every_analysis(demo: DemoHome, tmp_path: Path) -> None:
    (done,) = run_without(["openTSNE"], demo.home, [["atlas", tmp_path / "atlas.html"]], tmp_path)
    assert done.code == 0, done.err
    assert "The map shows the first two principal components instead" in done.err
    text = (tmp_path / "atlas.html").read_text(encoding="utf-8")
    data: Any = json.loads(text.partition('<script type="application/json" id="data">')[2].partition("<")[0])
    fitted = json.loads((demo.home / "models" / "current" / "model.json").read_text(encoding="utf-8"))["analyses"]
    assert len(data["analyses"]["ids"]) == fitted
    assert len(set(data["points"]["places"])) > 10  # packed numbers, which are not all the same
