"""The settings file: every key is documented with its default, and every mistake in it is named with its line."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.needs import skip_or_fail
from support.paths import REPOSITORY

from cuckoo_ml_plugin.errors import CuckooMLError, SettingsError
from cuckoo_ml_plugin.home import Home, default_home
from cuckoo_ml_plugin.settings import (
    FORMER_DEFAULTS,
    Settings,
    documented_settings,
    former_defaults,
    load_settings,
    settings_from,
)

CONF = REPOSITORY / "conf" / "cuckooml.conf"
DEFAULTS = {
    (section.name, key.name): getattr(getattr(Settings(), section.name), key.name)
    for section in fields(Settings)
    for key in fields(getattr(Settings(), section.name))
}
NUMBERS = [name for name, value in DEFAULTS.items() if isinstance(value, int | float)]


def documented() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(CONF.read_text(encoding="utf-8"))
    return parser


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "cuckooml.conf"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_every_key_is_documented_and_nothing_else() -> None:
    parser = documented()
    assert {(section, key) for section in parser.sections() for key in parser[section]} == set(DEFAULTS)


def test_documented_values_are_the_defaults() -> None:
    parser = documented()
    for section in parser.sections():
        for key, text in parser[section].items():
            assert getattr(getattr(settings_from({section: {key: text}}), section), key) == DEFAULTS[section, key], key
    assert load_settings(CONF) == Settings()


def test_every_key_has_a_comment() -> None:
    commented, bare = False, []
    for line in CONF.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            commented = False
        elif line.startswith("#"):
            commented = True
        elif "=" in line and not commented:
            bare.append(line)
    assert not bare


def test_without_a_file_there_are_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "cuckooml.conf") == Settings()


def test_what_is_set_is_used_and_the_rest_stays(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "\ufeff[store]\nurl = postgresql+psycopg://me:50%off@db/cuckoo\n[features]\nleave_out = string, ngram ,\n"
        "[clustering]\nalgorithm = dbscan\neps = 0.25\n[scoring]\nsimilar = 0\n",
    )
    settings = load_settings(path)
    assert settings.store.url == "postgresql+psycopg://me:50%off@db/cuckoo"
    assert settings.features.leave_out == ("string", "ngram")
    assert (settings.clustering.algorithm, settings.clustering.eps) == ("dbscan", 0.25)
    assert settings.scoring.similar == 0
    assert settings.clustering.min_cluster_size == Settings().clustering.min_cluster_size
    assert settings.anomaly == Settings().anomaly


@pytest.mark.parametrize(("section", "key"), NUMBERS)
@pytest.mark.parametrize("value", ["", "many", "nan", "inf", "-inf", "-1", "1e300", "1" + "0" * 400, "0.5; 0.6"])
def test_a_bad_number_is_named_with_its_file(tmp_path: Path, section: str, key: str, value: str) -> None:
    path = written(tmp_path, f"[{section}]\n{key} = {value}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)
    assert f"[{section}] {key}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[clustering]\nmin_cluster_size = 2.5\n", "min_cluster_size"),
        ("[clustering]\nalgorithm = kmeans\n", "hdbscan, dbscan"),
        ("[clustering]\nmin_clusters = 5\n", "min_clusters"),
        ("[clusters]\nmin_cluster_size = 5\n", "[clusters]"),
        ("[DEFAULT]\ncertainty = 0.9\n", "DEFAULT"),
        ("certainty = 0.9\n", "INI"),
        ("[\0]\ncertainty = 0.9\n[clustering]\neps = 1\n", "[\0]"),
        ("[clustering]\ncertainty = 0.9\ncertainty = 0.8\n", "certainty"),
        ("[clustering]\ncertainty\n", "INI"),
        ("[scoring]\nsimilar = 1\n[scoring]\nevidence = 1\n", "scoring"),
        (b"[store]\nurl = caf\xe9\n", "encoding"),
        (b"\x00\x01\x02", "INI"),
        ("[store]\nurl = x".encode("utf-16"), "encoding"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path: Path, text: str | bytes, named: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# a comment\n\n[scoring]\nsimilar = 5\n\nevidence = many\n", 6),
        ("[scoring]\nsimilar = 5\n  \n[anomaly]\nThreshold : 2\n[vectors]\ndimensions = 1\n", 5),
        ("[store]\nurl = a\n  certainty = b\n[scoring]\nsimilar: -1", 5),
        ("[store]\nurl = a\n[scoring]\nkinds = 5", 4),
        ("[scoring]\nsimilar = 5\nevidence\n", 3),
        ("[scoring]\nsimilar = 5\nsimilar = 5\n", 3),
        ("[scoring]\n\n[scoring]\n", 3),
        ("\nsimilar = 5\n", 2),
    ],
)
def test_an_error_names_the_line(tmp_path: Path, text: str, line: int) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError, match=rf"^{re.escape(str(path))}, line {line}: "):
        load_settings(path)


def test_bounds_are_named_and_belong_to_the_values_that_are_accepted() -> None:
    assert settings_from({"vectors": {"min_document_frequency": " 1_000_000 "}}).vectors.min_document_frequency == 10**6
    with pytest.raises(SettingsError, match=r"'1000001' is not a whole number from 1 to 1,000,000\.$"):
        settings_from({"vectors": {"min_document_frequency": "1000001"}})
    assert settings_from({"clustering": {"eps": "0.000001", "selection_epsilon": "2"}}).clustering.eps == 1e-6
    with pytest.raises(SettingsError, match=r"'2\.01' is not a number from 1e-06 to 2\.$"):
        settings_from({"clustering": {"eps": "2.01"}})


def test_a_model_records_settings_as_it_always_did() -> None:
    """Other JSON would look like changed settings to ``refit --if-needed``."""
    assert json.loads(json.dumps(asdict(Settings()))) == {
        "store": {"url": ""},
        "host": {"node": "", "signature": "no", "time_limit": 10},
        "features": {"leave_out": []},
        "vectors": {"dimensions": 48, "min_document_frequency": 3},
        "clustering": {
            "algorithm": "hdbscan",
            "min_cluster_size": 2,
            "min_samples": 1,
            "selection_epsilon": 0.7,
            "certainty": 0.5,
            "kin_level": 0.0,
            "eps": 0.5,
        },
        "anomaly": {"threshold": 0.95, "high_outlier_score": 0.9, "low_probability": 0.6},
        "births": {"shown": 3},
        "scoring": {"similar": 5, "evidence": 10},
        "refit": {
            "min_analyses": 20,
            "new_share": 0.1,
            "new_analyses": 50,
            "drift_significance": 0.001,
            "keep_models": 5,
        },
        "retention": {"days": 0, "repeats": 0},
    }


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=str(tmp_path)):
        load_settings(tmp_path)


@given(st.binary(max_size=200) | st.text(alphabet="[]=:#;% \n\tclustering.eps0", max_size=80).map(str.encode))
def test_whatever_the_file_holds_it_is_settings_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = written(tmp_path_factory.getbasetemp(), content)
    try:
        load_settings(path)
    except SettingsError as error:
        message = str(error)
    else:
        return
    assert str(path) in message
    assert "\n" not in message


def test_a_new_home_gets_the_documented_file_and_an_edited_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cuckoo_ml_plugin.home.documented_settings", documented_settings)  # as it is outside of tests
    home = Home(tmp_path / "new" / "home").create()
    assert home.settings_file.read_text(encoding="utf-8") == CONF.read_text(encoding="utf-8")
    assert home.settings() == Settings()
    home.settings_file.write_text("[scoring]\nsimilar = 9\n", encoding="utf-8")
    assert home.create().settings().scoring.similar == 9


def test_the_store_is_in_the_home_or_where_the_settings_say(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.store_url(Settings()) == f"sqlite:///{tmp_path}/store.db"
    elsewhere = settings_from({"store": {"url": "postgresql+psycopg://db/cuckoo"}})
    assert home.store_url(elsewhere) == "postgresql+psycopg://db/cuckoo"


def test_a_home_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CuckooMLError, match="--home"):
        Home(tmp_path / "file" / "home").create()


def test_the_environment_names_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUCKOO_ML_HOME", str(tmp_path))
    assert default_home() == tmp_path


def test_the_documented_file_is_found_in_the_checkout() -> None:
    assert documented_settings() == CONF.read_text(encoding="utf-8")


def test_the_documented_file_is_found_when_installed(tmp_path: Path) -> None:
    program = "import sys, cuckoo_ml_plugin.settings as s; print(s.__file__); sys.stdout.write(s.documented_settings())"
    # -I keeps the checkout off the path, so that the installed package is imported.
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    module, _, text = done.stdout.partition("\n")
    if "No module named 'cuckoo_ml_plugin'" in done.stderr or Path(module).parents[1] == REPOSITORY:
        skip_or_fail("the package is not installed in this Python (python3 dev.py test installs it)")
    assert done.returncode == 0, done.stderr
    assert text == CONF.read_text(encoding="utf-8")


def test_todays_defaults_are_no_former_ones() -> None:
    assert former_defaults(Settings()) == []
    for section, keys in FORMER_DEFAULTS.items():
        for key, values in keys.items():
            assert DEFAULTS[section, key] not in values
