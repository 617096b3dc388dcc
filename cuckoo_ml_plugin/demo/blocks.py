"""Behaviour blocks: what malware and installers do, one purpose a function.

Each takes the recorder and the constants of a variant, and leaves API calls, summary entries, network traffic, dropped
files and signatures that agree with each other. `families.py` composes them. Everything named here is invented.
"""

from __future__ import annotations

from collections.abc import Sequence

from .recorder import EXECUTE_READWRITE, READWRITE, Recorder, address_of
from .run import Flag, HttpRequest

RUN_KEY = "HKEY_CURRENT_USER\\Software\\Microsoft\\Windows\\CurrentVersion\\Run"
_WINDOWS = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"
_EXECUTABLE = "PE32 executable (GUI) Intel 80386, for MS Windows"
_DOCUMENTS = (
    "Documents\\budget 2016.xlsx",
    "Documents\\contract.docx",
    "Documents\\notes.txt",
    "Documents\\thesis.pdf",
    "Documents\\invoices\\january.xls",
    "Documents\\invoices\\february.xls",
    "Documents\\cv.doc",
    "Desktop\\todo.txt",
    "Desktop\\passwords.kdbx",
    "Desktop\\plan.pptx",
    "Pictures\\holiday 01.jpg",
    "Pictures\\holiday 02.jpg",
    "Pictures\\scan.tif",
    "Pictures\\family.png",
    "Music\\demo.mp3",
    "Videos\\clip.avi",
    "Downloads\\manual.pdf",
    "Downloads\\backup.zip",
    "Documents\\database.mdb",
    "Documents\\archive\\letters.rtf",
)
_SYSTEM_PROCESSES = (
    "[System Process]",
    "System",
    "smss.exe",
    "csrss.exe",
    "wininit.exe",
    "services.exe",
    "lsass.exe",
    "svchost.exe",
    "explorer.exe",
    "spoolsv.exe",
    "SearchIndexer.exe",
)


# -- what every program does -----------------------------------------------------------------------------------------
def startup(r: Recorder, runtime: str = "msvc") -> None:
    """The loader and the runtime: the same in every program of one compiler, whatever the program is for."""
    r.call("GetSystemTimeAsFileTime")
    r.load("kernel32.dll", "FlsAlloc", "FlsGetValue", "FlsSetValue", "IsProcessorFeaturePresent")
    if runtime == "bare":
        return
    if runtime == "delphi":
        r.load("oleaut32.dll", "SysFreeString", "SysReAllocStringLen")
        r.registry_missing("HKEY_CURRENT_USER\\Software\\Borland\\Locales")
        r.registry_missing("HKEY_CURRENT_USER\\Software\\Borland\\Delphi\\Locales")
    elif runtime == "dotnet":
        r.load("mscoree.dll", "CorExitProcess", "_CorExeMain")
        r.registry_read("HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\.NETFramework", "InstallRoot", "C:\\Windows\\")
        r.read_file("C:\\Windows\\Microsoft.NET\\Framework\\v4.0.30319\\clr.dll")
        r.read_file("C:\\Windows\\Microsoft.NET\\Framework\\v4.0.30319\\Config\\machine.config")
    elif runtime == "vb6":
        r.load("MSVBVM60.DLL", "ThunRTMain", "VBDllUnRegisterServer")
        r.registry_missing("HKEY_LOCAL_MACHINE\\Software\\Microsoft\\VBA\\Monitors")
    else:
        r.load("msvcrt.dll", "_initterm", "__getmainargs")
        r.call("SetUnhandledExceptionFilter", returned=1)
    r.registry_read("HKEY_LOCAL_MACHINE\\SYSTEM\\ControlSet001\\Control\\Nls\\CustomLocale", "en-US", found=False)
    r.registry_read("HKEY_LOCAL_MACHINE\\SYSTEM\\ControlSet001\\Control\\Nls\\ExtendedLocale", "en-US", found=False)
    r.read_file("C:\\Windows\\Globalization\\Sorting\\sortdefault.nls")
    r.load("uxtheme.dll", "ThemeInitApiHook", "IsProcessDPIAware")


