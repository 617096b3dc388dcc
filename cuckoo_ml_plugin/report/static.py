"""The sample's file as the hosts describe it: imports, sections, resources, version, signers, packer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cuckoo_ml_plugin.report.values import integer, items, mapping, mappings, number, text, texts

_DOCUMENT: Final = re.compile(
    r"PDF document|Composite Document|Microsoft (?:Word|Excel|PowerPoint|OOXML|OneNote)|OpenDocument|Rich Text Format"
    r"|HTML document|MS Windows shortcut|Internet shortcut|RFC 822 mail|SMTP mail"
)  # in libmagic's descriptions
_HEX: Final = re.compile(r"[0-9a-f]+")


@dataclass(slots=True)
class StaticFacts:
    """The parts of a portable executable, as the host has them; empty for any other file."""

    imports: list[tuple[str, list[str]]] = field(default_factory=list)  # library, its imported functions
    sections: list[tuple[str, float | None]] = field(default_factory=list)  # name, entropy in bits a byte
    resources: list[tuple[str, str]] = field(default_factory=list)  # name, type of its contents
    languages: list[str] = field(default_factory=list)  # languages and sublanguages, without LANG_ and SUBLANG_
    version: list[tuple[str, str]] = field(default_factory=list)  # field, value
    signers: list[str] = field(default_factory=list)
    packers: list[str] = field(default_factory=list)
    compiled: str = ""  # as the host writes it: "2016-04-02 23:16:33"
    pdb: str = ""
    imphash: str = ""
    links: list[str] = field(default_factory=list)  # URLs in a document
    overlay: int | None = None  # bytes after the last section
    present: bool = False


def static_facts(results: Mapping[str, Any]) -> StaticFacts:
    """From ``static`` of Cuckoo, ``static.pe`` of CAPE 2.2 or ``target.file.pe`` of later ones; empty without any."""
    static = mapping(results.get("static"))
    file = mapping(mapping(results.get("target")).get("file"))
    pe = next((section for section in (file.get("pe"), static.get("pe"), static) if mapping(section)), None)
    links = _links(static, file)
    if pe is None:
        return StaticFacts(links=links)

    def either(cape: str, cuckoo: str) -> Any:
        return pe.get(cape) if cape in pe else pe.get(cuckoo)

    facts = StaticFacts(
        imports=imports_of(either("imports", "pe_imports")),
        sections=sections_of(either("sections", "pe_sections")),
        version=[
            (name, value)
            for entry in mappings(either("versioninfo", "pe_versioninfo"))
            if (name := text(entry.get("name"))) and (value := text(entry.get("value")).strip())
        ],
        signers=_signers(pe),
        packers=texts(pe.get("peid_signatures")),
        compiled=text(either("timestamp", "pe_timestamp")),
        pdb=text(either("pdbpath", "pdb_path")),
        imphash=text(either("imphash", "pe_imphash")),
        overlay=_overlay(pe.get("overlay")),
        links=links,
    )
    for resource in mappings(either("resources", "pe_resources")):
        if name := text(resource.get("name")):
            facts.resources.append((name, text(resource.get("filetype"))))
        facts.languages += [
            language
            for raw, prefix in ((resource.get("language"), "LANG_"), (resource.get("sublanguage"), "SUBLANG_"))
            if (language := text(raw).removeprefix(prefix))
        ]
    facts.present = bool(facts.imports or facts.sections or facts.compiled or facts.imphash)
    return facts


def _links(static: Mapping[str, Any], file: Mapping[str, Any]) -> list[str]:
    """The URLs in a document: of its links, its scripts and its macros.

    Cuckoo's ``urls`` are whatever looks like a URL in the bytes of any file, so they count for documents alone.
    """
    links: list[str] = []
    for pdf in (file.get("pdf"), static.get("pdf")):
        for part in mappings(pdf) or [mapping(pdf)]:
            for key in ("urls", "All_URLs", "Annot_URLs", "JS_URLs"):
                links += texts(part.get(key))
    for office in (file.get("office"), static.get("office")):
        indicators = mapping(mapping(mapping(office).get("Macro")).get("Analysis")).get("IOCs")
        pairs = [texts(pair) for pair in items(indicators)]
        links += [pair[1] for pair in pairs if len(pair) == 2 and pair[0].upper() == "URL"]
    if _DOCUMENT.search(text(file.get("type"))[:300]):
        links += texts(file.get("urls"))
    return links


def sections_of(value: Any) -> list[tuple[str, float | None]]:
    """Name and entropy, in bits a byte, of each section of a portable executable."""
    return [
        (name, number(section.get("entropy"))) for section in mappings(value) if (name := text(section.get("name")))
    ]


def _overlay(value: Any) -> int | None:
    """The size in bytes of what follows the last section, which CAPE writes in hexadecimal digits."""
    size = mapping(value).get("size")
    digits = text(size).lower().removeprefix("0x")
    return integer(size) if not digits or len(digits) > 16 or not _HEX.fullmatch(digits) else int(digits, 16)


def imports_of(value: Any) -> list[tuple[str, list[str]]]:
    """The libraries and their functions, from a list or (CAPE since 2.3) a mapping by name."""
    libraries = mappings(list(value.values())) if isinstance(value, Mapping) else mappings(value)
    return [
        (name, [function for symbol in mappings(library.get("imports")) if (function := text(symbol.get("name")))])
        for library in libraries
        if (name := text(library.get("dll")))
    ]


def _signers(pe: Mapping[str, Any]) -> list[str]:
    """The signers' names: of Cuckoo's certificates, of CAPE's certificates and of CAPE's check in the guest."""
    names: list[str] = []
    for signer in mappings(pe.get("signature")) + mappings(pe.get("digital_signers")):
        candidates = (signer.get(key) for key in ("common_name", "subject_commonName", "organization"))
        names += [name for value in candidates if (name := text(value))][:1]
    guest = mapping(pe.get("guest_signers"))
    for signer in mappings(guest.get("aux_signers")):
        candidates = (signer.get(key) for key in ("Issued to", "issued_to", "name"))
        names += [name for value in candidates if (name := text(value))][:1]
    return names
