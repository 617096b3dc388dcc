"""The behash is what docs/behash.md says, whoever computes it, and its estimates are near the likeness."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import REPOSITORY

from cuckoo_ml_plugin.behaviour import behash as behash_module
from cuckoo_ml_plugin.behaviour.behash import BYTES, BehashTable, as_text, behash
from cuckoo_ml_plugin.behaviour.behaviour import kind_of
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.behaviour.kinds import ASPECT_OF_KIND, ASPECTS, KINDS
from cuckoo_ml_plugin.behaviour.likeness import likeness, token_sets
from cuckoo_ml_plugin.plumbing.hashes import joined_tokens
from cuckoo_ml_plugin.report.report import report_from_results
from cuckoo_ml_samples import perturb
from cuckoo_ml_samples.execute import execute
from cuckoo_ml_samples.malware.families import FAMILIES, Family
from cuckoo_ml_samples.report_formats import cape, cuckoo2
from cuckoo_ml_samples.sample_files import make_sample

PAGE = (REPOSITORY / "docs" / "behash.md").read_text(encoding="utf-8")
VECTORS = json.loads((Path(__file__).parent / "behash_vectors.json").read_text(encoding="utf-8"))


# -- the specification, implemented a second time: from the page alone, with whole numbers of Python -------------------
def aspects_of_page() -> dict[str, int]:
    """The number of each kind's aspect, from the table of the page."""
    rows = re.findall(r"^\| (\d) \| \w+ \| (.+) \|$", PAGE, re.MULTILINE)
    return {kind: int(number) for number, kinds in rows for kind in re.findall(r"`(\w+)`", kinds)}


NUMBERS = aspects_of_page()
MASK = 2**64 - 1
BITS = [128] * 6 + [64] * 2


def spec_seeds() -> list[int]:
    state, seeds = 0x6265686173682031, []
    for _ in range(128):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        seeds.append(z ^ (z >> 31))
    return seeds


SEEDS = spec_seeds()


def spec_value(x: int, seed: int) -> int:
    y = ((x ^ seed) * 0x9E3779B97F4A7C15) & MASK
    return ((y ^ (y >> 32)) * 0xD6E8FEB86659FD93) & MASK


def spec_sets(tokens: Iterable[str]) -> list[set[bytes]]:
    sets: list[set[bytes]] = [set() for _ in range(8)]
    for token in tokens:
        kind, colon, _ = token.partition(":")
        number = NUMBERS.get(kind)
        if colon and number is not None:
            sets[number].add(token.encode())
    return sets