def unpack(r: Recorder, size: int = 0x1C000) -> None:
    """A packer writes the real program into fresh memory and resolves its imports."""
    base = r.allocate("0xffffffff", size, EXECUTE_READWRITE)
    for _ in range(3):
        r.call(
            "NtProtectVirtualMemory",
            process_handle="0xffffffff",
            base_address=base,
            length=0x1000,
            protection=EXECUTE_READWRITE,
            process_identifier=r.process.pid,
            stack_pivoted=0,
            stack_dep_bypass=0,
            heap_dep_bypass=0,
        )
    r.load("kernel32.dll", "VirtualAlloc", "VirtualProtect", "LoadLibraryA", "GetProcAddress", "GetTempPathW")
    r.call("NtFreeVirtualMemory", process_handle="0xffffffff", base_address=base, size=size, free_type=0x8000)
    r.signature("rwx")
    r.signature("packed")


def look_around(r: Recorder, *, names: bool = True) -> None:
    """Machine, user and product: the fingerprint that most malware makes first."""
    if names:
        r.call("GetComputerNameW", returned=1, computer_name=r.run.guest.computer)
        r.call("GetUserNameW", returned=1, username=r.run.guest.user)
    r.call("GetSystemInfo", processor_count=2)
    r.registry_read(_WINDOWS, "ProductName", "Windows 7 Professional")
    r.registry_read(_WINDOWS, "InstallDate", str(1_400_000_000 + r.rng.randrange(10**7)))
    r.registry_read("HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Cryptography", "MachineGuid", r.guid().lower())


def evade(r: Recorder, *tricks: str) -> None:
    """Is this a sandbox? Any of: debugger, memory, disk, mouse, windows, sleep."""
    for trick in tricks:
        if trick == "debugger":
            r.call("IsDebuggerPresent", succeeded=False)
            r.signature("debugger")
        elif trick == "memory":
            r.call("GlobalMemoryStatusEx", returned=1)
            r.signature("memory")
        elif trick == "disk":
            r.call(
                "GetDiskFreeSpaceExW",
                returned=1,
                root_path="C:\\",
                free_bytes_available=31_457_280_000,
                total_number_of_bytes=53_687_091_200,
                total_number_of_free_bytes=31_457_280_000,
            )
            r.registry_read("HKEY_LOCAL_MACHINE\\SYSTEM\\ControlSet001\\Services\\Disk\\Enum", "0", "IDE\\DiskVBOX")
            r.signature("disk")
        elif trick == "mouse":
            for _ in range(4):
                r.call("GetCursorPos", returned=1, x=r.rng.randrange(1024), y=r.rng.randrange(768))
                r.sleep(500)
        elif trick == "windows":
            for name in ("OLLYDBG", "WinDbgFrameClass", "ProcessHacker"):
                r.call("FindWindowW", succeeded=False, class_name=name, window_name="")
        else:
            for _ in range(3):
                r.sleep(60_000)
            r.signature("sleeps")


def list_processes(r: Recorder) -> None:
    handle = "0x00000190"
    r.call("CreateToolhelp32Snapshot", returned=0x190, flags=Flag(2, "TH32CS_SNAPPROCESS"), process_identifier=0)
    for number, name in enumerate(_SYSTEM_PROCESSES):
        api = "Process32NextW" if number else "Process32FirstW"
        r.call(api, returned=1, snapshot_handle=handle, process_name=name, process_identifier=number * 4 * 61)
    r.call("NtClose", handle=handle)
    r.signature("processes")


def mutex(r: Recorder, *names: str) -> None:
    """`#` in a name is a random character, as families make their names from a seed of the machine."""
    for name in names:
        r.mutex("".join(r.rng.choice("0123456789abcdef") if c == "#" else c for c in name))


# -- persistence -----------------------------------------------------------------------------------------------------
def install_copy(r: Recorder, folder: str, name: str | None = None) -> str:
    """Copies itself into the profile; without `name` under a random one. Returns the path."""
    guest = r.run.guest
    target = f"{guest.roaming}\\{folder}"
    r.known_folder("CSIDL_APPDATA", 0x1A, guest.roaming)
    r.make_directory(target)
    path = f"{target}\\{name or r.random_name(7) + '.exe'}"
    r.copy_file(r.process.path, path, kind=_EXECUTABLE)
    r.signature("dropper")
    return path


def persist_run_key(r: Recorder, folder: str, value: str | None = None, name: str | None = None) -> None:
    path = install_copy(r, folder, name)
    r.registry_write(RUN_KEY, value or r.random_name(9), f'"{path}"')
    r.signature("autorun")


def persist_task(r: Recorder, task: str, minutes: int = 30) -> None:
    path = f"{r.run.guest.roaming}\\{r.random_name(8)}.exe"
    r.shell(f'schtasks /create /tn "{task}" /tr "{path}" /sc minute /mo {minutes} /f', program="schtasks.exe")
    r.com_object("0F87369F-A4E5-4CFC-BD3E-73E6154572DD", "2FABA4C7-4DA9-4013-9697-20CC3FD40F85")
    r.signature("task")


