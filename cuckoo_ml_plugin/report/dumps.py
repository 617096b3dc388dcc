"""What the hosts dumped from memory: CAPE's payloads and process dumps, Cuckoo's buffers and images from memory dumps.

A dump is a file that the host took apart, so that its facts have the shape of the sample's own. What a packer hides in
the sample shows in its dumps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cuckoo_ml_plugin.report.static import imports_of, sections_of
from cuckoo_ml_plugin.report.values import integer, mapping, mappings, text

MAX_DUMPS: Final = 1_000  # that are used of each list


@dataclass(frozen=True, slots=True)
class Dump:
    """A part of memory. Its facts are read when they are asked for, because those of Windows' own programs never are.

    Names are as the host wrote them, and what the host does not give is empty.
    """

    source: str  # "payload" or "process" (CAPE), "buffer" or "memory" (Cuckoo)
    entry: Mapping[str, Any]

    @property
    def code(self) -> int | None:
        """CAPE's number for the kind of a payload."""
        return integer(self.entry.get("cape_type_code"))

    @property
    def kind(self) -> str:
        """CAPE's words for it, in which a family may be named."""
        return text(self.entry.get("cape_type"))

    @property
    def magic(self) -> str:
        """libmagic's description."""
        return text(self.entry.get("type"))

    @property
    def is_image(self) -> bool:
        """Whether it is a whole program or library for Windows."""
        return self.magic.startswith("PE32")

    @property
    def path(self) -> str:
        """The program of the process that it comes from."""
        return text(self.entry.get("process_path"))

    @property
    def pid(self) -> int | None:
        """The id of that process."""
        return integer(self.entry.get("pid"))

    @property
    def target(self) -> str:
        """The program of the process into which a payload was put. CAPE shows what it could read of a path."""
        target = text(self.entry.get("target_path"))
        return target if "." in target or "\\" in target else ""

    @property
    def target_pid(self) -> int | None:
        """The id of that process."""
        return integer(self.entry.get("target_pid"))

    @property
    def tlsh(self) -> str:
        """The fuzzy hash."""
        return text(self.entry.get("tlsh"))

    @property
    def rules(self) -> list[str]:
        """The names of the YARA rules that matched."""
        return _names(self.entry.get("yara"))

    @property
    def family_rules(self) -> list[str]:
        """The names of those by which CAPE names families."""
        return _names(self.entry.get("cape_yara"))

    @property
    def has_parts(self) -> bool:
        """Whether the host took it apart as a portable executable."""
        return bool(mapping(self.entry.get("pe")))

    @property
    def imports(self) -> list[tuple[str, list[str]]]:
        """The libraries and their functions."""
        return imports_of(mapping(self.entry.get("pe")).get("imports"))

    @property
    def sections(self) -> list[tuple[str, float | None]]:
        """Name and entropy of each section."""
        return sections_of(mapping(self.entry.get("pe")).get("sections"))

    @property
    def imphash(self) -> str:
        """The hash of the import table."""
        return text(mapping(self.entry.get("pe")).get("imphash"))

    @property
    def company(self) -> str:
        """The company that the version names."""
        versions = mappings(mapping(self.entry.get("pe")).get("versioninfo"))
        return next((text(entry.get("value")) for entry in versions if entry.get("name") == "CompanyName"), "")


def dumps_of(results: Mapping[str, Any]) -> list[Dump]:
    """All dumps of an analysis, in the host's order."""
    cape = results.get("CAPE")
    payloads = mappings(mapping(cape).get("payloads")) or mappings(cape)  # CAPE before 2021: a list of payloads
    dumps = [Dump("payload", entry) for entry in payloads[:MAX_DUMPS]]
    dumps += [Dump("process", entry) for entry in mappings(results.get("procdump"))[:MAX_DUMPS]]
    dumps += [Dump("buffer", entry) for entry in mappings(results.get("buffer"))[:MAX_DUMPS]]
    for process in mappings(results.get("procmemory"))[:MAX_DUMPS]:
        dumps.append(Dump("memory", {"yara": process.get("yara")}))
        dumps += [Dump("memory", entry) for entry in mappings(process.get("extracted"))[:MAX_DUMPS]]
    return dumps


def _names(value: Any) -> list[str]:
    return [name for entry in mappings(value) if (name := text(entry.get("name")))]
