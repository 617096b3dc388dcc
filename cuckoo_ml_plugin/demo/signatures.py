"""The behavioural signatures that the demo's samples trigger, in both hosts' words.

One line a signature: our key, severity, ATT&CK technique, Cuckoo's name, CAPE's name, and what it says.
"""

from __future__ import annotations

from typing import NamedTuple

_TABLE = """
shadowcopy|3|T1490|ransomware_shadowcopy|deletes_shadow_copies|Removes shadow copies so that nothing can be restored
recovery|3|T1490|bcdedit_command|bcdedit_command|Changes the boot configuration to disable recovery
encrypts|3|T1486|ransomware_mass_file_modifications|ransomware_file_modifications|Rewrites many documents in place
extension|3|T1486|ransomware_appends_extensions|ransomware_extensions|Appends an extension of its own to many files
note|3|T1491|ransomware_message|ransomware_message|Leaves a ransom note
autorun|3|T1060|persistence_autorun|persistence_autorun|Installs itself to run when the user logs on
service|3|T1050|creates_service|creates_service|Creates a service
task|2|T1053|uses_schtasks|uses_windows_utilities_to_create_scheduled_task|Creates a scheduled task
injects|3|T1055|injection_createremotethread|injection_createremotethread|Starts a thread in another process
hollows|3|T1093|injection_runpe|injection_runpe|Replaces the image of a process that it started suspended
rwx|2|T1055|allocates_rwx|injection_rwx|Allocates memory that is writable and executable
dropper|2|T1105|creates_exe|dropper|Drops a program and runs it
downloads|3|T1105|network_downloader_exe|downloader_cabby|Downloads a program
beacon|2|T1071|network_cnc_http|network_cnc_http|Talks HTTP in the way of a control channel
nodns|2|T1071|nolookup_communication|network_questionable_host|Contacts an address that was never looked up
deadhost|1|T1071|dead_host|dead_connect|Contacts an address where nobody answers
keylogger|3|T1056|infostealer_keylogger|infostealer_keylog|Watches the keyboard
browser|3|T1555|infostealer_browser|infostealer_browser|Reads passwords that browsers keep
mail|3|T1114|infostealer_mail|infostealer_mail|Reads the accounts of mail programs
sleeps|1|T1497|antisandbox_sleep|antisandbox_sleep|Delays the analysis
debugger|1|T1497|checks_debugger|antidebug_setunhandledexceptionfilter|Looks for a debugger
memory|1|T1497|antivm_memory_available|antivm_checks_available_memory|Asks how much memory there is
disk|1|T1497|antivm_disk_size|antivm_generic_disk|Asks how large the disk is
processes|1|T1057|process_interest|enumerates_running_processes|Lists the running processes
miner|3|T1496|miner_pool|cryptopool_domains|Talks to a mining pool
removable|3|T1091|autorun_inf|spreading_autoruninf|Writes an autorun.inf
shares|2|T1135|network_smb_scan|network_multiple_direct_ip_connections|Scans the network for shares
adware|2|T1176|browser_startpage|browser_startpage|Changes the start page of a browser
macro|3|T1204|office_vba_load|office_macro_autoexecution|A macro runs when the document is opened
powershell|3|T1059|suspicious_powershell|powershell_command_suspicious|Runs a hidden, encoded PowerShell command
packed|2|T1045|packer_entropy|packer_entropy|A section looks compressed or encrypted
selfdelete|2|T1070|deletes_self|deletes_self|Deletes its own file
rawdisk|3|T1561|bootkit|bootkit|Writes to the raw disk
events|2|T1070|clears_event_logs|clears_logs|Clears the event logs
crash|1||raises_exception|exec_crash|A process crashed
"""


class Signature(NamedTuple):
    key: str
    severity: int
    technique: str
    cuckoo2: str
    cape: str
    description: str


def _row(line: str) -> Signature:
    key, severity, *rest = line.split("|")
    return Signature(key, int(severity), *rest)


SIGNATURES: dict[str, Signature] = {row.key: row for row in map(_row, _TABLE.strip().splitlines())}