def spec_behash(tokens: Iterable[str]) -> bytes | None:
    tokens = set(tokens)
    sets = spec_sets(tokens)
    if not any(sets):
        return None
    codes = [min(255, round(8 * math.log2(len(of_aspect))) + 1) if of_aspect else 0 for of_aspect in sets]
    digest = hashlib.blake2b(b"\n".join(sorted(token.encode() for token in tokens)), digest_size=16).digest()
    made = bytes([1, *codes]) + digest[:7]
    for of_aspect, bits in zip(sets, BITS, strict=True):
        hashes = [xxhash.xxh3_64_intdigest(token) for token in of_aspect]
        sketch = 0
        for i in range(bits if hashes else 0):
            sketch |= (min(spec_value(x, SEEDS[i]) for x in hashes) & 1) << i
        made += sketch.to_bytes(bits // 8, "little")
    return made


def spec_likeness(first: Iterable[str], second: Iterable[str]) -> float:
    shared = whole = 0.0
    for a, b in zip(spec_sets(first), spec_sets(second), strict=True):
        if a | b:
            shared += len(a & b) / len(a | b) * math.sqrt(len(a | b))
            whole += math.sqrt(len(a | b))
    return shared / whole if whole else 0.0


def spec_estimate(first: bytes, second: bytes) -> float:
    shared, whole, start = 0.0, 0.0, 16
    for number, bits in enumerate(BITS):
        a, b = (2 ** ((made[1 + number] - 1) / 8) if made[1 + number] else 0.0 for made in (first, second))
        one, other = (int.from_bytes(made[start : start + bits // 8], "little") for made in (first, second))
        start += bits // 8
        if a or b:
            unequal = (one ^ other).bit_count()
            jaccard = min(max(0.0, 1 - 2 * unequal / bits), min(a, b) / max(a, b))
            weight = math.sqrt((a + b) / (1 + jaccard))
            shared, whole = shared + jaccard * weight, whole + weight
    return shared / whole if whole else 0.0


# -- both agree --------------------------------------------------------------------------------------------------------
def made_of(tokens: Iterable[str]) -> bytes | None:
    return behash(joined_tokens(list(tokens)))


def known(tokens: Iterable[str]) -> bytes:
    made = made_of(tokens)
    assert made is not None
    return made


def estimate(first: bytes, second: bytes) -> float:
    table = BehashTable()
    table.append([second])
    return float(table.estimates(first)[0])


def exact(first: Iterable[str], second: Iterable[str]) -> float:
    return likeness(*(token_sets(joined_tokens(list(tokens))) for tokens in (first, second)))


def test_every_kind_has_an_aspect_and_the_page_names_it() -> None:
    assert set(KINDS) - set(ASPECT_OF_KIND) == set(), "give the new kind an aspect in behaviour/kinds.py"
    numbers = {kind: ASPECTS.index(aspect) for kind, aspect in ASPECT_OF_KIND.items()}
    assert numbers == NUMBERS, "docs/behash.md lists the kinds of each aspect"


@pytest.mark.parametrize("case", VECTORS["behaviours"], ids=lambda case: case["name"])
def test_the_published_behaviours_have_the_published_behashes(case: dict[str, Any]) -> None:
    expected = case["behash"]
    for made in (made_of(case["tokens"]), spec_behash(case["tokens"])):
        assert (None if made is None else as_text(made)) == expected
    if expected is not None:
        version, _, text = expected.partition(":")
        assert (version, len(base64.urlsafe_b64decode(text + "="))) == ("1", BYTES)


@pytest.mark.parametrize("pair", VECTORS["pairs"], ids=lambda pair: f"{pair['first']}, {pair['second']}")
def test_the_published_pairs_have_the_published_likeness(pair: dict[str, Any]) -> None:
    tokens = {case["name"]: case["tokens"] for case in VECTORS["behaviours"]}
    first, second = tokens[pair["first"]], tokens[pair["second"]]
    for computed in (exact(first, second), exact(second, first), spec_likeness(first, second)):
        assert computed == pytest.approx(pair["likeness"], abs=1e-6)
    hashes = known(first), known(second)
    for computed in (estimate(*hashes), estimate(*hashes[::-1]), spec_estimate(*hashes)):
        assert computed == pytest.approx(pair["estimate"], abs=1e-5)


kinds = st.sampled_from([*KINDS, "unknown", "dump_unknown"])
hostile = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n"), max_size=6)
tokens_of_any_kind = st.builds(
    "{}:{}".format, kinds, hostile | st.sampled_from([":", ";", "\x00", "\u202e", "Z" * 500])
)
behaviours = st.lists(tokens_of_any_kind | hostile.filter(bool), max_size=40)


@settings(max_examples=25, deadline=None)
@given(behaviours, st.randoms())
def test_any_tokens_in_any_order_as_often_as_you_like_give_what_the_page_says(tokens: list[str], rng: Random) -> None:
    made = made_of(tokens)
    assert made == spec_behash(tokens)
    repeated = [*tokens, *tokens[: len(tokens) // 2]]
    rng.shuffle(repeated)
    assert made_of(repeated) == made
    assert exact(repeated, tokens) == (0.0 if made is None else 1.0)


@settings(max_examples=25, deadline=None)
@given(behaviours, behaviours)
def test_likeness_and_estimate_are_symmetric_and_between_0_and_1(first: list[str], second: list[str]) -> None:
    assert exact(first, second) == exact(second, first) == pytest.approx(spec_likeness(first, second))
    assert 0 <= exact(first, second) <= 1
    one, other = made_of(first), made_of(second)
    if one is not None and other is not None:
        assert 0 <= estimate(one, other) <= 1
        assert estimate(one, other) == pytest.approx(estimate(other, one), abs=1e-5)
        assert estimate(one, other) == pytest.approx(spec_estimate(one, other), abs=1e-5)
        assert estimate(one, one) == pytest.approx(1, abs=1e-6)


def test_texts_that_no_database_holds_are_hashed_as_they_are_stored() -> None:
    assert made_of(["mutex:\ud800", "mutex:a\nmutex:b"]) == made_of(["mutex:?", "mutex:a", "mutex:b"])
    assert made_of([]) is None
    assert made_of(["nonsense", "unknown:x"]) is None


# -- estimates ---------------------------------------------------------------------------------------------------------
def corpus_like_behaviours(count: int) -> list[list[str]]:
    """Behaviours of several sizes and aspects, in groups that are more or less alike."""
    rng = Random(5)
    kinds = ("api", "reg_read", "file_written", "string", "mutex", "signature")
    origins = [[f"{kind}:{n % 97}" for kind in kinds for n in range(rng.randrange(3, 90))] for _ in range(count // 20)]
    return [perturb(origins[n % len(origins)], rng, others=origins, dropped=rng.random() * 0.6) for n in range(count)]


def test_estimates_are_near_the_likeness() -> None:
    behaviours = corpus_like_behaviours(120)
    table = BehashTable()
    table.append([known(tokens) for tokens in behaviours])
    sets = [token_sets(joined_tokens(tokens)) for tokens in behaviours]
    errors = []
    for tokens, own in zip(behaviours[:30], sets, strict=False):
        errors += (table.estimates(known(tokens)) - [likeness(own, other) for other in sets]).tolist()
    assert np.abs(errors).mean() < 0.05
    assert abs(np.mean(errors)) < 0.03
    assert np.quantile(np.abs(errors), 0.99) < 0.15


@pytest.mark.parametrize("count", [50, 3_000])
def test_the_nearest_are_those_with_the_highest_estimates_however_many_there_are(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behash_module, "_BLOCK", 700)
    rng = np.random.default_rng(1)
    originals = [known(tokens) for tokens in corpus_like_behaviours(50)]
    rows = [bytearray(originals[n % len(originals)]) for n in range(count)]
    for row in rows[len(originals) :]:
        for place in rng.integers(9, BYTES, 40):
            row[place] ^= 1 << int(rng.integers(8))
    table = BehashTable()
    for start in range(0, count, 900):
        table.append([bytes(row) for row in rows[start : start + 900]])
    assert len(table) == count
    for one in originals[::10]:
        everything = table.estimates(one)
        for first in (0, count // 3):
            found, likely = table.nearest(one, 24, first)
            assert likely.tolist() == sorted(everything[first:], reverse=True)[: len(found)]
            assert everything[found].tolist() == likely.tolist()
            assert found.min() >= first
            assert len(found) == 24
    assert [len(part) for part in BehashTable().nearest(originals[0], 24)] == [0, 0]


def test_equally_alike_behaviours_are_found_in_the_order_of_their_content() -> None:
    one = known(["api:a", "mutex:b"])
    others = [bytes([*one[:9], n, *one[10:]]) for n in (7, 3, 9, 1)]
    orders = []
    for behashes in (others, others[::-1]):
        table = BehashTable()
        table.append(behashes)
        orders.append([behashes[row] for row in table.nearest(one, 3)[0]])
    assert orders[0] == orders[1] == sorted(others)[:3]


def test_older_numpy_counts_bits_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.random.default_rng(2).integers(0, 2**64, 500, np.uint64)
    expected = [int(word).bit_count() for word in words]
    assert behash_module._bits_by_table(words).tolist() == expected
    assert behash_module._set_bits(words).tolist() == expected


# -- two hosts ---------------------------------------------------------------------------------------------------------
# Kinds that one host alone reports, or that do not mean the same in both (CAPE's `keys` and `files` do not tell opening
# from reading and writing; each host has signatures of its own).
ONE_HOST_ONLY = {
    "resolved_api", "reg_opened", "file_opened", "file_created", "file_moved", "file_copied", "file_failed",
    "file_exists", "dir_created", "dir_enumerated", "dir_removed", "com_class", "wmi", "tls", "ja3", "signature",
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES[::6], ids=lambda family: family.name)
def test_a_run_is_as_near_in_two_hosts_as_the_kinds_that_both_report_allow(family: Family) -> None:
    rng = Random("two hosts")
    run = execute(make_sample(family, family.variants[0], rng), family.variants[0], rng)
    reports = [json.loads(json.dumps(host.render(run, 1))) for host in (cuckoo2, cape)]
    first, second = (set(extract(report_from_results(report)).tokens) for report in reports)
    shared = {token for token in first | second if kind_of(token) not in ONE_HOST_ONLY}
    assert exact(first & shared, second & shared) > 0.8, "what both report, they report alike"
    allowed = exact(first | shared, second | shared)  # if they reported it equally
    assert allowed - 0.15 < exact(first, second) <= allowed
    assert estimate(known(first), known(second)) == pytest.approx(exact(first, second), abs=0.1)