def persist_service(r: Recorder, service: str, display: str, binary: str) -> None:
    access = Flag(0xF003F, "SC_MANAGER_ALL_ACCESS")
    r.call("OpenSCManagerW", returned=0x2EA8A8, machine_name="", database_name="", desired_access=access)
    r.call(
        "CreateServiceW",
        returned=0x2EA9C0,
        service_manager_handle="0x002ea8a8",
        service_handle="0x002ea9c0",
        service_name=service,
        display_name=display,
        desired_access=Flag(0xF01FF, "SERVICE_ALL_ACCESS"),
        service_type=Flag(0x10, "SERVICE_WIN32_OWN_PROCESS"),
        start_type=Flag(2, "SERVICE_AUTO_START", False),
        error_control=0,
        filepath=binary,
        filepath_r=binary,
        service_start_name="",
        password="",
    )
    r.call("StartServiceW", returned=1, service_handle="0x002ea9c0", service_name=service)
    key = f"HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\{service}"
    r.registry_write(key, "Description", display)
    r.signature("service")


# -- ransomware ------------------------------------------------------------------------------------------------------
def delete_shadow_copies(r: Recorder, tool: str = "vssadmin") -> None:
    if tool == "wmic":
        r.shell("wmic.exe shadowcopy delete /nointeractive", program="wmic.exe")
    else:
        r.shell("vssadmin.exe Delete Shadows /All /Quiet", program="vssadmin.exe")
    r.signature("shadowcopy")


def disable_recovery(r: Recorder) -> None:
    r.shell("bcdedit /set {default} recoveryenabled No", program="bcdedit.exe")
    r.shell("bcdedit /set {default} bootstatuspolicy ignoreallfailures", program="bcdedit.exe")
    r.signature("recovery")


def make_key(r: Recorder, algorithm: str = "CALG_RSA_KEYX") -> None:
    r.load("cryptsp.dll", "CryptAcquireContextW", "CryptGenKey", "CryptExportKey", "CryptEncrypt")
    r.registry_read(
        "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Cryptography\\Defaults\\Provider\\Microsoft Enhanced RSA and AES "
        "Cryptographic Provider",
        "Image Path",
        "C:\\Windows\\system32\\rsaenh.dll",
    )
    r.call(
        "CryptAcquireContextW",
        returned=1,
        crypto_handle="0x003ef0a0",
        container="",
        provider_type=24,
        provider="Microsoft Enhanced RSA and AES Cryptographic Provider",
        flags=Flag(0xF0000000, "CRYPT_VERIFYCONTEXT"),
    )
    r.call(
        "CryptGenKey",
        returned=1,
        provider_handle="0x003ef0a0",
        crypto_handle="0x003ef1b8",
        algorithm_identifier=Flag(0xA400, algorithm),
        flags=1,
    )
    r.call(
        "CryptExportKey",
        returned=1,
        crypto_handle="0x003ef1b8",
        crypto_export_handle="0x00000000",
        blob_type=Flag(6, "PUBLICKEYBLOB", False),
        flags=0,
        buffer=r.random_bytes(48),
    )


def encrypt_files(
    r: Recorder, extension: str, note: str, *, note_text: str, files: int = 14, rename: bool = True
) -> None:
    """Rewrites the user's documents, appends `extension` and leaves `note` in each folder."""
    home = r.run.guest.home
    folders: list[str] = []
    for document in r.rng.sample(_DOCUMENTS, min(files, len(_DOCUMENTS))):
        path = f"{home}\\{document}"
        folder = path.rsplit("\\", 1)[0]
        if folder not in folders:
            folders.append(folder)
            r.list_directory(folder)
        r.read_file(path)
        r.call(
            "CryptEncrypt",
            returned=1,
            key_handle="0x003ef1b8",
            hash_handle="0x00000000",
            final=1,
            flags=0,
            buffer=r.random_bytes(24),
            length=4096,
        )
        if rename:
            r.write_file(path)
            r.move_file(path, path + extension)
        else:
            r.write_file(path + extension)
            r.delete_file(path)
    for folder in folders:
        r.write_file(f"{folder}\\{note}", note_text, kind="ASCII text, with CRLF line terminators")
    for key in ("encrypts", "extension", "note"):
        r.signature(key)


