"""The settings of ``cuckooml.conf``: read once, checked and typed; and the one seed of everything that is random."""

from __future__ import annotations

import configparser
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_type_hints

import msgspec

from cuckoo_ml_plugin.errors import SettingsError

SEED: Final = 20160523
"""Seed of all randomness (the day on which CuckooML's summer of code began)."""

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


@dataclass(frozen=True, slots=True)
class StoreSettings:
    url: str = ""


@dataclass(frozen=True, slots=True)
class HostSettings:
    node: str = ""
    signature: Literal["no", "yes"] = "no"
    time_limit: Annotated[float, msgspec.Meta(ge=1, le=3_600)] = 10


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    leave_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VectorSettings:
    dimensions: Annotated[int, msgspec.Meta(ge=2, le=1024)] = 48
    min_document_frequency: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 3


@dataclass(frozen=True, slots=True)
class ClusteringSettings:
    algorithm: Literal["hdbscan", "dbscan"] = "hdbscan"
    min_cluster_size: Annotated[int, msgspec.Meta(ge=2, le=1_000_000)] = 2
    min_samples: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1
    selection_epsilon: Annotated[float, msgspec.Meta(ge=0.0, le=2.0)] = 0.7
    certainty: Share = 0.5
    kin_level: Share = 0.0
    eps: Annotated[float, msgspec.Meta(ge=1e-6, le=2.0)] = 0.5


@dataclass(frozen=True, slots=True)
class AnomalySettings:
    threshold: Share = 0.95
    high_outlier_score: Share = 0.9
    low_probability: Share = 0.6


@dataclass(frozen=True, slots=True)
class BirthSettings:
    shown: Annotated[int, msgspec.Meta(ge=2, le=1_000_000)] = 3


@dataclass(frozen=True, slots=True)
class ScoringSettings:
    similar: Annotated[int, msgspec.Meta(ge=0, le=100)] = 5
    evidence: Annotated[int, msgspec.Meta(ge=0, le=100)] = 10


@dataclass(frozen=True, slots=True)
class RefitSettings:
    min_analyses: Annotated[int, msgspec.Meta(ge=2, le=1_000_000_000)] = 20
    new_share: Annotated[float, msgspec.Meta(ge=0.0, le=1_000.0)] = 0.1
    new_analyses: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 50
    drift_significance: Share = 0.001
    keep_models: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 5


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 0
    repeats: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings: a field for each section of ``cuckooml.conf``. The defaults are the documented ones."""

    store: StoreSettings = field(default_factory=StoreSettings)
    host: HostSettings = field(default_factory=HostSettings)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    vectors: VectorSettings = field(default_factory=VectorSettings)
    clustering: ClusteringSettings = field(default_factory=ClusteringSettings)
    anomaly: AnomalySettings = field(default_factory=AnomalySettings)
    births: BirthSettings = field(default_factory=BirthSettings)
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    refit: RefitSettings = field(default_factory=RefitSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)


FORMER_DEFAULTS: Final[Mapping[str, Mapping[str, tuple[float, ...]]]] = {
    "vectors": {"dimensions": (64,), "min_document_frequency": (2,)},
    "clustering": {
        "min_cluster_size": (4, 5), "selection_epsilon": (0.4, 0.5), "certainty": (0.4, 0.62, 0.66, 0.68),
        "kin_level": (0.85,),
    },
    "anomaly": {"low_probability": (0.5, 0.75)},
}  # fmt: skip
"""Values that earlier versions wrote into the settings of a new home, where today's default is another."""


def former_defaults(settings: Settings) -> list[str]:
    """The settings that are as an earlier version wrote them, such as ``certainty = 0.62 (today 0.5)``."""
    today = Settings()
    return [
        f"{key} = {value:g} (today {getattr(getattr(today, section), key):g})"
        for section, keys in FORMER_DEFAULTS.items()
        for key, former in keys.items()
        if (value := getattr(getattr(settings, section), key)) in former
    ]


def load_settings(path: Path) -> Settings:
    """Read ``cuckooml.conf``; a missing file gives the defaults.

    Raises:
        SettingsError: the file cannot be read, or a section, key or value is not one of ours.
    """
    parser = _Parser()
    try:
        with path.open(encoding="utf-8-sig") as file:
            parser.read_file(parser.numbered(file), source=str(path))
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{path}: cannot be read ({reason}); check its permissions and encoding.") from error
    except configparser.Error as error:
        reason, line = _parse_error(error)
        place = f"{path}, line {line}" if line else path
        raise SettingsError(f"{place}: is not an INI file ({reason}); compare it with conf/cuckooml.conf.") from error
    sections = {name: dict(parser.items(name)) for name in parser.sections()}
    keys = [(section, key) for section, values in sections.items() for key in values]
    return settings_from(sections, str(path), dict(zip(keys, parser.key_lines, strict=True)))


