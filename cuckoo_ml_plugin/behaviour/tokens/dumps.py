"""Tokens for what the hosts dumped from memory, where nothing is packed: payloads, injections, facts of images.

No family's name becomes a token. Kinds come from CAPE's numbers, because a rule that names a family replaces the words.
Of YARA's rules only those are used whose names consist of words for capabilities.

A fuzzy hash becomes tokens by bands. Two TLSH digests are compared by counting in which of 128 buckets they differ, and
a token can hold no distance. But near digests agree in whole runs of buckets, and share the token of each such run.
Measured with the authors' library on 252 programs of Linux, of which 0.2 to 20 % of the bytes were changed, inserted or
deleted, with runs of 12 buckets: 99 % of the pairs nearer than 30 share a run, on average 6.4 of 10, and so do 88 % of
the pairs from 30 to 50, but only 0.3 % of 31,626 pairs of unrelated programs. Runs of 8 buckets are shared by 6 % of
the unrelated pairs; runs of 16 miss a quarter of the pairs from 15 to 30.
"""

from __future__ import annotations

import re
from typing import Final

from cuckoo_ml_plugin.behaviour.tokens.addresses import library_name
from cuckoo_ml_plugin.behaviour.tokens.machine_names import PROCESS_FOLDERS
from cuckoo_ml_plugin.behaviour.tokens.normalise import Normaliser
from cuckoo_ml_plugin.behaviour.tokens.static import section_name
from cuckoo_ml_plugin.behaviour.tokens.token_values import TokenValues
from cuckoo_ml_plugin.report.dumps import Dump
from cuckoo_ml_plugin.report.report import Report

_MOST_IMPORTS: Final = 20_000
_MOST_PIECES: Final = 8  # without a header; more of them are the pages of a compiler at run time, or encrypted data
_KINDS: Final = {  # CAPE's numbers (cape.h of its monitor)
    2: "decompressed pe image", 3: "injected pe image", 4: "injected shellcode/data", 8: "unpacked pe image",
    9: "unpacked shellcode", 0x6A: "amsi buffer", 0x6B: "amsi stream", 0x1000: "unpacked pe image",
}  # fmt: skip
_SOURCES: Final = {"buffer": "buffer", "memory": "image in memory"}  # Cuckoo's
_KIND_WORDS: Final = frozenset(
    (  # noqa: SIM905
        "unpacked injected decompressed extracted reflective pe image shellcode data payload config configuration file "
        "script stage module component plugin memory dump buffer stream amsi string"
    ).split()
)
_TLSH: Final = re.compile(r"(?:T1)?[0-9A-F]{6}([0-9A-F]{64})", re.IGNORECASE)
_BAND: Final = 6  # hexadecimal digits, each for two buckets
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
# Words for what code can do and how it is made. A word of a family's name must not be among them.
_CAPABILITIES: Final = frozenset(
    (  # noqa: SIM905
        "a address aes allocation amsi analysis and antidebug antisandbox antivm api apis asm assembly autoit "
        "autorun base64 based binaries binary bit block browser browsers build by bypass bytes call calls camera "
        "capture certificate check checks chrome class clear clipboard code command compiled compiler compressed "
        "computer config connect constants contains cookies cpu crc32 create credential credentials crypto "
        "cryptography currency data debug debugger debugging delete delphi description desktop detect detected "
        "detection device dga direct directory disable disk dll dlls dns domain dotnet download downloader dropper "
        "dump dynamic eip elevation email embedded encoded encrypt encrypted encryption enum environment escalate "
        "escalation etw evasion event events exe executable execute execution exfiltration explorer export exports "
        "extension file files filesystem find firefox for format from ftp function functions gate generic get "
        "golang handle has hash header heavens hex hidden hide hook hooking hooks host hosts http https icon image "
        "imports in indicator indicators info inject injection input installer internet irc is java keyboard "
        "keylogger keylogging keys large library loaded long looks machine macro macros mail malformed md5 memory "
        "message migration misc modify module mutex mz name native netsh network new no nsis nt obfuscated "
        "obfuscation of office old on or outlook overlay packed packer parsing password passwords patch patterns "
        "pdb pe peb persistence pipe policy port powershell privilege privileges process processes program protect "
        "protector proxy ps python query random ransom raw rc4 read recovery references reflective registry remote "
        "resolution resolve resource rich rsa run rundll runpe rwx sandbox schedule scheduled screen screenshot "
        "script search section sections self send sensitive service services setup sha1 sha256 shadow shell "
        "shellcode shim sig signature signatures signed single sleep smtp sniff socket software spawn ssl stack "
        "startup static string strings suspicious syscall syscalls system table task tasks tcp technique telegram "
        "temp the themida thread threads time timing to token tor transfer uac udp unhook unpacked upx url urls "
        "usb use user uses using vault vb vba vbs virtual virtualalloc virtualization virtualprotect vm vmdetect "
        "vmprotect vmware voice volume vpn wallet wallets web webcam win winapi window windows winhttp wininet "
        "with wmi wow64 write wscript x64 x86 xor zip"
    ).split()
)


