"""The first day: homes with few analyses, as a new admin asks them. What a command says must hold for the home it asks.

Every command runs over homes of 0 to 20 imported analyses, before and after the admin tried a refit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.command import Done, cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin import CuckooMLError, Desk
from cuckoo_ml_plugin.cli.program import COMMANDS as EVERY_COMMAND
from cuckoo_ml_plugin.errors import NoModelError

NEEDED = 20
SIZES = (0, 1, 7, 19, 20)
ONLY_WITH_A_HOST = {"install", "uninstall", "doctor", "worker"}
ELSEWHERE = {"demo", "restore"}  # these make a home

# What needs a model ("model"), what needs something stored ("stored"), and what always answers ("always").
COMMANDS = {
    "score NEW": "always",
    "score NEW OTHER NEW OTHER": "always",
    "similar NEW": "always",
    "similar STORED": "stored",
    "compare NEW": "always",
    "compare STORED": "stored",
    "compare NEW STORED": "stored",
    "clusters": "model",
    "clusters c0": "model",
    "kin": "model",
    "kin k0": "model",
    "anomalies": "model",
    "births": "model",
    "assess --resamples 0": "model",
    "assess --sweep --features simple --algorithm dbscan --eps 0.5 --jobs 1": "enough",
    "export OUT": "stored",
    "export OUT --cluster c0": "model",
    "plots OUT --format png": "model",
    "atlas OUT.html": "model",
    "models list": "always",
    "models rollback": "older",
    "models prune": "always",
    "refresh": "model",
    "threat-scores --by machine": "stored",
    "forget STORED --dry-run": "stored",
    "backup OUT.tar.gz": "always",
    "seen mutex:nobody": "always",
    "refit --if-needed": "always",
    "import NOTHING": "always",
    "selftest": "refit, if enough",
}


@dataclass(frozen=True)
class SmallHome:
    """A home with so many analyses; ``fitted``: whether a refit could be made."""

    home: Path
    size: int
    stored: str
    new: tuple[Path, Path]
    imported: Done
    refit: Done | None = None

    @property
    def fitted(self) -> bool:
        return self.refit is not None and self.refit.code == 0


def small_home(demo: DemoHome, folder: Path, size: int) -> SmallHome:
    chosen = [sample for sample in demo.corpus.fitted if sample.role == "member"][:size]
    empty = folder / "empty"
    empty.mkdir()
    done = cuckoo_ml(folder / "home", "import", *([sample.path for sample in chosen] or [empty]))
    assert done.code == 0, done.err
    new = (demo.corpus.new[0].path, demo.corpus.new[-1].path)
    return SmallHome(folder / "home", size, chosen[0].name if chosen else "1005", new, done)


@pytest.fixture(scope="module", params=SIZES)
def before_refit(request: pytest.FixtureRequest, demo: DemoHome, tmp_path_factory: pytest.TempPathFactory) -> SmallHome:
    """A home in which nobody has tried a refit yet."""
    return small_home(demo, tmp_path_factory.mktemp("first-day"), request.param)


@pytest.fixture(scope="module", params=(0, 7, 20))
def after_refit(request: pytest.FixtureRequest, demo: DemoHome, tmp_path_factory: pytest.TempPathFactory) -> SmallHome:
    """A home after a refit, which fails where too few analyses are stored."""
    small = small_home(demo, tmp_path_factory.mktemp("refitted"), request.param)
    return replace(small, refit=cuckoo_ml(small.home, "refit"))


def ask(small: SmallHome, line: str, folder: Path) -> Done:
    nothing = folder / "nothing"
    nothing.mkdir(exist_ok=True)
    words = {"NEW": small.new[0], "OTHER": small.new[1], "STORED": small.stored, "NOTHING": nothing}
    words["OUT"] = folder / "out"
    names = re.compile("^(" + "|".join(words) + ")")
    return cuckoo_ml(small.home, *(names.sub(lambda name: str(words[name[0]]), word) for word in line.split()))


def check_what_is_said(small: SmallHome, done: Done) -> None:
    """No traceback; every number of what is stored or missing is right, and no advice is to do what was just done."""
    said = " ".join(f"{done.out} {done.err}".split())
    assert "Traceback" not in said
    assert not re.search(r"(?<![\d,.])1 (analyses|anomalies|clusters|findings|members|pieces)\b", said), said
    assert not re.search(r"(?<![\d,.])0 more\b|\bat least -", said)
    for stored in re.findall(r"(\d+) anal\w+ with behaviour (?:is|are) stored", said):
        assert int(stored) == small.size, said
    for missing in re.findall(r"import at least (\d+) more", said):
        assert int(missing) == NEEDED - small.size > 0, said
    if re.search(r"no model yet", said):
        assert not small.fitted, said
        advises_refit = bool(re.search(r"\brefit$|\brefit(?= The map)|cuckoo-ml refit fits", said))
        assert advises_refit == (small.size >= NEEDED) or not advises_refit, said
        assert ("import FOLDER" in said) <= (small.size == 0), "nobody who has imported is told to begin with it"


def expected_code(small: SmallHome, need: str) -> int:
    is_there = {
        "always": True,
        "stored": small.size > 0,
        "enough": small.size >= NEEDED,
        "model": small.fitted,
        "older": False,
        "refit, if enough": small.fitted or small.size < NEEDED,
    }
    return 0 if is_there[need] else 1


def test_every_command_is_asked() -> None:
    asked = {line.split()[0] for line in COMMANDS}
    assert asked | ONLY_WITH_A_HOST | ELSEWHERE | {"refit"} == set(EVERY_COMMAND)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_small_home_is_answered_or_told_what_is_missing(before_refit: SmallHome, line: str, tmp_path: Path) -> None:
    if line == "refit --if-needed" and before_refit.size >= NEEDED:
        pytest.skip("that is the refit of the other story")
    done = ask(before_refit, line, tmp_path)
    assert done.code == expected_code(before_refit, COMMANDS[line]), f"{done.out} {done.err}"
    check_what_is_said(before_refit, done)
    if done.code == 1 and COMMANDS[line] not in ("stored", "refit, if enough"):
        assert len(done.err.strip().splitlines()) == 1, "one sentence"


@pytest.mark.parametrize("line", COMMANDS)
def test_after_a_refit_nobody_is_sent_back_to_it(after_refit: SmallHome, line: str, tmp_path: Path) -> None:
    done = ask(after_refit, line, tmp_path)
    assert done.code == expected_code(after_refit, COMMANDS[line]), f"{done.out} {done.err}"
    check_what_is_said(after_refit, done)
    assert not re.search(r"\brefit\n?$", done.out + done.err), "a refit was just tried"


def test_an_import_says_what_comes_next(before_refit: SmallHome) -> None:
    check_what_is_said(before_refit, before_refit.imported)
    last = before_refit.imported.out.strip().splitlines()[-1]
    if before_refit.size == 0:
        assert "There is no model yet" not in before_refit.imported.out
    elif before_refit.size < NEEDED:
        assert f"import at least {NEEDED - before_refit.size} more" in last
    else:
        assert last.endswith(f"--home {before_refit.home} refit")


def test_a_refit_of_too_few_says_how_many_are_missing(after_refit: SmallHome) -> None:
    assert after_refit.refit is not None
    check_what_is_said(after_refit, after_refit.refit)
    assert after_refit.fitted == (after_refit.size >= NEEDED)
    if not after_refit.fitted:
        assert f"import at least {NEEDED - after_refit.size} more" in after_refit.refit.err


def test_a_few_analyses_are_compared_without_a_model(before_refit: SmallHome, tmp_path: Path) -> None:
    if before_refit.size < 7:
        pytest.skip("of few analyses, none needs to be alike")
    similar = ask(before_refit, "similar STORED", tmp_path)
    assert before_refit.stored not in similar.out.split("\n", 1)[1]
    hint = ask(before_refit, "compare STORED", tmp_path).out.strip()
    nearest = hint.rsplit(" ", 1)[1]
    assert nearest in similar.out
    compared = cuckoo_ml(before_refit.home, "compare", before_refit.stored, nearest)
    assert compared.code == 0
    assert "In this run and in all others" in " ".join(compared.out.split())


def test_features_are_exported_without_a_model(before_refit: SmallHome, tmp_path: Path) -> None:
    done = ask(before_refit, "export OUT", tmp_path)
    if before_refit.size == 0:
        assert done.code == 1
        assert not (tmp_path / "out").exists()
        return
    assert done.out.strip() == str(tmp_path / "out" / "features.parquet")
    assert "no model yet" in done.err
    only_csv = ask(before_refit, "export OUT --format csv", tmp_path)
    assert only_csv.code == 1, "CuckooML's tables are of clusters"
    check_what_is_said(before_refit, only_csv)


def test_the_desk_says_the_same(before_refit: SmallHome, tmp_path: Path) -> None:
    desk = Desk(before_refit.home)
    assert len(desk.analyses()) == before_refit.size
    for call in (
        desk.cluster_table, desk.cluster_memberships, desk.assess, lambda: desk.plots(tmp_path / "plots"),
        lambda: desk.atlas(tmp_path / "atlas.html"), lambda: desk.plot("map"),
    ):  # fmt: skip
        with pytest.raises(NoModelError, match="there is no model yet") as error:
            call()
        check_what_is_said(before_refit, Done(1, "", str(error.value)))
    assert desk.score(before_refit.new[0]).status == "no_model"
    if before_refit.size < NEEDED:
        for few in (desk.fit, desk.sweep):
            with pytest.raises(CuckooMLError, match=f"import at least {NEEDED - before_refit.size} more"):
                few()


def test_the_demo_ends_with_five_lines_that_hold(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = cuckoo_ml(home, "demo")
    assert done.code == 0, done.err
    lines = {line[:18].rstrip(): line[19:] for line in done.out.rstrip().splitlines()[-5:]}
    titles = ["Seen before", "A known family", "A run cut short", "Something new", "What to open next"]
    assert list(lines) == titles
    seen, known, short, novel, following = lines.values()
    desk = Desk(home)
    for line, kind in ((known, "variant"), (novel, "unusual")):
        name, _, text = line.partition(": ")
        verdict = desk.score(home / "demo" / "new" / f"{name}.json").verdict
        assert (verdict.kind, verdict.text) == (kind, text)
    name = seen.partition(": ")[0]
    files = desk.analyses()["sha256"]
    assert (files == files[name]).sum() > 1
    assert re.search(r"analysed before, on 2016-05-\d\d", seen)
    name, _, text = short.partition(": ")
    reasons = [reason for reason in desk.score(name).anomaly.reasons if reason.kind == "incomplete_run"]  # type: ignore[union-attr]
    assert reasons[0].text.startswith(text.rstrip("."))
    assert following.endswith(f"--home {home} atlas")
    explained = " ".join(done.out.split())
    assert re.search(r"AMI 0\.\d\d and ARI 0\.\d\d say how far clusters and labels are the same groups", explained)