def set_wallpaper(r: Recorder, name: str) -> None:
    path = f"{r.run.guest.temp}\\{name}"
    r.write_file(path, "BM\\x36\\x00\\x0c", kind="PC bitmap, Windows 3.x format, 1024 x 768 x 24")
    r.registry_write("HKEY_CURRENT_USER\\Control Panel\\Desktop", "Wallpaper", path)
    r.registry_write("HKEY_CURRENT_USER\\Control Panel\\Desktop", "TileWallpaper", "0")


def delete_itself(r: Recorder) -> None:
    r.shell(f'cmd.exe /c ping -n 3 127.0.0.1 > nul & del "{r.process.path}"')
    r.signature("selfdelete")


# -- injection -------------------------------------------------------------------------------------------------------
def inject_thread(r: Recorder, target: str = "explorer.exe") -> None:
    """Allocates in another process, writes, starts a thread there; the thread then loads what it needs."""
    list_processes(r)
    folder = "C:\\Windows\\" if target == "explorer.exe" else "C:\\Windows\\System32\\"
    victim = r.start(folder + target, folder + target)
    handle = r.open_process(victim.pid)
    base = r.allocate(handle, 0x24000, EXECUTE_READWRITE)
    for part in range(3):
        r.call(
            "WriteProcessMemory",
            returned=1,
            process_handle=handle,
            base_address=base,
            process_identifier=victim.pid,
            buffer="MZ\\x90\\x00" if part == 0 else r.random_bytes(20),
            length=0x1000,
        )
    r.call(
        "CreateRemoteThread",
        returned=0x4EC,
        process_handle=handle,
        process_identifier=victim.pid,
        stack_size=0,
        function_address=base,
        parameter="0x00000000",
        flags=0,
        thread_identifier=victim.threads[0],
    )
    r.signature("injects")
    r.signature("rwx")
    with r.inside(victim):
        r.load("wininet.dll", "InternetOpenA", "HttpSendRequestA", "InternetReadFile")
        r.load("ws2_32.dll", "WSAStartup", "send", "closesocket")


def hollow(r: Recorder, target: str) -> None:
    """Starts a system program suspended, unmaps it, and puts its own image there."""
    path = "C:\\Windows\\System32\\" + target
    victim = r.spawn(path, f'"{path}"', suspended=True)
    handle = r.open_process(victim.pid)
    r.call(
        "NtUnmapViewOfSection",
        process_handle=handle,
        base_address="0x00400000",
        region_size=0x8000,
        process_identifier=victim.pid,
    )
    base = r.allocate(handle, 0x30000, EXECUTE_READWRITE)
    for part in range(4):
        r.call(
            "WriteProcessMemory",
            returned=1,
            process_handle=handle,
            base_address=base,
            process_identifier=victim.pid,
            buffer="MZ\\x90\\x00" if part == 0 else r.random_bytes(20),
            length=0x1000,
        )
    thread = r.handle()
    r.call("NtSetContextThread", thread_handle=thread, process_identifier=victim.pid)
    r.call("NtResumeThread", thread_handle=thread, suspend_count=1, process_identifier=victim.pid)
    r.signature("hollows")


# -- stealing --------------------------------------------------------------------------------------------------------
def steal_browser_passwords(r: Recorder, *browsers: str) -> None:
    guest = r.run.guest
    places = {
        "chrome": f"{guest.home}\\AppData\\Local\\Google\\Chrome\\User Data\\Default\\Login Data",
        "firefox": f"{guest.roaming}\\Mozilla\\Firefox\\profiles.ini",
        "opera": f"{guest.roaming}\\Opera Software\\Opera Stable\\Login Data",
        "ie": f"{guest.home}\\AppData\\Local\\Microsoft\\Credentials",
    }
    for browser in browsers:
        r.exists(places[browser])
        copy = f"{guest.temp}\\{r.random_name(6)}.tmp"
        r.copy_file(places[browser], copy)
        r.read_file(copy)
        r.call("CryptUnprotectData", returned=1, description="", buffer=r.random_bytes(12))
        r.delete_file(copy)
    r.signature("browser")


def steal_mail_accounts(r: Recorder) -> None:
    messaging = "HKEY_CURRENT_USER\\Software\\Microsoft\\Windows NT\\CurrentVersion\\Windows Messaging Subsystem"
    base = f"{messaging}\\Profiles\\Outlook"
    r.registry_read(base, "IMAP Password", found=False)
    r.registry_read(base, "POP3 Password", found=False)
    r.open_missing(f"{r.run.guest.roaming}\\Thunderbird\\profiles.ini")
    r.signature("mail")