def add_dumps(report: Report, names: Normaliser, values: TokenValues) -> None:
    """Add payloads, injections, and the facts of dumps that are not Windows' own images as they are."""
    families = _families(report)
    injected = {dump.target_pid for dump in report.dumps if dump.target_pid is not None}
    pieces = sum(not dump.is_image for dump in report.dumps)
    for dump in report.dumps:
        if dump.source == "process" and dump.pid not in injected and _is_windows_image(dump, names):
            continue
        if dump.source != "process":
            values.add("payload", [_kind(dump)])
        if dump.target:
            values.add("injection", [f"{names.file_name(dump.path)}>{names.file_name(dump.target)}"])
        for name, functions in dump.imports:
            library = library_name(name)
            values.add("dump_import", [f"{library}!{function.lower()}" for function in functions[:_MOST_IMPORTS]])
        values.add("dump_section", [section_name(name, entropy) for name, entropy in dump.sections[:1_000]])
        values.add("dump_imphash", [dump.imphash.lower()])
        if dump.is_image or pieces <= _MOST_PIECES:
            values.add("dump_fuzzy", _bands(dump.tlsh))
        values.add("dump_yara", [rule.lower() for rule in dump.rules if _is_capability(rule, families)])


def _kind(dump: Dump) -> str:
    """The kind of a payload without a family: ``unpacked pe image: 32-bit dll``; empty for one that is not known."""
    kind = _KINDS.get(dump.code or 0) or _SOURCES.get(dump.source, "") if dump.magic or dump.code else ""
    if not kind:
        words = re.findall(r"[a-z]+", dump.kind.lower())
        kind = " ".join(word for word in words if word in _KIND_WORDS)
    if not kind or not dump.is_image:
        return kind
    bits = "64-bit" if dump.magic.startswith("PE32+") else "32-bit"
    return f"{kind}: {bits} {'dll' if '(DLL)' in dump.magic[:60] else 'executable'}"


def _is_windows_image(dump: Dump, names: Normaliser) -> bool:
    """Whether the dump is a program that Windows or an updater ships. The version of a hollowed one says otherwise."""
    if not names.path(dump.path).startswith(PROCESS_FOLDERS):
        return False
    return not dump.has_parts or dump.company.lower().startswith(("microsoft", "google"))


def _bands(digest: str) -> list[str]:
    """Ten runs of 12 buckets of a TLSH digest, each with its place; none for anything else."""
    match = _TLSH.fullmatch(digest)
    if match is None:
        return []
    body = match[1].lower()
    return [f"{start // _BAND}:{body[start : start + _BAND]}" for start in range(0, len(body) - _BAND + 1, _BAND)]


def _families(report: Report) -> tuple[str, ...]:
    """What the report calls families, as letters and digits: the host's detections, and rules that name families."""
    names = [*report.host_families, *(rule for dump in report.dumps for rule in dump.family_rules)]
    return tuple({letters for name in names if len(letters := _letters(name)) > 2})


def _is_capability(rule: str, families: tuple[str, ...]) -> bool:
    """Whether the name of a rule says what code can do, and names no family."""
    words = [word.lower() for word in _WORD.findall(rule[:200])]
    named = any(family in _letters(rule) for family in families)
    return bool(words) and not named and all(word in _CAPABILITIES or word.isdigit() for word in words)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
