"""The API calls that the demo's samples make, in both hosts' words.

One line an API: name, Cuckoo's category, CAPE's category, then CAPE's arguments in CAPE's order. `Name=argument` takes
the value of the abstract call (named as Cuckoo's monitor names it), `Name:text` is a constant that only CAPE logs.
"""

# ruff: noqa: E501 - a table: one line is one row

from __future__ import annotations

from typing import NamedTuple

_TABLE = """
NtCreateFile file filesystem FileHandle=file_handle DesiredAccess=desired_access FileName=filepath CreateDisposition=create_disposition ShareAccess=share_access FileAttributes=file_attributes ExistedBefore:no StackPivoted:no
NtOpenFile file filesystem FileHandle=file_handle DesiredAccess=desired_access FileName=filepath ShareAccess=share_access
NtReadFile file filesystem FileHandle=file_handle HandleName=filepath Buffer=buffer Length=length
NtWriteFile file filesystem FileHandle=file_handle HandleName=filepath Buffer=buffer Length=length
NtQueryAttributesFile file filesystem FileName=filepath
NtQueryInformationFile file filesystem FileHandle=file_handle HandleName=filepath FileInformationClass=information_class
DeleteFileW file filesystem FileName=filepath
MoveFileWithProgressW file filesystem ExistingFileName=oldfilepath NewFileName=newfilepath Flags=flags
CopyFileW file filesystem ExistingFileName=oldfilepath NewFileName=newfilepath ExistedBefore:no
FindFirstFileExW file filesystem FileName=filepath
CreateDirectoryW file filesystem DirectoryName=dirpath
RemoveDirectoryW file filesystem DirectoryName=dirpath
SHGetFolderPathW file filesystem Folder=folder Path=dirpath
GetDiskFreeSpaceExW misc filesystem DirectoryName=root_path
NtDeviceIoControlFile file device FileHandle=file_handle IoControlCode=control_code InputBuffer: OutputBuffer=output_buffer
RegOpenKeyExW registry registry Registry=base_handle SubKey=regkey_r Handle=key_handle FullName=regkey
RegCreateKeyExW registry registry Registry=base_handle SubKey=regkey_r Class: Access=access Handle=key_handle FullName=regkey Disposition=disposition
RegSetValueExW registry registry Handle=key_handle ValueName=regkey_r Type=reg_type Buffer=value BufferLength=length FullName=regkey
RegQueryValueExW registry registry Handle=key_handle ValueName=regkey_r Data=value FullName=regkey
RegDeleteValueW registry registry Handle=key_handle ValueName=regkey_r FullName=regkey
RegCloseKey registry registry Handle=key_handle
NtOpenKey registry registry KeyHandle=key_handle DesiredAccess=desired_access ObjectAttributesHandle:0x00000000 ObjectAttributesName: ObjectAttributes=regkey
NtQueryValueKey registry registry KeyHandle=key_handle ValueName=regkey_r FullName=regkey
NtClose system system Handle=handle
LdrLoadDll system system Flags=flags FileName=module_name BaseAddress=module_address
LdrGetDllHandle system system FileName=module_name ModuleHandle=module_address
LdrGetProcedureAddress system system ModuleName=module ModuleHandle=module_address FunctionName=function_name Ordinal=ordinal FunctionAddress=function_address
NtCreateMutant synchronisation synchronization Handle=mutant_handle MutexName=mutant_name InitialOwner=initial_owner
NtDelayExecution synchronisation system Milliseconds=milliseconds
GetSystemTimeAsFileTime synchronisation system
CreateProcessInternalW process process ApplicationName=filepath CommandLine=command_line CreationFlags=creation_flags ProcessId=process_identifier ThreadId=thread_identifier ProcessHandle=process_handle ThreadHandle=thread_handle StackPivoted:no
ShellExecuteExW process process FilePath=filepath Parameters=parameters Show=show_type
NtOpenProcess process process ProcessHandle=process_handle DesiredAccess=desired_access ProcessIdentifier=process_identifier
NtTerminateProcess process process ProcessHandle=process_handle ExitCode=status_code
NtAllocateVirtualMemory process process ProcessHandle=process_handle BaseAddress=base_address RegionSize=region_size Protection=protection StackPivoted:no
NtProtectVirtualMemory process process ProcessHandle=process_handle BaseAddress=base_address NumberOfBytesProtected=length NewAccessProtection=protection StackPivoted:no
NtFreeVirtualMemory process process ProcessHandle=process_handle BaseAddress=base_address RegionSize=size FreeType=free_type
NtUnmapViewOfSection process process ProcessHandle=process_handle BaseAddress=base_address RegionSize=region_size
NtMapViewOfSection process process SectionHandle=section_handle ProcessHandle=process_handle BaseAddress=base_address ViewSize=view_size Win32Protect=win32_protect StackPivoted:no
WriteProcessMemory process process ProcessHandle=process_handle BaseAddress=base_address Buffer=buffer BufferLength=length StackPivoted:no
CreateRemoteThread process threading ProcessHandle=process_handle StartRoutine=function_address Parameter=parameter CreationFlags=flags ThreadId=thread_identifier
CreateThread process threading StartRoutine=function_address Parameter=parameter CreationFlags=flags ThreadId=thread_identifier
NtSetContextThread process threading ThreadHandle=thread_handle ProcessId=process_identifier
NtResumeThread process threading ThreadHandle=thread_handle SuspendCount=suspend_count ProcessId=process_identifier
CreateToolhelp32Snapshot process process Flags=flags ProcessId=process_identifier
Process32FirstW process process ProcessName=process_name ProcessId=process_identifier
Process32NextW process process ProcessName=process_name ProcessId=process_identifier
IsDebuggerPresent system system
SetUnhandledExceptionFilter system hooking
NtQuerySystemInformation misc misc SystemInformationClass=information_class
GlobalMemoryStatusEx system misc MemoryLoad:44 TotalPhysicalMB:4096
GetSystemInfo misc misc
GetComputerNameW misc misc ComputerName=computer_name
GetUserNameW misc misc Name=username
GetSystemMetrics misc misc SystemMetricIndex=index
GetCursorPos misc misc x=x y=y
LookupPrivilegeValueW system system SystemName: PrivilegeName=privilege_name
CoCreateInstance ole com rclsid=clsid ClsContext=class_context riid=iid ProgID:
FindWindowW ui windows ClassName=class_name WindowName=window_name
SetWindowsHookExA system system HookIdentifier=hook_identifier ProcedureAddress=callback_function ModuleAddress=module_address ThreadId=thread_identifier
GetAsyncKeyState system windows KeyCode=key_code
GetForegroundWindow ui windows
InternetOpenA network network Agent=user_agent AccessType=access_type ProxyName=proxy_name ProxyBypass=proxy_bypass Flags=flags
InternetOpenUrlA network network ConnectionHandle=internet_handle URL=url Headers: Flags=flags
InternetConnectA network network InternetHandle=internet_handle ServerName=hostname ServerPort=port Username: Password: Service=service Flags=flags
HttpOpenRequestA network network InternetHandle=connect_handle Path=path Flags=flags Referrer: Verb=http_method
HttpSendRequestA network network RequestHandle=request_handle Headers=headers PostData=post_data
InternetReadFile network network InternetHandle=request_handle Buffer=buffer
InternetCloseHandle network network InternetHandle=internet_handle
URLDownloadToFileW network network URL=url FileName=filepath StackPivoted:no
WSAStartup network network VersionRequested=wVersionRequested
GetAddrInfoW network network NodeName=hostname ServiceName=service_name
DnsQuery_A network network Name=hostname Type=dns_type Options=options
socket network network af=af type=type protocol=protocol socket=socket
connect network network socket=socket ip=ip_address port=port
send network network socket=socket buffer=buffer length=sent
recv network network socket=socket buffer=buffer length=received
closesocket network network socket=socket
GetAdaptersAddresses network network
NetShareEnum netapi network ServerName=servername Level=level
CryptAcquireContextW crypto crypto Container=container Provider=provider Flags=flags
CryptGenKey crypto crypto Algid=algorithm_identifier Flags=flags CryptKey=crypto_handle
CryptExportKey crypto crypto CryptKey=crypto_handle BlobType=blob_type Flags=flags Buffer=buffer
CryptEncrypt crypto crypto CryptKey=key_handle Final=final Buffer=buffer Length=length
CryptHashData crypto crypto CryptHash=hash_handle Buffer=buffer
CryptDecodeObjectEx crypto crypto CertEncodingType=encoding_type Encoded=buffer Flags=flags
CryptUnprotectData crypto crypto Description=description Buffer=buffer
OpenSCManagerW services services MachineName=machine_name DatabaseName=database_name DesiredAccess=desired_access
OpenServiceW services services ServiceControlManager=service_manager_handle ServiceName=service_name DesiredAccess=desired_access
CreateServiceW services services ServiceControlHandle=service_manager_handle ServiceName=service_name DisplayName=display_name DesiredAccess=desired_access ServiceType=service_type StartType=start_type ErrorControl:0 BinaryPathName=filepath
StartServiceW services services ServiceHandle=service_handle ServiceName=service_name Arguments:[]
ControlService services services ServiceHandle=service_handle ServiceName=service_name ControlCode=control_code
"""


class CapeArgument(NamedTuple):
    name: str
    argument: str | None  # the abstract argument, or None for a constant
    constant: str


class Api(NamedTuple):
    name: str
    cuckoo2_category: str
    cape_category: str
    cape_arguments: tuple[CapeArgument, ...]


def _argument(spec: str) -> CapeArgument:
    name, equals, argument = spec.partition("=")
    if equals:
        return CapeArgument(name, argument, "")
    name, _, constant = spec.partition(":")
    return CapeArgument(name, None, constant)


def _row(line: str) -> Api:
    name, cuckoo2_category, cape_category, *arguments = line.split(" ")
    return Api(name, cuckoo2_category, cape_category, tuple(_argument(spec) for spec in arguments))


APIS: dict[str, Api] = {api.name: api for api in map(_row, _TABLE.strip().splitlines())}
