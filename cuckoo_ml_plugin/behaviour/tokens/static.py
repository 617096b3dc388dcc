"""Tokens for the sample's file, the files it dropped, the host's signatures and the strings in the file."""

from __future__ import annotations

import re
from typing import Final

from cuckoo_ml_plugin.behaviour.tokens.addresses import library_name, url_name
from cuckoo_ml_plugin.behaviour.tokens.background import is_machines_dropped
from cuckoo_ml_plugin.behaviour.tokens.normalise import Normaliser
from cuckoo_ml_plugin.behaviour.tokens.token_values import TokenValues, limit_names, smallest_by_hash
from cuckoo_ml_plugin.behaviour.tokens.volatile import without_identifiers, without_random_names
from cuckoo_ml_plugin.report.report import Report

_MAX_STRINGS: Final = 2_000  # tokens
_MAX_STRINGS_READ: Final = 20_000
_SHORTEST_STRING: Final = 6  # characters; shorter strings are mostly machine code that happens to be printable
_VERSION_NUMBERS: Final = frozenset({"fileversion", "productversion", "assembly version"})
_EXTENSION = re.compile(r"\.([a-z0-9_]{1,10})$")
_RUN = re.compile(r"[a-z]{3}|[A-Z]{3}")
_SPACES = re.compile(r"\s+")


def add_static(report: Report, values: TokenValues) -> None:
    """Add the file's type and size, and the parts of a portable executable."""
    facts = report.static
    if report.file_type:
        values.add("file_type", [_file_type(report.file_type)])
    if report.file_size is not None:
        values.add("file_size", [f"<2^{report.file_size.bit_length()}"])
    for name, functions in facts.imports:
        dll = library_name(name)
        values.add("import_dll", [dll])
        values.add("import", [f"{dll}!{function.lower()}" for function in functions[:20_000]])
    values.add("section", [section_name(name, entropy) for name, entropy in facts.sections[:1_000]])
    for name, contents in facts.resources[:20_000]:
        values.add("resource", [without_random_names(name.lower())])
        if contents:
            values.add("resource", [f"{without_random_names(name.lower())} {_file_type(contents)}"])
    values.add("language", map(str.lower, facts.languages))
    for name, value in facts.version[:1_000]:
        folded = value if name.lower() in _VERSION_NUMBERS else without_identifiers(_folded(value))
        values.add("version", [f"{name.lower()}={folded}"])
    values.add("signer", map(_folded, facts.signers))
    values.add("packer", map(_folded, facts.packers))
    values.add("compiled", [facts.compiled[:7]])  # year and month
    values.add("pdb", [without_identifiers(_folded(facts.pdb))])
    values.add("imphash", [facts.imphash.lower()])
    if facts.overlay:
        values.add("overlay", [f"<2^{facts.overlay.bit_length()}"])
    values.add("link", map(url_name, limit_names(facts.links)))


def _folded(text: str) -> str:
    return _SPACES.sub(" ", text).strip().lower()


def _file_type(magic: str) -> str:
    """libmagic's description of a file, without what is particular to one file: sizes, dates, names."""
    parts = [part.strip() for part in magic[:1024].lower().split(",")]
    kept = [part for part in parts[:4] if not any(digit in part for digit in "0123456789") or part is parts[0]]
    return without_identifiers(", ".join(kept))


def section_name(name: str, entropy: float | None) -> str:
    """The name of a section, followed by ``packed`` if its entropy is above 7.2 bits a byte."""
    folded = _folded(name)
    return f"{folded} packed" if entropy is not None and entropy > 7.2 else folded


def add_dropped(report: Report, names: Normaliser, values: TokenValues) -> None:
    """Add type, extension and name of each file that the sample wrote and the host kept."""
    for path, magic in (report.dropped or [])[:20_000]:
        name = names.file_name(path)
        if is_machines_dropped(name):
            continue
        values.add("dropped_name", [name])
        extension = _EXTENSION.search(name)
        if extension is not None:
            values.add("dropped_extension", [extension[1]])
        if magic:
            values.add("dropped_type", [_file_type(magic)])


def add_signatures(report: Report, values: TokenValues) -> None:
    """Add the names of the host's signatures, which CuckooML calls simple features, and the techniques they show."""
    values.add("signature", map(str.lower, limit_names(report.signatures)))
    values.add("technique", limit_names(report.techniques))
    values.add("mbc", limit_names(report.catalog))


def add_strings(report: Report, values: TokenValues) -> None:
    """Add the strings of the file that may be words or names. Some debris of packed code remains among them."""
    words = (string for string in report.strings[:_MAX_STRINGS_READ] if _is_readable(string))
    distinct = {without_identifiers(_folded(string[:400])) for string in words}
    values.add("string", smallest_by_hash(distinct, _MAX_STRINGS))


def _is_readable(string: str) -> bool:
    """Whether a string may be a word or a name: at least half letters, with three in a row in the same case."""
    if not _SHORTEST_STRING <= len(string) <= 2000 or len(set(string)) < 3:
        return False
    return sum(map(str.isalpha, string)) * 2 >= len(string) and _RUN.search(string) is not None