def log_keys(r: Recorder, logfile: str, presses: int = 12) -> None:
    r.call(
        "SetWindowsHookExA",
        returned=0x300185,
        hook_identifier=Flag(13, "WH_KEYBOARD_LL", False),
        callback_function=r.address(),
        module_address="0x00400000",
        thread_identifier=0,
    )
    for _ in range(presses):
        r.call("GetForegroundWindow", returned=0x10046)
        r.call("GetAsyncKeyState", key_code=r.rng.randrange(0x41, 0x5B))
    r.write_file(f"{r.run.guest.roaming}\\{logfile}", "[Notepad] hello", kind="ASCII text, with no line terminators")
    r.signature("keylogger")


def hook_browser(r: Recorder, *functions: str) -> None:
    """A banking trojan puts jumps over the functions that send and receive pages."""
    r.load("nss3.dll", *functions)
    for _ in functions:
        r.call(
            "NtProtectVirtualMemory",
            process_handle="0xffffffff",
            base_address=r.address(),
            length=5,
            protection=EXECUTE_READWRITE,
            process_identifier=r.process.pid,
            stack_pivoted=0,
            stack_dep_bypass=0,
            heap_dep_bypass=0,
        )
    for zone in range(1, 5):
        key = f"HKEY_CURRENT_USER\\Software\\Microsoft\\Windows\\CurrentVersion\\Internet Settings\\Zones\\{zone}"
        r.registry_write(key, "1609", 0)


def store_settings(r: Recorder, key: str, *values: str) -> None:
    """Keeps its configuration in the registry, encrypted."""
    for value in values:
        r.registry_write(f"HKEY_CURRENT_USER\\Software\\{key}", value, r.random_bytes(24))


# -- network ---------------------------------------------------------------------------------------------------------
def beacon(
    r: Recorder, hosts: Sequence[str], path: str, agent: str, *, method: str = "POST", port: int = 80, times: int = 3
) -> None:
    """Reports to the first control server that resolves; the others are tried in vain."""
    r.load("wininet.dll", "InternetOpenA", "InternetConnectA", "HttpOpenRequestA", "HttpSendRequestA")
    for dead in hosts[1:]:
        r.resolve(dead, answers=False)
    r.resolve(hosts[0])
    for number in range(times):
        body = f"id={r.rng.getrandbits(64):016x}&n={number}" if method == "POST" else ""
        query = path.replace("#", f"{r.rng.getrandbits(48):012x}")
        r.http(method, hosts[0], query, agent, port=port, body=body)
        r.sleep(20_000)
    r.signature("beacon")


def raw_channel(r: Recorder, address: str, port: int, hello: str) -> None:
    """A control channel of its own protocol, to an address that was never looked up."""
    r.load("ws2_32.dll", "WSAStartup", "socket", "connect", "send", "recv")
    r.call("WSAStartup", wVersionRequested=514)
    for _ in range(3):
        r.tcp(address, port, sent=hello)
        r.sleep(5_000)
    r.signature("nodns")


def dead_servers(r: Recorder, addresses: Sequence[str], port: int) -> None:
    for address in addresses:
        r.tcp(address, port, answers=False)
    r.signature("deadhost")


def download_and_run(r: Recorder, host: str, path: str, name: str | None = None, *, parameters: str = "") -> None:
    target = f"{r.run.guest.temp}\\{name or r.random_name(8) + '.exe'}"
    r.load("urlmon.dll", "URLDownloadToFileW")
    r.resolve(host)
    r.download(host, path, target, kind=_EXECUTABLE)
    r.call(
        "ShellExecuteExW",
        returned=1,
        filepath=target,
        parameters=parameters,
        show_type=Flag(0, "SW_HIDE", False),
        filepath_r=target,
    )
    child = r.start(target, f'"{target}" {parameters}'.strip(), parent=r.process.pid)
    with r.inside(child):
        startup(r)
    r.signature("downloads")
    r.signature("dropper")


def mine(r: Recorder, pool: str, wallet: str, *, threads: int = 4, program: str = "svchost64.exe") -> None:
    path = f"{r.run.guest.roaming}\\{program}"
    r.write_file(path, "MZ\\x90\\x00", kind="PE32+ executable (console) x86-64, for MS Windows", chunks=4)
    child = r.spawn(path, f"{path} -a cryptonight -o stratum+tcp://{pool}:3333 -u {wallet} -p x -t {threads}")
    with r.inside(child):
        startup(r)
        r.call("GetSystemInfo", processor_count=2)
        r.call("LookupPrivilegeValueW", returned=1, system_name="", privilege_name="SeLockMemoryPrivilege")
        r.allocate("0xffffffff", 0x400000, READWRITE)
        for _ in range(threads):
            r.call(
                "CreateThread",
                returned=0x144,
                stack_size=0,
                function_address=r.address(),
                parameter="0x00000000",
                flags=0,
                thread_identifier=child.threads[0] + 4,
            )
        address = r.resolve(pool)
        for _ in range(3):
            r.tcp(address, 3333, sent='{"id":1,"method":"login","params":{"agent":"demo/1.0"}}')
    r.signature("miner")


