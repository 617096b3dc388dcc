"""What the hosts dumped from memory: CAPE's payloads and process dumps, Cuckoo's buffers and images from memory dumps.

A dump is a file that the host took apart, so that its facts have the shape of the sample's own. What a packer hides in
the sample shows in its dumps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cuckoo_ml_plugin.report.static import imports_of, sections_of
from cuckoo_ml_plugin.report.values import integer, mapping, mappings, text

MAX_DUMPS: Final = 1_000  # that are used of each list


@dataclass(slots=True)
class Dump:
    """A part of memory, with names as the host wrote them; fields that the host does not give are empty."""

    source: str  # "payload" or "process" (CAPE), "buffer" or "memory" (Cuckoo)
    code: int | None = None  # CAPE's number for the kind of a payload
    kind: str = ""  # CAPE's words for it, in which a family may be named
    magic: str = ""  # libmagic's description
    path: str = ""  # of the process that it comes from
    process: str = ""
    pid: int | None = None
    target: str = ""  # the process into which a payload was injected
    target_pid: int | None = None
    tlsh: str = ""
    rules: list[str] = field(default_factory=list)  # names of the YARA rules that matched
    family_rules: list[str] = field(default_factory=list)  # of the rules by which CAPE names families
    imports: list[tuple[str, list[str]]] = field(default_factory=list)
    sections: list[tuple[str, float | None]] = field(default_factory=list)
    imphash: str = ""
    company: str = ""  # in the version of the image

    @property
    def is_image(self) -> bool:
        """Whether it is a whole program or library for Windows."""
        return self.magic.startswith("PE32")


def dumps_of(results: Mapping[str, Any]) -> list[Dump]:
    """All dumps of an analysis, in the host's order."""
    cape = results.get("CAPE")
    payloads = mappings(mapping(cape).get("payloads")) or mappings(cape)  # CAPE before 2021: a list of payloads
    dumps = [_cape_dump("payload", entry) for entry in payloads[:MAX_DUMPS]]
    dumps += [_cape_dump("process", entry) for entry in mappings(results.get("procdump"))[:MAX_DUMPS]]
    dumps += [_cuckoo_dump("buffer", entry) for entry in mappings(results.get("buffer"))[:MAX_DUMPS]]
    for process in mappings(results.get("procmemory"))[:MAX_DUMPS]:
        dumps.append(_cuckoo_dump("memory", process))
        dumps += [_cuckoo_dump("memory", entry) for entry in mappings(process.get("extracted"))[:MAX_DUMPS]]
    return dumps


def _cape_dump(source: str, entry: Mapping[str, Any]) -> Dump:
    target = text(entry.get("target_path")) or text(entry.get("target_process"))
    dump = Dump(
        source,
        code=integer(entry.get("cape_type_code")),
        kind=text(entry.get("cape_type")),
        magic=text(entry.get("type")),
        path=text(entry.get("process_path")),
        process=text(entry.get("process_name")),
        pid=integer(entry.get("pid")),
        target=target if "." in target or "\\" in target else "",  # CAPE shows what it could read of a path
        target_pid=integer(entry.get("target_pid")),
        tlsh=text(entry.get("tlsh")),
        rules=_rules(entry.get("yara")),
        family_rules=_rules(entry.get("cape_yara")),
    )
    pe = mapping(entry.get("pe"))
    if pe:
        dump.imports = imports_of(pe.get("imports"))
        dump.sections = sections_of(pe.get("sections"))
        dump.imphash = text(pe.get("imphash"))
        versions = mappings(pe.get("versioninfo"))
        names = (text(entry.get("value")) for entry in versions if entry.get("name") == "CompanyName")
        dump.company = next(names, "")
    return dump


def _cuckoo_dump(source: str, entry: Mapping[str, Any]) -> Dump:
    return Dump(source, magic=text(entry.get("type")), pid=integer(entry.get("pid")), rules=_rules(entry.get("yara")))


def _rules(value: Any) -> list[str]:
    return [name for entry in mappings(value) if (name := text(entry.get("name")))]
