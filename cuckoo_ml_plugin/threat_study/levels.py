"""The levels of a study: a row for each domain, and one for each device, with scores joined by noisy-or."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.finding.threat_words import is_saturated
from cuckoo_ml_plugin.threat_study.noisy_or import noisy_or, noisy_or_by
from cuckoo_ml_plugin.threat_study.reading.score_table import ScoreTable

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spread:
    """What stands beside the joined scores of n devices from p providers, which near 1 with the number of domains."""

    mean: Floats  # (n, p) of the scores of a device's domains; NaN where there is none
    highest: Floats  # (n, p) the same
    scored: Floats  # (n, p) the number of domains with a score


@dataclass(frozen=True, slots=True)
class Level:
    """The scores of n subjects (domains or devices) from p providers."""

    what: str  # "domain", "device", "row", or the word of the table
    names: list[str]  # n
    providers: list[str]  # p
    joined: Floats  # (n, p) in [0, 1]; NaN where a provider has no score
    columns: list[str]  # c, the names of the single answers
    answers: Floats  # (n, c) in [0, 1], joined over the rows of a subject; NaN for none
    counts: Floats | None  # (n,) how often each was seen, for a device over its domains; None without counts
    parts: Floats | None  # (n,) the devices that saw a domain, or the domains that a device saw; None if not both
    parts_what: str  # the plural of what `parts` counts, such as "devices"
    spread: Spread | None = None  # of a device's domains
    beside: frozenset[str] = frozenset()  # the providers that are no exchange

    @property
    def exchanges(self) -> list[str]:
        """The providers that are in sum and joint score."""
        return [name for name in self.providers if name not in self.beside]

    @property
    def score(self) -> Floats:
        """(n,) the sum over the exchanges, as the original study has it; one without a score adds nothing."""
        return np.asarray(np.nansum(self._of_exchanges, axis=1), np.float64)

    @property
    def joint(self) -> Floats:
        """(n,) noisy-or over the exchanges, in [0, 1]; 0 where none has a score."""
        return np.nan_to_num(noisy_or(self._of_exchanges))

    @property
    def _of_exchanges(self) -> Floats:
        if not self.beside:
            return self.joined
        return self.joined[:, [i for i, name in enumerate(self.providers) if name not in self.beside]]

    def saturated(self, i: int) -> list[str]:
        """The exchanges whose joined score of a subject is close to 1 by the number of its parts."""
        if self.spread is None:
            return []
        return [
            name
            for j, name in enumerate(self.providers)
            if name not in self.beside
            and is_saturated(float(self.joined[i, j]), float(self.spread.mean[i, j]), float(self.spread.scored[i, j]))
        ]


@dataclass(frozen=True, slots=True)
class Levels:
    """Both levels; ``devices`` is None for a table without devices, and where each row is a device."""

    domains: Level
    devices: Level | None
    notes: list[str] = field(default_factory=list)


def levels_of(table: ScoreTable) -> Levels:
    """Join a table by domain and by device.

    A domain on a device counts once, however many rows repeat it: with the greatest scores and the sum of the counts of
    these rows. In a table with devices and without domains, a row that repeats another cell for cell counts once, too.
    """
    notes = []
    n = len(table.scores)
    device_names, devices = _numbered(table.devices, n)
    domain_names, domains = _numbered(_named_rows(table.domains), n)
    repeated = _pairs(table, devices, domains)
    pairs, first, scores = _greatest(repeated, table.scores)
    if len(first) < n:
        notes.append(
            f"{n - len(first):,} of {n:,} rows repeat another one; repeated rows count once, with the greatest scores."
        )
    counts = np.ones(n) if table.counts is None else np.nan_to_num(table.counts, nan=1.0)
    pair_counts = _totals(pairs, len(first), counts)
    devices, domains = devices[first], domains[first]
    per_domain, _, greatest = _greatest(domains, scores)
    if not np.array_equal(greatest[per_domain], scores, equal_nan=True):
        notes.append(
            f"Some {table.domain_word}s have different scores on different {table.device_word}s; "
            "the greatest score of each answer counts."
        )
    rows_are_devices = table.domains is None and device_names is not None and len(first) == len(device_names)
    what = table.domain_word if table.domains else table.device_word if rows_are_devices else "row"
    present = np.unique(domains)
    names = [domain_names[i] for i in present] if domain_names else _row_names(table, first)
    two_levels = table.domains is not None and table.devices is not None
    device_counts = _totals(per_domain, len(present), np.ones(len(first)))
    by_domain = _level(
        what,
        names,
        table,
        greatest,
        _totals(per_domain, len(present), pair_counts),
        device_counts if two_levels else None,
    )
    if device_names is None or rows_are_devices:
        return Levels(by_domain, None, notes)
    joined = noisy_or_by(devices, len(device_names), scores)
    size = len(device_names)
    counts_of_devices = _totals(devices, size, pair_counts)
    parts = _totals(devices, size, np.ones(len(first)))
    level = _level(table.device_word, device_names, table, joined, counts_of_devices, parts)
    if two_levels:
        level = _with_spread(level, devices, _by_provider(table, level.providers, scores))
        notes += _saturation(level)
    return Levels(by_domain, level, notes)


def _with_spread(level: Level, devices: Indices, scores: Floats) -> Level:
    """The level of devices with mean and highest of the (m, p) scores of their domains.

    Of a provider that is no exchange, the highest score counts: levels and percentages are no probabilities.
    """
    shape = (len(level.names), len(level.providers))
    totals, scored, highest = np.zeros(shape), np.zeros(shape), np.full(shape, -1.0)
    np.add.at(totals, devices, np.nan_to_num(scores))
    np.add.at(scored, devices, ~np.isnan(scores))
    np.maximum.at(highest, devices, np.nan_to_num(scores, nan=-1.0))
    missing = scored == 0
    mean = np.where(missing, np.nan, totals / np.maximum(scored, 1))
    highest[missing] = np.nan
    columns = [i for i, name in enumerate(level.providers) if name in level.beside]
    joined = level.joined
    if columns:
        joined = joined.copy()
        joined[:, columns] = highest[:, columns]
    return replace(level, joined=joined, spread=Spread(mean, highest, scored))


def _saturation(level: Level) -> list[str]:
    """A note on the devices of which a joined score says little."""
    rows = [names for i in range(len(level.names)) if (names := level.saturated(i))]
    if not rows:
        return []
    named = ", ".join(sorted({name for names in rows for name in names}))
    return [
        f"For {len(rows):,} of {len(level.names):,} {level.what}s, the joined score of {named} is close to 1 by the"
        f" number of {level.parts_what}: noisy-or is the probability that at least one of them is malicious, so sum and"
        f" joint score hardly differ. Compare by the mean and the highest."
    ]


def _totals(groups: Indices, number: int, weights: Floats) -> Floats:
    return np.asarray(np.bincount(groups, weights=weights, minlength=number), np.float64)


def _named_rows(domains: list[str] | None) -> list[str] | None:
    """The domains; a row without one gets a name of its own."""
    return None if domains is None else [name or f"row {i}" for i, name in enumerate(domains, 1)]


def _row_names(table: ScoreTable, first: Indices) -> list[str]:
    if table.devices is None:
        return [f"row {i + 1}" for i in first]
    return [table.devices[i] or "(no name)" for i in first]


def _numbered(names: list[str] | None, n: int) -> tuple[list[str] | None, Indices]:
    """The distinct names in the order of their first row, and the number (n,) of each row's name.

    Without names, each row has a number of its own.
    """
    if names is None:
        return None, np.arange(n)
    numbers: dict[str, int] = {}
    rows = np.fromiter((numbers.setdefault(name, len(numbers)) for name in names), np.int64, len(names))
    return [name or "(no name)" for name in numbers], rows


def _pairs(table: ScoreTable, devices: Indices, domains: Indices) -> Indices:
    """(n,) a number for each row; equal for rows that repeat each other."""
    if table.domains is not None:
        return devices * (int(domains.max()) + 1) + domains if table.devices is not None else domains
    if table.devices is None:
        return domains  # rows without names are not repeats, even with equal scores
    cells = np.column_stack([devices.astype(float), np.nan_to_num(table.scores, nan=-1.0)])
    return np.asarray(np.unique(cells, axis=0, return_inverse=True)[1], np.int64).ravel()


def _greatest(groups: Indices, scores: Floats) -> tuple[Indices, Indices, Floats]:
    """The number (n,) of each row's group, the first row (m,) of each group, and its greatest scores (m, c).

    Groups are numbered in the order of their first rows.
    """
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    numbers = rank[inverse.ravel()]
    greatest = np.full((len(first), scores.shape[1]), -1.0)
    np.maximum.at(greatest, numbers, np.nan_to_num(scores, nan=-1.0))
    greatest[greatest < 0] = np.nan
    return numbers, first[order], greatest


def _level(
    what: str, names: list[str], table: ScoreTable, answers: Floats, counts: Floats, parts: Floats | None
) -> Level:
    providers = list(dict.fromkeys(table.providers))
    joined = _by_provider(table, providers, answers)
    return Level(
        what=what,
        names=names,
        providers=providers,
        joined=joined,
        columns=table.columns,
        answers=answers,
        counts=counts if table.counts is not None else None,
        parts=parts,
        parts_what=f"{table.domain_word if what == table.device_word else table.device_word}s",
        beside=table.beside,
    )


def _by_provider(table: ScoreTable, providers: list[str], answers: Floats) -> Floats:
    """(n, p) the answers (n, c) of each provider, joined."""
    numbers = np.array([providers.index(name) for name in table.providers])
    return np.column_stack([noisy_or(answers[:, numbers == i]) for i in range(len(providers))])
