"""Writes a `Run`, one operating-system operation at a time: each gives the API calls that a monitor would log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from .run import ArgumentValue, Call, DroppedFile, Flag, HttpRequest, Process, Run

READ = Flag(0x80100080, "GENERIC_READ|FILE_READ_ATTRIBUTES|SYNCHRONIZE")
WRITE = Flag(0x40100080, "GENERIC_WRITE|FILE_READ_ATTRIBUTES|SYNCHRONIZE")
READWRITE = Flag(0x04, "PAGE_READWRITE")
EXECUTE_READWRITE = Flag(0x40, "PAGE_EXECUTE_READWRITE")
_NOT_FOUND = 0xC0000034
_ROOTS = {"HKEY_LOCAL_MACHINE": 0x80000002, "HKEY_CURRENT_USER": 0x80000001, "HKEY_CLASSES_ROOT": 0x80000000}
_ADDRESS_BLOCKS = ("192.0.2.", "198.51.100.", "203.0.113.")  # RFC 5737


def address_of(name: str) -> str:
    """The documentation address that a name of the demo resolves to; the same name always to the same address."""
    digest = Random(f"address of {name}").randrange(3 * 254)
    return f"{_ADDRESS_BLOCKS[digest % 3]}{digest // 3 + 1}"


class Recorder:
    """Appends to `run`. `loss` is the share of calls that the monitor misses, so that no two runs are the same."""

    def __init__(self, run: Run, rng: Random, *, loss: float = 0.01) -> None:
        self.run = run
        self.rng = rng
        self._loss = loss
        self._clock = 2.0 + rng.random()
        self._next_pid = 4 * rng.randrange(300, 900)
        self._next_handle = 0x80 + 4 * rng.randrange(40)
        self.process = Process(0, 0, "", "", "", 0.0)

    # -- processes ---------------------------------------------------------------------------------------------------
    def start(self, path: str, command_line: str, *, parent: int = 0, tracked: bool = True) -> Process:
        """Adds a process that the sandbox watches from its first moment (nobody is logged starting it)."""
        self._next_pid += 4 * self.rng.randrange(1, 60)
        process = Process(
            self._next_pid, parent, path.rsplit("\\", 1)[-1], path, command_line, self._tick(), tracked=tracked
        )
        process.threads = [process.pid + 4 * self.rng.randrange(1, 30)]
        self.run.processes.append(process)
        return process

    @contextmanager
    def inside(self, process: Process) -> Iterator[Process]:
        """What is recorded within is done by `process`."""
        previous, self.process = self.process, process
        try:
            yield process
        finally:
            self.process = previous

    def spawn(self, path: str, command_line: str, *, suspended: bool = False) -> Process:
        """The current process starts another."""
        child = self.start(path, command_line, parent=self.process.pid)
        flags = Flag(0x4, "CREATE_SUSPENDED") if suspended else Flag(0x08000000, "CREATE_NO_WINDOW")
        self.call(
            "CreateProcessInternalW",
            returned=1,
            filepath=path,
            command_line=command_line,
            creation_flags=flags,
            process_identifier=child.pid,
            thread_identifier=child.threads[0],
            process_handle=self.handle(),
            thread_handle=self.handle(),
            inherit_handles=0,
            current_directory=self.run.guest.temp,
            track=1,
            filepath_r=path,
            stack_pivoted=0,
        )
        return child

    def shell(self, command_line: str, *, program: str = "cmd.exe") -> Process:
        """Runs a system program hidden, with the calls that any console program makes at its start."""
        folder = "C:\\Windows\\System32\\" + ("WindowsPowerShell\\v1.0\\" if program == "powershell.exe" else "")
        child = self.spawn(folder + program, command_line)
        with self.inside(child):
            self.load("kernel32.dll", "SetThreadUILanguage", "SetConsoleInputExeNameW")
            self.registry_read(
                "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Command Processor", "DisableUNCCheck", found=False
            )
            self.exists(folder + program)
        return child

    def open_process(self, pid: int) -> str:
        handle = self.handle()
        self.call(
            "NtOpenProcess",
            process_handle=handle,
            process_identifier=pid,
            desired_access=Flag(0x1FFFFF, "PROCESS_ALL_ACCESS"),
        )
        return handle

    # -- calls -------------------------------------------------------------------------------------------------------
    def _tick(self, mean: float = 0.03) -> float:
        self._clock += self.rng.random() * 2 * mean
        return self._clock

    def call(self, api: str, *, succeeded: bool = True, returned: int = 0, **arguments: ArgumentValue) -> None:
        """One API call of the current process (now and then lost, as monitors lose calls)."""
        moment = self._tick()
        if self.rng.random() < self._loss:
            return
        thread = self.process.threads[0]
        self.process.calls.append(Call(api, arguments, succeeded, returned, moment, thread))

    def handle(self) -> str:
        self._next_handle += 4 * self.rng.randrange(1, 4)
        return f"0x{self._next_handle:08x}"

    def address(self) -> str:
        return f"0x{self.rng.randrange(0x10, 0x7000) << 16:08x}"

    def random_bytes(self, length: int) -> str:
        """Bytes as the hosts print them: printable ones as they are, others escaped."""
        return "".join(chr(b) if 32 <= b < 127 else f"\\x{b:02x}" for b in self.rng.randbytes(length))

    def random_name(self, length: int) -> str:
        return "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz", k=length))

    def guid(self) -> str:
        digits = f"{self.rng.getrandbits(128):032X}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def signature(self, key: str) -> None:
        self.run.signatures.setdefault(key, (self.process.pid, max(0, len(self.process.calls) - 1)))

    # -- libraries ---------------------------------------------------------------------------------------------------
    def load(self, library: str, *functions: str) -> None:
        base = self.address()
        self.call(
            "LdrLoadDll",
            module_name=library,
            basename=library.rsplit(".", 1)[0],
            module_address=base,
            flags=0,
            stack_pivoted=0,
        )
        for function in functions:
            self.call(
                "LdrGetProcedureAddress",
                module=library,
                module_address=base,
                function_name=function,
                ordinal=0,
                function_address=self.address(),
            )

    # -- files -------------------------------------------------------------------------------------------------------
    def _open(self, path: str, access: Flag, status: str, *, succeeded: bool = True) -> str:
        handle = self.handle()
        creates = status == "FILE_CREATED"
        self.call(
            "NtCreateFile",
            succeeded=succeeded,
            returned=0 if succeeded else _NOT_FOUND,
            file_handle=handle,
            desired_access=access,
            filepath=path,
            filepath_r="\\??\\" + path,
            create_disposition=Flag(5, "FILE_OVERWRITE_IF", False) if creates else Flag(1, "FILE_OPEN", False),
            create_options=Flag(96, "FILE_NON_DIRECTORY_FILE|FILE_SYNCHRONOUS_IO_NONALERT", False),
            file_attributes=Flag(0x80, "FILE_ATTRIBUTE_NORMAL"),
            share_access=Flag(1, "FILE_SHARE_READ", False),
            status_info=Flag(2 if creates else 1, status, False),
        )
        return handle

    def read_file(self, path: str, content: str | None = None) -> None:
        handle = self._open(path, READ, "FILE_OPENED")
        self.call(
            "NtReadFile",
            file_handle=handle,
            filepath=path,
            offset=0,
            length=self.rng.choice((4096, 8192, 65536)),
            buffer=self.random_bytes(24) if content is None else content,
        )
        self.call("NtClose", handle=handle)

    def open_missing(self, path: str) -> None:
        self._open(path, READ, "FILE_DOES_NOT_EXIST", succeeded=False)

    def write_file(self, path: str, content: str | None = None, *, kind: str | None = None, chunks: int = 1) -> None:
        """Creates and writes; `kind` is the type of the dropped file that the sandbox keeps (None: it keeps none)."""
        handle = self._open(path, WRITE, "FILE_CREATED")
        text = self.random_bytes(32) if content is None else content
        for part in range(chunks):
            self.call(
                "NtWriteFile",
                file_handle=handle,
                filepath=path,
                offset=part * 4096,
                length=max(len(text), 4096),
                buffer=text,
            )
        self.call("NtClose", handle=handle)
        if kind is not None:
            self.keep(path, kind)

    def keep(self, path: str, kind: str) -> None:
        digest = f"{self.rng.getrandbits(256):064x}"
        size = self.rng.randrange(600, 400_000)
        self.run.dropped.append(DroppedFile(path, kind, size, digest, self.process.pid))

    def exists(self, path: str, *, found: bool = True) -> None:
        self.call(
            "NtQueryAttributesFile",
            succeeded=found,
            returned=0 if found else _NOT_FOUND,
            filepath=path,
            filepath_r="\\??\\" + path,
        )

    def delete_file(self, path: str) -> None:
        self.call("DeleteFileW", returned=1, filepath=path, filepath_r=path)

    def move_file(self, old: str, new: str) -> None:
        self.call(
            "MoveFileWithProgressW",
            returned=1,
            oldfilepath=old,
            oldfilepath_r=old,
            newfilepath=new,
            newfilepath_r=new,
            flags=Flag(2, "MOVEFILE_COPY_ALLOWED"),
        )

    def copy_file(self, old: str, new: str, *, kind: str | None = None) -> None:
        self.call(
            "CopyFileW",
            returned=1,
            oldfilepath=old,
            oldfilepath_r=old,
            newfilepath=new,
            newfilepath_r=new,
            fail_if_exists=0,
        )
        if kind is not None:
            self.keep(new, kind)

    def make_directory(self, path: str) -> None:
        self.call("CreateDirectoryW", returned=1, dirpath=path, dirpath_r=path)

    def list_directory(self, path: str) -> None:
        self.call("FindFirstFileExW", returned=0x6B96C0, filepath=path + "\\*", filepath_r=path + "\\*")

    def known_folder(self, name: str, number: int, path: str) -> None:
        self.call(
            "SHGetFolderPathW", folder=Flag(number, name), dirpath=path, dirpath_r=path, owner_handle="0x00000000"
        )

    # -- registry ----------------------------------------------------------------------------------------------------
    def _open_key(self, key: str, *, create: bool = False, found: bool = True) -> str:
        root, _, rest = key.partition("\\")
        handle = self.handle()
        base = f"0x{_ROOTS.get(root, 0x80000003):08x}"
        access = Flag(0x20006, "KEY_WRITE") if create else Flag(0x20019, "KEY_READ")
        if create:
            self.call(
                "RegCreateKeyExW",
                base_handle=base,
                regkey_r=rest,
                key_handle=handle,
                regkey=key,
                access=access,
                disposition=Flag(2, "REG_OPENED_EXISTING_KEY", False),
                options=0,
            )
        else:
            self.call(
                "RegOpenKeyExW",
                succeeded=found,
                returned=0 if found else 2,
                base_handle=base,
                regkey_r=rest,
                key_handle=handle,
                regkey=key,
                access=access,
                options=0,
            )
        return handle

    def registry_read(self, key: str, value: str, data: str = "", *, found: bool = True) -> None:
        handle = self._open_key(key)
        self.call(
            "RegQueryValueExW",
            succeeded=found,
            returned=0 if found else 2,
            key_handle=handle,
            regkey_r=value,
            regkey=f"{key}\\{value}",
            reg_type=Flag(1, "REG_SZ", False),
            value=data,
        )
        self.call("RegCloseKey", key_handle=handle)

    def registry_missing(self, key: str) -> None:
        self._open_key(key, found=False)

    def registry_write(self, key: str, value: str, data: str | int) -> None:
        handle = self._open_key(key, create=True)
        kind = Flag(4, "REG_DWORD", False) if isinstance(data, int) else Flag(1, "REG_SZ", False)
        self.call(
            "RegSetValueExW",
            key_handle=handle,
            regkey_r=value,
            regkey=f"{key}\\{value}",
            reg_type=kind,
            value=data,
            length=4 if isinstance(data, int) else 2 * len(data) + 2,
        )
        self.call("RegCloseKey", key_handle=handle)

    def registry_delete(self, key: str, value: str) -> None:
        handle = self._open_key(key)
        self.call("RegDeleteValueW", key_handle=handle, regkey_r=value, regkey=f"{key}\\{value}")
        self.call("RegCloseKey", key_handle=handle)

    # -- the rest of the system --------------------------------------------------------------------------------------
    def mutex(self, name: str) -> None:
        self.call(
            "NtCreateMutant",
            mutant_handle=self.handle(),
            mutant_name=name,
            initial_owner=0,
            desired_access=Flag(0x1F0001, "STANDARD_RIGHTS_ALL|STANDARD_RIGHTS_REQUIRED|DELETE"),
        )

    def sleep(self, milliseconds: int) -> None:
        self.call("NtDelayExecution", milliseconds=milliseconds, skipped=1)

    def allocate(self, handle: str, size: int, protection: Flag) -> str:
        base = self.address()
        self.call(
            "NtAllocateVirtualMemory",
            process_handle=handle,
            base_address=base,
            region_size=size,
            allocation_type=Flag(0x3000, "MEM_COMMIT|MEM_RESERVE"),
            protection=protection,
            stack_pivoted=0,
            stack_dep_bypass=0,
            heap_dep_bypass=0,
            process_identifier=self.process.pid,
        )
        return base

    def com_object(self, clsid: str, iid: str) -> None:
        self.call("CoCreateInstance", clsid=clsid, iid=iid, class_context=Flag(1, "CLSCTX_INPROC_SERVER"))

    # -- network -----------------------------------------------------------------------------------------------------
    def resolve(self, host: str, *, answers: bool = True) -> str:
        address = address_of(host) if answers else ""
        self.call("GetAddrInfoW", succeeded=answers, returned=0 if answers else 11001, hostname=host, service_name="")
        self.run.network.lookups[host] = address
        return address

    def tcp(self, address: str, port: int, *, sent: str | None = None, answers: bool = True) -> None:
        number = self.rng.randrange(200, 900) * 4
        self.call(
            "socket",
            returned=number,
            af=Flag(2, "AF_INET", False),
            type=Flag(1, "SOCK_STREAM", False),
            protocol=Flag(6, "IPPROTO_TCP", False),
            socket=number,
        )
        self.call(
            "connect",
            succeeded=answers,
            returned=0 if answers else 0xFFFFFFFF,
            socket=number,
            ip_address=address,
            port=port,
        )
        if answers and sent is not None:
            self.call("send", returned=len(sent), socket=number, buffer=sent, sent=len(sent))
            self.call("recv", returned=64, socket=number, buffer=self.random_bytes(16), received=64)
        self.call("closesocket", socket=number)
        if (address, port, answers) not in self.run.network.tcp:
            self.run.network.tcp.append((address, port, answers))

    def http(self, method: str, host: str, path: str, agent: str, *, port: int = 80, body: str = "") -> None:
        """One request by WinINet; port 443 is TLS, of which the network capture shows only the server name."""
        self.call(
            "InternetOpenA", returned=0xCC0004, user_agent=agent, access_type=0, proxy_name="", proxy_bypass="", flags=0
        )
        self.call(
            "InternetConnectA",
            returned=0xCC0008,
            internet_handle="0x00cc0004",
            hostname=host,
            port=port,
            username="",
            password="",
            service=3,
            flags=0,
        )
        self.call(
            "HttpOpenRequestA",
            returned=0xCC000C,
            connect_handle="0x00cc0008",
            http_method=method,
            path=path,
            http_version="",
            referer="",
            flags=Flag(0x84000000, "INTERNET_FLAG_RELOAD|INTERNET_FLAG_NO_CACHE_WRITE"),
        )
        self.call("HttpSendRequestA", returned=1, request_handle="0x00cc000c", headers="", post_data=body)
        self.call("InternetReadFile", returned=1, request_handle="0x00cc000c", buffer=self.random_bytes(16))
        self.call("InternetCloseHandle", returned=1, internet_handle="0x00cc000c")
        self.exchange(HttpRequest(method, host, port, path, agent, body))

    def exchange(self, request: HttpRequest) -> None:
        """What the capture shows of a request, whoever made it."""
        network = self.run.network
        address = network.lookups.setdefault(request.host, address_of(request.host))
        if request.port == 443:
            network.tls.append((request.host, address, 443))
        else:
            network.requests.append(request)
        if (address, request.port, True) not in network.tcp:
            network.tcp.append((address, request.port, True))

    def download(self, url_host: str, url_path: str, path: str, *, kind: str) -> None:
        self.call(
            "URLDownloadToFileW", url=f"http://{url_host}{url_path}", filepath=path, filepath_r=path, stack_pivoted=0
        )
        agent = "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1; Trident/7.0)"
        self.exchange(HttpRequest("GET", url_host, 80, url_path, agent))
        self.keep(path, kind)
