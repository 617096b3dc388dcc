"""How much memory a report of nothing but tiny elements takes, for each section and kind of element.

    python -m benchmarks.faults.memory --megabytes 24

Each report is read, and its behaviour extracted, in a process of its own. The figure is the growth of its peak memory
over that of a process that read a small report, as a multiple of the file's size.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ELEMENTS: Final = {
    "{}": b"{}",
    "[]": b"[]",
    '""': b'""',
    "0": b"0",
    "null": b"null",
    "short texts": b'"ab"',
    "[[]]": b"[[]]",
    "a call": b'{"api":"ab"}',
    "a name": b'{"name":"ab"}',
    "400 deep": b"[" * 400 + b"]" * 400,
    "4,000 keys": b"{" + b",".join(b'"%x":0' % number for number in range(4000)) + b"}",
    "wide text": '"ab\N{GRINNING FACE}"'.encode(),
}
SECTIONS: Final = {
    "behavior.processes": b'{"behavior":{"processes":[%s]}}',
    "calls": b'{"behavior":{"processes":[{"process_id":1,"calls":[%s]}]}}',
    "environ": b'{"behavior":{"processes":[{"pid":[%s]}]}}',
    "behavior.summary": b'{"behavior":{"summary":{"keys":[%s]}}}',
    "behavior.enhanced": b'{"behavior":{"enhanced":[%s]}}',
    "behavior.generic": b'{"behavior":{"generic":[%s]}}',
    "network.tcp": b'{"info":{},"network":{"tcp":[%s]}}',
    "network.dns": b'{"info":{},"network":{"dns":[%s]}}',
    "signatures": b'{"info":{},"signatures":[%s]}',
    "dropped": b'{"info":{},"dropped":[%s]}',
    "strings": b'{"info":{},"strings":[%s]}',
    "static": b'{"info":{},"static":{"pe_imports":[{"imports":[%s]}]}}',
    "CAPE": b'{"info":{},"CAPE":{"payloads":[%s]}}',
    "virustotal": b'{"info":{},"virustotal":{"results":[%s]}}',
    "tracee": b'{"info":{},"tracee":[%s]}',
    "target": b'{"target":{"file":{"strings":[%s]}}}',
}
_PROGRAM: Final = """
import sys, time
from pathlib import Path
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.report.report import read_report
def peak():
    status = Path("/proc/self/status").read_text()  # ru_maxrss would begin with the parent's
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
extract(read_report(Path(sys.argv[1])))
before, begin = peak(), time.process_time()
try:
    extract(read_report(Path(sys.argv[2])))
except ReportError:
    pass
print(peak() - before, time.process_time() - begin)
"""


def hostile_report(section: str, element: str, size: int) -> bytes:
    """A report of about ``size`` bytes that consists of one kind of element in one section."""
    part = ELEMENTS[element]
    return SECTIONS[section] % b",".join([part] * (size // (len(part) + 1)))


def growth(report: bytes) -> tuple[int, float]:
    """The bytes that reading a report adds to the peak memory of a process, and the seconds of processor time."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small.json"), Path(folder, "large.json")
        small.write_bytes(b'{"info":{"version":"2.4-CAPE"},"behavior":{"processes":[]}}')
        large.write_bytes(report)
        run = subprocess.run([sys.executable, "-c", _PROGRAM, small, large], capture_output=True, check=True, text=True)
        grown, seconds = run.stdout.split()
        return int(grown), float(seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=24)
    parser.add_argument("--sections", nargs="*", default=list(SECTIONS))
    parser.add_argument("--elements", nargs="*", default=list(ELEMENTS))
    arguments = parser.parse_args()
    size = arguments.megabytes * 10**6
    print("| section | " + " | ".join(arguments.elements) + " |\n|---|" + "---|" * len(arguments.elements))
    for section in arguments.sections:
        row = []
        for element in arguments.elements:
            grown, seconds = growth(hostile_report(section, element, size))
            row.append(f"{grown / size:.1f} ({seconds:.0f} s)")
        print(f"| {section} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