# -- spreading -------------------------------------------------------------------------------------------------------
def spread_removable(r: Recorder, name: str, drives: Sequence[str] = ("E:", "F:")) -> None:
    for drive in drives:
        r.exists(f"{drive}\\")
        r.copy_file(r.process.path, f"{drive}\\{name}", kind=_EXECUTABLE)
        r.write_file(f"{drive}\\autorun.inf", f"[autorun]\\r\\nopen={name}", kind="Microsoft Windows Autorun file")
    explorer = "HKEY_CURRENT_USER\\Software\\Microsoft\\Windows\\CurrentVersion\\Explorer\\Advanced"
    r.registry_write(explorer, "Hidden", 2)
    r.registry_write(explorer, "ShowSuperHidden", 0)
    r.signature("removable")


def scan_shares(r: Recorder, *, hosts: int = 10) -> None:
    """Knocks at port 445 of a random documentation network, asks who shares."""
    r.load("netapi32.dll", "NetShareEnum", "NetApiBufferFree")
    block = r.rng.choice(("192.0.2.", "198.51.100.", "203.0.113."))
    for number in r.rng.sample(range(1, 255), hosts):
        r.tcp(f"{block}{number}", 445, answers=False)
        r.call("NetShareEnum", succeeded=False, returned=53, servername=f"\\\\{block}{number}", level=1)
    r.signature("shares")


def send_mail(r: Recorder, relay: str, sender: str, letters: int = 3) -> None:
    address = r.resolve(relay)
    for _ in range(letters):
        r.tcp(address, 25, sent=f"EHLO {r.run.guest.computer}\\r\\nMAIL FROM:<{sender}>")
        r.run.network.smtp.append((address, sender))


# -- adware and installers -------------------------------------------------------------------------------------------
def unpack_installer(r: Recorder, plugin_files: Sequence[str]) -> str:
    """A scripted installer unpacks its plug-ins into a fresh temporary folder; returns the folder."""
    folder = f"{r.run.guest.temp}\\ns{r.random_name(1)}{r.rng.randrange(0x1000, 0xFFFF):X}.tmp"
    r.load("shfolder.dll", "SHGetFolderPathW")
    r.make_directory(folder)
    for name in plugin_files:
        kind = "PE32 executable (DLL) (GUI) Intel 80386, for MS Windows" if name.endswith(".dll") else "data"
        r.write_file(f"{folder}\\{name}", kind=kind)
        if name.endswith(".dll"):
            r.load(f"{folder}\\{name}", "Init", "Show")
    return folder


def install_program(r: Recorder, vendor: str, product: str, files: Sequence[str], version: str) -> None:
    folder = f"C:\\Program Files (x86)\\{product}"
    r.make_directory(folder)
    for name in files:
        r.write_file(
            f"{folder}\\{name}", kind=_EXECUTABLE if name.endswith((".exe", ".dll")) else "ASCII text", chunks=2
        )
    uninstall = f"HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Uninstall\\{product}"
    for value, data in (
        ("DisplayName", product),
        ("DisplayVersion", version),
        ("Publisher", vendor),
        ("InstallLocation", folder),
        ("UninstallString", f"{folder}\\uninstall.exe"),
        ("NoModify", 1),
        ("NoRepair", 1),
    ):
        r.registry_write(uninstall, value, data)
    r.registry_write(f"HKEY_LOCAL_MACHINE\\SOFTWARE\\{vendor}\\{product}", "Version", version)
    menu = f"{r.run.guest.roaming}\\Microsoft\\Windows\\Start Menu\\Programs\\{product}.lnk"
    r.com_object("00021401-0000-0000-C000-000000000046", "000214F9-0000-0000-C000-000000000046")
    r.write_file(menu, "L\\x00\\x00\\x00\\x01\\x14\\x02", kind="MS Windows shortcut")


