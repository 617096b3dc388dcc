"""The schedule of refits: a systemd timer and service, or a line for cron."""

from __future__ import annotations

import sys
from pathlib import Path

from cuckoo_ml_plugin.hosts.installation.pieces import OwnFile
from cuckoo_ml_plugin.plumbing.commands import shell_command

UNIT_FOLDER = Path("/etc/systemd/system")
TIMER = "cuckoo-ml-refit.timer"
STOP = f"systemctl stop {TIMER}; systemctl daemon-reload"
"""The command that ends a timer whose files are gone."""
_SERVICE = """\
# Written by cuckoo-ml install.
[Unit]
Description=Refit the cuckoo-ml model if needed

[Service]
Type=oneshot
User={user}
ExecStart={command} --home {home} refit --if-needed
Nice=10
IOSchedulingClass=idle
"""
_TIMER = """\
# Written by cuckoo-ml install.
[Unit]
Description=Check every hour whether the cuckoo-ml model needs a refit

[Timer]
OnCalendar=hourly
RandomizedDelaySec=10min
Persistent=true

[Install]
WantedBy=timers.target
"""


def command() -> str:
    """The path of the ``cuckoo-ml`` that belongs to this Python."""
    return f"{Path(sys.executable).parent / 'cuckoo-ml'}"


def units(home: Path, user: str, folder: Path = UNIT_FOLDER) -> list[OwnFile]:
    """The service and the timer, for the user that owns the home."""
    service = _SERVICE.format(user=user, command=_for_systemd(command()), home=_for_systemd(home))
    return [OwnFile(folder / "cuckoo-ml-refit.service", service), OwnFile(folder / TIMER, _TIMER)]


def enabling_link(folder: Path = UNIT_FOLDER) -> Path:
    """The link with which ``systemctl enable`` notes that the timer is to be started."""
    return folder / "timers.target.wants" / TIMER


def cron_line(home: Path) -> str:
    """The line for the crontab of the host's user, where systemd does not run."""
    refit = shell_command(command(), "--home", home, "refit", "--if-needed")
    return f"17 * * * *  {refit} >/dev/null".replace("%", r"\%")  # cron ends a command at a bare %


def _for_systemd(path: str | Path) -> str:
    text = str(path).replace("%", "%%")
    return f'"{text}"' if " " in text else text