class _Parser(configparser.ConfigParser):
    """An INI parser that notes in which line each key stands, in the order of the file.

    Sections and keys are unique (``strict``), so that order is also the one in which the parser lists them.
    """

    def __init__(self) -> None:
        self.key_lines: list[int] = []
        self._line = 0
        super().__init__(interpolation=None, default_section="\n")  # a name that no line can hold

    def numbered(self, lines: Iterator[str]) -> Iterator[str]:
        """The lines, counted as the parser takes them."""
        for self._line, line in enumerate(lines, start=1):
            yield line

    def optionxform(self, optionstr: str) -> str:
        self.key_lines.append(self._line)  # the parser calls this once for each key that it reads
        return super().optionxform(optionstr)


def _parse_error(error: configparser.Error) -> tuple[str, int]:
    """What is wrong with an INI file, and in which line (0: not known)."""
    if isinstance(error, configparser.MissingSectionHeaderError):
        return "no section before it", error.lineno
    if isinstance(error, configparser.DuplicateSectionError):
        return f"section [{error.section}] for the second time", error.lineno or 0
    if isinstance(error, configparser.DuplicateOptionError):
        return f"key {error.option!r} in section [{error.section}] for the second time", error.lineno or 0
    if isinstance(error, configparser.ParsingError) and error.errors:
        return "neither section, key nor comment", error.errors[0][0]
    return str(error).splitlines()[0], 0


def settings_from(
    sections: Mapping[str, Mapping[str, str]],
    source: str = "settings",
    lines: Mapping[tuple[str, str], int] | None = None,
) -> Settings:
    """Settings from text values by section and key; ``source`` and ``lines``, by section and key, place errors.

    Raises:
        SettingsError: a section, key or value is not one of ours.
    """
    classes: dict[str, Any] = get_type_hints(Settings)
    chosen: dict[str, Any] = {}
    for section, values in sections.items():
        if section not in classes:
            raise SettingsError(
                f"{source}: there is no section [{section}]; the sections are {', '.join(map('[{}]'.format, classes))}."
            )
        types = get_type_hints(classes[section], include_extras=True)
        typed: dict[str, Any] = {}
        for key, text in values.items():
            line = (lines or {}).get((section, key))
            place = f"{source}, line {line}" if line else source
            if key not in types:
                raise SettingsError(
                    f"{place}: [{section}] has no key {key!r}; its keys are {', '.join(sorted(types))}."
                )
            try:
                typed[key] = _value(text.strip(), types[key])
            except ValueError as error:
                raise SettingsError(f"{place}: [{section}] {key} = {text.strip()!r} is not {error}.") from error
        chosen[section] = classes[section](**typed)
    return Settings(**chosen)


def _value(text: str, annotation: Any) -> Any:
    """A value of a field's type. Raises ValueError with what it should have been."""
    expected = msgspec.inspect.type_info(annotation)
    if isinstance(expected, msgspec.inspect.VarTupleType):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    read: Callable[[str], Any] = str
    requirement = "text"
    if isinstance(expected, msgspec.inspect.LiteralType):
        requirement = f"one of {', '.join(get_args(annotation))}"
    elif isinstance(expected, msgspec.inspect.IntType):
        read, requirement = int, f"a whole number from {expected.ge:,} to {expected.le:,}"
    elif isinstance(expected, msgspec.inspect.FloatType):
        read, requirement = float, f"a number from {expected.ge:g} to {expected.le:g}"
    try:
        return msgspec.convert(read(text), annotation)
    except (ValueError, msgspec.ValidationError) as error:
        raise ValueError(requirement) from error


def documented_settings() -> str:
    """The text of ``conf/cuckooml.conf``, which documents every key with its default."""
    return shipped_conf("cuckooml.conf")


def shipped_conf(name: str) -> str:
    """The text of a file in ``conf/``, such as ``cape/reporting.conf``. Raises SettingsError."""
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):  # installed, or run from a checkout
        file = folder / name
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise SettingsError(f"{package}: this installation lacks conf/{name}; install the package again.")