def change_start_page(r: Recorder, url: str) -> None:
    main = "HKEY_CURRENT_USER\\Software\\Microsoft\\Internet Explorer\\Main"
    r.registry_write(main, "Start Page", url)
    r.registry_write(main, "Search Page", url + "/find")
    scopes = "HKEY_CURRENT_USER\\Software\\Microsoft\\Internet Explorer\\SearchScopes"
    r.registry_write(scopes, "DefaultScope", "{" + r.guid() + "}")
    profile = f"{r.run.guest.home}\\AppData\\Local\\Google\\Chrome\\User Data\\Default\\Preferences"
    r.read_file(profile)
    r.write_file(profile, f'{{"homepage":"{url}"}}')
    r.signature("adware")


def fetch_offers(r: Recorder, host: str, offers: Sequence[str], agent: str) -> None:
    r.resolve(host)
    r.http("GET", host, "/offers.json?c=#".replace("#", str(r.rng.randrange(10**6))), agent)
    for offer in offers:
        path = f"{r.run.guest.temp}\\{offer}"
        r.download(host, f"/bundle/{offer}", path, kind=_EXECUTABLE)
        child = r.spawn(path, f"{path} /S /silent")
        with r.inside(child):
            startup(r)
    r.signature("downloads")


# -- documents -------------------------------------------------------------------------------------------------------
def open_document(r: Recorder, *, macro: bool = True) -> None:
    """The word processor opens the sample; with `macro` the Visual Basic runtime comes up."""
    guest = r.run.guest
    office = "HKEY_CURRENT_USER\\Software\\Microsoft\\Office\\14.0\\Word"
    r.load("MSO.DLL", "MsoFInitOffice", "MsoFreePv")
    r.registry_read(f"{office}\\Options", "DefaultFormat", found=False)
    r.registry_write(f"{office}\\Resiliency\\StartupItems", r.random_name(3), r.random_bytes(16))
    r.read_file(f"{guest.temp}\\{r.run.sample.file_name}")
    r.write_file(f"{guest.temp}\\~${r.run.sample.file_name[2:]}", "user", kind="data")
    r.read_file(f"{guest.roaming}\\Microsoft\\Templates\\Normal.dotm")
    if macro:
        r.load("VBE7.DLL", "DllVbeInit", "rtcShell", "rtcCreateObject2")
        r.registry_read("HKEY_CURRENT_USER\\Software\\Microsoft\\VBA\\7.0\\Common", "RequireDeclaration", found=False)
        r.com_object("72C24DD5-D70A-438B-8A42-98424B88AFB8", "00000000-0000-0000-C000-000000000046")
        r.signature("macro")


