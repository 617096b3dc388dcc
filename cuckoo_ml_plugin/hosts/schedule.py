"""The refit that runs by itself: a systemd timer and service, or a line for cron."""

from __future__ import annotations

import sys
from pathlib import Path

from cuckoo_ml_plugin.hosts.layout import OwnFile

UNIT_FOLDER = Path("/etc/systemd/system")
_SERVICE = """\
# Put here by cuckoo-ml install.
[Unit]
Description=Refit of the cuckoo-ml model, if it is needed

[Service]
Type=oneshot
User={user}
ExecStart={command} --home {home} refit --if-needed
Nice=10
IOSchedulingClass=idle
"""
_TIMER = """\
# Put here by cuckoo-ml install.
[Unit]
Description=Every hour: does the cuckoo-ml model need a refit?

[Timer]
OnCalendar=hourly
RandomizedDelaySec=10min
Persistent=true

[Install]
WantedBy=timers.target
"""


def command() -> str:
    """The ``cuckoo-ml`` of this Python."""
    return f"{Path(sys.executable).parent / 'cuckoo-ml'}"


def units(home: Path, user: str, folder: Path = UNIT_FOLDER) -> list[OwnFile]:
    """The service and the timer."""
    service = _SERVICE.format(user=user, command=command(), home=_quoted(home))
    return [OwnFile(folder / "cuckoo-ml-refit.service", service), OwnFile(folder / "cuckoo-ml-refit.timer", _TIMER)]


def cron_line(home: Path) -> str:
    """A line for ``crontab -e`` of the host's user, for where there is no systemd."""
    return f"17 * * * *  {command()} --home {_quoted(home)} refit --if-needed >/dev/null"


def _quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)
