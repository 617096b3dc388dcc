"""The files of a variant. They are polymorphic: hashes, times and random strings differ, the build does not."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from random import Random

from cuckoo_ml_samples.malware.families import Build, Family, Variant
from cuckoo_ml_samples.run import PortableExecutable, Resource, Sample, Section

_FUNCTIONS = {
    "KERNEL32.dll": (
        "GetProcAddress",
        "LoadLibraryA",
        "VirtualAlloc",
        "VirtualProtect",
        "CreateFileW",
        "WriteFile",
        "CloseHandle",
        "GetModuleHandleW",
        "ExitProcess",
        "GetTickCount",
        "Sleep",
        "HeapAlloc",
    ),
    "USER32.dll": ("MessageBoxW", "GetForegroundWindow", "wsprintfW", "DispatchMessageW", "CreateWindowExW"),
    "ADVAPI32.dll": ("RegOpenKeyExW", "RegSetValueExW", "RegCloseKey", "OpenProcessToken", "AdjustTokenPrivileges"),
    "CRYPT32.dll": ("CryptDecodeObjectEx", "CryptImportPublicKeyInfo", "CryptStringToBinaryA"),
    "WININET.dll": ("InternetOpenA", "InternetConnectA", "HttpOpenRequestA", "HttpSendRequestA", "InternetReadFile"),
    "WS2_32.dll": ("WSAStartup", "socket", "connect", "send", "recv", "closesocket"),
    "URLMON.dll": ("URLDownloadToFileW",),
    "SHELL32.dll": ("ShellExecuteExW", "SHGetFolderPathW", "SHFileOperationW"),
    "SHLWAPI.dll": ("PathFindExtensionW", "StrStrIW", "PathCombineW"),
    "MPR.dll": ("WNetOpenEnumW", "WNetEnumResourceW", "WNetCloseEnum"),
    "NETAPI32.dll": ("NetShareEnum", "NetApiBufferFree"),
    "GDI32.dll": ("CreateFontIndirectW", "SelectObject", "SetBkMode"),
    "COMCTL32.dll": ("InitCommonControlsEx", "ImageList_Create"),
    "ole32.dll": ("CoCreateInstance", "OleInitialize", "CoTaskMemFree"),
    "OLEAUT32.dll": ("SysAllocString", "VariantInit"),
    "MSVBVM60.DLL": ("ThunRTMain", "__vbaChkstk", "EVENT_SINK_AddRef", "_CIcos"),
    "mscoree.dll": ("_CorExeMain",),
    "ntdll.dll": ("NtOpenFile", "NtDeviceIoControlFile", "RtlInitUnicodeString"),
    "d3d9.dll": ("Direct3DCreate9",),
    "WINMM.dll": ("timeBeginPeriod", "timeGetTime"),
    "DINPUT8.dll": ("DirectInput8Create",),
    "WEVTAPI.dll": ("EvtClearLog", "EvtOpenLog"),
    "WINSCARD.dll": ("SCardEstablishContext", "SCardListReadersW"),
}
_FILE_TYPES = {
    "dotnet": "PE32 executable (GUI) Intel 80386 Mono/.Net assembly, for MS Windows",
    "doc": "Composite Document File V2 Document, Little Endian, Os: Windows, Version 6.1, Code page: 1252",
}
_EPOCH = datetime(2016, 1, 4, 8, 0, 0)


def _sections(build: Build, rng: Random) -> tuple[Section, ...]:
    sections = []
    address = 0x1000
    for number, name in enumerate(build.sections):
        size = max(0x200, build.size // len(build.sections) & ~0x1FF)
        code = number == 0 or (build.packer is not None and number < 2)
        entropy = 7.85 if build.packer is not None and number == 1 else 6.4 if code else 4.3
        hollow = build.packer is not None and number == 0
        raw = 0 if hollow else size
        sections.append(
            Section(
                name,
                address,
                size,
                raw,
                0.0 if hollow else entropy + rng.uniform(-0.1, 0.1),
                not code or number == 1,
                code,
            )
        )
        address += (size + 0xFFF) & ~0xFFF
    return tuple(sections)


def _executable(build: Build, variant_rng: Random, rng: Random) -> PortableExecutable:
    imports = tuple((library, _FUNCTIONS[library]) for library in build.imports)
    resources = tuple(
        Resource(name, *build.language, kind, variant_rng.randrange(0x100, 0x4000))
        for name, kind in (
            ("RT_ICON", "dBase III DBT, version number 0"),
            ("RT_VERSION", "data"),
            ("RT_MANIFEST", "XML document"),
        )
    )
    imphash = hashlib.md5(repr(imports).encode(), usedforsecurity=False).hexdigest()
    return PortableExecutable(
        imports,
        _sections(build, rng),
        resources,
        build.version_info,
        (),
        _EPOCH + timedelta(seconds=rng.randrange(10**7)),
        imphash,
        build.packer,
        build.signer,
        build.pdb_path,
    )


def _strings(build: Build, pe: PortableExecutable | None, rng: Random) -> tuple[str, ...]:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789$%&/()=+*#<>;:-_"
    if pe is None:
        strings = ["Microsoft Word-Dokument", "MSWordDoc"]
    else:
        strings = ["!This program cannot be run in DOS mode."]
        strings += [section.name for section in pe.sections]
        strings += [name for library, functions in pe.imports for name in (library, *functions)]
    strings += build.strings
    strings += ["".join(rng.choices(alphabet, k=rng.randrange(4, 14))) for _ in range(60)]
    return tuple(strings)


def make_sample(family: Family, variant: Variant, rng: Random) -> Sample:
    """A new file of `variant`. Each call gives another hash, name and build time."""
    build = variant.build
    document = family.package == "doc"
    variant_rng = Random(f"{family.name}/{variant.name}")  # the same for all files of the variant
    pe = None if document else _executable(build, variant_rng, rng)
    stem = rng.choice(family.file_names)
    name = f"{stem}_{rng.randrange(10_000):04d}.{family.package}" if rng.random() < 0.7 else f"{stem}.{family.package}"
    return Sample(
        family=family.name,
        variant=variant.name,
        file_name=name,
        package=family.package,
        file_type=_FILE_TYPES.get(
            "doc" if document else build.runtime, "PE32 executable (GUI) Intel 80386, for MS Windows"
        ),
        size=build.size + 512 * rng.randrange(8),
        sha256=f"{rng.getrandbits(256):064x}",
        pe=pe,
        strings=_strings(build, pe, rng),
        av_family=None if family.category == "clean" else family.name,
        av_category=family.category,
        detected=family.detected,
    )
