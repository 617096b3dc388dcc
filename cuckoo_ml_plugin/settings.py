"""The settings of ``cuckooml.conf``: read once, checked, typed; and the one seed of everything that is random."""

from __future__ import annotations

import configparser
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from cuckoo_ml_plugin.errors import SettingsError

SEED = 20160523
"""Seed of all randomness (the day on which CuckooML's summer of code began)."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    url: str = ""


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    leave_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VectorSettings:
    dimensions: int = 48
    min_document_frequency: int = 3


@dataclass(frozen=True, slots=True)
class ClusteringSettings:
    algorithm: str = "hdbscan"
    min_cluster_size: int = 4
    min_samples: int = 1
    selection_epsilon: float = 0.5
    certainty: float = 0.66
    eps: float = 0.5


@dataclass(frozen=True, slots=True)
class AnomalySettings:
    threshold: float = 0.95
    high_outlier_score: float = 0.9
    low_probability: float = 0.75


@dataclass(frozen=True, slots=True)
class ScoringSettings:
    similar: int = 5
    evidence: int = 10


@dataclass(frozen=True, slots=True)
class RefitSettings:
    min_analyses: int = 20
    new_share: float = 0.1
    new_analyses: int = 50
    drift_significance: float = 0.001
    keep_models: int = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, a section of ``cuckooml.conf`` each; the defaults here are the documented ones."""

    store: StoreSettings = field(default_factory=StoreSettings)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    vectors: VectorSettings = field(default_factory=VectorSettings)
    clustering: ClusteringSettings = field(default_factory=ClusteringSettings)
    anomaly: AnomalySettings = field(default_factory=AnomalySettings)
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    refit: RefitSettings = field(default_factory=RefitSettings)


# The values that a key may have, where its type alone allows too much: lowest and highest, both included.
_BOUNDS: dict[str, tuple[float, float]] = {
    "vectors.dimensions": (2, 1024),
    "vectors.min_document_frequency": (1, 1_000_000),
    "clustering.min_cluster_size": (2, 1_000_000),
    "clustering.min_samples": (1, 1_000),
    "clustering.selection_epsilon": (0.0, 2.0),
    "clustering.certainty": (0.0, 1.0),
    "clustering.eps": (1e-6, 2.0),
    "anomaly.threshold": (0.0, 1.0),
    "anomaly.high_outlier_score": (0.0, 1.0),
    "anomaly.low_probability": (0.0, 1.0),
    "scoring.similar": (0, 100),
    "scoring.evidence": (0, 100),
    "refit.min_analyses": (2, 1_000_000_000),
    "refit.new_share": (0.0, 1_000.0),
    "refit.new_analyses": (1, 1_000_000_000),
    "refit.drift_significance": (0.0, 1.0),
    "refit.keep_models": (1, 10_000),
}
_CHOICES: dict[str, tuple[str, ...]] = {"clustering.algorithm": ("hdbscan", "dbscan")}


def load_settings(path: Path) -> Settings:
    """Read ``cuckooml.conf``; a missing file gives the defaults.

    Raises:
        SettingsError: the file cannot be read, or a section, key or value is not one of ours.
    """
    parser = configparser.ConfigParser(interpolation=None, default_section="\0")
    try:
        with path.open(encoding="utf-8-sig") as file:
            parser.read_file(file)
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{path}: cannot be read ({reason}); check its permissions and encoding.") from error
    except configparser.Error as error:
        why = str(error).splitlines()[0]
        raise SettingsError(f"{path}: is not an INI file ({why}); compare it with conf/cuckooml.conf.") from error
    return settings_from({name: dict(parser.items(name)) for name in parser.sections()}, source=str(path))


def settings_from(sections: dict[str, dict[str, str]], source: str = "settings") -> Settings:
    """Settings from text values by section and key; ``source`` names them in errors.

    Raises:
        SettingsError: a section, key or value is not one of ours.
    """
    defaults = Settings()
    chosen: dict[str, Any] = {}
    for section, values in sections.items():
        if section not in {f.name for f in fields(Settings)}:
            raise SettingsError(f"{source}: there is no section [{section}]; conf/cuckooml.conf has those there are.")
        room = getattr(defaults, section)
        known = {f.name for f in fields(room)}
        typed: dict[str, Any] = {}
        for key, text in values.items():
            if key not in known:
                raise SettingsError(f"{source}: [{section}] has no key {key!r}; it knows {', '.join(sorted(known))}.")
            typed[key] = _typed(f"{section}.{key}", text, getattr(room, key), source)
        chosen[section] = type(room)(**typed)
    return Settings(**chosen)


def _typed(name: str, text: str, default: Any, source: str) -> Any:
    section, key = name.split(".")
    text = text.strip()
    if isinstance(default, str):
        choices = _CHOICES.get(name)
        if choices and text not in choices:
            raise SettingsError(f"{source}: [{section}] {key} = {text!r} is not one of {', '.join(choices)}.")
        return text
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    lowest, highest = _BOUNDS[name]
    whole = isinstance(default, int)
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = float("nan")
    if not lowest <= value <= highest:  # also what NaN fails
        kind = "whole number" if whole else "number"
        raise SettingsError(f"{source}: [{section}] {key} = {text!r} is not a {kind} from {lowest:g} to {highest:g}.")
    return value


def documented_settings() -> str:
    """The text of ``conf/cuckooml.conf``: every key with its default and what it does."""
    return shipped_conf("cuckooml.conf")


def shipped_conf(name: str) -> str:
    """The text of a file in ``conf/``, such as ``cape/reporting.conf``. Raises SettingsError."""
    here = Path(__file__).resolve().parent
    for folder in (here / "conf", here.parent / "conf"):  # installed, or run from a checkout
        file = folder / name
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise SettingsError(f"{here}: this installation lacks conf/{name}; install the package again.")