def run_powershell(
    r: Recorder, host: str, path: str, *, switches: str = "-nop -w hidden -enc", name: str | None = None
) -> None:
    """A hidden PowerShell fetches a program and starts it."""
    guest = r.run.guest
    script = "".join(r.rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", k=180)) + "=="
    child = r.shell(f"powershell.exe {switches} {script}", program="powershell.exe")
    with r.inside(child):
        r.load("mscoree.dll", "CorBindToRuntimeEx", "GetRequestedRuntimeInfo")
        r.registry_read("HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\PowerShell\\3\\PowerShellEngine", "ApplicationBase")
        for module in (
            "Microsoft.PowerShell.Utility",
            "Microsoft.PowerShell.Management",
            "Microsoft.PowerShell.Security",
        ):
            r.read_file(f"C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\Modules\\{module}\\{module}.psd1")
        r.write_file(f"{guest.temp}\\__PSScriptPolicyTest_{r.random_name(8)}.{r.random_name(3)}.ps1", "1")
        r.exchange(HttpRequest("GET", host, 80, path, ""))
        address = r.resolve(host)
        r.tcp(address, 80, sent=f"GET {path} HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: Keep-Alive")
        target = f"{guest.temp}\\{name or str(r.rng.randrange(100, 999)) + '.exe'}"
        r.write_file(target, "MZ\\x90\\x00", kind=_EXECUTABLE, chunks=3)
        payload = r.spawn(target, f'"{target}"')
        with r.inside(payload):
            startup(r)
    r.signature("powershell")
    r.signature("downloads")


# -- destruction -----------------------------------------------------------------------------------------------------
def overwrite_disk(r: Recorder, *, sectors: int = 24) -> None:
    r.call("LookupPrivilegeValueW", returned=1, system_name="", privilege_name="SeShutdownPrivilege")
    for disk in range(2):
        r.write_file(f"\\Device\\Harddisk{disk}\\DR{disk}", "\\x00" * 8, chunks=sectors)
        r.call(
            "NtDeviceIoControlFile",
            file_handle=r.handle(),
            control_code=Flag(0x00070000, "IOCTL_DISK_GET_DRIVE_GEOMETRY"),
            output_buffer=r.random_bytes(12),
        )
    r.signature("rawdisk")


def clear_event_logs(r: Recorder) -> None:
    for log in ("Application", "Security", "Setup", "System"):
        r.shell(f"wevtutil.exe cl {log}", program="wevtutil.exe")
    r.signature("events")


def write_many_files(r: Recorder, folder: str, count: int) -> None:
    """Fills a folder with numbered files; the counts, not the kinds of behaviour, are what is odd."""
    base = f"{r.run.guest.roaming}\\{folder}"
    r.make_directory(base)
    for number in range(count):
        r.write_file(f"{base}\\part{number:05d}.dat", "\\x00\\x01")


# -- one-off oddities, for outliers ----------------------------------------------------------------------------------
def patch_driver(r: Recorder, driver: str) -> None:
    path = f"C:\\Windows\\System32\\drivers\\{driver}.sys"
    r.read_file(path)
    r.write_file(path, "MZ\\x90\\x00", kind="PE32+ executable (native) x86-64, for MS Windows", chunks=2)
    persist_service(r, driver, f"{driver} filter", path)
    r.call("LookupPrivilegeValueW", returned=1, system_name="", privilege_name="SeLoadDriverPrivilege")


def talk_to_device(r: Recorder, device: str, codes: Sequence[int]) -> None:
    for code in codes:
        r.call(
            "NtDeviceIoControlFile",
            file_handle=r.handle(),
            control_code=Flag(code, f"0x{code:08x}"),
            output_buffer=r.random_bytes(8),
        )
    r.write_file(f"\\Device\\{device}", r.random_bytes(8))


def game_server(r: Recorder, name: str, ports: Sequence[int]) -> None:
    r.load("winmm.dll", "timeBeginPeriod", "timeGetTime")
    r.load("d3d9.dll", "Direct3DCreate9")
    r.call("GetAdaptersAddresses", family=2)
    for index in (0, 1, 78, 79):
        r.call("GetSystemMetrics", returned=1024, index=index)
    r.registry_write(f"HKEY_CURRENT_USER\\Software\\{name}\\Display", "Resolution", "1024x768")
    for port in ports:
        r.tcp(address_of(f"{name}.example.net"), port, sent="\\xff\\xff\\xff\\xffgetstatus")


def verify_certificates(r: Recorder, store: str, count: int) -> None:
    r.registry_read(f"HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\SystemCertificates\\{store}\\Certificates", "Blob")
    for _ in range(count):
        r.call(
            "CryptDecodeObjectEx",
            returned=1,
            encoding_type=1,
            struct_type="X509_CERT",
            buffer=r.random_bytes(20),
            flags=0x8005,
        )
        r.call("CryptHashData", returned=1, hash_handle="0x003ef1b8", buffer=r.random_bytes(20), flags=0)


def convert_documents(r: Recorder, suffix: str, count: int) -> None:
    for document in r.rng.sample(_DOCUMENTS, count):
        r.read_file(f"{r.run.guest.home}\\{document}")
        r.write_file(f"{r.run.guest.temp}\\{document.rsplit(chr(92), 1)[-1]}{suffix}", kind="PDF document, version 1.4")


# -- what Windows does meanwhile -------------------------------------------------------------------------------------
def background(r: Recorder) -> None:
    """Services that would have been busy anyway: noise that has nothing to do with the sample."""
    services = r.start("C:\\Windows\\System32\\services.exe", "C:\\Windows\\system32\\services.exe", tracked=False)
    service = "HKEY_LOCAL_MACHINE\\SYSTEM\\ControlSet001\\services\\"
    with r.inside(services):
        for name in r.rng.sample(("BITS", "wuauserv", "WSearch", "TrustedInstaller", "WerSvc", "SysMain"), 2):
            r.registry_read(service + name, "ImagePath", "%systemroot%\\system32\\svchost.exe -k netsvcs")
    host = r.start(
        "C:\\Windows\\System32\\svchost.exe",
        "C:\\Windows\\system32\\svchost.exe -k netsvcs",
        parent=services.pid,
        tracked=False,
    )
    with r.inside(host):
        if r.rng.random() < 0.5:
            r.read_file("C:\\Windows\\System32\\catroot2\\edb.log")
        if r.rng.random() < 0.5:
            r.registry_read(
                "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\WindowsUpdate", "SusClientId"
            )
        r.call("GetSystemTimeAsFileTime")
        r.sleep(1000)
