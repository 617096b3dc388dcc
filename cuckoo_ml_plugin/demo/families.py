"""The families of the demo: which blocks each variant is made of. All of them are invented.

A variant is a list of steps run in order; a run drops or swaps one now and then, as real executions differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import blocks as b
from .recorder import Recorder

Step = Callable[[Recorder], Any]
_IE = "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)"
_CHROME = "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 Chrome/49.0 Safari/537.36"


def s(block: Callable[..., Any], *constants: Any, **named: Any) -> Step:
    """A step: a block with the constants of its variant."""
    return lambda recorder: block(recorder, *constants, **named)


@dataclass(frozen=True, slots=True)
class Build:
    """How the files of a variant were made; samples of it differ only in hashes, names and times."""

    runtime: str = "msvc"
    sections: tuple[str, ...] = (".text", ".rdata", ".data", ".rsrc", ".reloc")
    imports: tuple[str, ...] = ("KERNEL32.dll", "USER32.dll", "ADVAPI32.dll")
    packer: str | None = None
    version_info: tuple[tuple[str, str], ...] = ()
    signer: str | None = None
    language: tuple[str, str] = ("LANG_ENGLISH", "SUBLANG_ENGLISH_US")
    pdb_path: str | None = None
    size: int = 180_000
    strings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    name: str
    steps: tuple[Step, ...]
    build: Build = field(default_factory=Build)
    new: bool = False  # comes only after the fit, as a sample to score


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    category: str  # the scanners' word for its kind; "clean" for goodware
    weight: int  # its share of the corpus, relative to the others
    variants: tuple[Variant, ...]
    file_names: tuple[str, ...]
    package: str = "exe"
    detects: bool = True  # whether the sandbox has a rule for it


_RANSOM = Build(
    imports=("KERNEL32.dll", "ADVAPI32.dll", "CRYPT32.dll", "MPR.dll"),
    packer="UPX 2.90 [LZMA]",
    sections=("UPX0", "UPX1", ".rsrc"),
    size=240_000,
    strings=("GLACIER-ID:", "your files are frozen"),
)
_NOTE = "All your files are frozen. Read http://pay.glacierlock.test/ with your id."

GLACIERLOCK = Family(
    "glacierlock",
    "ransom",
    46,
    (
        Variant(
            "a",
            (
                b.startup,
                b.unpack,
                b.look_around,
                s(b.mutex, "Global\\GlcLk-7f31"),
                b.make_key,
                s(b.persist_run_key, "Glacier", "GlacierGuard"),
                b.delete_shadow_copies,
                s(b.encrypt_files, ".glacier", "HOW_TO_THAW.txt", note_text=_NOTE),
                s(b.set_wallpaper, "frozen.bmp"),
                s(b.beacon, ("pay.glacierlock.test", "pay2.glacierlock.test"), "/gate.php?id=#", _IE, times=2),
                b.delete_itself,
            ),
            _RANSOM,
        ),
        Variant(
            "b",
            (
                b.startup,
                b.unpack,
                s(b.evade, "sleep"),
                b.look_around,
                s(b.mutex, "Global\\GlcLk-7f31"),
                b.make_key,
                s(b.delete_shadow_copies, "wmic"),
                b.disable_recovery,
                s(b.encrypt_files, ".glacier2", "HOW_TO_THAW.html", note_text="<html>" + _NOTE, files=17),
                s(b.set_wallpaper, "frozen.bmp"),
                s(b.beacon, ("thaw.glacierlock.test",), "/v2/gate.php?id=#", _IE, times=2),
            ),
            _RANSOM,
        ),
        Variant(
            "c",
            (
                b.startup,
                b.look_around,
                s(b.mutex, "Global\\GlcLk-91aa"),
                b.make_key,
                s(b.scan_shares, hosts=6),
                b.delete_shadow_copies,
                s(b.encrypt_files, ".glc", "HOW_TO_THAW.txt", note_text=_NOTE, files=15, rename=False),
                b.delete_itself,
            ),
            Build(imports=_RANSOM.imports, size=120_000, strings=_RANSOM.strings),
        ),
        Variant(
            "d",
            (
                b.startup,
                s(b.evade, "debugger"),
                b.look_around,
                s(b.mutex, "Global\\GlcLk-c0de"),
                b.make_key,
                b.delete_shadow_copies,
                b.disable_recovery,
                s(b.encrypt_files, ".icecap", "HOW_TO_THAW.txt", note_text=_NOTE, files=16, rename=False),
                s(b.set_wallpaper, "icecap.bmp"),
            ),
            Build(imports=_RANSOM.imports, size=150_000, strings=_RANSOM.strings),
            new=True,
        ),
    ),
    ("invoice", "scan", "fax_message", "resume"),
)

_BANKER = Build(
    imports=("KERNEL32.dll", "USER32.dll", "ADVAPI32.dll", "WININET.dll", "SHLWAPI.dll"),
    size=310_000,
    sections=(".text", ".rdata", ".data", ".vlm", ".reloc"),
    strings=("velm_bot", "inject_start", "%BOTID%"),
)
_VELMORA_HOSTS = ("panel.velmora.test", "panel2.velmora.test", "panel3.velmora.invalid")

VELMORA = Family(
    "velmora",
    "banker",
    44,
    (
        Variant(
            "a",
            (
                b.startup,
                b.unpack,
                s(b.evade, "debugger", "memory"),
                b.look_around,
                s(b.mutex, "Local\\{velm-####-####}"),
                s(b.persist_run_key, "Velm"),
                s(b.store_settings, "Microsoft\\Velm", "Seed", "Targets", "Modules"),
                b.inject_thread,
                s(b.hook_browser, "PR_Write", "PR_Read", "PR_Close"),
                s(b.beacon, _VELMORA_HOSTS, "/vlm/gate.php", _IE),
            ),
            _BANKER,
        ),
        Variant(
            "b",
            (
                b.startup,
                b.unpack,
                s(b.evade, "debugger", "sleep"),
                b.look_around,
                s(b.mutex, "Local\\{velm-####-####}"),
                s(b.persist_run_key, "Velm"),
                s(b.store_settings, "Microsoft\\Velm", "Seed", "Targets"),
                s(b.inject_thread, "svchost.exe"),
                s(b.hook_browser, "PR_Write", "PR_Read", "PR_Close", "SSL_ImportFD"),
                b.steal_mail_accounts,
                s(b.beacon, _VELMORA_HOSTS[1:], "/vlm/gate.php", _IE),
            ),
            _BANKER,
        ),
        Variant(
            "c",
            (
                b.startup,
                b.look_around,
                s(b.mutex, "Local\\{velm-####-####}"),
                s(b.hollow, "explorer.exe"),
                s(b.persist_task, "VelmUpdate"),
                s(b.store_settings, "Microsoft\\Velm", "Seed", "Targets", "Modules"),
                s(b.hook_browser, "PR_Write", "PR_Read"),
                s(b.steal_browser_passwords, "ie"),
                s(b.beacon, ("cdn.velmora.test",), "/s/#.jpg", _CHROME, port=443),
            ),
            Build(imports=_BANKER.imports, size=350_000, strings=_BANKER.strings),
        ),
        Variant(
            "d",
            (
                b.startup,
                b.unpack,
                s(b.evade, "debugger", "disk"),
                b.look_around,
                s(b.mutex, "Local\\{velm-####-####}"),
                s(b.persist_task, "VelmUpdate"),
                s(b.store_settings, "Microsoft\\Velm", "Seed", "Targets", "Modules"),
                b.inject_thread,
                s(b.hook_browser, "PR_Write", "PR_Read", "PR_Close"),
                s(b.beacon, ("cdn2.velmora.test",), "/s/#.png", _CHROME),
            ),
            _BANKER,
            new=True,
        ),
    ),
    ("statement", "payment", "order_confirmation", "flashplayer_update"),
)

_LOADER = Build(
    imports=("KERNEL32.dll", "URLMON.dll", "SHELL32.dll"), size=45_000, strings=("ferry://", "MZ check failed")
)

FERRYDROP = Family(
    "ferrydrop",
    "downloader",
    40,
    (
        Variant(
            "a",
            (
                b.startup,
                s(b.evade, "sleep"),
                s(b.mutex, "ferry_#####"),
                b.look_around,
                s(b.download_and_run, "files.ferrydrop.test", "/load/1.exe"),
                s(b.download_and_run, "files.ferrydrop.test", "/load/2.exe"),
                b.delete_itself,
            ),
            _LOADER,
        ),
        Variant(
            "b",
            (
                b.startup,
                s(b.evade, "mouse"),
                s(b.mutex, "ferry_#####"),
                s(b.look_around, names=False),
                s(b.beacon, ("tasks.ferrydrop.test",), "/task?h=#", "Ferry/2.1", method="GET", times=1),
                s(b.download_and_run, "tasks.ferrydrop.test", "/bin/p.exe", parameters="-k"),
            ),
            _LOADER,
        ),
        Variant(
            "c",
            (
                s(b.startup, "vb6"),
                s(b.evade, "windows", "sleep"),
                s(b.mutex, "ferry_#####"),
                s(b.download_and_run, "img.ferrydrop.example.com", "/pic/logo.png", "logo.scr"),
                s(b.persist_task, "FerryTask"),
                b.delete_itself,
            ),
            Build(runtime="vb6", imports=("MSVBVM60.DLL",), size=60_000, strings=_LOADER.strings),
        ),
    ),
    ("document", "photo", "delivery", "ticket"),
)

_RAT = Build(
    runtime="dotnet",
    imports=("mscoree.dll",),
    sections=(".text", ".rsrc", ".reloc"),
    size=90_000,
    strings=("TarnClient", "SendKeys|", "cam|", "#tarn#"),
    pdb_path="C:\\work\\tarn\\obj\\Release\\client.pdb",
)

TARNRAT = Family(
    "tarnrat",
    "spyware",
    36,
    (
        Variant(
            "a",
            (
                s(b.startup, "dotnet"),
                b.look_around,
                s(b.mutex, "tarn-mtx-4471"),
                s(b.persist_run_key, "Tarn", "TarnClient", "tarn.exe"),
                s(b.log_keys, "tarn.log"),
                s(b.steal_browser_passwords, "chrome", "firefox"),
                s(b.raw_channel, "203.0.113.77", 5552, "tarn|hello|"),
            ),
            _RAT,
        ),
        Variant(
            "b",
            (
                s(b.startup, "dotnet"),
                s(b.evade, "debugger"),
                b.look_around,
                s(b.mutex, "tarn-mtx-4471"),
                s(b.persist_task, "TarnClient", 5),
                s(b.log_keys, "tarn.log", 18),
                s(b.steal_browser_passwords, "chrome", "firefox", "opera"),
                b.steal_mail_accounts,
                s(b.raw_channel, "198.51.100.23", 5552, "tarn|hello|"),
            ),
            _RAT,
        ),
        Variant(
            "c",
            (
                s(b.startup, "dotnet"),
                b.look_around,
                s(b.mutex, "tarn-mtx-9120"),
                s(b.hollow, "RegAsm.exe"),
                s(b.steal_browser_passwords, "chrome", "firefox", "ie"),
                b.steal_mail_accounts,
                s(b.send_mail, "mail.tarnrat.test", "drop@tarnrat.test"),
            ),
            _RAT,
        ),
        Variant(
            "d",
            (
                s(b.startup, "dotnet"),
                s(b.evade, "sleep"),
                b.look_around,
                s(b.mutex, "tarn-mtx-4471"),
                s(b.persist_run_key, "Tarn", "TarnClient", "tarn.exe"),
                s(b.log_keys, "tarn.log", 16),
                b.steal_mail_accounts,
                s(b.steal_browser_passwords, "chrome", "opera"),
                s(b.raw_channel, "192.0.2.140", 1604, "tarn|hello|"),
            ),
            _RAT,
            new=True,
        ),
    ),
    ("quotation", "purchase_order", "setup_crack", "keygen"),
)

COALPIT = Family(
    "coalpit",
    "miner",
    28,
    (
        Variant(
            "a",
            (
                b.startup,
                s(b.look_around, names=False),
                s(b.mutex, "coalpit"),
                b.list_processes,
                s(b.persist_service, "coalsvc", "Coal Cache Service", "C:\\ProgramData\\coal\\coalsvc.exe"),
                s(b.mine, "pool.coalpit.test", "4DemoWalletA"),
            ),
            Build(
                imports=("KERNEL32.dll", "ADVAPI32.dll", "WS2_32.dll"),
                size=900_000,
                strings=("cryptonight", "stratum+tcp"),
            ),
        ),
        Variant(
            "b",
            (
                b.startup,
                b.unpack,
                s(b.mutex, "coalpit"),
                s(b.evade, "memory"),
                b.list_processes,
                s(b.persist_task, "CoalUpdate", 60),
                s(b.mine, "pool2.coalpit.test", "4DemoWalletB", threads=2, program="coal.exe"),
            ),
            Build(
                imports=("KERNEL32.dll", "WS2_32.dll"),
                sections=(".MPRESS1", ".MPRESS2", ".rsrc"),
                packer="MPRESS V2.00",
                size=700_000,
                strings=("cryptonight",),
            ),
        ),
    ),
    ("update", "driver_booster", "adobe_patch"),
)

_WORM = Build(
    runtime="delphi",
    imports=("KERNEL32.dll", "MPR.dll", "NETAPI32.dll", "WS2_32.dll"),
    size=130_000,
    sections=("CODE", "DATA", "BSS", ".idata", ".rsrc"),
    strings=("hop.scr", "Software\\Borland"),
)

HOPWORM = Family(
    "hopworm",
    "worm",
    24,
    (
        Variant(
            "a",
            (
                s(b.startup, "delphi"),
                s(b.mutex, "hop-hop"),
                s(b.persist_run_key, "Hop", "Hopper", "hop.exe"),
                s(b.spread_removable, "photos.scr"),
                s(b.scan_shares, hosts=12),
                s(b.send_mail, "smtp.hopworm.test", "friend@example.org", 4),
            ),
            _WORM,
        ),
        Variant(
            "b",
            (
                s(b.startup, "delphi"),
                s(b.mutex, "hop-hop2"),
                b.list_processes,
                s(b.spread_removable, "hop.scr", ("E:", "F:", "G:")),
                s(b.scan_shares, hosts=18),
                s(b.raw_channel, "198.51.100.200", 6667, "NICK hop\\r\\nUSER hop 0 * :hop"),
            ),
            _WORM,
        ),
        Variant(
            "c",
            (
                s(b.startup, "delphi"),
                s(b.mutex, "hop-hop3"),
                s(b.persist_run_key, "Hop", "Hopper", "hop3.exe"),
                s(b.spread_removable, "hop.scr", ("E:", "F:", "G:")),
                s(b.scan_shares, hosts=9),
            ),
            _WORM,
            new=True,
        ),
    ),
    ("photos", "funny", "love"),
    detects=False,
)

_BUNDLE = Build(
    imports=("KERNEL32.dll", "USER32.dll", "GDI32.dll", "SHELL32.dll", "COMCTL32.dll", "ole32.dll"),
    sections=(".text", ".rdata", ".data", ".ndata", ".rsrc"),
    packer="Nullsoft PiMP Stub -> SFX",
    size=1_200_000,
    version_info=(("CompanyName", "Sunny Offers Ltd"), ("ProductName", "Sun Player")),
    signer="Sunny Offers Ltd",
    strings=("Nullsoft.NSIS.exehead", "sunbundle"),
)
_PLUGINS = ("System.dll", "nsDialogs.dll", "modern-header.bmp")

SUNBUNDLE = Family(
    "sunbundle",
    "adware",
    30,
    (
        Variant(
            "a",
            (
                b.startup,
                s(b.unpack_installer, (*_PLUGINS, "inetc.dll")),
                b.look_around,
                s(
                    b.fetch_offers,
                    "offers.sunbundle.example.com",
                    ("toolbar.exe", "cleaner.exe"),
                    "NSIS_Inetc (Mozilla)",
                ),
                s(b.change_start_page, "http://start.sunbundle.example.com"),
                s(
                    b.install_program,
                    "Sunny Offers Ltd",
                    "Sun Player",
                    ("sunplayer.exe", "sun.dll", "uninstall.exe"),
                    "3.1",
                ),
            ),
            _BUNDLE,
        ),
        Variant(
            "b",
            (
                b.startup,
                s(b.unpack_installer, (*_PLUGINS, "inetc.dll", "nsExec.dll")),
                s(b.evade, "disk"),
                b.look_around,
                s(
                    b.fetch_offers,
                    "offers2.sunbundle.example.com",
                    ("toolbar.exe", "coupons.exe", "pcfix.exe"),
                    "NSIS_Inetc (Mozilla)",
                ),
                s(b.change_start_page, "http://find.sunbundle.example.com"),
                s(b.persist_task, "SunUpdater", 120),
            ),
            _BUNDLE,
        ),
    ),
    ("free_video_player", "pdf_converter", "media_codec"),
    detects=False,
)

QUILLMACRO = Family(
    "quillmacro",
    "dropper",
    26,
    (
        Variant(
            "a",
            (b.open_document, s(b.run_powershell, "docs.quillmacro.test", "/wp-content/a1")),
            Build(strings=("AutoOpen", "Shell", "ThisDocument", "Chr$")),
        ),
        Variant(
            "b",
            (
                b.open_document,
                b.look_around,
                s(
                    b.run_powershell,
                    "cms.quillmacro.example.net",
                    "/inc/q.bin",
                    switches="-w hidden -ep bypass -enc",
                    name="quill.exe",
                ),
                s(b.persist_task, "QuillSync"),
            ),
            Build(strings=("Document_Open", "WScript.Shell", "ThisDocument", "StrReverse")),
        ),
    ),
    ("invoice", "payment_advice", "contract"),
    package="doc",
)

GOODSETUP = Family(
    "goodsetup",
    "clean",
    24,
    (
        Variant(
            "a",
            (
                b.startup,
                s(b.unpack_installer, _PLUGINS),
                s(b.verify_certificates, "ROOT", 4),
                s(
                    b.install_program,
                    "Example Software",
                    "Example Editor",
                    ("editor.exe", "spell.dll", "readme.txt", "uninstall.exe"),
                    "2.4.1",
                ),
            ),
            Build(
                imports=_BUNDLE.imports,
                sections=_BUNDLE.sections,
                packer=_BUNDLE.packer,
                size=4_000_000,
                signer="Example Software",
                version_info=(("CompanyName", "Example Software"), ("ProductName", "Example Editor")),
                strings=("Nullsoft.NSIS.exehead",),
            ),
        ),
        Variant(
            "b",
            (
                b.startup,
                s(b.unpack_installer, (*_PLUGINS, "nsExec.dll")),
                s(b.verify_certificates, "ROOT", 6),
                s(
                    b.install_program,
                    "Example Software",
                    "Example Archiver",
                    ("archiver.exe", "shell.dll", "license.txt", "uninstall.exe"),
                    "9.2",
                ),
                s(
                    b.beacon,
                    ("update.example.com",),
                    "/archiver/version.txt",
                    "ExampleUpdate/9.2",
                    method="GET",
                    times=1,
                ),
            ),
            Build(
                imports=_BUNDLE.imports,
                sections=_BUNDLE.sections,
                packer=_BUNDLE.packer,
                size=2_500_000,
                signer="Example Software",
                version_info=(("CompanyName", "Example Software"), ("ProductName", "Example Archiver")),
                strings=("Nullsoft.NSIS.exehead",),
            ),
        ),
    ),
    ("editor_setup", "archiver_setup"),
    detects=False,
)

PAPERDESK = Family(
    "paperdesk",
    "clean",
    12,
    (
        Variant(
            "a",
            (
                s(b.startup, "dotnet"),
                s(b.verify_certificates, "MY", 3),
                s(b.convert_documents, suffix=".pdf", count=8),
                s(b.store_settings, "PaperDesk", "Recent", "Window"),
            ),
            Build(
                runtime="dotnet",
                imports=("mscoree.dll",),
                sections=(".text", ".rsrc", ".reloc"),
                signer="Paper Desk GmbH",
                version_info=(("CompanyName", "Paper Desk GmbH"), ("ProductName", "Paper Desk")),
                size=600_000,
                strings=("PaperDesk",),
            ),
        ),
    ),
    ("paperdesk",),
    detects=False,
)

FAMILIES = (GLACIERLOCK, VELMORA, FERRYDROP, TARNRAT, SUNBUNDLE, COALPIT, QUILLMACRO, HOPWORM, GOODSETUP, PAPERDESK)

#: Never in the fit: what an analyst hopes to be told of.
CINDERWIPE = Family(
    "cinderwipe",
    "wiper",
    0,
    (
        Variant(
            "a",
            (
                s(b.startup, "bare"),
                s(b.mutex, "cinder"),
                s(b.patch_driver, "cindisk"),
                b.overwrite_disk,
                b.clear_event_logs,
                s(b.talk_to_device, "CinDisk", (0x9C40A0DC, 0x9C40A0E0, 0x9C40A0E4)),
                b.delete_itself,
            ),
            Build(
                imports=("KERNEL32.dll", "ADVAPI32.dll", "ntdll.dll"),
                size=150_000,
                strings=("\\\\.\\PhysicalDrive%u", "CinDisk"),
            ),
        ),
    ),
    ("sysupdate",),
    detects=False,
)

#: One sample each, alike to nothing: outliers.
ODDITIES = (
    Family(
        "acpilurk",
        "rootkit",
        0,
        (
            Variant(
                "a",
                (
                    s(b.startup, "bare"),
                    s(b.patch_driver, "acpiex2"),
                    s(b.talk_to_device, "AcpiEx2", (0x222004, 0x222008, 0x22200C)),
                    s(b.mutex, "acpi-lock"),
                ),
                Build(imports=("ntdll.dll",), sections=(".text", "INIT", ".edata")),
            ),
        ),
        ("acpi",),
    ),
    Family(
        "blockarena",
        "clean",
        0,
        (
            Variant(
                "a",
                (
                    s(b.startup, "bare"),
                    s(b.game_server, "blockarena", (27960, 27961, 27962, 27963)),
                    s(b.evade, "mouse"),
                ),
                Build(imports=("d3d9.dll", "WINMM.dll", "DINPUT8.dll"), size=7_000_000),
            ),
        ),
        ("blockarena",),
    ),
    Family(
        "broomlog",
        "hacktool",
        0,
        (
            Variant(
                "a",
                (s(b.startup, "bare"), b.clear_event_logs, s(b.store_settings, "Broom", "Last", "Count")),
                Build(imports=("WEVTAPI.dll", "ADVAPI32.dll"), sections=(".text", ".broom")),
            ),
        ),
        ("broom",),
    ),
    Family(
        "cardtool",
        "clean",
        0,
        (
            Variant(
                "a",
                (
                    s(b.startup, "bare"),
                    s(b.verify_certificates, "Disallowed", 40),
                    s(b.talk_to_device, "SCard0", (0x310004, 0x310010)),
                ),
                Build(imports=("WINSCARD.dll", "CRYPT32.dll")),
            ),
        ),
        ("cardtool",),
    ),
    Family(
        "tollclick",
        "clicker",
        0,
        (
            Variant(
                "a",
                (
                    s(b.startup, "delphi"),
                    s(
                        b.beacon,
                        ("ads.example.org", "count.example.org"),
                        "/click?#",
                        "Opera/9.80",
                        method="GET",
                        times=14,
                    ),
                    s(b.change_start_page, "http://portal.example.org"),
                ),
                Build(runtime="delphi", imports=("WININET.dll", "OLEAUT32.dll")),
            ),
        ),
        ("clicker",),
    ),
    Family(
        "sockrelay",
        "proxy",
        0,
        (
            Variant(
                "a",
                (
                    s(b.startup, "bare"),
                    s(b.dead_servers, ("192.0.2.10", "192.0.2.11", "192.0.2.12", "198.51.100.9"), 1080),
                    s(b.raw_channel, "203.0.113.5", 1080, "\\x05\\x01\\x00"),
                    s(b.persist_service, "sockd", "Socket Relay", "C:\\Windows\\sockd.exe"),
                ),
                Build(imports=("WS2_32.dll", "ADVAPI32.dll")),
            ),
        ),
        ("relay",),
    ),
)
