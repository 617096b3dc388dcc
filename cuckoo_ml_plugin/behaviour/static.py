"""Tokens of the sample's file, of the files it left behind, of the host's signatures and of strings."""

from __future__ import annotations

import re
from typing import Final

from cuckoo_ml_plugin.behaviour.addresses import library
from cuckoo_ml_plugin.behaviour.normalise import Normaliser
from cuckoo_ml_plugin.behaviour.token_values import Found, few_enough, smallest_by_hash
from cuckoo_ml_plugin.behaviour.volatile import without_identifiers, without_random_names
from cuckoo_ml_plugin.report.report import Report

_MAX_STRINGS: Final = 2_000  # tokens
_MAX_STRINGS_READ: Final = 20_000
_SHORTEST_STRING: Final = 6  # characters; shorter ones are mostly machine code that happens to be printable
_VERSION_NUMBERS: Final = frozenset({"fileversion", "productversion", "assembly version"})
_EXTENSION = re.compile(r"\.([a-z0-9_]{1,10})$")
_RUN = re.compile(r"[a-z]{3}|[A-Z]{3}")
_SPACES = re.compile(r"\s+")


def add_static(report: Report, found: Found) -> None:
    """File type and size, and what the host found in a portable executable."""
    facts = report.static
    if report.file_type:
        found.add("file_type", [_file_type(report.file_type)])
    if report.file_size is not None:
        found.add("file_size", [f"<2^{report.file_size.bit_length()}"])
    for name, functions in facts.imports:
        dll = library(name)
        found.add("import_dll", [dll])
        found.add("import", [f"{dll}!{function.lower()}" for function in functions[:20_000]])
    found.add("section", [_section(name, entropy) for name, entropy in facts.sections[:1_000]])
    for name, contents in facts.resources[:20_000]:
        found.add("resource", [without_random_names(name.lower())])
        if contents:
            found.add("resource", [f"{without_random_names(name.lower())} {_file_type(contents)}"])
    found.add("language", map(str.lower, facts.languages))
    for name, value in facts.version[:1_000]:
        folded = value if name.lower() in _VERSION_NUMBERS else without_identifiers(_folded(value))
        found.add("version", [f"{name.lower()}={folded}"])
    found.add("signer", map(_folded, facts.signers))
    found.add("packer", map(_folded, facts.packers))
    found.add("compiled", [facts.compiled[:7]])  # year and month
    found.add("pdb", [without_identifiers(_folded(facts.pdb))])
    found.add("imphash", [facts.imphash.lower()])


def _folded(text: str) -> str:
    return _SPACES.sub(" ", text).strip().lower()


def _file_type(magic: str) -> str:
    """libmagic's words up to what is particular to one file: sizes, dates, names."""
    parts = [part.strip() for part in magic[:1024].lower().split(",")]
    kept = [part for part in parts[:4] if not any(digit in part for digit in "0123456789") or part is parts[0]]
    return without_identifiers(", ".join(kept))


def _section(name: str, entropy: float | None) -> str:
    """A section by its name; a packed one says so."""
    folded = _folded(name)
    return f"{folded} packed" if entropy is not None and entropy > 7.2 else folded


def add_dropped(report: Report, names: Normaliser, found: Found) -> None:
    """Type, extension and name of each file that the host kept because the sample wrote it."""
    for path, magic in (report.dropped or [])[:20_000]:
        name = names.file_name(path)
        found.add("dropped_name", [name])
        extension = _EXTENSION.search(name)
        if extension is not None:
            found.add("dropped_extension", [extension[1]])
        if magic:
            found.add("dropped_type", [_file_type(magic)])


def add_signatures(report: Report, found: Found) -> None:
    """What the host's signatures are called: the seed's simple features."""
    found.add("signature", map(str.lower, few_enough(report.signatures)))


def add_strings(report: Report, found: Found) -> None:
    """Strings of the file that may be words or names: DLLs and messages, with some debris of packed code."""
    words = (string for string in report.strings[:_MAX_STRINGS_READ] if _readable(string))
    distinct = {without_identifiers(_folded(string[:400])) for string in words}
    found.add("string", smallest_by_hash(distinct, _MAX_STRINGS))


def _readable(string: str) -> bool:
    """Whether a string may be a word or a name: at least half of it letters, some of them a run of one case."""
    if not _SHORTEST_STRING <= len(string) <= 2000 or len(set(string)) < 3:
        return False
    return sum(map(str.isalpha, string)) * 2 >= len(string) and _RUN.search(string) is not None
